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

/// One plane of a codec: what kind of digits it holds and what they count.
struct plane {
  edgerazor::plane_type type;
  int weight;
};

inline std::vector<plane> planes_of(edgerazor::code_type code) {
  using edgerazor::code_type, edgerazor::plane_type;
  switch (code) {
    case code_type::ternary2:
      return {{plane_type::bits2, 1}};
    case code_type::ternary5:
      return {{plane_type::base3, 1}};
    case code_type::int4:
      return {{plane_type::bits4, 1}};
    case code_type::int8:
      return {{plane_type::bits8, 1}};
    case code_type::int3:
      return {{plane_type::bits2, 1}, {plane_type::bits1, 4}};
    case code_type::int5:
      return {{plane_type::bits4, 1}, {plane_type::bits1, 16}};
    case code_type::int6:
      return {{plane_type::bits4, 1}, {plane_type::bits2, 16}};
    case code_type::binary:
      return {{plane_type::bits1, 2}};
    case code_type::int2:
      return {{plane_type::bits2, 1}};
    case code_type::ternary3:  // triples, see below
      return {};
    case code_type::table2:
      return {{plane_type::levels2, 1}};
  }
  return {};
}

/// The code of the level zero; the code 0 where groups have zeros of their own.
inline int zero_of(edgerazor::code_type code,
                   edgerazor::zero_kind zero = edgerazor::zero_kind::none) {
  if (zero != edgerazor::zero_kind::none) return 0;
  using edgerazor::code_type;
  switch (code) {
    case code_type::ternary2:
    case code_type::ternary3:
    case code_type::ternary5:
    case code_type::binary:
      return 1;
    case code_type::int2:
      return 2;
    case code_type::int3:
      return 4;
    case code_type::int4:
      return 8;
    case code_type::table2:
      return 15;
    case code_type::int5:
      return 16;
    case code_type::int6:
      return 32;
    case code_type::int8:
      return 128;
  }
  return 0;
}

/// Digits a byte.
constexpr unsigned fields_of(edgerazor::plane_type type) {
  switch (type) {
    case edgerazor::plane_type::bits1:
      return 8;
    case edgerazor::plane_type::bits2:
    case edgerazor::plane_type::levels2:
      return 4;
    case edgerazor::plane_type::bits4:
      return 2;
    case edgerazor::plane_type::bits8:
      return 1;
    case edgerazor::plane_type::base3:
      return 5;
  }
  return 0;
}

/// A stored byte's digit, from the table in codec.hpp. Every byte has one. Of a plane with tables
/// it is a place in one.
inline int digit_of(edgerazor::plane_type type, std::uint8_t byte, unsigned field) {
  switch (type) {
    case edgerazor::plane_type::bits1:
      return byte >> field & 1;
    case edgerazor::plane_type::bits2:
    case edgerazor::plane_type::levels2:
      return byte >> (2 * field) & 3;
    case edgerazor::plane_type::bits4:
      return field == 0 ? byte & 15 : byte >> 4;
    case edgerazor::plane_type::bits8:
      return byte;
    case edgerazor::plane_type::base3: {
      int rest = byte > 242 ? 242 : byte;
      for (unsigned f = 0; f < field; ++f) rest /= 3;
      return rest % 3;
    }
  }
  return 0;
}

/// Where a digit lies: a byte of the matrix, and which of the byte's digits, counted from the least
/// significant.
struct place {
  std::size_t byte = 0;
  unsigned field = 0;
};

/// Places of the digits of one plane, padding included: `padded_rows x padded_cols`, row-major.
struct plane_map {
  std::size_t padded_cols = 0;
  std::vector<place> digits;
};

/// Where the number of three columns lies, of codes in threes: its index and its sign.
struct triple {
  std::size_t index_byte = 0, sign_byte = 0;
  unsigned index_bit = 0, sign_bit = 0;
};

/// Its three codes; index 0 reads as 1, 15 as 14.
inline std::vector<int> triple_codes(const triple& at, std::span<const std::byte> bytes) {
  int number = (std::to_integer<int>(bytes[at.index_byte]) >> at.index_bit & 15) - 1;
  if (number < 0) number = 0;
  if (number > 13) number = 13;
  if ((std::to_integer<int>(bytes[at.sign_byte]) >> at.sign_bit & 1) != 0) number = -number;
  std::vector<int> codes;
  for (int w2 = -1; w2 <= 1; ++w2) {
    for (int w1 = -1; w1 <= 1; ++w1) {
      for (int w0 = -1; w0 <= 1; ++w0) {
        if (w0 + 3 * w1 + 9 * w2 == number) codes = {w0 + 1, w1 + 1, w2 + 1};
      }
    }
  }
  return codes;
}

