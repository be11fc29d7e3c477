// SPDX-License-Identifier: Apache-2.0
/// Which tokens of a batch a loss counts, how much each of them weighs, and how their values become
/// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// How the values l of the counted tokens, with weights w, become the value of the batch
/// (reference: `reduction`):
///
///     sum          sum of w l
///     mean         sum of w l / sum of w
///     batch_mean   the mean over the samples of each sample's mean; a sample without a counted token adds 0
///     none         no reduction: `token_batch::token_values` is the result, and the value their sum
enum class reduction { sum, mean, batch_mean, none };

/// The tokens of a batch. Token i is row i of the student's and the teacher's view; samples follow
/// one another. Empty spans mean: no such restriction. Every other span has one entry a token, or
/// the loss fails naming both counts.
struct token_batch {
  std::span<const std::int64_t> labels = {};  ///< a token whose label is `padding_id` doesn't count
  std::int64_t padding_id = -100;
  std::span<const std::uint8_t> mask = {};  ///< 0: the token doesn't count
  std::span<const float> weights = {};      ///< finite, not negative
  std::size_t sample_tokens = 0;            ///< tokens of each sample; 0: all tokens are one sample
  std::span<const std::size_t> sample_ends =
      {};  ///< or samples of any length: one past the last token of each
  reduction how = reduction::batch_mean;
  /// Replaces what the reduction divides by, where positive: 1 of `sum`, the weights of `mean`, the
  /// number of samples of `batch_mean`. Gradients accumulated over several batches are right only
  /// with the denominator of all of them.
  double denominator = 0;
  double upstream = 1;  ///< gradients are those of upstream * value
  std::span<const float> token_upstream =
      {};  ///< with `none`: gradients are those of the sum of upstream * w l
  std::span<float> token_values = {};  ///< receives w l of every token, 0 where it doesn't count
  bool accumulate = false;  ///< gradients are added to what is there, and padding leaves it alone
};

/// What a loss over tokens returns.
struct loss_result {
  double value = 0;
  std::size_t tokens = 0;  ///< counted ones
};

namespace detail::distill {

/// One token, as `for_each_token` hands it out.
struct counted_token {
  std::size_t index = 0;
  std::size_t sample = 0;
  bool counts = false;
  double weight = 0;    ///< w, 0 where it doesn't count
  double share = 0;     ///< of its l in the value
  double upstream = 0;  ///< of its l in what gradients are taken of
};

inline void check_tokens(const char* loss, const char* what, std::size_t count,
                         std::size_t tokens) {
  if (count == tokens) return;
  core::fail(std::string{loss} + ": " + std::to_string(count) + " " + what + " for " +
             std::to_string(tokens) + " tokens");
}

/// A token_batch whose spans have been checked against the number of tokens.
class token_plan {
 public:
  token_plan(const char* loss, const token_batch& batch, std::size_t tokens)
      : batch_(batch), tokens_(tokens) {
    if (!batch.labels.empty()) check_tokens(loss, "labels", batch.labels.size(), tokens);
    if (!batch.mask.empty()) check_tokens(loss, "mask entries", batch.mask.size(), tokens);
    if (!batch.weights.empty()) check_tokens(loss, "weights", batch.weights.size(), tokens);
    if (!batch.token_upstream.empty())
      check_tokens(loss, "upstream gradients", batch.token_upstream.size(), tokens);
    if (!batch.token_values.empty())
      check_tokens(loss, "token values", batch.token_values.size(), tokens);
    check_samples(loss);
    for (std::size_t begin = 0; begin < tokens_; ++samples_) {
      const std::size_t end = sample_end(samples_);
      for (std::size_t i = begin; i < end; ++i) {
        if (!counts(i)) continue;
        ++counted_;
        total_weight_ += weight(i);
      }
      begin = end;
    }
  }

