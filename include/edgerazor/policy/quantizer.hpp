// SPDX-License-Identifier: Apache-2.0
/// What a quantizer policy is, and the two acts every policy shares: rounding to a level, and
/// quantizing one group.
///
/// A policy composes levels (the integers a weight may become), a scale rule (one float for a group
/// of weights), a granularity (which weights form a group) and the type in which storage keeps the
/// scale. It knows neither bits nor kernels:
///
///     scale = rule(group)        level = clamp(round_half_even(w / scale), min_level, max_level)        value = level
///     * scale
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/granularity.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Levels are a range of integers for which int8 is wide enough.
template <class Q>
concept int8_levels =
    (Q::max_level > Q::min_level) && (Q::min_level >= -128) && (Q::max_level <= 127);

namespace detail::policy {
template <class Q>
inline constexpr int level_step = 1;
template <class Q>
  requires requires { Q::level_step; }
inline constexpr int level_step<Q> = Q::level_step;
}  // namespace detail::policy

/// The levels of a policy are min_level, min_level + step, ..., max_level. The step is
/// `Q::level_step` where the policy says so, else 1; 2 for `binary`, which has no level 0.
template <class Q>
concept stepped_levels = (detail::policy::level_step<Q> > 0) &&
                         ((Q::max_level - Q::min_level) % detail::policy::level_step<Q> == 0);

/// A quantizer policy. `q.scale(group)` takes a group of at least one finite float; `Q::level(w,
/// scale)` is one of the levels. A policy is a small value: its members are the rule's parameters.
template <class Q>
concept quantizer = granularity_policy<typename Q::granularity> &&
                    real_element<typename Q::scale_type> && int8_levels<Q> && stepped_levels<Q> &&
                    requires(const Q& q, std::span<const float> group, float weight, float scale) {
                      { q.scale(group) } -> std::same_as<float>;
                      { Q::level(weight, scale) } -> std::same_as<int>;
                      requires noexcept(q.scale(group));
                      requires noexcept(Q::level(weight, scale));
                    };

/// A quantizer whose groups stay within a row: the ones that can be packed, and split over threads
/// by rows.
template <class Q>
concept row_quantizer = quantizer<Q> && row_granularity<typename Q::granularity>;

/// The policy whose values are the ones that storage gives back: levels follow from the scale as
/// the rule gives it, values from that scale rounded to `Policy::scale_type`. What a student sees
/// in training, when it is to be exactly what it will be in use.
///
///     fake_quantize<as_stored<int4<>>>(w, out)        // out = dequantize(pack<int4<>>(w)), bit for bit
template <quantizer Policy>
struct as_stored : Policy {
  static constexpr bool rounds_scale = true;
};

namespace detail::policy {
/// What a level is multiplied by.
template <quantizer Q>
[[nodiscard]] constexpr float value_scale(float scale) noexcept {
  if constexpr (requires { Q::rounds_scale; })
    return static_cast<float>(typename Q::scale_type{scale});
  return scale;
}
}  // namespace detail::policy

/// A quantizer with a second `level` that takes vectors of floats and returns vectors of integers,
/// the same ones. Every policy of this library is one; a policy that isn't works as well, one
/// weight at a time.
template <class Q, class Arch>
concept vector_quantizer =
    quantizer<Q> && requires(xsimd::batch<float, Arch> weights, xsimd::batch<float, Arch> scales) {
      { Q::level(weights, scales) } -> std::same_as<xsimd::batch<std::int32_t, Arch>>;
    };

/// clamp(round_half_even(x), Low, High), the same on every machine and for every width of vectors.
/// NaN gives Low.
///
/// Clamping first is the same as clamping last, because Low and High are integers and rounding is
/// monotone. The sum with 1.5 * 2^23 then lies where floats are the integers, so the addition
/// itself rounds to nearest even, and the sum's low bits are the level: no rounding instruction
/// (SSE2 has none), and nothing that reassociation could cancel.
template <int Low, int High>
[[nodiscard]] constexpr int round_to_level(float x) noexcept {
  static_assert(Low > -(1 << 22) && High < (1 << 22));
  constexpr float low = Low, high = High, shift = 12582912.0f;
  const float above = x > low ? x : low;
  const float clamped = above < high ? above : high;
  return std::bit_cast<std::int32_t>(clamped + shift) - std::bit_cast<std::int32_t>(shift);
}

namespace detail::policy {
template <class Batch>
concept emulated_batch = requires(const Batch& batch) {
  { batch.data.size() } -> std::convertible_to<std::size_t>;
};

/// x where x > low, else low: so also where x is NaN. On x86 that is one instruction, its maximum;
/// others give NaN, or the number.
template <class Arch>
[[nodiscard]] inline xsimd::batch<float, Arch> at_least(
    const xsimd::batch<float, Arch>& x, const xsimd::batch<float, Arch>& low) noexcept {
  if constexpr (EDGERAZOR_X86 != 0 && !emulated_batch<xsimd::batch<float, Arch>>)
    return xsimd::max(x, low);
  return xsimd::select(x > low, x, low);
}
}  // namespace detail::policy

template <int Low, int High, class Arch>
[[nodiscard]] inline xsimd::batch<std::int32_t, Arch> round_to_level(
    const xsimd::batch<float, Arch>& x) noexcept {
  static_assert(Low > -(1 << 22) && High < (1 << 22));
  using reals = xsimd::batch<float, Arch>;
  const reals shift{12582912.0f};
  const reals clamped = xsimd::min(detail::policy::at_least(x, reals{static_cast<float>(Low)}),
                                   reals{static_cast<float>(High)});
  return xsimd::bitwise_cast<std::int32_t>(clamped + shift) -
         xsimd::bitwise_cast<std::int32_t>(shift);
}

namespace detail::policy {
/// codes[i] = level of weights[i] at a given scale, plus `zero_code`.
template <quantizer Q, class Arch, class Byte>
void quantize_codes(const float* weights, std::size_t count, float scale, int zero_code,
                    Byte* codes) noexcept {
  std::size_t done = 0;
  if constexpr (vector_quantizer<Q, Arch>) {
    using reals = xsimd::batch<float, Arch>;
    constexpr std::size_t step = reals::size < 16 ? 16 : reals::size;
    const reals scales{scale};
    const xsimd::batch<std::int32_t, Arch> zero_codes{zero_code};
    const auto codes_from = [&](std::size_t i, std::int32_t* wide) {
      (Q::level(reals::load_unaligned(weights + i), scales) + zero_codes).store_unaligned(wide);
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
}  // namespace detail::policy

/// levels[i] = level of weights[i] at a given scale.
template <quantizer Q, class Arch = xsimd::default_arch>
void quantize_levels(std::span<const float> weights, float scale, std::int8_t* levels) noexcept {
  detail::policy::quantize_codes<Q, Arch>(weights.data(), weights.size(), scale, 0, levels);
}

/// Quantizes one group: writes group.size() levels, returns the scale, so that w ~ levels[i] *
/// scale. Precondition: the group holds at least one weight, all finite (quantize a matrix to have
/// that checked).
template <quantizer Q>
float quantize_group(const Q& policy, std::span<const float> group, std::int8_t* levels) noexcept {
  const float scale = policy.scale(group);
  quantize_levels<Q>(group, scale, levels);
  return scale;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