/// Places of all digits, scales and zeros of a matrix; scales and zeros are `padded_rows x groups`,
/// row-major; no zeros where the format has none.
struct map {
  std::size_t padded_rows = 0, groups = 0, bytes = 0;
  std::vector<plane_map> planes;
  std::vector<std::size_t> scales, zeros;  ///< of two levels both are at the row's byte of codes
  std::vector<std::size_t> tables;         ///< of codecs that have them: a group's four codes
  std::vector<std::size_t> numbers;        ///< of two levels: the four of a row's tile and group
  std::size_t units = 0;                   ///< of codes in threes: a row's
  std::vector<triple> triples;             ///< those, `padded_rows x units`
  std::vector<std::size_t> first_cols;     ///< of a unit; past its group's last in padding
};

/// The chunks of one tile of codes in threes, block after block as triples.hpp draws them. Returns
/// the bytes taken.
inline std::size_t walk_triples(map& result, std::size_t tile, std::size_t begin) {
  struct block {
    int low, high;  // pairs whose index is in the low, the high bits; -1: signs
    int signs;      // the pair of the first of four signs; -1: none
  };
  constexpr block blocks[] = {{0, -1, 0}, {1, 2, -1}, {4, -1, 4}, {5, 6, -1}, {3, 7, -1}};
  std::size_t at = begin;
  for (std::size_t pair = 0; pair < result.units / 2; pair += 8) {
    for (const block& one : blocks) {
      for (std::size_t unit = 0; unit < 2; ++unit) {
        for (std::size_t r = 0; r < 16; ++r, ++at) {
          const auto place_of = [&](int p) -> triple* {
            const std::size_t u = 2 * (pair + static_cast<std::size_t>(p)) + unit;
            return u < result.units ? &result.triples[(tile + r) * result.units + u] : nullptr;
          };
          if (triple* const t = place_of(one.low)) t->index_byte = at, t->index_bit = 0;
          if (one.signs < 0) {
            if (triple* const t = place_of(one.high)) t->index_byte = at, t->index_bit = 4;
            continue;
          }
          for (int s = 0; s < 4; ++s) {
            if (triple* const t = place_of(one.signs + s))
              t->sign_byte = at, t->sign_bit = static_cast<unsigned>(7 - s);
          }
        }
      }
    }
  }
  while (at % 64 != 0) ++at;
  return at - begin;
}

