// SPDX-License-Identifier: Apache-2.0
/// One row of codes into the tile layout and out of it again. Bytes of different rows are never
/// shared, so threads may write different rows at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/matrix/tile_layout.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::matrix {

/// Codes of one row into the tile layout: `chunks` chunks, `at` being the row's bytes in the first.
template <code_type Type>
inline void write_chunks(const std::uint8_t* codes, std::size_t chunks, std::byte* at) noexcept {
  constexpr codec_info codec = codec_of(Type);
  for (; chunks != 0; --chunks, codes += codec.fields * slot_cols, at += chunk_bytes) {
    // Four bytes at once: no byte of the sum exceeds 255, so none carries into the next.
    std::uint32_t word = 0;
    EDGERAZOR_UNROLL
    for (unsigned field = 1; field <= codec.fields; ++field) {
      std::uint32_t four;
      std::memcpy(&four, codes + (codec.fields - field) * slot_cols, sizeof four);
      word = word * codec.radix + four;
    }
    std::memcpy(at, &word, sizeof word);
  }
}

/// Out of the tile layout again.
template <code_type Type>
inline void read_chunks(const std::byte* at, std::size_t chunks, std::uint8_t* codes) noexcept {
  constexpr codec_info codec = codec_of(Type);
  for (; chunks != 0; --chunks, codes += codec.fields * slot_cols, at += chunk_bytes) {
    EDGERAZOR_UNROLL
    for (unsigned field = 0; field < codec.fields; ++field) {
      EDGERAZOR_UNROLL
      for (std::size_t b = 0; b < slot_cols; ++b) {
        codes[field * slot_cols + b] =
            static_cast<std::uint8_t>(codec.code(std::to_integer<std::uint8_t>(at[b]), field));
      }
    }
  }
}

/// Base 3: four bytes at a time, each in 16 of 64 bits. v / 3 is v * 171 / 512 for all v up to 255,
/// since the quotients differ by less than v / 1536; no product reaches 2^16.
template <>
inline void read_chunks<code_type::ternary5>(const std::byte* at, std::size_t chunks,
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

/// Codes of one row with room for its padding; reused from row to row.
class row_codes {
 public:
  explicit row_codes(const tile_layout& layout)
      : layout_(layout),
        codes_(layout.chunks() * layout.codec().fields * slot_cols,
               static_cast<std::uint8_t>(layout.codec().zero_code)) {}

  /// The code of a column and of those behind it.
  [[nodiscard]] std::uint8_t* at(std::size_t col) noexcept { return codes_.data() + col; }
  void set(std::size_t col, int level) noexcept {
    codes_[col] = static_cast<std::uint8_t>(level + layout_.codec().zero_code);
  }
  [[nodiscard]] int level(std::size_t col) const noexcept {
    return codes_[col] - layout_.codec().zero_code;
  }

  /// Writes the row into `matrix`, the packed matrix's first byte.
  void write(std::byte* matrix, std::size_t row) const noexcept {
    write(matrix, row, 0, layout_.chunks());
  }
  /// Writes the part of the row that lies in chunks [begin, end).
  void write(std::byte* matrix, std::size_t row, std::size_t begin,
             std::size_t end) const noexcept {
    std::byte* const at = matrix + layout_.row_offset(row) + begin * chunk_bytes;
    const std::uint8_t* const codes = codes_.data() + begin * layout_.codec().fields * slot_cols;
    switch (layout_.fmt().code) {
      case code_type::ternary2:
        return write_chunks<code_type::ternary2>(codes, end - begin, at);
      case code_type::ternary5:
        return write_chunks<code_type::ternary5>(codes, end - begin, at);
      case code_type::int4:
        return write_chunks<code_type::int4>(codes, end - begin, at);
      case code_type::int8:
        return write_chunks<code_type::int8>(codes, end - begin, at);
    }
  }

  void read(const std::byte* matrix, std::size_t row) noexcept {
    const std::byte* const at = matrix + layout_.row_offset(row);
    switch (layout_.fmt().code) {
      case code_type::ternary2:
        return read_chunks<code_type::ternary2>(at, layout_.chunks(), codes_.data());
      case code_type::ternary5:
        return read_chunks<code_type::ternary5>(at, layout_.chunks(), codes_.data());
      case code_type::int4:
        return read_chunks<code_type::int4>(at, layout_.chunks(), codes_.data());
      case code_type::int8:
        return read_chunks<code_type::int8>(at, layout_.chunks(), codes_.data());
    }
  }

 private:
  tile_layout layout_;
  std::vector<std::uint8_t> codes_;
};

}  // namespace detail::matrix
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
