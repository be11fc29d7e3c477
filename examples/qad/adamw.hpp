// SPDX-License-Identifier: Apache-2.0
/// AdamW (arXiv 1711.05101) over one buffer of parameters.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "parameters.hpp"

namespace qad {

/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2, w -= rate * (m / (1 - b1^t) / (sqrt(v / (1 -
/// b2^t)) + epsilon) + decay w), where t counts steps from 1; vectors do not decay.
class adamw {
 public:
  explicit adamw(const shape& s) : first_(s), second_(s) {}

  [[nodiscard]] parameters& first_moments() noexcept { return first_; }
  [[nodiscard]] parameters& second_moments() noexcept { return second_; }

  /// g is `gradient` times `gradient_scale`.
  void step(parameters& weights, const parameters& gradient, float gradient_scale, double rate,
            double decay, std::uint64_t t) {
    for (std::size_t i = 0; i < weights.entries().size(); ++i)
      step(i, weights, gradient, gradient_scale, rate, decay, t);
  }
  /// The same of entry i alone: threads may share the work.
  void step(std::size_t i, parameters& weights, const parameters& gradient, float gradient_scale,
            double rate, double decay, std::uint64_t t) {
    const double steps = static_cast<double>(t);
    const auto first_scale = static_cast<float>(rate / (1 - std::pow(beta1, steps)));
    const auto second_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, steps)));
    const weight_entry& e = weights.entries()[i];
    const auto kept = static_cast<float>(e.is_vector() ? 1.0 : 1.0 - rate * decay);
    update(weights.values().data() + e.offset, gradient.values().data() + e.offset,
           first_.values().data() + e.offset, second_.values().data() + e.offset, e.size(),
           gradient_scale, kept, first_scale, second_scale);
  }

 private:
  static constexpr double beta1 = 0.9, beta2 = 0.95;
  static constexpr float epsilon = 1e-8f;

  static void update(float* __restrict w, const float* __restrict gradient, float* __restrict m,
                     float* __restrict v, std::size_t size, float scale, float kept,
                     float first_scale, float second_scale) noexcept {
    constexpr auto b1 = static_cast<float>(beta1), b2 = static_cast<float>(beta2);
    for (std::size_t i = 0; i < size; ++i) {
      const float g = gradient[i] * scale;
      m[i] = b1 * m[i] + (1 - b1) * g;
      v[i] = b2 * v[i] + (1 - b2) * g * g;
      w[i] = kept * w[i] - first_scale * m[i] / (second_scale * std::sqrt(v[i]) + epsilon);
    }
  }

  parameters first_, second_;
};

}  // namespace qad
