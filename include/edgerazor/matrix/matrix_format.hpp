// SPDX-License-Identifier: Apache-2.0
/// The format of a matrix that a host learns from a file or a command line, by name:
///
///     f32  f16  bf16                                     real numbers, row-major
///     int4_g64  ternary5_g256  int8_row                  packed, see format.hpp
///     int4_g64+ternary2_g64:every_8_rows                 mixed: rows 0, 8, 16, ... in the first format
///     int4_g64+ternary2_g64:rows_4_of_8                  mixed: rows r with r % 8 < 4 in the first
///     int4_g64+ternary2_g64                              mixed by a mask that the matrix carries
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <edgerazor/matrix/format.hpp>
#include <edgerazor/policy/precision_map.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct matrix_format {
  enum class kind : std::uint8_t { dense, packed, mixed };
  /// Rows of the first format in a mixed matrix: none is known, every `n`th, or those below `below`
  /// modulo `n`.
  struct row_map {
    std::size_t n = 0;  ///< 0: the matrix carries a mask of its own
    std::size_t below = 1;
    friend bool operator==(const row_map&, const row_map&) = default;
  };

  kind type = kind::dense;
  scale_kind element = scale_kind::float32;  ///< dense: the type of an element
  format first;                              ///< packed: the format; mixed: the higher precision's
  format second;                             ///< mixed: the lower precision's
  row_map map;

  matrix_format() = default;
  matrix_format(format packed) : type(kind::packed), first(packed) {}

  friend bool operator==(const matrix_format&, const matrix_format&) = default;

  [[nodiscard]] std::string name() const {
    if (type == kind::dense) {
      return element == scale_kind::float32   ? "f32"
             : element == scale_kind::float16 ? "f16"
                                              : "bf16";
    }
    if (type == kind::packed) return first.name();
    std::string text = first.name() + '+' + second.name();
    if (map.n != 0 && map.below == 1) text += ":every_" + std::to_string(map.n) + "_rows";
    if (map.n != 0 && map.below != 1)
      text += ":rows_" + std::to_string(map.below) + "_of_" + std::to_string(map.n);
    return text;
  }

  /// The format of that name; nothing where the text is not one.
  [[nodiscard]] static std::optional<matrix_format> parse(std::string_view text) {
    matrix_format result;
    for (const scale_kind element :
         {scale_kind::float32, scale_kind::float16, scale_kind::bfloat16}) {
      result.element = element;
      if (result.name() == text) return result;
    }
    const std::size_t plus = text.find('+');
    if (plus == std::string_view::npos) {
      const std::optional<format> packed = format::parse(text);
      return packed ? std::optional{matrix_format{*packed}} : std::nullopt;
    }
    const std::size_t colon = std::min(text.find(':'), text.size());
    const auto first = format::parse(text.substr(0, plus));
    const auto second = format::parse(text.substr(plus + 1, colon - plus - 1));
    if (!first || !second || first->group != second->group) return std::nullopt;
    result = matrix_format{*first};
    result.type = kind::mixed;
    result.second = *second;
    if (colon == text.size()) return result;
    const auto map = parse_map(text.substr(colon + 1));
    if (!map) return std::nullopt;
    result.map = *map;
    return result.name() == text ? std::optional{result} : std::nullopt;
  }

 private:
  [[nodiscard]] static std::optional<row_map> parse_map(std::string_view text) {
    const auto take = [&text](std::string_view word) {
      if (!text.starts_with(word)) return false;
      text.remove_prefix(word.size());
      return true;
    };
    const auto take_number = [&text](std::size_t& number) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      text.remove_prefix(static_cast<std::size_t>(end - text.data()));
      return error == std::errc{} && number > 0;
    };
    row_map map;
    const bool valid = take("every_") ? take_number(map.n) && take("_rows")
                                      : take("rows_") && take_number(map.below) && take("_of_") &&
                                            take_number(map.n);
    return valid && text.empty() && map.below <= map.n ? std::optional{map} : std::nullopt;
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
