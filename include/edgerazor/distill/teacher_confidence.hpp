// SPDX-License-Identifier: Apache-2.0
/// gamma: how sure the teacher is, which decides between the two directions of the divergence.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/kl_parity.hpp>
#include <edgerazor/distill/logit_blocks.hpp>
#include <edgerazor/distill/logit_statistics.hpp>
#include <edgerazor/distill/reduction.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Over what confidence is averaged before it is clamped to [0, 1]: the batch (the paper: the mean
/// over samples of each sample's mean), each sample, or not at all.
enum class gamma_scope { batch, sample, token };

namespace detail::distill {

/// gamma is a constant: 0 for the forward divergence, 1 for the reverse one.
struct fixed_gamma {
  double gamma = 0;
  static constexpr bool reads_teacher = false;
};

/// A token's confidence is 1 - H(p) / ln k.
struct entropy_gamma {
  double k = 16;
  gamma_scope scope = gamma_scope::batch;
  static constexpr bool reads_teacher = true;
  static constexpr double of_empty_sample = 1;  ///< entropy 0
  static constexpr double without_labels = 0;   ///< never asked for

  void check(const token_batch&, std::size_t, const token_plan&) const {}
  [[nodiscard]] bool is_known(const token_batch&) const noexcept { return true; }
  template <real_element T>
  [[nodiscard]] double confidence(const logit_statistics& plain, logit_row<T>,
                                  std::int64_t) const noexcept {
    return 1 - plain.teacher_entropy() / std::log(k);
  }
  template <real_element T>
  [[nodiscard]] double parity_confidence(logit_row<T> teacher, std::int64_t) const noexcept {
    return 1 - parity_entropy(teacher) / std::log(k);
  }
};

/// A token's confidence is p of its label.
struct label_gamma {
  gamma_scope scope = gamma_scope::batch;
  static constexpr bool reads_teacher = true;
  static constexpr double of_empty_sample = 0;
  static constexpr double without_labels = 0.5;

  void check(const token_batch& batch, std::size_t vocabulary, const token_plan& plan) const {
    for (std::size_t i = 0; i < batch.labels.size(); ++i) {
      const std::int64_t label = batch.labels[i];
      if (!plan.counts(i) || (label >= 0 && static_cast<std::uint64_t>(label) < vocabulary))
        continue;
      core::fail("confidence_aware_kl: the label of token " + std::to_string(i) + " is " +
                 std::to_string(label) + ", the teacher's vocabulary has " +
                 std::to_string(vocabulary));
    }
  }
  [[nodiscard]] bool is_known(const token_batch& batch) const noexcept {
    return !batch.labels.empty();
  }
  template <real_element T>
  [[nodiscard]] double confidence(const logit_statistics& plain, logit_row<T> teacher,
                                  std::int64_t label) const noexcept {
    const double logit = static_cast<double>(static_cast<float>(teacher.data[label]));
    return std::exp(logit - plain.teacher_log_sum());
  }
  template <real_element T>
  [[nodiscard]] double parity_confidence(logit_row<T> teacher, std::int64_t label) const noexcept {
    return parity_softmax<T>{teacher, 1}[static_cast<std::size_t>(label)];
  }
};

[[nodiscard]] inline double clamp_gamma(double confidence) noexcept {
  return confidence > 0 ? std::min(confidence, 1.0) : confidence == confidence ? 0.0 : confidence;
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
