// SPDX-License-Identifier: Apache-2.0
/// The rule by which a format's matrices are quantized where nobody names a policy.
#pragma once

#include <bit>
#include <cstddef>
#include <utility>

#include <edgerazor/matrix/codec.hpp>
#include <edgerazor/matrix/format.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/lloyd_max.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::matrix {

/// EdgeRazor (Python)'s default rule for the codes of a codec: clip for ternary, absmax for
/// integers, the mean magnitude for binary; for four levels of the group, which it has not, their
/// means. The rule's own granularity is not used: the group is the format's.
template <code_type Type>
[[nodiscard]] constexpr auto default_rule() noexcept {
  // clang-format off
  if constexpr (Type == code_type::ternary2) return ternary<per_channel>{};
  else if constexpr (Type == code_type::ternary3) return ternary<per_channel>{};
  else if constexpr (Type == code_type::ternary5) return ternary<per_channel>{};
  else if constexpr (Type == code_type::binary) return binary<per_channel>{};
  else if constexpr (Type == code_type::int2) return int2<per_channel>{};
  else if constexpr (Type == code_type::int3) return int3<per_channel>{};
  else if constexpr (Type == code_type::int4) return int4<per_channel>{};
  else if constexpr (Type == code_type::int5) return int5<per_channel>{};
  else if constexpr (Type == code_type::int6) return int6<per_channel>{};
  else if constexpr (Type == code_type::int8) return int8<per_channel>{};
  else if constexpr (Type == code_type::table2) return lloyd_max<per_channel>{};
  // clang-format on
}

/// The rule of codes with a zero: from the group's minimum to its maximum.
template <code_type Type, zero_kind Zero>
[[nodiscard]] constexpr auto default_zero_rule() noexcept {
  constexpr int bits = std::bit_width(codec_of(Type).largest_code());
  return asymmetric<bits, per_channel, float16,
                    Zero == zero_kind::minimum ? zero_rule::minimum : zero_rule::real>{};
}

/// use(rule) with the default rule of a format known at run time.
template <class Use>
void with_default_rule(const format& fmt, Use&& use) {
  const auto use_rule_of = [&](auto codec) {
    policy::with_zero_kind(fmt.zero, [&](auto zero) {
      if constexpr (zero.kind == zero_kind::none) {
        use(default_rule<codec.type>());
      } else if constexpr (codec_of(codec.type).has_zero_form()) {
        use(default_zero_rule<codec.type, zero.kind>());
      }
    });
  };
  [&]<std::size_t... Index>(std::index_sequence<Index...>) {
    static_cast<void>(((codec_list[Index].type == fmt.code &&
                        (use_rule_of(codecs::codec<codec_list[Index].type>{}), true)) ||
                       ...));
  }(std::make_index_sequence<codec_list.size()>{});
}

}  // namespace detail::matrix
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
