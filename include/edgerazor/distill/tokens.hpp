// SPDX-License-Identifier: Apache-2.0
/// The tokens of a batch: where their rows and labels lie, which of them a loss counts, how much
/// each weighs, and how their values become one.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A row for every token, of float, float16 or bfloat16: a matrix, or samples of equally many
/// tokens with strides of their own. `Void` is `const void` for rows that are read, `void` for rows
/// that are written.
template <class Void>
class rows_of_tokens {
  static constexpr bool read_only = std::is_const_v<Void>;

 public:
  rows_of_tokens() = default;
  /// Row i of the matrix is token i.
  template <class T>
    requires(read_only || !std::is_const_v<T>)
  rows_of_tokens(const matrix_view<T>& rows) noexcept
      : rows_of_tokens(rows.data, 1, rows.rows, rows.cols, 0, rows.stride) {}
  /// Token i of sample s lies at data + s * sample_stride + i * stride. The logits [batch,
  /// sequence, vocabulary] without each sequence's last position: {data, batch, sequence - 1,
  /// vocabulary, sequence * vocabulary, vocabulary}. Fails where there are more tokens than can be
  /// counted.
  template <class T>
    requires(read_only || !std::is_const_v<T>)
  rows_of_tokens(T* data, std::size_t samples, std::size_t sample_tokens, std::size_t cols,
                 std::size_t sample_stride, std::size_t stride)
      : data_(data),
        type_(detail::row::element_of<T>()),
        rows_(detail::core::size_product("token_rows", samples, sample_tokens)),
        cols_(cols),
        stride_(stride),
        sample_tokens_(sample_tokens),
        sample_stride_(sample_stride) {
    static_assert(real_element<std::remove_const_t<T>>,
                  "a loss reads rows of a real_element: float, float16 or bfloat16");
  }

  [[nodiscard]] Void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  [[nodiscard]] std::size_t stride() const noexcept { return stride_; }

  /// Row `i` from column `begin` on, of `count` columns; i < rows. With `accumulate` one that is
  /// written, or added to; without data, one of which nothing is wanted.
  [[nodiscard]] input_row part(std::size_t i, std::size_t begin, std::size_t count) const noexcept {
    return {at(i, begin), count, type_};
  }
  [[nodiscard]] output_row part(std::size_t i, std::size_t begin, std::size_t count,
                                bool accumulate) const noexcept
    requires(!read_only)
  {
    if (data_ == nullptr) return {};
    return {at(i, begin), count, type_, accumulate};
  }
  template <std::same_as<bool>... Accumulate>
  [[nodiscard]] auto row(std::size_t i, Accumulate... accumulate) const noexcept {
    return part(i, 0, cols_, accumulate...);
  }

 private:
  [[nodiscard]] Void* at(std::size_t i, std::size_t column) const noexcept {
    const std::size_t sample = i < sample_tokens_ ? 0 : i / sample_tokens_;
    const std::size_t place =
        sample * sample_stride_ + (i - sample * sample_tokens_) * stride_ + column;
    using byte = std::conditional_t<read_only, const std::byte, std::byte>;
    return static_cast<byte*>(data_) + place * detail::row::size_of(type_);
  }

  Void* data_ = nullptr;
  detail::row::element type_ = detail::row::element::float32;
  std::size_t rows_ = 0, cols_ = 0, stride_ = 0, sample_tokens_ = 0, sample_stride_ = 0;
};
using token_rows = rows_of_tokens<const void>;
using gradient_rows = rows_of_tokens<void>;

/// Labels of any integral type, read as values: an unsigned label is never negative, and one above
/// 2^63 - 1 is taken for that number, which is no column of any vocabulary.
class label_span {
 public:
  label_span() = default;
  /// A span, vector or array of integers, which must outlive this object.
  template <class Labels>
    requires requires(const Labels& labels) {
      { *std::data(labels) } -> std::convertible_to<std::int64_t>;
      requires std::integral<std::remove_cvref_t<decltype(*std::data(labels))>>;
      std::size(labels);
    }
  label_span(const Labels& labels) noexcept
      : data_(std::data(labels)),
        size_(std::size(labels)),
        read_(&read<decltype(std::data(labels))>) {}

