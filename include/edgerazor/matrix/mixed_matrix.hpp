// SPDX-License-Identifier: Apache-2.0
/// A packed matrix of two precisions: a mask says which groups are of the higher one.
///
/// The columns are cut into runs of consecutive groups in which every row keeps its precision. In a
/// run the rows of higher precision form one packed matrix and the others a second one, both with a
/// list of the rows they came from. A map of whole rows then has one run, one of leading columns
/// two, and any other as many as it needs. A row's groups are still added in order, so results do
/// not depend on the cut.
///
///     bytes = u64 runs | u64 first group of each run | a bitmap of rows per run (bit r % 8 of byte r / 8; 1: higher)
///             | zeros to a multiple of 64 | run 0 higher | run 0 lower | run 1 higher | ...
///
/// where a part without rows is absent.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// See above. Formats and shape are known at run time; the bytes are owned, or referred to
/// (`from_bytes`). Moved from, it has no rows.
class mixed_matrix {
 public:
  /// One packed matrix: columns from `col_begin` on of the rows listed, in ascending order.
  struct segment {
    bool high = false;
    std::size_t col_begin = 0;
    std::size_t offset = 0;  ///< of its first byte
    tile_layout layout;
    detail::core::buffer<std::uint32_t> rows;
  };

  mixed_matrix() = default;
  /// All levels and scales zero. `mask`: rows * groups entries, row-major, not zero for the higher
  /// precision. `memory`: where the bytes come from, see byte_storage. Fails where the formats have
  /// different groups or the mask another size.
  mixed_matrix(format high, format low, std::size_t rows, std::size_t cols,
               std::span<const std::uint8_t> mask, std::pmr::memory_resource* memory = nullptr)
      : high_(high), low_(low), rows_(rows), cols_(cols) {
    const detail::core::buffer<std::byte> header = make_header(mask);
    std::string error;
    const std::size_t size = read_header(header, std::numeric_limits<std::size_t>::max(), error);
    if (size == 0) detail::core::fail(error);
    storage_ = byte_storage(size, memory);
    *bytes_ = {storage_.data(), size};
    std::memcpy(storage_.data(), header.data(), header.size());
    for (const segment& part : *segments_)
      detail::matrix::clear_tiles(part.layout, storage_.data() + part.offset);
  }
  /// A mixed matrix in memory someone else owns. Fails where the bytes are not one of these formats
  /// and this shape.
  [[nodiscard]] static mixed_matrix from_bytes(format high, format low, std::size_t rows,
                                               std::size_t cols, std::span<const std::byte> bytes) {
    std::string error;
    std::optional<mixed_matrix> result = try_from_bytes(high, low, rows, cols, bytes, error);
    if (!result) detail::core::fail(error);
    return std::move(*result);
  }
  /// As from_bytes(), but gives the sentence through `error` and returns nothing: for bytes from a
  /// file. Only a shape that no tile_layout has still fails.
  [[nodiscard]] static std::optional<mixed_matrix> try_from_bytes(format high, format low,
                                                                  std::size_t rows,
                                                                  std::size_t cols,
                                                                  std::span<const std::byte> bytes,
                                                                  std::string& error) {
    mixed_matrix result;
    result.high_ = high, result.low_ = low, result.rows_ = rows, result.cols_ = cols;
    const std::size_t size = result.read_header(bytes, bytes.size(), error);
    if (size == 0) return std::nullopt;
    if (size != bytes.size()) {
      error = "mixed matrix of " + detail::core::shape_text(rows, cols) + ": expected " +
              std::to_string(size) + " bytes, got " + std::to_string(bytes.size());
      return std::nullopt;
    }
    result.bytes_ = bytes;
    return result;
  }

  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  [[nodiscard]] const format& high() const noexcept { return high_; }
  [[nodiscard]] const format& low() const noexcept { return low_; }
  [[nodiscard]] std::size_t group_cols() const noexcept {
    return high_.group == 0 ? *cols_ : high_.group;
  }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::span<const segment> segments() const noexcept { return *segments_; }
  [[nodiscard]] packed_view view(const segment& part) const {
    return {part.layout, bytes_->subspan(part.offset, part.layout.bytes())};
  }

  /// A segment's first byte, for writing. The matrix must own its bytes.
  [[nodiscard]] std::byte* data(const segment& part) noexcept {
    return storage_.data() + part.offset;
  }

  /// Quantizes some rows: row 0 of `weights` becomes row `first_row`. Threads may fill different
  /// rows at once. Fails, before anything is written, on NaN or infinity, on a scale out of its
  /// type's range, on levels that the formats do not have. The matrix must own its bytes. Defined
  /// in pack_mixed.hpp.
  template <group_policy High, group_policy Low, real_element T>
  void pack_rows(std::size_t first_row, matrix_view<const T> weights, const High& high = {},
                 const Low& low = {});
  /// The same by rules that are chosen at run time: with_rule(is_high, use) calls use(policy).
  template <real_element T, class WithRule>
  void pack_rows_by(std::size_t first_row, matrix_view<const T> weights, const WithRule& with_rule);

 private:
  static constexpr std::size_t word = sizeof(std::uint64_t);

  /// Calls visit(part, i, source) for each segment that holds some of the weights' rows; they are
  /// its rows from i on.
  template <real_element T, class Visit>
  void for_each_selection(std::size_t first_row, const matrix_view<const T>& weights,
                          Visit&& visit) const;

