// SPDX-License-Identifier: Apache-2.0
/// Gradients without a backward pass: two losses of the quantized model, along a random direction
/// and against it (simultaneous perturbation, Spall 1992; ZeroQAT, arXiv 2509.00031).
///
///     g = (L(w + eps z) - L(w - eps z)) / (2 eps)        w = w - rate * g * z
///
/// z is made anew from a counter wherever it is needed, so that a step takes no memory beyond that
/// of inference: a row of w + eps z is quantized and packed, then the next. The weights themselves
/// stay: adding eps, subtracting it twice and adding it again in 16 bits, as published, does not
/// come back.
///
/// Rounding makes L a staircase. eps has to be near the step of the weights' grid: far below it
/// most directions change no code, and those that do are noise. Averaged over 4000 directions of a
/// matrix with steps of 0.014 the cosine with the straight-through gradient is below 0.3 at
/// eps = 1e-4 and above 0.9 at 1e-2: `spsa_epsilon`.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {
/// By the bits, which no flag of the build changes.
[[nodiscard]] constexpr bool finite(double x) noexcept {
  constexpr std::uint64_t infinity = 0x7ff0000000000000u;
  return (std::bit_cast<std::uint64_t>(x) & infinity) != infinity;
}
}  // namespace detail::distill

enum class spsa_direction : std::uint8_t {
  signs,   ///< -1 or 1: a bit for each weight
  normals  ///< 64 bits for each weight, (ones - 32) / 4: mean 0, variance 1, multiples of 1/4 up to
           ///< 8; a normal number but for that (the excess of the fourth moment is -1/32)
};

/// Directions by counter: element `index` of the direction of step `step`, the same on every
/// machine. Different seeds, steps or indices have independent elements, as far as a 64-bit hash
/// goes (Steele et al., SplitMix64).
struct spsa {
  std::uint64_t seed = 0;
  spsa_direction direction = spsa_direction::signs;

  [[nodiscard]] constexpr float element(std::uint64_t step, std::uint64_t index) const noexcept {
    if (direction == spsa_direction::signs)
      return (bits(step, index / 64) >> (index % 64) & 1) != 0 ? 1.0f : -1.0f;
    return static_cast<float>(std::popcount(bits(step, index)) - 32) / 4;
  }
  /// out = w + amount * z for the elements from `first` on; amount is eps, or -eps. `out` may be
  /// `weights`, but see above. A NaN passes. Fails where sizes differ.
  void perturb(std::span<const float> weights, std::uint64_t step, std::uint64_t first,
               float amount, std::span<float> out) const {
    if (weights.size() != out.size()) {
      detail::core::fail("spsa: " + std::to_string(weights.size()) + " weights, room for " +
                         std::to_string(out.size()));
    }
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = weights[i] + detail::core::exact(amount * element(step, first + i));
  }
  /// w = w - amount * z, amount = rate * g.
  void descend(std::span<float> weights, std::uint64_t step, std::uint64_t first,
               float amount) const {
    perturb(weights, step, first, -amount, weights);
  }

 private:
  [[nodiscard]] static constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  [[nodiscard]] constexpr std::uint64_t bits(std::uint64_t step,
                                             std::uint64_t counter) const noexcept {
    constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;
    return mixed(mixed(mixed(seed + golden) + golden * (step + 1)) + golden * (counter + 1));
  }
};

/// (L(w + eps z) - L(w - eps z)) / (2 eps). Fails where eps is not above 0 and finite. A loss that
/// is NaN or infinite gives NaN or an infinite slope, which no step should take.
[[nodiscard]] inline double spsa_slope(double loss_plus, double loss_minus, double eps) {
  if (!(eps > 0) || !detail::distill::finite(eps)) {
    detail::core::fail("spsa_slope: eps is " + std::to_string(eps) +
                       ", expected a finite number above 0");
  }
  return (loss_plus - loss_minus) / (2 * eps);
}

/// eps for weights on grids with these steps (scales of groups, absolute values count): `part` of
/// their mean. 0 for none. Fails where a step is not finite.
[[nodiscard]] inline float spsa_epsilon(std::span<const float> steps, float part = 0.7f) {
  double sum = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (!detail::distill::finite(static_cast<double>(steps[i]))) {
      detail::core::fail("spsa_epsilon: step " + std::to_string(i) + " is not finite");
    }
    sum += std::fabs(static_cast<double>(steps[i]));
  }
  if (steps.empty()) return 0;
  return static_cast<float>(static_cast<double>(part) * sum / static_cast<double>(steps.size()));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
