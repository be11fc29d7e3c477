// SPDX-License-Identifier: Apache-2.0
/// The packed layout a second time, as a walk over its bytes in the order in which they lie. Tests
/// only: what the library computes with formulas is compared with this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/format.hpp>

namespace tile_places {

/// Where a code lies: a byte of the matrix, and which of the byte's codes, counted from the least
/// significant.
struct place {
  std::size_t byte = 0;
  unsigned field = 0;
};

/// Places of all codes and scales of a matrix, padding included: `padded_rows x padded_cols` codes
/// and `padded_rows x groups` scales, row-major.
struct map {
  std::size_t padded_rows = 0, padded_cols = 0, groups = 0, bytes = 0;
  std::vector<place> codes;
  std::vector<std::size_t> scales;
};

constexpr unsigned fields_of(edgerazor::code_type code) {
  switch (code) {
    case edgerazor::code_type::ternary2:
      return 4;
    case edgerazor::code_type::ternary5:
      return 5;
    case edgerazor::code_type::int4:
      return 2;
    case edgerazor::code_type::int8:
      return 1;
  }
  return 0;
}

inline map walk(const edgerazor::format& fmt, std::size_t rows, std::size_t cols) {
  const unsigned fields = fields_of(fmt.code);
  const std::size_t scale_bytes = fmt.scale == edgerazor::scale_kind::float32 ? 4 : 2;
  const std::size_t group = fmt.group == 0 ? cols : fmt.group;
  map result;
  while (result.padded_rows < rows) result.padded_rows += 16;
  while (result.padded_cols < cols) result.padded_cols += std::size_t{4} * fields;
  for (std::size_t c = 0; c < cols; c += group) ++result.groups;
  result.codes.resize(result.padded_rows * result.padded_cols);
  result.scales.resize(result.padded_rows * result.groups);

  std::size_t at = 0;
  for (std::size_t tile = 0; tile < result.padded_rows; tile += 16) {
    for (std::size_t g = 0; g < result.groups; ++g) {
      for (std::size_t r = 0; r < 16; ++r, at += scale_bytes)
        result.scales[(tile + r) * result.groups + g] = at;
    }
    while (at % 64 != 0) ++at;
    for (std::size_t chunk = 0; chunk < result.padded_cols; chunk += std::size_t{4} * fields) {
      for (std::size_t r = 0; r < 16; ++r) {
        for (std::size_t b = 0; b < 4; ++b, ++at) {
          for (unsigned f = 0; f < fields; ++f) {
            result.codes[(tile + r) * result.padded_cols + chunk + 4 * f + b] = {at, f};
          }
        }
      }
    }
  }
  result.bytes = at;
  return result;
}

/// The level of a stored byte's field, from the table in codec.hpp. Every byte has one.
inline int level_of(edgerazor::code_type code, std::uint8_t byte, unsigned field) {
  switch (code) {
    case edgerazor::code_type::ternary2:
      return (byte >> (2 * field) & 3) - 1;
    case edgerazor::code_type::ternary5: {
      int rest = byte > 242 ? 242 : byte;
      for (unsigned f = 0; f < field; ++f) rest /= 3;
      return rest % 3 - 1;
    }
    case edgerazor::code_type::int4:
      return (field == 0 ? byte & 15 : byte >> 4) - 8;
    case edgerazor::code_type::int8:
      return byte - 128;
  }
  return 0;
}

inline float scale_of(edgerazor::scale_kind kind, const std::byte* at) {
  if (kind == edgerazor::scale_kind::float32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  if (kind == edgerazor::scale_kind::float16) return edgerazor::float16::from_bits(bits);
  return edgerazor::bfloat16::from_bits(bits);
}

/// A matrix read by that walk.
struct matrix {
  edgerazor::format fmt;
  std::size_t rows = 0, cols = 0, groups = 0, group_cols = 0;
  std::vector<int> levels;    ///< rows x cols
  std::vector<float> scales;  ///< rows x groups
  bool padding_is_zero = true;

  matrix(const edgerazor::format& f, std::size_t row_count, std::size_t col_count,
         std::span<const std::byte> bytes)
      : fmt(f), rows(row_count), cols(col_count), group_cols(f.group == 0 ? col_count : f.group) {
    const map places = walk(fmt, rows, cols);
    groups = places.groups;
    for (std::size_t r = 0; r < places.padded_rows; ++r) {
      for (std::size_t c = 0; c < places.padded_cols; ++c) {
        const place at = places.codes[r * places.padded_cols + c];
        const int level =
            level_of(fmt.code, std::to_integer<std::uint8_t>(bytes[at.byte]), at.field);
        if (r < rows && c < cols) {
          levels.push_back(level);
        } else {
          padding_is_zero = padding_is_zero && level == 0;
        }
      }
      for (std::size_t g = 0; g < groups; ++g) {
        const float scale = scale_of(fmt.scale, bytes.data() + places.scales[r * groups + g]);
        if (r < rows) {
          scales.push_back(scale);
        } else {
          padding_is_zero = padding_is_zero && scale == 0;
        }
      }
    }
  }
  [[nodiscard]] int level(std::size_t r, std::size_t c) const { return levels[r * cols + c]; }
  [[nodiscard]] float scale(std::size_t r, std::size_t g) const { return scales[r * groups + g]; }
  [[nodiscard]] std::size_t group_end(std::size_t g) const {
    return (g + 1) * group_cols < cols ? (g + 1) * group_cols : cols;
  }
};

}  // namespace tile_places