inline map walk(const edgerazor::format& fmt, std::size_t rows, std::size_t cols) {
  const std::size_t scale_bytes = fmt.scale == edgerazor::scale_kind::float32 ? 4 : 2;
  const std::size_t group = fmt.group == 0 ? cols : fmt.group;
  map result;
  while (result.padded_rows < rows) result.padded_rows += 16;
  for (std::size_t c = 0; c < cols; c += group) ++result.groups;
  result.scales.resize(result.padded_rows * result.groups);
  const bool has_zeros = fmt.zero != edgerazor::zero_kind::none;
  if (has_zeros) result.zeros = result.scales;
  for (const plane& one : planes_of(fmt.code)) {
    plane_map& places = result.planes.emplace_back();
    while (places.padded_cols < cols) places.padded_cols += std::size_t{4} * fields_of(one.type);
    places.digits.resize(result.padded_rows * places.padded_cols);
  }

  if (fmt.code == edgerazor::code_type::ternary3) {
    for (std::size_t begin = 0; begin < cols; begin += group) {
      const std::size_t end = begin + group < cols ? begin + group : cols;
      for (std::size_t c = begin; c < (end + 3) / 4 * 4; c += 6) {
        result.first_cols.push_back(c < end ? c : cols);
        result.first_cols.push_back(c + 3 < end ? c + 3 : cols);
      }
    }
    result.units = result.first_cols.size();
    result.triples.resize(result.padded_rows * result.units);
  }

  std::size_t at = 0;
  for (std::size_t tile = 0; tile < result.padded_rows; tile += 16) {
    for (std::size_t g = 0; g < result.groups; ++g) {
      if (fmt.two_level) {
        for (std::size_t r = 0; r < 16; ++r, ++at) {
          result.scales[(tile + r) * result.groups + g] = at;
          result.zeros[(tile + r) * result.groups + g] = at;
          result.numbers.resize(result.scales.size());
          result.numbers[(tile + r) * result.groups + g] = at + 16 - r;
        }
        at += 8;
        continue;
      }
      for (std::size_t r = 0; r < 16; ++r, at += scale_bytes)
        result.scales[(tile + r) * result.groups + g] = at;
      for (std::size_t r = 0; r < 16 && has_zeros; ++r, at += scale_bytes)
        result.zeros[(tile + r) * result.groups + g] = at;
    }
    while (at % 64 != 0) ++at;
    if (fmt.code == edgerazor::code_type::table2) {
      result.tables.resize(result.scales.size());
      for (std::size_t g = 0; g < result.groups; ++g) {
        for (std::size_t r = 0; r < 16; ++r, at += 4)
          result.tables[(tile + r) * result.groups + g] = at;
      }
    }
    for (std::size_t p = 0; p < result.planes.size(); ++p) {
      plane_map& places = result.planes[p];
      const unsigned fields = fields_of(planes_of(fmt.code)[p].type);
      for (std::size_t chunk = 0; chunk < places.padded_cols; chunk += std::size_t{4} * fields) {
        for (std::size_t r = 0; r < 16; ++r) {
          for (std::size_t b = 0; b < 4; ++b, ++at) {
            for (unsigned f = 0; f < fields; ++f)
              places.digits[(tile + r) * places.padded_cols + chunk + 4 * f + b] = {at, f};
          }
        }
      }
    }
    if (result.units != 0) at += walk_triples(result, tile, at);
  }
  result.bytes = at;
  return result;
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

/// A scale (or zero) of two levels: unit * (code - zero).
inline float two_level_of(const std::byte* numbers, std::size_t which, int code) {
  const float unit = scale_of(edgerazor::scale_kind::float16, numbers + 4 * which),
              zero = scale_of(edgerazor::scale_kind::float16, numbers + 4 * which + 2);
  volatile float difference = static_cast<float>(code) - zero;
  return unit * difference;
}

/// A matrix read by that walk.
struct matrix {
  edgerazor::format fmt;
  std::size_t rows = 0, cols = 0, groups = 0, group_cols = 0;
  std::vector<int> levels;    ///< rows x cols; codes where the format has zeros
  std::vector<float> scales;  ///< rows x groups
  std::vector<float> zeros;   ///< the same; empty where the format has none
  bool padding_is_zero = true;

  matrix(const edgerazor::format& f, std::size_t row_count, std::size_t col_count,
         std::span<const std::byte> bytes)
      : fmt(f), rows(row_count), cols(col_count), group_cols(f.group == 0 ? col_count : f.group) {
    const map places = walk(fmt, rows, cols);
    const std::vector<plane> planes = planes_of(fmt.code);
    groups = places.groups;
    levels.assign(rows * cols, -zero_of(fmt.code, fmt.zero));
    for (std::size_t p = 0; p < planes.size(); ++p) {
      const plane_map& digits = places.planes[p];
      for (std::size_t r = 0; r < places.padded_rows; ++r) {
        for (std::size_t c = 0; c < digits.padded_cols; ++c) {
          const place at = digits.digits[r * digits.padded_cols + c];
          const std::uint8_t byte = std::to_integer<std::uint8_t>(bytes[at.byte]);
          const int digit = digit_of(planes[p].type, byte, at.field);
          if (r < rows && c < cols) {
            levels[r * cols + c] +=
                places.tables.empty()
                    ? digit * planes[p].weight
                    : std::to_integer<int>(bytes[places.tables[r * groups + c / group_cols] +
                                                 static_cast<std::size_t>(digit)]) %
                          32;
          } else if (!places.tables.empty()) {
            padding_is_zero = padding_is_zero && digit == 0;
          } else {  // binary has no level zero: its padding is the lowest level
            const int zero =
                fmt.code == edgerazor::code_type::binary ? 0 : zero_of(fmt.code, fmt.zero);
            const int radix = planes[p].type == edgerazor::plane_type::base3
                                  ? 3
                                  : 1 << (8 / fields_of(planes[p].type));
            padding_is_zero = padding_is_zero && digit == zero / planes[p].weight % radix;
          }
        }
      }
    }
    for (std::size_t i = 0; i < places.triples.size(); ++i) {
      const std::vector<int> codes = triple_codes(places.triples[i], bytes);
      const std::size_t r = i / places.units, first = places.first_cols[i % places.units];
      const std::size_t past = first < cols ? (first / group_cols + 1) * group_cols : 0;
      for (std::size_t b = 0; b < 3; ++b) {
        if (r < rows && first + b < cols && first + b < past) {
          levels[r * cols + first + b] += codes[b];
        } else {
          padding_is_zero = padding_is_zero && codes[b] == 1;
        }
      }
    }
    for (std::size_t r = 0; r < places.padded_rows; ++r) {
      for (std::size_t g = 0; g < groups; ++g) {
        if (fmt.two_level) {
          if (r >= rows) continue;
          // A byte is code_s + 8 * code_z, as a signed one.
          int byte = std::to_integer<int>(bytes[places.scales[r * groups + g]]);
          const int low = byte % 8;
          if (byte > 127) byte -= 256;
          const std::byte* const numbers = bytes.data() + places.numbers[r * groups + g];
          scales.push_back(two_level_of(numbers, 0, low));
          zeros.push_back(two_level_of(numbers, 1, (byte - low) / 8));
          continue;
        }
        for (std::size_t k = 0; k < 4 && r >= rows && !places.tables.empty(); ++k)
          padding_is_zero =
              padding_is_zero && bytes[places.tables[r * groups + g] + k] == std::byte{15};
        const float scale = scale_of(fmt.scale, bytes.data() + places.scales[r * groups + g]);
        if (r < rows) {
          scales.push_back(scale);
        } else {
          padding_is_zero = padding_is_zero && scale == 0;
        }
        if (places.zeros.empty()) continue;
        const float zero = scale_of(fmt.scale, bytes.data() + places.zeros[r * groups + g]);
        if (r < rows) {
          zeros.push_back(zero);
        } else {
          padding_is_zero = padding_is_zero && zero == 0;
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
