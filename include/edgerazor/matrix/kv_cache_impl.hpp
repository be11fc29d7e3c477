// SPDX-License-Identifier: Apache-2.0
/// What kv_cache.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/vector_group.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
using cache_rule = int8<per_channel>;
inline float cache_scale(std::span<const float> group) noexcept {
  return policy::scale_or_nan(policy::scale_of(cache_rule{}, group));
}
}  // namespace detail::matrix

EDGERAZOR_FUNCTION void kv_cache::append_key(std::size_t h, std::span<const float> key) noexcept {
  std::byte* matrix = (*keys_)[h].data();
  for (std::size_t g = 0; g < groups(); ++g) {
    const std::span<const float> group = group_of(key, g);
    const float scale = detail::matrix::cache_scale(group);
    detail::policy::quantize_codes<detail::matrix::cache_rule>(group.data(), group.size(), scale,
                                                               layout_->codec().zero_code,
                                                               key_row_.at(g * group_cols()));
    detail::matrix::write_scale(matrix + layout_->scale_offset(size_, g), scale_kind::float32,
                                scale);
  }
  key_row_.write(matrix, size_);
}

EDGERAZOR_FUNCTION void kv_cache::append_value(std::size_t h,
                                               std::span<const float> value) noexcept {
  std::int8_t* levels = const_cast<std::int8_t*>(values(h)) + size_ * head_size();
  float* scales = const_cast<float*>(value_scales(h)) + size_ * groups();
  for (std::size_t g = 0; g < groups(); ++g) {
    const std::span<const float> group = group_of(value, g);
    scales[g] = detail::matrix::cache_scale(group);
    detail::policy::quantize_codes<detail::matrix::cache_rule>(
        group.data(), group.size(), scales[g], levels + g * group_cols());
  }
}

EDGERAZOR_FUNCTION void kv_cache::append(std::span<const float> keys,
                                         std::span<const float> values) {
  const std::size_t expected = kv_heads() * head_size();
  if (keys.size() != expected || values.size() != expected) {
    detail::core::fail("kv_cache: expected " + std::to_string(expected) +
                       " keys and values a position, got " + std::to_string(keys.size()) + " and " +
                       std::to_string(values.size()));
  }
  if (size() == max_positions()) {
    detail::core::fail("kv_cache: all " + std::to_string(max_positions()) +
                       " positions are in use");
  }
  for (std::size_t h = 0; h < kv_heads(); ++h) {
    append_key(h, keys.subspan(h * head_size(), head_size()));
    append_value(h, values.subspan(h * head_size(), head_size()));
  }
  ++*size_;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
