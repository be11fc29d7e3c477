// SPDX-License-Identifier: Apache-2.0
/// gamma: how sure the teacher is, which decides between the two directions of the divergence.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Over what confidence is averaged before it is clamped to [0, 1]: the batch (the paper: the mean
/// over samples of each sample's mean), each sample, or not at all.
enum class gamma_scope { batch, sample, token };

/// What a loss that blends both divergences returns.
struct blended_result : loss_result {
  double gamma = 0;    ///< the batch's; the mean of theirs where each sample or token has its own
  double forward = 0;  ///< the reduced KL(p||q) and KL(q||p) that were blended
  double reverse = 0;
};

namespace detail::distill {
/// To [0, 1]; NaN stays.
[[nodiscard]] inline double clamp_gamma(double confidence) noexcept {
  return confidence > 0 ? std::min(confidence, 1.0) : confidence == confidence ? 0.0 : confidence;
}
}  // namespace detail::distill

/// The teacher's confidence in part of a batch: micro-batches and ranks each make one, `merge` what
/// they have (any order, the same up to rounding), and give all of them the gamma of the whole.
struct confidence_sums {
  double sum = 0;           ///< of the samples' mean confidences, each at most 1, not clamped
  std::size_t samples = 0;  ///< how many
  double without = 0;       ///< gamma where there is no sample

  void merge(const confidence_sums& other) noexcept {
    sum += other.sum;
    samples += other.samples;
    without = other.without;
  }
  /// In [0, 1]; NaN of a teacher that is.
  [[nodiscard]] double gamma() const noexcept {
    return detail::distill::clamp_gamma(samples == 0 ? without
                                                     : sum / static_cast<double>(samples));
  }
};

/// Options of one call of a blend.
struct blend_options {
  /// One entry a token saves a second look at the teacher's logits for all but the first 64 tokens.
  std::span<logit_statistics> workspace = {};
  /// In place of the gamma of this batch: that of several micro-batches or ranks. In [0, 1].
  std::optional<double> gamma = std::nullopt;
};

namespace detail::distill {

inline void check_confidence_k(const char* loss, std::size_t k) {
  check_option(k >= 2, loss, "confidence_k", k, "at least 2");
}

/// Where a loss's gamma comes from: a constant (0 the forward divergence, 1 the reverse one); 1 -
/// H(p) / ln k; or p of the label.
struct gamma_rule {
  enum class source { constant, entropy, label };
  source from = source::constant;
  double value = 0;  ///< the constant, or k
  gamma_scope scope = gamma_scope::batch;

  /// A sample without a counted token counts as entropy 0, or as probability 0.
  [[nodiscard]] double of_empty_sample() const noexcept { return from == source::label ? 0 : 1; }
  [[nodiscard]] double of_entropy(double entropy) const noexcept {
    return 1 - entropy / std::log(value);
  }

  /// The rule for one call: a given gamma is a constant, and so is 0.5 for want of labels.
  [[nodiscard]] gamma_rule with(const char* loss, std::optional<double> given,
                                const token_batch& batch) const {
    if (from == source::entropy)  // as it is: 2^64 - 1 is 2^64 in double
      check_option(value >= 2, loss, "confidence_k", value, "at least 2");
    check_option(from != source::constant || (value >= 0 && value <= 1), loss, "gamma", value,
                 "0 to 1");
    check_option(!given || (*given >= 0 && *given <= 1), loss, "gamma", given.value_or(0),
                 "0 to 1");
    if (given) return {source::constant, *given};
    if (from == source::label && batch.labels.empty()) return {source::constant, 0.5};
    return *this;
  }
};

/// gamma of the counted tokens, asked for in order. confidence(token) is that of one that counts.
template <class Confidence>
class scope_gammas {
 public:
  scope_gammas(const gamma_rule& rule, const token_plan& plan, Confidence& confidence)
      : rule_(rule), plan_(plan), confidence_(confidence) {}

  [[nodiscard]] double of(const counted_token& token) {
    if (rule_.from == gamma_rule::source::constant) return rule_.value;
    const bool next_sample = rule_.scope == gamma_scope::sample && token.sample != sample_;
    if (count_ == 0 || next_sample || rule_.scope == gamma_scope::token) {
      gamma_ = rule_.scope == gamma_scope::token    ? clamp_gamma(confidence_(token))
               : rule_.scope == gamma_scope::sample ? clamp_gamma(of_sample(token.sample))
                                                    : sums().gamma();
      total_ += gamma_;
      ++count_;
    }
    sample_ = token.sample;
    return gamma_;
  }
  /// Over scopes; that of the batch if no token counts.
  [[nodiscard]] double mean() const {
    if (rule_.from == gamma_rule::source::constant) return rule_.value;
    return count_ == 0 ? sums().gamma() : total_ / static_cast<double>(count_);
  }
  /// Of the batch.
  [[nodiscard]] confidence_sums sums() const {
    confidence_sums result{.samples = plan_.samples(), .without = rule_.of_empty_sample()};
    for (std::size_t sample = 0; sample < result.samples; ++sample) result.sum += of_sample(sample);
    return result;
  }

 private:
  [[nodiscard]] double of_sample(std::size_t sample) const {
    double sum = 0;
    std::size_t counted = 0;
    plan_.for_each_token_of(sample, [&](const counted_token& token) {
      if (!token.weighs()) return;
      sum += confidence_(token);
      ++counted;
    });
    return counted == 0 ? rule_.of_empty_sample() : sum / static_cast<double>(counted);
  }

  const gamma_rule& rule_;
  const token_plan& plan_;
  Confidence& confidence_;
  std::size_t sample_ = 0, count_ = 0;
  double gamma_ = 0, total_ = 0;
};

/// Adds a token's share of both divergences to a result and returns their blend.
[[nodiscard]] inline double add_divergences(blended_result& result, double share, double gamma,
                                            const row::kl_divergences& both) noexcept {
  if (share != 0) {
    result.forward += share * both.forward;
    result.reverse += share * both.reverse;
  }
  return row::blended(gamma, both.forward, both.reverse);
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
