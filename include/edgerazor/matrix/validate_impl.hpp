// SPDX-License-Identifier: Apache-2.0
/// What validate.hpp declares.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/matrix/validate.hpp>
#include <edgerazor/policy/finite.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::matrix {

/// "NaN" or "infinite", of an element that is one of the two.
template <real_element T>
[[nodiscard]] std::string name_of_fault(T element) {
  return policy::magnitude_bits(element) == policy::infinity_bits<T> ? "infinite" : "NaN";
}

/// The first of `count` elements, at any address, that is not finite; `count` where all are.
template <real_element T>
[[nodiscard]] std::size_t first_not_finite(const std::byte* at, std::size_t count) noexcept {
  constexpr std::size_t block = 1024;
  T elements[block];
  for (std::size_t i = 0; i < count; i += block, at += sizeof elements) {
    const std::size_t some = std::min(block, count - i);
    std::memcpy(elements, at, some * sizeof(T));
    if (policy::all_finite(elements, some)) continue;
    std::size_t j = 0;
    while (policy::magnitude_bits(elements[j]) < policy::infinity_bits<T>) ++j;
    return i + j;
  }
  return count;
}

template <real_element T>
[[nodiscard]] std::optional<std::string> scale_fault(const packed_view& matrix) {
  const tile_layout& layout = matrix.layout();
  const std::size_t of_group = layout.group_bytes() / sizeof(T), count = layout.groups() * of_group;
  for (std::size_t tile = 0; tile < layout.tiles(); ++tile) {
    const std::size_t i = first_not_finite<T>(matrix.tile(tile), count);
    if (i == count) continue;
    T scale;
    std::memcpy(&scale, matrix.tile(tile) + i * sizeof(T), sizeof(T));
    const char* const what = i % of_group < tile_rows ? "scale" : "zero";
    std::string text = "the ";
    text.append(what)
        .append(" of row " + std::to_string(tile * tile_rows + i % tile_rows))
        .append(", group " + std::to_string(i / of_group) + " is ")
        .append(name_of_fault(scale))
        .append(": expected finite ")
        .append(what)
        .append("s");
    return text;
  }
  return std::nullopt;
}

/// The four numbers and the 16 codes of every group with two levels.
[[nodiscard]] inline std::optional<std::string> two_level_fault(const packed_view& matrix) {
  const tile_layout& layout = matrix.layout();
  for (std::size_t tile = 0; tile < layout.tiles(); ++tile) {
    const std::byte* at = matrix.tile(tile);
    for (std::size_t g = 0; g < layout.groups(); ++g, at += two_level_bytes) {
      const std::size_t i = first_not_finite<float16>(at + tile_rows, 4);
      if (i < 4) {
        float16 number;
        std::memcpy(&number, at + tile_rows + i * sizeof number, sizeof number);
        return "a number of rows " + std::to_string(tile * tile_rows) + " to " +
               std::to_string(tile * tile_rows + tile_rows - 1) + ", group " + std::to_string(g) +
               " is " + name_of_fault(number) + ": expected finite scales and zeros";
      }
      for (std::size_t r = 0; r < tile_rows; ++r) {
        if (std::to_integer<unsigned>(at[r]) < two_level_codes * two_level_codes) continue;
        return "the scale's or zero's code of row " + std::to_string(tile * tile_rows + r) +
               ", group " + std::to_string(g) + " has more than 3 bits";
      }
    }
  }
  return std::nullopt;
}

/// Smallest and largest value, where it stands in its byte, of one field of a plane.
struct field_range {
  std::uint8_t mask = 0, least = 0, most = 255;

  [[nodiscard]] constexpr bool holds(unsigned byte) const noexcept {
    return (byte & mask) >= least && (byte & mask) <= most;
  }
};

/// The fields of a plane and what a codec's codes make of them. In base 3 all fields are one, whose
/// bytes end at 242.
template <plane_type Plane>
struct plane_fields {
  static constexpr plane_info plane = plane_of(Plane);
  static constexpr bool masked = (plane.radix & (plane.radix - 1)) == 0;
  static constexpr std::size_t count = masked ? plane.fields() : 1;

