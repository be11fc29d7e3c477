// SPDX-License-Identifier: Apache-2.0
/// The rule by which a codec's matrices are quantized where nobody names a policy.
#pragma once

#include <cstddef>
#include <utility>

#include <edgerazor/matrix/codec.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::matrix {

/// EdgeRazor (Python)'s default rule for the codes of a codec: clip for ternary, absmax for
/// integers, the mean magnitude for binary. The rule's own granularity is not used: the group is
/// the format's.
template <code_type Type>
[[nodiscard]] constexpr auto default_rule() noexcept {
  // clang-format off
  if constexpr (Type == code_type::ternary2) return ternary<per_channel>{};
  else if constexpr (Type == code_type::ternary5) return ternary<per_channel>{};
  else if constexpr (Type == code_type::binary) return binary<per_channel>{};
  else if constexpr (Type == code_type::int3) return int3<per_channel>{};
  else if constexpr (Type == code_type::int4) return int4<per_channel>{};
  else if constexpr (Type == code_type::int5) return int5<per_channel>{};
  else if constexpr (Type == code_type::int6) return int6<per_channel>{};
  else if constexpr (Type == code_type::int8) return int8<per_channel>{};
  // clang-format on
}

/// use(rule) with the default rule of a codec known at run time.
template <class Use>
void with_default_rule(code_type code, Use&& use) {
  [&]<std::size_t... Index>(std::index_sequence<Index...>) {
    static_cast<void>(
        ((codec_list[Index].type == code && (use(default_rule<codec_list[Index].type>()), true)) ||
         ...));
  }(std::make_index_sequence<codec_list.size()>{});
}

}  // namespace detail::matrix
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
