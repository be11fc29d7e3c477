// SPDX-License-Identifier: Apache-2.0
/// The name of a packed format, in types, files, tests, benchmarks and docs: `<code>_g<group>` or
/// `<code>_row`, with `_bf16` or `_f32` behind it where the scales are not float16, and with a `z`
/// or `m` behind the code where each group has a zero of its own:
///
///     int4_g64     w = s * (code - 8)      the same zero everywhere: the codec's zero_code
///     int4z_g64    w = s * (code - z)      z: any number, the code that would be 0
///     int4m_g64    w = s * code + m        m: the group's minimum, the value of code 0
///
/// and with `_q3` behind it where scales and zeros are codes of 3 bits themselves, under four
/// float16 numbers that 16 rows share (two-level statistics, as SpQR has them): int3z_g16_q3.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/codec.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

enum class scale_kind : std::uint8_t { float16, bfloat16, float32 };

[[nodiscard]] constexpr std::size_t scale_size(scale_kind kind) noexcept {
  return kind == scale_kind::float32 ? 4 : 2;
}

/// The kind of a scale type: float16, bfloat16 or float.
template <real_element Scale>
inline constexpr scale_kind scale_kind_of = std::is_same_v<Scale, float16>    ? scale_kind::float16
                                            : std::is_same_v<Scale, bfloat16> ? scale_kind::bfloat16
                                                                              : scale_kind::float32;

/// Largest finite value of a scale.
[[nodiscard]] constexpr float largest_scale(scale_kind kind) noexcept {
  return kind == scale_kind::float16    ? 65504.0f
         : kind == scale_kind::bfloat16 ? 0x1.fep127f
                                        : 0x1.fffffep127f;
}

/// A packed format as a value: which codes, how many columns share a scale, how the scale is
/// stored.
struct format {
  /// Groups begin at multiples of 4 columns, the width of a slot (tile_layout.hpp), so a slot has
  /// one scale.
  static constexpr std::uint32_t group_multiple = 4;
  /// In a larger group a sum of products might leave 32 bits: 127 * 127 * 65536 < 2^31, and see
  /// each kernel.
  static constexpr std::uint32_t largest_group = 65536;

  code_type code = code_type::int4;
  std::uint32_t group = 256;               ///< columns a scale; 0: the whole row
  scale_kind scale = scale_kind::float16;  ///< of scales and, where there are any, zeros
  zero_kind zero = zero_kind::none;        ///< what a group has beside its scale
  bool two_level = false;                  ///< scales and zeros are codes, see tile_layout.hpp

  friend constexpr bool operator==(const format&, const format&) = default;

  [[nodiscard]] std::string name() const {
    std::string text{codec_of(code).name};
    if (zero == zero_kind::point) text += 'z';
    if (zero == zero_kind::minimum) text += 'm';
    text += group == 0 ? std::string{"_row"} : "_g" + std::to_string(group);
    if (two_level) text += "_q3";
    if (scale == scale_kind::bfloat16) text += "_bf16";
    if (scale == scale_kind::float32) text += "_f32";
    return text;
  }

  /// The format of that name; nothing where the text is not one.
  [[nodiscard]] static std::optional<format> parse(std::string_view whole) {
    std::string_view text = whole;
    format result;
    const auto drop_suffix = [&text](std::string_view suffix) {
      const bool found = text.ends_with(suffix);
      if (found) text.remove_suffix(suffix.size());
      return found;
    };
    if (drop_suffix("_bf16")) {
      result.scale = scale_kind::bfloat16;
    } else if (drop_suffix("_f32")) {
      result.scale = scale_kind::float32;
    } else {
      result.two_level = drop_suffix("_q3");
    }
    const std::size_t bar = text.find('_');
    if (bar == std::string_view::npos) return std::nullopt;
    bool known = false;
    for (const codec_info& codec : codec_list) {
      std::string_view rest = text.substr(0, bar);
      if (!rest.starts_with(codec.name)) continue;
      rest.remove_prefix(codec.name.size());
      const bool has_zero = codec.has_zero_form() && (rest == "z" || rest == "m");
      if (!rest.empty() && !has_zero) continue;
      result.code = codec.type;
      result.zero = !has_zero     ? zero_kind::none
                    : rest == "z" ? zero_kind::point
                                  : zero_kind::minimum;
      known = true;
    }
    if (!known) return std::nullopt;
    text.remove_prefix(bar + 1);
    result.group = 0;
    if (result.two_level && result.zero == zero_kind::none) return std::nullopt;
    if (text == "row") return result;
    if (!text.starts_with('g')) return std::nullopt;
    const auto [end, error] =
        std::from_chars(text.data() + 1, text.data() + text.size(), result.group);
    const bool valid = error == std::errc{} && end == text.data() + text.size() &&
                       result.group > 0 && result.group % group_multiple == 0 &&
                       result.group <= largest_group;
    // One format has one name: "g064" is none.
    return valid && result.name() == whole ? std::optional{result} : std::nullopt;
  }
};

namespace detail::matrix {
/// `format::group` of a group of so many columns. Fails where it is larger than any: a narrower
/// number would be another group.
[[nodiscard]] inline std::uint32_t group_of_format(std::size_t columns) {
  if (columns > format::largest_group) {
    core::fail("packed matrix: expected at most 65536 columns a group, got " +
               std::to_string(columns));
  }
  return static_cast<std::uint32_t>(columns);
}
}  // namespace detail::matrix

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