  std::array<field_range, count> fields;

  /// Digits `least` to `most` in every field.
  constexpr plane_fields(unsigned least, unsigned most) noexcept {
    if constexpr (!masked) {
      fields[0] = {255, 0, static_cast<std::uint8_t>(plane.weight(plane.fields()) - 1)};
    } else {
      for (std::size_t f = 0; f < count; ++f) {
        const unsigned weight = plane.weight(static_cast<unsigned>(f));
        fields[f] = {static_cast<std::uint8_t>((plane.radix - 1) * weight),
                     static_cast<std::uint8_t>(least * weight),
                     static_cast<std::uint8_t>(most * weight)};
      }
    }
  }
};

/// Whether every field of `count` bytes, a multiple of 64, lies in its range. `Least`: whether
/// there are lower bounds.
template <bool Least, plane_type Plane>
[[nodiscard]] bool all_within(const plane_fields<Plane>& ranges, const std::byte* at,
                              std::size_t count) noexcept {
  using bytes = xsimd::batch<std::uint8_t>;
  constexpr std::size_t fields = plane_fields<Plane>::count;
  static_assert(chunk_bytes % bytes::size == 0);
  // What a saturating difference leaves is what a field exceeds a bound by.
  bytes masks[fields], least[fields], most[fields], excess{std::uint8_t{0}};
  EDGERAZOR_UNROLL
  for (std::size_t f = 0; f < fields; ++f) {
    masks[f] = bytes(ranges.fields[f].mask);
    least[f] = bytes(ranges.fields[f].least);
    most[f] = bytes(ranges.fields[f].most);
  }
  for (std::size_t i = 0; i < count; i += bytes::size) {
    const auto some = bytes::load_unaligned(reinterpret_cast<const std::uint8_t*>(at) + i);
    EDGERAZOR_UNROLL
    for (std::size_t f = 0; f < fields; ++f) {
      const bytes digits = some & masks[f];
      excess = excess | xsimd::ssub(digits, most[f]);
      if constexpr (Least) excess = excess | xsimd::ssub(least[f], digits);
    }
  }
  std::uint8_t rest[bytes::size];
  excess.store_unaligned(rest);
  return std::all_of(rest, rest + bytes::size, [](std::uint8_t byte) { return byte == 0; });
}

[[nodiscard]] inline std::string code_fault(const tile_layout& layout, std::size_t row,
                                            std::size_t col) {
  return "the code at row " + std::to_string(row) + ", column " + std::to_string(col) +
         " is none of " + std::string{layout.codec().name};
}

/// One plane whose digits are to lie in [least, most].
template <plane_type Plane>
[[nodiscard]] std::optional<std::string> plane_fault(const packed_view& matrix, std::size_t p,
                                                     unsigned least, unsigned most) {
  const plane_fields<Plane> ranges(least, most);
  const tile_layout& layout = matrix.layout();
  const std::size_t count = layout.chunks(p) * chunk_bytes;
  for (std::size_t tile = 0; tile < layout.tiles(); ++tile) {
    const std::byte* const at = matrix.tile(tile) + layout.plane_offset(p);
    if (least == 0 ? all_within<false>(ranges, at, count) : all_within<true>(ranges, at, count))
      continue;
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t f = 0; f < ranges.count; ++f) {
        if (ranges.fields[f].holds(std::to_integer<unsigned>(at[i]))) continue;
        const std::size_t slot = i / chunk_bytes * ranges.plane.fields() + f;
        return code_fault(layout, tile * tile_rows + i % chunk_bytes / slot_cols,
                          slot * slot_cols + i % slot_cols);
      }
    }
  }
  return std::nullopt;
}