  [[nodiscard]] const void* data() const noexcept { return data_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::int64_t operator[](std::size_t i) const noexcept { return read_(data_, i); }

 private:
  template <class Pointer>
  static std::int64_t read(const void* data, std::size_t i) noexcept {
    const auto label = static_cast<Pointer>(data)[i];
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    // Not std::cmp_greater, which takes neither char nor bool.
    if constexpr (std::is_unsigned_v<decltype(label)> && sizeof label >= sizeof most) {
      if (label > static_cast<std::uint64_t>(most)) return most;
    }
    return static_cast<std::int64_t>(label);
  }

  const void* data_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t (*read_)(const void*, std::size_t) noexcept = nullptr;
};

/// How the values l of the counted tokens, with weights w, become the value of the batch
/// (EdgeRazor (Python): `reduction`):
///
///     sum          sum of w l
///     mean         sum of w l / sum of w
///     batch_mean   the mean over the samples of each sample's mean; a sample without a counted token adds 0
///     none         no reduction: `token_batch::token_values` is the result, and the value their sum
enum class reduction { sum, mean, batch_mean, none };

struct loss_engine;  // engine.hpp

/// The tokens of a batch. Token i is row i of the student's and the teacher's view; samples follow
/// one another. Empty spans mean: no such restriction. Every other span has one entry a token, or
/// the loss fails naming both counts.
///
/// What is multiplied by 0 is 0, whatever it would be: a token of weight 0 is one of the tokens
/// counted, but adds nothing to value, gradient or gamma, be its rows NaN; with an upstream of 0
/// the gradient is 0. Weights that are negative, NaN or infinite, and a denominator that is, fail
/// before anything is written, as does an upstream that is not finite.
struct token_batch {
  label_span labels = {};  ///< a token whose label is `padding_id` doesn't count
  std::int64_t padding_id = -100;
  /// Token i's label is labels[i + label_shift], and the last `label_shift` tokens of a sample,
  /// which have none, don't count. 1: the labels are the input tokens, of which each position
  /// predicts the next. The mask and the weights stay those of token i.
  std::size_t label_shift = 0;
  std::span<const std::uint8_t> mask = {};  ///< 0: the token doesn't count
  std::span<const float> weights = {};      ///< finite, not negative; those of counted tokens
  std::size_t sample_tokens = 0;            ///< tokens of each sample; 0: all tokens are one sample
  /// Or samples of any length: one past the last token of each.
  std::span<const std::size_t> sample_ends = {};
  reduction how = reduction::batch_mean;
  /// Replaces what the reduction divides by, unless 0: 1 of `sum`, the weights of `mean`, the
  /// number of samples of `batch_mean`. Finite, not negative. Gradients accumulated over several
  /// batches are right only with the denominator of all of them.
  double denominator = 0;
  double upstream = 1;  ///< gradients are those of upstream * value; finite
  /// With `none`: gradients are those of the sum of upstream * w l.
  std::span<const float> token_upstream = {};
  std::span<float> token_values = {};  ///< receives w l of every token, 0 where it doesn't count
  bool accumulate = false;  ///< gradients are added to what is there, and padding leaves it alone
  /// Of losses over logits, one of available_loss_engines(); null: the fastest. Other losses take
  /// that always.
  const loss_engine* engine = nullptr;
};

/// What a loss over tokens returns.
struct loss_result {
  double value = 0;
  std::size_t tokens = 0;  ///< counted ones
};

namespace detail::distill {

/// Fails where an option of a loss is not what was expected.
template <class Value>
void check_option(bool valid, const char* loss, const char* option, Value is,
                  const char* expected) {
  if (valid) return;
  core::fail(std::string{loss} + ": " + option + " is " + std::to_string(is) + ", expected " +
             expected);
}
inline void check_finite(const char* loss, const char* option, double is) {
  check_option(std::isfinite(is), loss, option, is, "a finite one");
}
/// For what weighs: finite, not negative.
inline void check_weight(const char* loss, const char* option, double is) {
  check_option(is >= 0 && std::isfinite(is), loss, option, is, "a finite one, not negative");
}

}  // namespace detail::distill

/// gradient *= factor, in place and rounded once: for an upstream gradient or a loss scale that is
/// known only after the loss was computed. Factor 1 changes nothing. Do it before other gradients
/// are added to the same memory; a NaN or infinity stays what the product makes of it. Fails where
/// the factor is not finite.
inline void scale_gradient(const gradient_rows& gradient, double factor) {
  detail::distill::check_finite("scale_gradient", "the factor", factor);
  if (gradient.data() == nullptr || factor == 1) return;
  for (std::size_t i = 0; i < gradient.rows(); ++i) {
    const output_row out = gradient.row(i, false);
    const input_row before = out.as_input();
    const bool is_short = detail::row::size_of(out.type) == 2;
    for (std::size_t c = 0; c < out.size; ++c) {
      const double product = before[c] * factor;
      float rounded = static_cast<float>(product);
      // To odd, so that the 16 bits are rounded from the product and not from a float's rounding.
      if (is_short && static_cast<double>(rounded) != product &&
          (std::bit_cast<std::uint32_t>(rounded) & 1u) == 0) {
        const float limit = std::numeric_limits<float>::infinity();
        rounded = std::nextafter(rounded, static_cast<double>(rounded) < product ? limit : -limit);
      }
      out.set(c, rounded);
    }
  }
}

namespace detail::distill {

/// One token, as `for_each_token` hands it out.
struct counted_token {
  std::size_t index = 0;
  std::size_t sample = 0;
  std::size_t begin = 0, end = 0;  ///< the sample's tokens
  bool counts = false;
  std::int64_t label = 0;  ///< 0 without labels
  double weight = 0;       ///< w, 0 where it doesn't count
  double share = 0;        ///< of its l in the value
  double upstream = 0;     ///< of its l in what gradients are taken of

