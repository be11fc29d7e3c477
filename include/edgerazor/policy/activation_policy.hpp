// SPDX-License-Identifier: Apache-2.0
/// By which policy activations become int8 codes, as a value: what `quantize_activations` and
/// `prepare` are given.
///
///     er::quantize_activations(x, out, {.policy = er::int4<>{}});
///     er::quantize_activations(x, out, {.policy = er::integer_zero<4>{}});
///     er::quantize_activations(x, out, {.policy = er::with_scale<er::ternary<>>{0.7f}});
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/vector_group.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// 2^Bits codes with an integer zero: GPTQ's grid, and ZeroQAT's and LBLLM's of activations.
template <int Bits, granularity_policy Granularity = per_group<256>, real_element Scale = float16>
using integer_zero = asymmetric<Bits, Granularity, Scale, zero_rule::integer>;

namespace detail::policy {
template <class Q>
concept has_integer_zero = zero_quantizer<Q> && requires { requires Q::has_integer_zero; };
}  // namespace detail::policy

/// A policy whose levels, or codes less their zero, are integers within +-127: what a kernel
/// multiplies. No correction by sums of weights is needed then. With a zero that is an integer and
/// a code that is 7 bits at most; 8 could give 255.
template <class Q>
concept activation_quantizer =
    (quantizer<Q> && Q::min_level >= -127) || (detail::policy::has_integer_zero<Q> && Q::bits <= 7);

/// See above. Holds a copy of the policy, a few bytes; empty, it stands for int8 by the maximum,
/// which kernels quantize by themselves.
class activation_policy {
 public:
  activation_policy() = default;
  template <activation_quantizer Policy>
  activation_policy(const Policy& policy) noexcept
      : fit_(&fit_by<Policy>), quantize_(&quantize_by<Policy>) {
    static_assert(std::is_trivially_copyable_v<Policy> && sizeof(Policy) <= sizeof bytes_,
                  "activation_policy: expected a policy of a few numbers");
    std::memcpy(bytes_, &policy, sizeof policy);
  }

  explicit operator bool() const noexcept { return fit_ != nullptr; }
  /// Scale of some values, and their zero, which is 0 where the policy has none. Preconditions: not
  /// empty, values not empty and finite.
  [[nodiscard]] group_fit fit(std::span<const float> values) const noexcept {
    return fit_(bytes_, values);
  }
  /// codes[i] = level of values[i], or its code less the zero; returns their sum. Preconditions as
  /// above; the fit is finite.
  std::int32_t quantize(std::span<const float> values, const group_fit& fit,
                        std::int8_t* codes) const noexcept {
    quantize_(values, fit, codes);
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += codes[i];
    return sum;
  }

 private:
  template <class Policy>
  static group_fit fit_by(const std::byte* bytes, std::span<const float> values) noexcept {
    // Aligned as its own type, which the bytes are.
    const Policy& policy = *std::launder(reinterpret_cast<const Policy*>(bytes));
    if constexpr (quantizer<Policy>) {
      return {detail::policy::fit_of(policy, values), 0};
    } else {
      return detail::policy::fit_of(policy, values);
    }
  }
  template <class Policy>
  static void quantize_by(std::span<const float> values, const group_fit& fit,
                          std::int8_t* codes) noexcept {
    if constexpr (quantizer<Policy>) {
      detail::policy::quantize_codes<Policy>(values.data(), values.size(), fit.scale, codes);
    } else {
      auto* const unsigned_codes = reinterpret_cast<std::uint8_t*>(codes);
      detail::policy::quantize_codes<Policy>(values.data(), values.size(), fit, unsigned_codes);
      const int zero = static_cast<int>(fit.zero);
      for (std::size_t i = 0; i < values.size(); ++i)
        codes[i] = static_cast<std::int8_t>(unsigned_codes[i] - zero);
    }
  }

  group_fit (*fit_)(const std::byte*, std::span<const float>) noexcept = nullptr;
  void (*quantize_)(std::span<const float>, const group_fit&, std::int8_t*) noexcept = nullptr;
  alignas(8) std::byte bytes_[24] = {};
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