/// Indices that packers do not write, 0 and 15: in the first it would make a byte of signs zero.
/// Padding is looked at as well, for products read it.
[[nodiscard]] inline std::optional<std::string> triples_fault(const packed_view& matrix) {
  const tile_layout& layout = matrix.layout();
  const auto is_index = [](unsigned nibble) {
    return nibble != 0 && nibble <= triples::largest + 1;
  };
  for (std::size_t tile = 0; tile < layout.tiles(); ++tile) {
    const std::byte* at = matrix.tile(tile) + layout.scale_bytes();
    for (std::size_t p = 0; p < layout.pairs(); ++p) {
      const triples::place place = triples::place_of(p);
      const std::byte* const block =
          at + p / triples::chunk_pairs * triples::chunk_bytes + place.index_block;
      for (std::size_t i = 0; i < triples::block_bytes; ++i) {
        if (is_index(std::to_integer<unsigned>(block[i]) >> place.index_shift & 15)) continue;
        const std::size_t group = p / layout.group_pairs();
        return code_fault(layout, tile * tile_rows + i % tile_rows,
                          group * layout.group_cols() +
                              triples::pair_cols * (p % layout.group_pairs()) +
                              triples::unit_cols * (i / tile_rows));
      }
    }
  }
  return std::nullopt;
}

/// Every byte of every table, padding's too, for products read them. All digits are places there.
[[nodiscard]] inline std::optional<std::string> table_fault(const packed_view& matrix) {
  const tile_layout& layout = matrix.layout();
  const auto most = static_cast<unsigned>(layout.codec().max_code);
  for (std::size_t tile = 0; tile < layout.tiles(); ++tile) {
    const std::byte* const at = matrix.tile(tile) + layout.scale_bytes();
    for (std::size_t i = 0; i < layout.table_bytes(); ++i) {
      const auto code = std::to_integer<unsigned>(at[i]);
      if (code <= most) continue;
      return "entry " + std::to_string(i % table_size) + " of the table of row " +
             std::to_string(tile * tile_rows + i % chunk_bytes / table_size) + ", group " +
             std::to_string(i / chunk_bytes) + " is " + std::to_string(code) +
             ": expected a code of " + std::string{layout.codec().name} + ", 0 to " +
             std::to_string(most);
    }
  }
  return std::nullopt;
}

/// Whole codes, row by row.
[[nodiscard]] inline std::optional<std::string> row_fault(const packed_view& matrix) {
  const tile_layout& layout = matrix.layout();
  const codec_info& codec = layout.codec();
  row_codes codes(layout);
  for (std::size_t r = 0; r < layout.rows(); ++r) {
    codes.read(matrix.bytes().data(), r);
    for (std::size_t c = 0; c < layout.cols(); ++c) {
      const int level = codes.level(c);
      if (level < codec.min_level || level > codec.max_level() ||
          (level - codec.min_level) % codec.level_step != 0)
        return code_fault(layout, r, c);
    }
  }
  return std::nullopt;
}

[[nodiscard]] inline std::optional<std::string> codes_fault(const packed_view& matrix) {
  if (matrix.layout().has_zeros()) return std::nullopt;  // all codes are
  const codec_info& codec = matrix.layout().codec();
  if (codec.of_triples()) return triples_fault(matrix);
  if (codec.of_table()) return table_fault(matrix);
  const auto least = static_cast<unsigned>(codec.min_level + codec.zero_code),
             most = static_cast<unsigned>(codec.max_code);
  const bool all_codes = least == 0 && codec.largest_code() <= most;
  std::optional<std::string> fault;
  for (std::size_t p = 0; p < codec.plane_count && !fault; ++p) {
    with_plane(codec.digits[p].plane, [&](auto plane) {
      constexpr plane_info info = plane_of(plane.type);
      // Of codes that are not all in one plane, the digits may be any; the codes are read below.
      const bool of_codes = codec.plane_count == 1 && codec.digits[0].shift == 0;
      const unsigned low = of_codes ? least : 0, high = of_codes ? most : info.radix - 1;
      if (low == 0 && high == info.radix - 1 && info.weight(info.fields()) > 255) return;
      fault = plane_fault<plane.type>(matrix, p, low, high);
    });
  }
  const bool seen = codec.plane_count == 1 && codec.digits[0].shift == 0 && codec.level_step == 1 &&
                    (codec.plane(0).radix & (codec.plane(0).radix - 1)) == 0;
  return fault || all_codes || seen ? fault : row_fault(matrix);
}