  [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::size_t counted() const noexcept { return counted_; }
  [[nodiscard]] std::size_t samples() const noexcept { return samples_; }

  [[nodiscard]] bool counts(std::size_t i) const noexcept {
    return (batch_.labels.empty() || batch_.labels[i] != batch_.padding_id) &&
           (batch_.mask.empty() || batch_.mask[i] != 0);
  }

  /// Calls visit(const counted_token&) for every token in order, those that don't count included.
  template <class Visit>
  void for_each_token(Visit&& visit) const {
    std::size_t begin = 0;
    for (std::size_t sample = 0; sample < samples_; ++sample) {
      const std::size_t end = sample_end(sample);
      const double scale = sample_scale(begin, end);
      for (std::size_t i = begin; i < end; ++i) {
        counted_token token{.index = i, .sample = sample, .counts = counts(i)};
        if (token.counts) {
          token.weight = weight(i);
          token.share = token.weight * scale;
          const bool own = batch_.how == reduction::none && !batch_.token_upstream.empty();
          token.upstream = batch_.upstream * token.share *
                           (own ? static_cast<double>(batch_.token_upstream[i]) : 1.0);
        }
        visit(static_cast<const counted_token&>(token));
      }
      begin = end;
    }
  }

  [[nodiscard]] std::size_t sample_end(std::size_t sample) const noexcept {
    if (!batch_.sample_ends.empty()) return batch_.sample_ends[sample];
    return batch_.sample_tokens == 0 ? tokens_ : (sample + 1) * batch_.sample_tokens;
  }

 private:
  [[nodiscard]] double weight(std::size_t i) const noexcept {
    return batch_.weights.empty() ? 1.0 : static_cast<double>(batch_.weights[i]);
  }

  /// What the values w l of one sample are multiplied by.
  [[nodiscard]] double sample_scale(std::size_t begin, std::size_t end) const noexcept {
    const bool own = batch_.denominator > 0;
    switch (batch_.how) {
      case reduction::sum:
        return own ? 1 / batch_.denominator : 1;
      case reduction::mean:
        return 1 / (own ? batch_.denominator : positive_or_one(total_weight_));
      case reduction::batch_mean: {
        double sum = 0;
        for (std::size_t i = begin; i < end; ++i) sum += counts(i) ? weight(i) : 0.0;
        return 1 /
               (positive_or_one(sum) * (own ? batch_.denominator : static_cast<double>(samples_)));
      }
      case reduction::none:
        return 1;
    }
    return 1;
  }
  static double positive_or_one(double x) noexcept { return x > 0 ? x : 1.0; }

  void check_samples(const char* loss) const {
    const std::string name = loss;
    if (batch_.sample_ends.empty()) {
      if (batch_.sample_tokens != 0 && tokens_ % batch_.sample_tokens != 0) {
        core::fail(name + ": " + std::to_string(tokens_) +
                   " tokens are no whole number of samples of " +
                   std::to_string(batch_.sample_tokens));
      }
      return;
    }
    std::size_t previous = 0;
    for (const std::size_t end : batch_.sample_ends) {
      if (end <= previous || end > tokens_) {
        core::fail(name + ": a sample ends at token " + std::to_string(end) +
                   ", after one that ends at " + std::to_string(previous) + ", of " +
                   std::to_string(tokens_) + " tokens");
      }
      previous = end;
    }
    if (previous != tokens_) {
      core::fail(name + ": the last sample ends at token " + std::to_string(previous) + " of " +
                 std::to_string(tokens_));
    }
  }

  const token_batch& batch_;
  std::size_t tokens_, counted_ = 0, samples_ = 0;
  double total_weight_ = 0;
};

/// Adds one token's l to the result and to `token_values`.
inline void add_token(loss_result& result, const token_batch& batch, const counted_token& token,
                      double value) noexcept {
  // A token of weight 0 adds nothing, be its l infinite.
  const double weighted = token.weight == 0 ? 0 : token.weight * value;
  if (!batch.token_values.empty()) batch.token_values[token.index] = static_cast<float>(weighted);
  if (!token.counts) return;
  ++result.tokens;
  if (token.share != 0) result.value += token.share * value;
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
