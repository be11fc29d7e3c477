// SPDX-License-Identifier: Apache-2.0
/// One row of codes into the tile layout and out of it again. Bytes of different rows are never
/// shared, so threads may write different rows at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/matrix/tile_layout.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::matrix {

/// The digits of four codes, one a byte: (code >> shift) % radix.
template <plane_type Plane>
[[nodiscard]] inline std::uint32_t digits_of(std::uint32_t codes, unsigned shift) noexcept {
  constexpr unsigned radix = plane_of(Plane).radix;
  if constexpr ((radix & (radix - 1)) != 0) return codes;  // such a plane holds whole codes
  return codes >> shift & (radix - 1) * 0x01010101u;
}

/// Codes of one row into a plane: `chunks` chunks, `at` being the row's bytes in the first.
template <plane_type Plane>
inline void write_chunks(const std::uint8_t* codes, unsigned shift, std::size_t chunks,
                         std::byte* at) noexcept {
  constexpr unsigned fields = plane_of(Plane).fields(), radix = plane_of(Plane).radix;
  for (; chunks != 0; --chunks, codes += fields * slot_cols, at += chunk_bytes) {
    // Four bytes at once: no byte of the sum exceeds 255, so none carries into the next.
    std::uint32_t word = 0;
    EDGERAZOR_UNROLL
    for (unsigned field = 1; field <= fields; ++field) {
      std::uint32_t four;
      std::memcpy(&four, codes + (fields - field) * slot_cols, sizeof four);
      word = word * radix + digits_of<Plane>(four, shift);
    }
    std::memcpy(at, &word, sizeof word);
  }
}

/// Out of a plane again: a code becomes `digit << shift`, or that is added to it.
template <plane_type Plane, bool Add>
inline void read_chunks(const std::byte* at, std::size_t chunks, unsigned shift,
                        std::uint8_t* codes) noexcept {
  constexpr plane_info plane = plane_of(Plane);
  for (; chunks != 0; --chunks, codes += plane.fields() * slot_cols, at += chunk_bytes) {
    for (unsigned field = 0; field < plane.fields(); ++field) {
      for (std::size_t b = 0; b < slot_cols; ++b) {
        std::uint8_t& code = codes[field * slot_cols + b];
        const unsigned digit = plane.digit(std::to_integer<std::uint8_t>(at[b]), field) << shift;
        code = static_cast<std::uint8_t>(Add ? code | digit : digit);
      }
    }
  }
}

/// Base 3: four bytes at a time, each in 16 of 64 bits. v / 3 is v * 171 / 512 for all v up to 255,
/// since the quotients differ by less than v / 1536; no product reaches 2^16.
template <>
inline void read_chunks<plane_type::base3, false>(const std::byte* at, std::size_t chunks, unsigned,
                                                  std::uint8_t* codes) noexcept {
  constexpr std::uint64_t ones = 0x0001'0001'0001'0001;
  for (; chunks != 0; --chunks, at += chunk_bytes) {
    std::uint32_t word;
    std::memcpy(&word, at, sizeof word);
    std::uint64_t values = word;
    values = (values | values << 16) & 0x0000'ffff'0000'ffff;
    values = (values | values << 8) & 0x00ff'00ff'00ff'00ff;
    const std::uint64_t is_large =
        ((values + 13 * ones) >> 8 & ones) * 255;  // bytes from 243 on read as 242
    values = (values & ~is_large) | (242 * ones & is_large);
    for (unsigned field = 0; field < 5; ++field, codes += slot_cols) {
      const std::uint64_t quotients = values * 171 >> 9 & 127 * ones;
      std::uint64_t digits = values - 3 * quotients;
      digits = (digits | digits >> 8) & 0x0000'ffff'0000'ffff;
      const auto four = static_cast<std::uint32_t>(digits | digits >> 16);
      std::memcpy(codes, &four, sizeof four);
      values = quotients;
    }
  }
}

/// use(group's first column, columns, its first pair) for each group of a row.
template <class Use>
void for_each_group(const tile_layout& layout, const Use& use) noexcept {
  for (std::size_t g = 0; g < layout.groups(); ++g) {
    const std::size_t first = g * layout.group_cols();
    use(first, std::min(layout.group_cols(), layout.cols() - first), g * layout.group_pairs());
  }
}

