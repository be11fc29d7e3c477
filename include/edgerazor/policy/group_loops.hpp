// SPDX-License-Identifier: Apache-2.0
/// The loops over the weights of a group whose scale is known: codes, values, gradients. By vectors
/// where the policy takes them, the rest one weight at a time; the same bits either way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/division.hpp>
#include <edgerazor/policy/lanes.hpp>
#include <edgerazor/policy/quantizer.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// codes[i] = level of weights[i] at a given scale, plus `zero_code`.
template <quantizer Q, class Arch = xsimd::default_arch, class Byte>
void quantize_codes(const float* weights, std::size_t count, float scale, int zero_code,
                    Byte* codes) noexcept {
  std::size_t done = 0;
  if constexpr (lanes_quantizer<Q, Arch>) {
    using reals = xsimd::batch<float, Arch>;
    constexpr std::size_t step = reals::size < 16 ? 16 : reals::size;
    const float_lanes<Arch> scales{scale};
    const int_lanes<Arch> zero_codes{zero_code};
    const auto codes_from = [&](std::size_t i, std::int32_t* wide) {
      const float_lanes<Arch> lanes{reals::load_unaligned(weights + i)};
      (Q::level(lanes, scales) + zero_codes).values.store_unaligned(wide);
    };
    for (; done + step <= count; done += step) {
      std::int32_t wide[step];
      [&]<std::size_t... J>(std::index_sequence<J...>) {
        (codes_from(done + J * reals::size, wide + J * reals::size), ...);
      }(std::make_index_sequence<step / reals::size>{});
      for (std::size_t j = 0; j < step; ++j) codes[done + j] = static_cast<Byte>(wide[j]);
    }
    for (; done + reals::size <= count; done += reals::size) {
      std::int32_t wide[reals::size];
      codes_from(done, wide);
      for (std::size_t j = 0; j < reals::size; ++j) codes[done + j] = static_cast<Byte>(wide[j]);
    }
  }
  for (; done < count; ++done)
    codes[done] = static_cast<Byte>(Q::level(weights[done], scale) + zero_code);
}

/// out[i] = level(values[i]) * scale, for values that may lie exactly where out does: each is read
/// before it is written.
template <quantizer Q, class Arch = xsimd::default_arch, real_element U>
void write_values(const float* values, std::size_t count, float scale, U* out) noexcept {
  const float unit = value_scale<Q>(scale);
  std::size_t whole = 0;
  if constexpr (lanes_quantizer<Q, Arch>) {
    using reals = xsimd::batch<float, Arch>;
    const float_lanes<Arch> scales{scale};
    const reals units{unit};
    const auto quantized = [&](std::size_t i) {
      const float_lanes<Arch> lanes{reals::load_unaligned(values + i)};
      return xsimd::to_float(Q::level(lanes, scales).values) * units;
    };
    if constexpr (std::is_same_v<U, float>) {
      whole = count - count % reals::size;
      for (std::size_t i = 0; i < whole; i += reals::size) quantized(i).store_unaligned(out + i);
    } else {
      constexpr std::size_t step = reals::size < 16 ? 16 : reals::size;
      whole = count - count % step;
      for (std::size_t i = 0; i < whole; i += step) {
        float block[step];
        for (std::size_t j = 0; j < step; j += reals::size)
          quantized(i + j).store_unaligned(block + j);
        core::convert_elements(block, step, out + i);
      }
    }
  }
  for (std::size_t i = whole; i < count; ++i)
    out[i] = U{static_cast<float>(Q::level(values[i], scale)) * unit};
}

/// grad_in[i] = grad_out[i] where rounding alone gives a level (`within_levels`), else 0. The two
/// may be the same memory.
template <quantizer Q, class Arch = xsimd::default_arch>
void pass_within_levels(const float* weights, std::size_t count, float scale, const float* grad_out,
                        float* grad_in) noexcept {
  using reals = xsimd::batch<float, Arch>;
  constexpr int step = level_step<Q>, low = Q::min_level, high = Q::max_level;
  constexpr int lower = low - step / 2, upper = high + step / 2;
  const std::size_t whole = count - count % reals::size;
  const reals scales{scale}, zero{0.0f};
  for (std::size_t i = 0; i < whole; i += reals::size) {
    reals position = quotient(reals::load_unaligned(weights + i), scales);
    if constexpr (step == 1) position = xsimd::to_float(round_lanes<low - 1, high + 1>(position));
    const reals least{static_cast<float>(lower)}, most{static_cast<float>(upper)};
    const auto inside = (position >= least) & (position <= most);
    xsimd::select(inside, reals::load_unaligned(grad_out + i), zero).store_unaligned(grad_in + i);
  }
  for (std::size_t i = whole; i < count; ++i)
    grad_in[i] = within_levels<Q>(weights[i], scale) ? grad_out[i] : 0.0f;
}

/// Learned step size: writes the weights' gradients of one group (which may lie where grad_out
/// does) and returns sum of g * d.
///
/// Outside (n, p) the clamp makes the level n or p itself, so d = level - (v inside, 0 outside)
/// everywhere. A product of two floats is exact in double; sixteen sums (column modulo 16), added
/// in order, give the same bits whatever the vectors' length.
template <quantizer Q, class Arch = xsimd::default_arch>
double learned_step_gradient(const float* weights, std::size_t count, float scale,
                             const float* grad_out, float* grad_in) noexcept {
  constexpr float low = Q::min_level, high = Q::max_level;
  constexpr std::size_t width = 16;
  double sums[width] = {};
  std::size_t whole = 0;
  if constexpr (lanes_quantizer<Q, Arch>) {
    using reals = xsimd::batch<float, Arch>;
    static_assert(width % reals::size == 0);
    whole = count - count % width;
    const reals scales{scale}, zero{0.0f};
    for (std::size_t first = 0; first < whole; first += width) {
      float gradients[width], slopes[width];
      for (std::size_t i = 0; i < width; i += reals::size) {
        const reals w = reals::load_unaligned(weights + first + i),
                    g = reals::load_unaligned(grad_out + first + i), v = quotient(w, scales);
        const auto inside = (v > reals{low}) & (v < reals{high});
        const float_lanes<Arch> lanes{w}, steps{scales};
        g.store_unaligned(gradients + i);
        (xsimd::to_float(Q::level(lanes, steps).values) - xsimd::select(inside, v, zero))
            .store_unaligned(slopes + i);
        xsimd::select(inside, g, zero).store_unaligned(grad_in + first + i);
      }
      for (std::size_t i = 0; i < width; ++i)
        sums[i] += static_cast<double>(gradients[i]) * static_cast<double>(slopes[i]);
    }
  }
  for (std::size_t i = whole; i < count; ++i) {
    const float v = weights[i] / scale, g = grad_out[i];
    const bool inside = v > low && v < high;
    const float slope = static_cast<float>(Q::level(weights[i], scale)) - (inside ? v : 0.0f);
    sums[i % width] += static_cast<double>(g) * static_cast<double>(slope);
    grad_in[i] = inside ? g : 0.0f;
  }
  double sum = 0;
  for (const double s : sums) sum += s;
  return sum;
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
