// SPDX-License-Identifier: Apache-2.0
/// Formats and shapes to test with. Tests only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <edgerazor/matrix/format.hpp>

namespace shapes {

/// Of one plane first, which golden products are recorded of.
inline constexpr std::array recorded_codes{edgerazor::code_type::ternary2,
                                           edgerazor::code_type::ternary5,
                                           edgerazor::code_type::int4, edgerazor::code_type::int8};
inline constexpr std::array codes{
    edgerazor::code_type::ternary2, edgerazor::code_type::ternary5, edgerazor::code_type::int4,
    edgerazor::code_type::int8,     edgerazor::code_type::int3,     edgerazor::code_type::int5,
    edgerazor::code_type::int6,     edgerazor::code_type::binary,   edgerazor::code_type::int2,
    edgerazor::code_type::ternary3, edgerazor::code_type::table2};

/// A codec, and what its groups have beside a scale.
struct coding {
  edgerazor::code_type code;
  edgerazor::zero_kind zero;
  bool two_level = false;

  /// The format with that group; of two levels scales are float16.
  [[nodiscard]] edgerazor::format with(
      std::uint32_t group, edgerazor::scale_kind kind = edgerazor::scale_kind::float16) const {
    return {code, group, two_level ? edgerazor::scale_kind::float16 : kind, zero, two_level};
  }
};
/// Every codec as it is, then those that have them with both kinds of zero, and three of two
/// levels.
inline const std::vector<coding> codings = [] {
  using edgerazor::zero_kind;
  std::vector<coding> result;
  for (const edgerazor::code_type code : codes) result.push_back({code, zero_kind::none});
  for (const edgerazor::code_type code : codes) {
    const std::string_view name = edgerazor::codec_of(code).name;
    if (!name.starts_with("int")) continue;
    result.push_back({code, zero_kind::point});
    result.push_back({code, zero_kind::minimum});
  }
  result.push_back({edgerazor::code_type::int3, zero_kind::point, true});
  result.push_back({edgerazor::code_type::int4, zero_kind::point, true});
  result.push_back({edgerazor::code_type::int2, zero_kind::minimum, true});
  return result;
}();
inline constexpr std::array kinds{edgerazor::scale_kind::float16, edgerazor::scale_kind::bfloat16,
                                  edgerazor::scale_kind::float32};
inline constexpr std::array zeros{edgerazor::zero_kind::none, edgerazor::zero_kind::point,
                                  edgerazor::zero_kind::minimum};
/// The usual groups, the whole row, the smallest there is, one that divides no power of two, and
/// half a chunk of a plane of 1 bit.
inline constexpr std::array<std::uint32_t, 8> groups{32, 64, 128, 256, 0, 4, 20, 16};
inline constexpr std::array<std::size_t, 5> rows{1, 15, 16, 17, 33};

/// 1 to `dense`, then powers of two and their neighbours, a model's 576, and 1000.
inline std::vector<std::size_t> cols(std::size_t dense) {
  std::vector<std::size_t> result;
  for (std::size_t c = 1; c <= dense; ++c) result.push_back(c);
  for (std::size_t power = 2; power <= 1024; power *= 2) {
    for (const std::size_t c : {power - 1, power, power + 1}) {
      if (c > dense && (result.empty() || c > result.back())) result.push_back(c);
    }
  }
  result.push_back(576);
  result.push_back(1000);
  return result;
}

}  // namespace shapes