/// The codes of one row into triples; `at` is the row's byte in the first block.
inline void write_triples(const tile_layout& layout, const std::uint8_t* codes,
                          std::byte* at) noexcept {
  std::uint8_t values[2][triples::chunk_pairs];
  const auto write = [&](std::size_t pair) {
    std::byte* const chunk = at + pair / triples::chunk_pairs * triples::chunk_bytes;
    for (std::size_t unit = 0; unit < 2; ++unit) {
      triples::write_chunk(values[unit], unit, chunk);
      std::fill_n(values[unit], triples::chunk_pairs, std::uint8_t{triples::largest});
    }
  };
  for (auto& unit : values) std::fill_n(unit, triples::chunk_pairs, std::uint8_t{triples::largest});
  for_each_group(layout, [&](std::size_t first, std::size_t cols, std::size_t pair) {
    for (std::size_t c = 0; c < slot_cols * ((cols + slot_cols - 1) / slot_cols);
         c += triples::pair_cols, ++pair) {
      std::uint8_t six[triples::pair_cols] = {1, 1, 1, 1, 1, 1};
      if (c < cols) std::memcpy(six, codes + first + c, std::min(cols - c, triples::pair_cols));
      for (std::size_t unit = 0; unit < 2; ++unit) {
        const std::uint8_t* const three = six + triples::unit_cols * unit;
        values[unit][pair % triples::chunk_pairs] =
            static_cast<std::uint8_t>(three[0] + 3 * three[1] + 9 * three[2]);
      }
      if (pair % triples::chunk_pairs == triples::chunk_pairs - 1) write(pair);
    }
  });
  if (layout.pairs() % triples::chunk_pairs != 0) write(layout.pairs());
}

/// Out of triples again.
inline void read_triples(const tile_layout& layout, const std::byte* at,
                         std::uint8_t* codes) noexcept {
  for_each_group(layout, [&](std::size_t first, std::size_t cols, std::size_t pair) {
    for (std::size_t c = 0; c < cols; c += triples::unit_cols) {
      const std::size_t unit = c / triples::unit_cols, p = pair + unit / 2;
      const std::uint32_t three = triples::codes_of[triples::value_at(
          at + p / triples::chunk_pairs * triples::chunk_bytes, p, unit % 2)];
      for (std::size_t b = 0; b < std::min(cols - c, triples::unit_cols); ++b)
        codes[first + c + b] = static_cast<std::uint8_t>(three >> 8 * b);
    }
  });
}

/// The codes of one row, at most table_size different ones in a group, into tables and digits.
/// `table` is that of the row's first group, `at` the row's bytes in the first chunk.
inline void write_tables(const tile_layout& layout, const std::uint8_t* codes, std::byte* table,
                         std::byte* at) noexcept {
  const unsigned fields = layout.codec().plane(0).fields(), bits = layout.codec().plane(0).bits;
  for (std::size_t g = 0; g < layout.groups(); ++g, table += chunk_bytes) {
    const std::size_t first = g * layout.group_cols(),
                      past = std::min(first + layout.group_cols(), layout.cols());
    std::uint32_t seen = 0;
    for (std::size_t c = first; c < past; ++c) seen |= 1u << codes[c] % table_codes;
    std::uint8_t places[table_codes] = {};
    unsigned count = 0, code = 0;
    for (; seen != 0 && count < table_size; ++code, seen >>= 1) {
      if ((seen & 1) == 0) continue;
      places[code] = static_cast<std::uint8_t>(count);
      table[count++] = static_cast<std::byte>(code);
    }
    for (; count > 0 && count < table_size; ++count) table[count] = table[count - 1];
    for (std::size_t c = first; c < past; c += slot_cols) {
      const std::size_t slot = c / slot_cols;
      const auto field = static_cast<unsigned>(slot % fields);
      std::byte* const bytes = at + chunk_bytes * (slot / fields);
      for (std::size_t b = 0; b < slot_cols; ++b) {
        if (field == 0) bytes[b] = std::byte{0};
        if (c + b < past)
          bytes[b] |= static_cast<std::byte>(places[codes[c + b] % table_codes] << (bits * field));
      }
    }
  }
}

/// Digits, which read_chunks has made of a row, into the codes of its tables.
inline void read_tables(const tile_layout& layout, const std::byte* table,
                        std::uint8_t* codes) noexcept {
  for (std::size_t g = 0; g < layout.groups(); ++g, table += chunk_bytes) {
    const std::size_t first = g * layout.group_cols(),
                      past = std::min(first + layout.group_cols(), layout.cols());
    for (std::size_t c = first; c < past; ++c)
      codes[c] =
          static_cast<std::uint8_t>(std::to_integer<unsigned>(table[codes[c]]) % table_codes);
  }
}

