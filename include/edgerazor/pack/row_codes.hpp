/// One row of codes into the tile layout and out of it again. Bytes of different rows are never shared, so threads may
/// write different rows at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <edgerazor/pack/tile_layout.hpp>

namespace edgerazor::inline v0::detail {

/// Codes of one row with room for its padding; reused from row to row.
class row_codes {
 public:
  explicit row_codes(const tile_layout& layout)
      : layout_(layout),
        codes_(layout.chunks() * layout.codec().fields * slot_cols,
               static_cast<std::uint8_t>(layout.codec().zero_code)) {}

  void set(std::size_t col, int level) noexcept {
    codes_[col] = static_cast<std::uint8_t>(level + layout_.codec().zero_code);
  }
  void set(std::size_t col, std::span<const std::int8_t> levels) noexcept {
    const int zero_code = layout_.codec().zero_code;
    for (std::size_t i = 0; i < levels.size(); ++i) codes_[col + i] = static_cast<std::uint8_t>(levels[i] + zero_code);
  }
  [[nodiscard]] int level(std::size_t col) const noexcept { return codes_[col] - layout_.codec().zero_code; }

  /// Writes the row into `matrix`, the packed matrix's first byte.
  void write(std::byte* matrix, std::size_t row) const noexcept {
    const codec_info& codec = layout_.codec();
    std::byte* at = matrix + layout_.row_offset(row);
    const std::uint8_t* codes = codes_.data();
    for (std::size_t chunk = 0; chunk < layout_.chunks(); ++chunk, at += chunk_bytes) {
      // Four bytes at once: no byte of the sum exceeds 255, so none carries into the next.
      std::uint32_t word = 0;
      for (unsigned field = 0, weight = 1; field < codec.fields; ++field, weight *= codec.radix, codes += slot_cols) {
        std::uint32_t four;
        std::memcpy(&four, codes, sizeof four);
        word += four * weight;
      }
      std::memcpy(at, &word, sizeof word);
    }
  }

  void read(const std::byte* matrix, std::size_t row) noexcept {
    const codec_info& codec = layout_.codec();
    const std::byte* at = matrix + layout_.row_offset(row);
    std::uint8_t* codes = codes_.data();
    for (std::size_t chunk = 0; chunk < layout_.chunks(); ++chunk, at += chunk_bytes) {
      for (unsigned field = 0; field < codec.fields; ++field) {
        for (std::size_t b = 0; b < slot_cols; ++b) {
          *codes++ = static_cast<std::uint8_t>(codec.code(std::to_integer<std::uint8_t>(at[b]), field));
        }
      }
    }
  }

 private:
  tile_layout layout_;
  std::vector<std::uint8_t> codes_;
};

}  // namespace edgerazor::inline v0::detail
