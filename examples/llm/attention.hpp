// SPDX-License-Identifier: Apache-2.0
/// Causal attention of query heads over the cached positions of one layer.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <variant>
#include <vector>

#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/matrix/matrix_part.hpp>
#include <edgerazor/product/attention.hpp>
#include <edgerazor/product/gemm.hpp>

namespace llm {

namespace er = edgerazor;

/// Keys and values of past positions as they are; the counterpart of edgerazor::kv_cache. Layout of
/// both: [head][position][head_size].
class float_cache {
 public:
  float_cache(std::size_t kv_heads, std::size_t head_size, std::size_t max_positions)
      : head_size_(head_size),
        max_positions_(max_positions),
        keys_(kv_heads * head_size * max_positions),
        values_(keys_.size()) {}

  /// The keys and values of one position, heads one after the other. The caller has seen that there
  /// is room.
  void append(std::span<const float> keys, std::span<const float> values) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::size_t at =
          (i / head_size_ * max_positions_ + size_) * head_size_ + i % head_size_;
      keys_[at] = keys[i];
      values_[at] = values[i];
    }
    ++size_;
  }
  void truncate(std::size_t size) noexcept { size_ = std::min(size_, size); }

  [[nodiscard]] std::size_t bytes() const noexcept {
    return (keys_.size() + values_.size()) * sizeof(float);
  }
  [[nodiscard]] const float* key(std::size_t head, std::size_t position) const noexcept {
    return keys_.data() + (head * max_positions_ + position) * head_size_;
  }
  [[nodiscard]] const float* value(std::size_t head, std::size_t position) const noexcept {
    return values_.data() + (head * max_positions_ + position) * head_size_;
  }

 private:
  std::size_t head_size_, max_positions_, size_ = 0;
  std::vector<float> keys_, values_;
};

using layer_cache = std::variant<float_cache, er::kv_cache>;

/// out = sum of weights_p * value_p, positions in order, some columns at a time: their sums stay in
/// registers.
inline void mix(const float_cache& cache, std::size_t kv_head, std::span<const float> weights,
                std::span<float> out) {
  constexpr std::size_t some = 16;
  std::size_t c = 0;
  for (; c + some <= out.size(); c += some) {
    float sums[some] = {};
    for (std::size_t p = 0; p < weights.size(); ++p) {
      const float* const value = cache.value(kv_head, p) + c;
      for (std::size_t i = 0; i < some; ++i) sums[i] += weights[p] * value[i];
    }
    std::copy_n(sums, some, out.data() + c);
  }
  for (; c < out.size(); ++c) {
    float sum = 0;
    for (std::size_t p = 0; p < weights.size(); ++p) sum += weights[p] * cache.value(kv_head, p)[c];
    out[c] = sum;
  }
}

/// Attention of several queries of one key/value head: query q (a row) meets the first lengths[q]
/// positions. Positions after a query's own are not among them, which makes it causal. `scores` has
/// a column for each position of the longest.
inline void attend(const layer_cache& cache, std::size_t kv_head,
                   er::matrix_view<const float> queries, std::span<const std::size_t> lengths,
                   er::matrix_view<float> scores, er::matrix_view<float> out, const er::kernel& k) {
  const float factor = 1.0f / std::sqrt(static_cast<float>(queries.cols));
  if (const auto* quantized = std::get_if<er::kv_cache>(&cache)) {
    er::attention(*quantized, kv_head, queries, lengths, factor, scores, out, {.kernel = &k});
    return;
  }
  const auto& plain = std::get<float_cache>(cache);
  const er::dense_view keys{plain.key(kv_head, 0), er::scale_kind::float32, scores.cols,
                            queries.cols};
  er::gemm(er::weight_ref(er::matrix_part(keys)), er::unquantized(queries), scores, {.kernel = &k});
  for (std::size_t q = 0; q < queries.rows; ++q) {
    const std::span<float> row = scores.row(q).first(lengths[q]);
    er::softmax(row, {.scale = factor, .kernel = &k});
    mix(plain, kv_head, row, out.row(q));
  }
}

}  // namespace llm