/// The code of one element, by its place alone. `row` is the row's first byte in plane 0.
[[nodiscard]] inline int code_at(const tile_layout& layout, const std::byte* matrix,
                                 std::size_t row, std::size_t col) noexcept {
  const codec_info& codec = layout.codec();
  if (codec.of_triples()) {
    const std::size_t group = col / layout.group_cols(), c = col % layout.group_cols(),
                      pair = group * layout.group_pairs() + c / triples::pair_cols;
    const std::byte* const chunk =
        matrix + layout.triple_offset(row) + pair / triples::chunk_pairs * triples::chunk_bytes;
    const unsigned value = triples::value_at(chunk, pair, c / triples::unit_cols % 2);
    return static_cast<int>(triples::codes_of[value] >> 8 * (c % triples::unit_cols) & 3);
  }
  const std::size_t slot = col / slot_cols;
  unsigned code = 0;
  for (std::size_t p = 0; p < codec.plane_count; ++p) {
    const plane_info& plane = codec.plane(p);
    const std::byte byte =
        matrix[layout.row_offset(row, p) + chunk_bytes * (slot / plane.fields()) + col % slot_cols];
    const unsigned digit = plane.digit(std::to_integer<std::uint8_t>(byte),
                                       static_cast<unsigned>(slot % plane.fields()));
    if (plane.of_table) {
      const std::byte entry = matrix[layout.table_offset(row, col / layout.group_cols()) + digit];
      return std::to_integer<int>(entry) % static_cast<int>(table_codes);
    }
    code += digit << codec.digits[p].shift;
  }
  return static_cast<int>(code);
}

/// Codes of one row with room for its padding; reused from row to row.
class row_codes {
 public:
  explicit row_codes(const tile_layout& layout)
      : layout_(layout),
        codes_(core::buffer<std::uint8_t>(layout.padded_cols(),
                                          static_cast<std::uint8_t>(layout.zero_code()))) {}

  /// The code of a column and of those behind it.
  [[nodiscard]] std::uint8_t* at(std::size_t col) noexcept { return codes_->data() + col; }
  void set(std::size_t col, int level) noexcept {
    (*codes_)[col] = static_cast<std::uint8_t>(level + layout_.zero_code());
  }
  [[nodiscard]] int level(std::size_t col) const noexcept {
    return (*codes_)[col] - layout_.zero_code();
  }

  /// Writes the row into `matrix`, the packed matrix's first byte.
  void write(std::byte* matrix, std::size_t row) const noexcept {
    write(matrix, row, 0, codes_->size());
  }
  /// Writes columns [begin, end) of the row; both are multiples of 4 * chunk_slots(). Triples, and
  /// groups with tables, are written whole; of a group with a table, precondition: at most four
  /// different codes.
  void write(std::byte* matrix, std::size_t row, std::size_t begin,
             std::size_t end) const noexcept {
    const codec_info& codec = layout_.codec();
    if (codec.of_triples())
      return write_triples(layout_, codes_->data(), matrix + layout_.triple_offset(row));
    if (codec.of_table()) {
      return write_tables(layout_, codes_->data(), matrix + layout_.table_offset(row, 0),
                          matrix + layout_.row_offset(row, 0));
    }
    for (std::size_t p = 0; p < codec.plane_count; ++p) {
      with_plane(codec.digits[p].plane, [&](auto plane) {
        constexpr std::size_t chunk_cols = slot_cols * plane_of(plane.type).fields();
        // What is past the plane's last chunk is padding of a wider plane.
        const std::size_t first = begin / chunk_cols,
                          last = std::min(end / chunk_cols, layout_.chunks(p));
        write_chunks<plane.type>(codes_->data() + first * chunk_cols, codec.digits[p].shift,
                                 last - first,
                                 matrix + layout_.row_offset(row, p) + first * chunk_bytes);
      });
    }
  }

  void read(const std::byte* matrix, std::size_t row) noexcept {
    const codec_info& codec = layout_.codec();
    if (codec.of_triples())
      return read_triples(layout_, matrix + layout_.triple_offset(row), codes_->data());
    for (std::size_t p = 0; p < codec.plane_count; ++p) {
      with_plane(codec.digits[p].plane, [&](auto plane) {
        const std::byte* const at = matrix + layout_.row_offset(row, p);
        if (p == 0) {
          read_chunks<plane.type, false>(at, layout_.chunks(p), codec.digits[p].shift,
                                         codes_->data());
        } else {
          read_chunks<plane.type, true>(at, layout_.chunks(p), codec.digits[p].shift,
                                        codes_->data());
        }
      });
    }
    if (codec.of_table())
      read_tables(layout_, matrix + layout_.table_offset(row, 0), codes_->data());
  }

 private:
  tile_layout layout_;
  core::moved_along<core::buffer<std::uint8_t>> codes_;
};

}  // namespace detail::matrix
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
