// SPDX-License-Identifier: Apache-2.0
/// AdamW (arXiv 1711.05101) over one buffer of parameters.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <variant>
#include <vector>

#include "moment_type.hpp"
#include "parameters.hpp"
#include <edgerazor/core/float16.hpp>

namespace qad {

/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2, w -= rate * (m / (1 - b1^t) / (sqrt(v / (1 -
/// b2^t)) + epsilon) + decay w), where t counts steps from 1; vectors do not decay.
///
/// As bfloat16, m and v are rounded to nearest after the step that used them. Rounding moves a
/// number by at most 2^-8 of itself, a step moves v by a twentieth of g^2 - v and m by a tenth of
/// g - m: v stands still only where g^2 is within 8 % of it, m where g is within 4 %. At b2 = 0.999
/// rounding to nearest would not do: v would never fall.
class adamw {
 public:
  explicit adamw(const shape& s, moment_type type = moment_type::float32) {
    const weight_entry last = weight_layout(s).back();
    const std::size_t count = last.offset + last.size();
    if (type == moment_type::bfloat16) {
      moments_.emplace<buffers<er::bfloat16>>(count);
    } else {
      moments_.emplace<buffers<float>>(count);
    }
  }

  /// Their bytes, in the order of the weights.
  [[nodiscard]] std::span<std::byte> first_moments() noexcept {
    return bytes([](auto& both) { return std::span{both.first}; });
  }
  [[nodiscard]] std::span<std::byte> second_moments() noexcept {
    return bytes([](auto& both) { return std::span{both.second}; });
  }

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
    std::visit(
        [&](auto& both) {
          update(weights.values().data() + e.offset, gradient.values().data() + e.offset,
                 both.first.data() + e.offset, both.second.data() + e.offset, e.size(),
                 gradient_scale, kept, first_scale, second_scale);
        },
        moments_);
  }

 private:
  static constexpr double beta1 = 0.9, beta2 = 0.95;
  static constexpr float epsilon = 1e-8f;

  template <class Moment>
  struct buffers {
    buffers() = default;
    explicit buffers(std::size_t count) : first(count), second(count) {}
    std::vector<Moment> first, second;
  };

  template <class Which>
  std::span<std::byte> bytes(const Which& which) noexcept {
    return std::visit([&](auto& both) { return std::as_writable_bytes(which(both)); }, moments_);
  }

  template <class Moment>
  static void update(float* __restrict w, const float* __restrict gradient, Moment* __restrict m,
                     Moment* __restrict v, std::size_t size, float scale, float kept,
                     float first_scale, float second_scale) noexcept {
    constexpr auto b1 = static_cast<float>(beta1), b2 = static_cast<float>(beta2);
    for (std::size_t i = 0; i < size; ++i) {
      const float g = gradient[i] * scale;
      const float first = b1 * static_cast<float>(m[i]) + (1 - b1) * g;
      const float second = b2 * static_cast<float>(v[i]) + (1 - b2) * g * g;
      m[i] = Moment(first);
      v[i] = Moment(second);
      w[i] = kept * w[i] - first_scale * first / (second_scale * std::sqrt(second) + epsilon);
    }
  }

  std::variant<buffers<float>, buffers<er::bfloat16>> moments_;
};

}  // namespace qad
