// SPDX-License-Identifier: Apache-2.0
/// Activations as int8: codes, one scale and one sum of codes for each group of columns, for one
/// token or many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/matrix/tile_layout.hpp>
#include <edgerazor/policy/granularity.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What a scale is computed over: each group (as the weights are grouped), or all of a token, as
/// EdgeRazor (Python)'s per_token quantizers do. In the second case every group of the token holds
/// the same scale.
enum class activation_scales { of_groups, of_token };

/// Whether activations bring the tables in which weights stored in threes (triples.hpp) look up
/// their products: 64 bytes for 6 columns, made once a token for all matrices and threads. Products
/// of up to `most_table_tokens` tokens read them, of more they do not. None needs them: without,
/// each call makes its own, some columns at a time.
enum class activation_tables : bool { none, of_triples };
inline constexpr std::size_t most_table_tokens = 3;

/// Quantized activations someone owns; what a W-A8 kernel reads.
///
/// Layout: token t's codes begin at `codes + t * code_stride`, are contiguous over the columns and
/// followed by zeros up to a multiple of 4 columns, which kernels read; its scales and sums are
/// `groups()` consecutive elements each. Tables, where there are any, are those of the pairs of
/// units of the row's groups, in order, as contract.hpp has them.
struct activation_view {
  const std::int8_t* codes = nullptr;
  const float* scales = nullptr;
  const std::int32_t* sums = nullptr;  ///< of the codes of each group
  std::size_t tokens = 0;
  std::size_t cols = 0;
  std::size_t group_cols = 1;
  std::size_t code_stride = 0;           ///< bytes from one token's codes to the next
  std::size_t group_stride = 0;          ///< scales (and sums) from one token to the next
  const std::uint8_t* tables = nullptr;  ///< null: none
  std::size_t table_stride = 0;          ///< bytes from one token's tables to the next

  [[nodiscard]] std::size_t groups() const noexcept { return (cols + group_cols - 1) / group_cols; }
  /// Tokens [begin, end) of these.
  [[nodiscard]] activation_view tokens_between(std::size_t begin, std::size_t end) const noexcept {
    activation_view part = *this;
    part.codes += begin * code_stride;
    part.scales += begin * group_stride;
    part.sums += begin * group_stride;
    if (tables) part.tables += begin * table_stride;
    part.tokens = end - begin;
    return part;
  }
  /// `col_count` columns from `col_begin` on, which is a multiple of the group.
  [[nodiscard]] activation_view cols_from(std::size_t col_begin,
                                          std::size_t col_count) const noexcept {
    activation_view part = *this;
    part.codes += col_begin;
    part.scales += col_begin / group_cols;
    part.sums += col_begin / group_cols;
    if (tables)
      part.tables += col_begin / group_cols * detail::matrix::triples::table_bytes(group_cols);
    part.cols = col_count;
    return part;
  }
};

/// Where the activations of `tokens` tokens lie in `bytes()` bytes that begin at `data`, a multiple
/// of 4.
struct activation_room {
  std::byte* data = nullptr;
  std::size_t tokens = 0;
  std::size_t cols = 0;
  std::size_t group_cols = 1;
  activation_tables tables = activation_tables::none;

  [[nodiscard]] std::size_t groups() const noexcept {
    return groups_per_row(column_group{group_cols}, cols);
  }
  /// An odd number of cache lines: a product reads the same columns of many tokens, and tokens a
  /// power of two apart would all need the same few places of the cache (measured: up to half the
  /// speed of a panel at 4096 columns).
  [[nodiscard]] std::size_t code_stride() const noexcept { return ((cols + 63) / 64 | 1) * 64; }
  [[nodiscard]] std::size_t group_stride() const noexcept { return groups() | 1; }
  /// Tokens that have tables, and the bytes of one's: of whole groups, the last as well.
  [[nodiscard]] std::size_t table_tokens() const noexcept {
    return tables == activation_tables::none ? 0 : std::min(tokens, most_table_tokens);
  }
  [[nodiscard]] std::size_t table_stride() const noexcept {
    return groups() * detail::matrix::triples::table_bytes(group_cols);
  }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return tokens * (code_stride() + group_stride() * (sizeof(float) + sizeof(std::int32_t))) +
           table_tokens() * table_stride();
  }

  [[nodiscard]] std::int8_t* codes(std::size_t token) const noexcept {
    return reinterpret_cast<std::int8_t*>(data) + token * code_stride();
  }
  [[nodiscard]] std::uint8_t* table(std::size_t token) const noexcept {
    return reinterpret_cast<std::uint8_t*>(data + tokens * code_stride()) + token * table_stride();
  }
  [[nodiscard]] float* scales(std::size_t token) const noexcept {
    return reinterpret_cast<float*>(table(table_tokens())) + token * group_stride();
  }
  [[nodiscard]] std::int32_t* sums(std::size_t token) const noexcept {
    return reinterpret_cast<std::int32_t*>(scales(tokens)) + token * group_stride();
  }
  /// The first `count` tokens.
  [[nodiscard]] activation_view view(std::size_t count) const noexcept {
    const bool with_tables = count <= table_tokens();
    return {codes(0),
            scales(0),
            sums(0),
            count,
            cols,
            group_cols,
            code_stride(),
            group_stride(),
            with_tables ? table(0) : nullptr,
            with_tables ? table_stride() : 0};
  }
};