  [[nodiscard]] std::size_t groups() const noexcept {
    return (cols_ + group_cols() - 1) / group_cols();
  }
  [[nodiscard]] std::size_t bitmap_bytes() const noexcept { return (rows_ + 7) / 8; }
  [[nodiscard]] std::size_t header_bytes(std::size_t runs) const noexcept {
    return ((1 + runs) * word + runs * bitmap_bytes() + 63) / 64 * 64;
  }

  [[nodiscard]] detail::core::buffer<std::byte> make_header(
      std::span<const std::uint8_t> mask) const {
    (void)tile_layout(high_, rows_, cols_);  // checks the shape
    if (detail::core::checked_product(*rows_, groups()) != mask.size()) {
      detail::core::fail("mixed matrix: expected a mask of " +
                         detail::core::shape_text(rows_, groups()) + " groups, got " +
                         std::to_string(mask.size()) + " entries");
    }
    const auto same_column = [&](std::size_t a, std::size_t b) {
      for (std::size_t r = 0; r < rows_; ++r) {
        if ((mask[r * groups() + a] != 0) != (mask[r * groups() + b] != 0)) return false;
      }
      return true;
    };
    detail::core::buffer<std::uint64_t> firsts;
    for (std::size_t g = 0; g < groups(); ++g) {
      if (g == 0 || !same_column(g - 1, g)) firsts.push_back(g);
    }
    detail::core::buffer<std::byte> header(header_bytes(firsts.size()));
    const std::uint64_t runs = firsts.size();
    std::memcpy(header.data(), &runs, word);
    std::memcpy(header.data() + word, firsts.data(), firsts.size() * word);
    std::byte* bitmap = header.data() + (1 + firsts.size()) * word;
    for (const std::uint64_t g : firsts) {
      for (std::size_t r = 0; r < rows_; ++r) {
        if (mask[r * groups() + g] != 0) bitmap[r / 8] |= std::byte{1} << (r % 8);
      }
      bitmap += bitmap_bytes();
    }
    return header;
  }

  /// Fills `segments_` from a header, which is checked, and returns the size of the whole; 0 and a
  /// sentence where the header is wrong or the whole would exceed `largest` bytes.
  std::size_t read_header(std::span<const std::byte> bytes, std::size_t largest,
                          std::string& error) {
    const auto refuse = [&](const std::string& reason) {
      error = "mixed matrix of " + detail::core::shape_text(rows_, cols_) + ": " + reason;
      return std::size_t{0};
    };
    if (high_.group != low_.group)
      return refuse(high_.name() + " and " + low_.name() + " differ in their groups");
    (void)tile_layout(high_, rows_, cols_);
    if (rows_ > std::numeric_limits<std::uint32_t>::max())
      return refuse("its rows can't be counted in 32 bits");
    std::uint64_t runs = 0;
    if (bytes.size() >= word) std::memcpy(&runs, bytes.data(), word);
    if (runs == 0 || runs > groups() || header_bytes(runs) > bytes.size()) {
      return refuse("its header does not fit its " + std::to_string(bytes.size()) + " bytes");
    }
    detail::core::buffer<std::uint64_t> firsts(runs);
    std::memcpy(firsts.data(), bytes.data() + word, runs * word);
    std::size_t offset = header_bytes(runs);
    for (std::size_t i = 0; i < runs; ++i) {
      const std::uint64_t end = i + 1 < runs ? firsts[i + 1] : groups();
      if ((i == 0 && firsts[i] != 0) || firsts[i] >= end || end > groups()) {
        return refuse("its runs of groups are not in order");
      }
      const std::size_t col_begin = firsts[i] * group_cols();
      const std::size_t col_end = std::min<std::size_t>(end * group_cols(), cols_);
      const std::byte* bitmap = bytes.data() + (1 + runs) * word + i * bitmap_bytes();
      const auto is_high = [bitmap](std::size_t r) {
        return (bitmap[r / 8] >> (r % 8) & std::byte{1}) != std::byte{0};
      };
      const std::byte* before = bitmap - (i == 0 ? 0 : bitmap_bytes());
      const auto was_high = [before](std::size_t r) {
        return (before[r / 8] >> (r % 8) & std::byte{1}) != std::byte{0};
      };
      std::size_t high_rows = 0, changed = 0;  // rows of another precision than in the run before
      for (std::size_t r = 0; r < rows_; ++r) {
        high_rows += is_high(r) ? 1 : 0;
        changed += i == 0 || is_high(r) != was_high(r) ? 1 : 0;
      }
      if (changed == 0) return refuse("two runs of its groups that follow each other are one");
      for (const bool high : {true, false}) {
        segment part{high, col_begin, offset, {}, {}};
        const std::size_t count = high ? high_rows : rows_ - high_rows;
        if (count == 0) continue;
        // Before the list of rows is made: a bitmap is a 32nd of it, the part's bytes are more than
        // it.
        part.layout = tile_layout(high ? high_ : low_, count, col_end - col_begin);
        if (part.layout.bytes() > largest - offset)
          return refuse("its header asks for more than its bytes");
        offset += part.layout.bytes();
        part.rows.reserve(count);
        for (std::size_t r = 0; r < rows_; ++r) {
          if (is_high(r) == high) part.rows.push_back(static_cast<std::uint32_t>(r));
        }
        segments_->push_back(std::move(part));
      }
    }
    return offset;
  }

  format high_, low_;
  detail::core::moved_along<std::size_t> rows_, cols_;
  byte_storage storage_;  ///< empty where the bytes are someone else's
  detail::core::moved_along<std::span<const std::byte>> bytes_;
  detail::core::moved_along<detail::core::buffer<segment>> segments_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