template <real_element T>
[[nodiscard]] std::optional<std::string> element_fault(const dense_view& matrix) {
  const std::size_t count = matrix.rows * matrix.cols;
  const auto* const elements = static_cast<const std::byte*>(matrix.data);
  const std::size_t i = first_not_finite<T>(elements, count);
  if (i == count) return std::nullopt;
  T element;
  std::memcpy(&element, elements + i * sizeof(T), sizeof(T));
  return "the element at row " + std::to_string(i / matrix.cols) + ", column " +
         std::to_string(i % matrix.cols) + " is " + name_of_fault(element) +
         ": expected finite values";
}

[[nodiscard]] inline std::optional<std::string> dense_fault(const dense_view& matrix) {
  switch (matrix.element) {
    case scale_kind::float16:
      return element_fault<float16>(matrix);
    case scale_kind::bfloat16:
      return element_fault<bfloat16>(matrix);
    case scale_kind::float32:
      break;
  }
  return element_fault<float>(matrix);
}

[[nodiscard]] inline std::optional<std::string> part_fault(const matrix_part& part) {
  return part.visit([](const auto& m) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m)>, dense_view>) {
      return dense_fault(m);
    } else {
      return find_fault(m);
    }
  });
}

[[nodiscard]] inline std::optional<std::string> sum_fault(const matrix_sum& sum) {
  for (const matrix_sum::stage& stage : sum.stages()) {
    if (stage.kind == input_stage::projected) {
      if (const std::optional<std::string> fault = part_fault(stage.matrix))
        return "in V of a low-rank part, " + *fault;
      continue;
    }
    const std::size_t count = stage.factors.size();  // none but of scaled columns
    const auto* const factors = reinterpret_cast<const std::byte*>(stage.factors.data());
    const std::size_t c = first_not_finite<float>(factors, count);
    if (c == count) continue;
    return "the factor of column " + std::to_string(c) + " is " + name_of_fault(stage.factors[c]) +
           ": expected finite factors";
  }
  for (const matrix_sum::part& part : sum.parts()) {
    const std::optional<std::string> fault = part_fault(part.matrix);
    if (!fault) continue;
    return "in part " + std::to_string(&part - sum.parts().data()) + " of the sum, " + *fault;
  }
  return std::nullopt;
}
}  // namespace detail::matrix

EDGERAZOR_FUNCTION std::optional<std::string> find_fault(const packed_view& matrix) {
  if (matrix.layout().two_level()) return detail::matrix::two_level_fault(matrix);
  std::optional<std::string> fault;
  switch (matrix.layout().fmt().scale) {
    case scale_kind::float16:
      fault = detail::matrix::scale_fault<float16>(matrix);
      break;
    case scale_kind::bfloat16:
      fault = detail::matrix::scale_fault<bfloat16>(matrix);
      break;
    case scale_kind::float32:
      fault = detail::matrix::scale_fault<float>(matrix);
      break;
  }
  return fault ? fault : detail::matrix::codes_fault(matrix);
}

EDGERAZOR_FUNCTION std::optional<std::string> find_fault(const mixed_matrix& matrix) {
  for (const mixed_matrix::segment& part : matrix.segments()) {
    if (const std::optional<std::string> fault = find_fault(matrix.view(part))) {
      return "in the rows of " + part.layout.fmt().name() + " from column " +
             std::to_string(part.col_begin) + " on, " + *fault;
    }
  }
  return std::nullopt;
}

EDGERAZOR_FUNCTION std::optional<std::string> find_fault(const any_matrix& matrix) {
  if (matrix.packed()) return find_fault(*matrix.packed());
  if (matrix.mixed()) return find_fault(*matrix.mixed());
  return matrix.sum() ? detail::matrix::sum_fault(*matrix.sum())
                      : detail::matrix::dense_fault(matrix.dense());
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