  /// It counts, and with a weight: its rows are looked at.
  [[nodiscard]] bool weighs() const noexcept { return counts && weight != 0; }
};

inline void check_tokens(const char* loss, const char* what, std::size_t count,
                         std::size_t tokens) {
  if (count == tokens) return;
  core::fail(std::string{loss} + ": " + std::to_string(count) + " " + what + " for " +
             std::to_string(tokens) + " tokens");
}

/// A token_batch whose spans have been checked against the number of tokens. Refers to it.
class token_plan {
 public:
  token_plan(const char* loss, const token_batch& batch, std::size_t tokens)
      : loss_(loss), batch_(batch), tokens_(tokens) {
    const auto check = [&](const char* what, const auto& span) {
      if (!span.empty()) check_tokens(loss, what, span.size(), tokens);
    };
    check("labels", batch.labels);
    check("mask entries", batch.mask);
    check("weights", batch.weights);
    check("upstream gradients", batch.token_upstream);
    check("token values", batch.token_values);
    check_samples();
    check_finite(loss, "the upstream gradient", batch.upstream);
    check_weight(loss, "the denominator", batch.denominator);
    for (; sample_begin(samples_) < tokens_; ++samples_)
      for (std::size_t i = sample_begin(samples_); i < sample_end(samples_); ++i) {
        check_numbers(i, sample_end(samples_));
        total_weight_ += weight(i, sample_end(samples_));
      }
  }

  [[nodiscard]] const token_batch& batch() const noexcept { return batch_; }
  [[nodiscard]] std::size_t samples() const noexcept { return samples_; }

  /// Whether token i counts, of a sample that ends at `end`.
  [[nodiscard]] bool counts(std::size_t i, std::size_t end) const noexcept {
    if (!batch_.mask.empty() && batch_.mask[i] == 0) return false;
    return batch_.labels.empty() || (batch_.label_shift < end - i && label(i) != batch_.padding_id);
  }
  [[nodiscard]] std::int64_t label(std::size_t i) const noexcept {
    return batch_.labels.empty() ? 0 : batch_.labels[i + batch_.label_shift];
  }
  [[nodiscard]] std::size_t sample_end(std::size_t sample) const noexcept {
    if (!batch_.sample_ends.empty()) return batch_.sample_ends[sample];
    return batch_.sample_tokens == 0 ? tokens_ : (sample + 1) * batch_.sample_tokens;
  }
  [[nodiscard]] std::size_t sample_begin(std::size_t sample) const noexcept {
    return sample == 0 ? 0 : sample_end(sample - 1);
  }

  /// Calls visit(const counted_token&) for every token in order, those that don't count included.
  template <class Visit>
  void for_each_token(Visit&& visit) const {
    for (std::size_t sample = 0; sample < samples_; ++sample) for_each_token_of(sample, visit);
  }
  template <class Visit>
  void for_each_token_of(std::size_t sample, Visit&& visit) const {
    const std::size_t begin = sample_begin(sample), end = sample_end(sample);
    const double scale = sample_scale(begin, end);
    const bool own = batch_.how == reduction::none && !batch_.token_upstream.empty();
    for (std::size_t i = begin; i < end; ++i) {
      counted_token token{
          .index = i, .sample = sample, .begin = begin, .end = end, .counts = counts(i, end)};
      if (token.counts) {
        token.label = label(i);
        token.weight = weight(i, end);
        const double of_token = own ? static_cast<double>(batch_.token_upstream[i]) : 1.0;
        // The scale of a denominator next to 0 is infinite.
        token.share = token.weight == 0 ? 0 : token.weight * scale;
        token.upstream =
            batch_.upstream == 0 || of_token == 0 ? 0 : batch_.upstream * token.share * of_token;
      }
      visit(static_cast<const counted_token&>(token));
    }
  }

  /// Fails where the label of a counted token is no column of the vocabulary, `whose` the sentence
  /// says: "the vocabulary".
  void check_labels(const char* whose, std::size_t vocabulary) const {
    for_each_token([&](const counted_token& token) {
      if (!token.counts ||
          (token.label >= 0 && static_cast<std::uint64_t>(token.label) < vocabulary))
        return;
      core::fail(std::string{loss_} + ": the label of token " + std::to_string(token.index) +
                 " is " + std::to_string(token.label) + ", " + whose + " has " +
                 std::to_string(vocabulary));
    });
  }

