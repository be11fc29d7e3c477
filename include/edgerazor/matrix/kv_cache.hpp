// SPDX-License-Identifier: Apache-2.0
/// Keys and values of past positions as int8, one scale for each group of a head's columns.
///
/// Keys of a head are a packed int8 matrix (tile layout) whose rows are positions, because scores
/// are a product with it: one lane is one position. Values are row-major,
/// `[head][position][head_size]`, because mixing sums over positions: one lane is one column.
/// Scales are float: a cached value is then exactly EdgeRazor (Python)'s level * scale
/// (state_quant_uniform_symmetric_absmax_per_block_int8), s = max(max|v|, 1e-5) / 127.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The cache of one layer. Positions are appended one after the other up to the maximum. Moved
/// from, it has no heads and no positions.
class kv_cache {
 public:
  kv_cache() = default;
  /// `group`: columns of a head that share a scale, a multiple of 4; 0 for the whole head.
  /// `memory`: where keys, values and scales are kept, see byte_storage. Fails where a size is zero
  /// or overflows, or the group is no multiple of 4 or over 65,536 columns.
  kv_cache(std::size_t kv_heads, std::size_t head_size, std::size_t max_positions,
           std::size_t group = 0, std::pmr::memory_resource* memory = nullptr)
      : layout_(tile_layout(
            {code_type::int8, detail::matrix::group_of_format(group), scale_kind::float32},
            max_positions, head_size)),
        key_row_(*layout_) {
    if (kv_heads == 0) detail::core::fail("kv_cache: expected at least one head");
    using detail::core::size_product;
    const std::size_t value_bytes = size_product("kv_cache", kv_heads, max_positions, head_size),
                      scale_bytes = size_product("kv_cache", kv_heads, max_positions, groups(),
                                                 sizeof(float));
    (void)size_product("kv_cache", kv_heads, layout_->bytes());
    values_ = byte_storage(value_bytes, memory);  // first: what is too large fails at once
    value_scales_ = byte_storage(scale_bytes, memory);
    for (std::size_t h = 0; h < kv_heads; ++h) keys_->emplace_back(*layout_, memory);
  }

  [[nodiscard]] std::size_t kv_heads() const noexcept { return keys_->size(); }
  [[nodiscard]] std::size_t head_size() const noexcept { return layout_->cols(); }
  [[nodiscard]] std::size_t max_positions() const noexcept { return layout_->rows(); }
  [[nodiscard]] std::size_t groups() const noexcept { return layout_->groups(); }
  [[nodiscard]] std::size_t group_cols() const noexcept { return layout_->group_cols(); }
  /// Positions held.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Bytes that a full cache takes.
  [[nodiscard]] std::size_t bytes() const noexcept {
    return keys_->size() * layout_->bytes() + values_.size() + value_scales_.size();
  }

  /// Forgets the positions from `size` on (0: all of them).
  void truncate(std::size_t size) noexcept { *size_ = std::min(*size_, size); }

  /// Quantizes and appends the keys and values of one position, `kv_heads * head_size` elements
  /// each, heads one after the other. A group that holds a NaN or an infinity has the scale NaN,
  /// and so the scores and sums made of it. Fails where the sizes differ or the cache is full.
  void append(std::span<const float> keys, std::span<const float> values);

  /// A head's keys: rows are positions, of which `size()` are in use.
  [[nodiscard]] packed_view keys(std::size_t head) const { return (*keys_)[head].view(); }
  /// A head's values: `size()` rows of `head_size()` levels.
  [[nodiscard]] const std::int8_t* values(std::size_t head) const noexcept {
    return reinterpret_cast<const std::int8_t*>(values_.data()) +
           head * max_positions() * head_size();
  }
  /// The scales of a head's values, `[position][group]`.
  [[nodiscard]] const float* value_scales(std::size_t head) const noexcept {
    return reinterpret_cast<const float*>(value_scales_.data()) + head * max_positions() * groups();
  }

 private:
  [[nodiscard]] std::span<const float> group_of(std::span<const float> head,
                                                std::size_t g) const noexcept {
    const std::size_t begin = g * group_cols();
    return head.subspan(begin, std::min(group_cols(), head.size() - begin));
  }
  void append_key(std::size_t h, std::span<const float> key) noexcept;
  void append_value(std::size_t h, std::span<const float> value) noexcept;

  detail::core::moved_along<tile_layout> layout_;  ///< of one head's keys
  detail::matrix::row_codes key_row_{tile_layout({code_type::int8, 0}, 1, 1)};
  detail::core::moved_along<detail::core::buffer<packed_storage>> keys_;
  byte_storage values_, value_scales_;
  detail::core::moved_along<std::size_t> size_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/matrix/kv_cache_impl.hpp>
#endif