/// Memory for the activations of up to `max_tokens` tokens of `cols` columns; filled by
/// `quantize_activations`. Moved from, it holds none.
class packed_activations {
 public:
  packed_activations() = default;
  /// `group`: columns a scale, as the weights have it; 0 for the whole row. `memory`: where the
  /// bytes come from, see byte_storage. `tables`: whether there is room for them. Fails where cols
  /// or max_tokens is zero or the size overflows. Groups inside a row that are no multiples of 4,
  /// which no weights have, get no tables.
  packed_activations(std::size_t cols, std::size_t group, std::size_t max_tokens = 1,
                     std::pmr::memory_resource* memory = nullptr,
                     activation_tables tables = activation_tables::none)
      : cols_(cols), tokens_(max_tokens), group_cols_(group == 0 ? cols : group), tables_(tables) {
    if (group_cols_ < cols && group_cols_ % 4 != 0) tables_ = activation_tables::none;
    if (cols == 0 || max_tokens == 0) {
      detail::core::fail("packed activations: expected at least one token and one column, got " +
                         detail::core::shape_text(max_tokens, cols));
    }
    // A token's bytes: a code a column, 8 of scale and sum a group, at most 64 of tables a column,
    // and less than 128 of padding.
    constexpr std::size_t bytes_a_column = 256;
    (void)detail::core::size_product("packed activations", max_tokens, std::max(cols, group),
                                     bytes_a_column);
    bytes_ = byte_storage(room().bytes(), memory);
  }

  [[nodiscard]] std::size_t max_tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  [[nodiscard]] std::size_t group_cols() const noexcept { return group_cols_; }
  [[nodiscard]] activation_tables tables() const noexcept { return tables_; }
  [[nodiscard]] std::size_t groups() const noexcept { return room().groups(); }
  [[nodiscard]] std::size_t code_stride() const noexcept { return room().code_stride(); }
  [[nodiscard]] std::size_t group_stride() const noexcept { return room().group_stride(); }

  [[nodiscard]] std::int8_t* codes(std::size_t token) noexcept { return room().codes(token); }
  [[nodiscard]] float* scales(std::size_t token) noexcept { return room().scales(token); }
  [[nodiscard]] std::int32_t* sums(std::size_t token) noexcept { return room().sums(token); }
  /// The first `tokens` tokens.
  [[nodiscard]] activation_view view(std::size_t tokens) const {
    if (tokens > max_tokens()) {
      detail::core::fail("packed activations: hold " + std::to_string(max_tokens()) +
                         " tokens, asked for " + std::to_string(tokens));
    }
    return room().view(tokens);
  }
  [[nodiscard]] activation_view view() const { return view(tokens_); }

  /// The memory, to be written.
  [[nodiscard]] activation_room room() noexcept {
    return {bytes_.data(), tokens_, cols_, group_cols_, tables_};
  }

 private:
  /// Of which a view of const elements is made.
  [[nodiscard]] activation_room room() const noexcept {
    return const_cast<packed_activations&>(*this).room();
  }

  detail::core::moved_along<std::size_t> cols_, tokens_;
  std::size_t group_cols_ = 1;
  activation_tables tables_ = activation_tables::none;
  byte_storage bytes_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