  /// Adds one token's l to the result and to `token_values`.
  void add(loss_result& result, const counted_token& token, double value) const noexcept {
    // A token of weight 0 adds nothing, be its l infinite.
    const double weighted = token.weight == 0 ? 0 : token.weight * value;
    if (!batch_.token_values.empty())
      batch_.token_values[token.index] = static_cast<float>(weighted);
    if (!token.counts) return;
    ++result.tokens;
    if (token.share != 0) result.value += token.share * value;
  }

  /// The one way of a loss over its tokens: adds value_of(token, its row of the gradient) of those
  /// that weigh something, and clears the gradient of the others; also that of a token whose
  /// upstream is 0, of which the value alone is asked.
  template <class ValueOf>
  void for_each_counted_row(loss_result& result, const gradient_rows& gradient,
                            ValueOf&& value_of) const {
    for_each_token([&](const counted_token& token) {
      const output_row out = gradient.row(token.index, batch_.accumulate);
      const bool differentiated = token.weighs() && token.upstream != 0;
      const double value =
          token.weighs() ? value_of(token, differentiated ? out : output_row{}) : 0.0;
      if (!differentiated) out.clear();  // after its row was read, whose memory it may be
      add(result, token, value);
    });
  }

 private:
  /// w, 0 where it doesn't count.
  [[nodiscard]] double weight(std::size_t i, std::size_t end) const noexcept {
    if (!counts(i, end)) return 0;
    return batch_.weights.empty() ? 1.0 : static_cast<double>(batch_.weights[i]);
  }
  [[nodiscard]] double weight_between(std::size_t begin, std::size_t end) const noexcept {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += weight(i, end);
    return sum;
  }

  /// What the values w l of one sample are multiplied by.
  [[nodiscard]] double sample_scale(std::size_t begin, std::size_t end) const noexcept {
    const auto positive_or_one = [](double x) noexcept { return x > 0 ? x : 1.0; };
    const bool own = batch_.denominator > 0;
    switch (batch_.how) {
      case reduction::sum:
        return own ? 1 / batch_.denominator : 1;
      case reduction::mean:
        return 1 / (own ? batch_.denominator : positive_or_one(total_weight_));
      case reduction::batch_mean:
        return 1 / (positive_or_one(weight_between(begin, end)) *
                    (own ? batch_.denominator : static_cast<double>(samples_)));
      case reduction::none:
        break;
    }
    return 1;
  }

  /// Fails where a number that belongs to a counted token has no meaning.
  void check_numbers(std::size_t i, std::size_t end) const {
    if (!counts(i, end)) return;
    const auto refuse = [&](const char* what, float is, const char* expected) {
      core::fail(std::string{loss_} + ": the " + what + " of token " + std::to_string(i) + " is " +
                 std::to_string(is) + ", expected " + expected);
    };
    if (!batch_.weights.empty() && !(batch_.weights[i] >= 0 && std::isfinite(batch_.weights[i])))
      refuse("weight", batch_.weights[i], "a finite one, not negative");
    if (!batch_.token_upstream.empty() && !std::isfinite(batch_.token_upstream[i]))
      refuse("upstream gradient", batch_.token_upstream[i], "a finite one");
  }

  [[noreturn]] static void fail_sample_end(const std::string& name, std::size_t end,
                                           std::size_t previous, const std::string& all) {
    core::fail(name + ": a sample ends at token " + std::to_string(end) +
               ", after one that ends at " + std::to_string(previous) + ", of " + all + " tokens");
  }
  void check_samples() const {
    const std::string name = loss_, all = std::to_string(tokens_);
    if (batch_.sample_ends.empty()) {
      if (batch_.sample_tokens == 0 || tokens_ % batch_.sample_tokens == 0) return;
      core::fail(name + ": " + all + " tokens are no whole number of samples of " +
                 std::to_string(batch_.sample_tokens));
    }
    std::size_t previous = 0;
    for (const std::size_t end : batch_.sample_ends) {
      if (end <= previous || end > tokens_) fail_sample_end(name, end, previous, all);
      previous = end;
    }
    if (previous == tokens_) return;
    core::fail(name + ": the last sample ends at token " + std::to_string(previous) + " of " + all);
  }

  const char* loss_;
  const token_batch& batch_;
  std::size_t tokens_, samples_ = 0;
  double total_weight_ = 0;
};

/// Fails where there is a gradient whose shape isn't that of `what`, which it is the gradient of.
inline void check_gradient(const char* loss, const char* what, std::size_t rows, std::size_t cols,
                           const gradient_rows& gradient) {
  if (gradient.data() == nullptr || (gradient.rows() == rows && gradient.cols() == cols)) return;
  core::fail(std::string{loss} + ": " + what + " are " + core::shape_text(rows, cols) +
             ", the gradient " + core::shape_text(gradient.rows(), gradient.cols()));
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
