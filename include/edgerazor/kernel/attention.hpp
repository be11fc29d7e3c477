/// Attention over the int8 cache: scores of a query with the cached keys, softmax, and the mix of the cached values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/kernel/gemv.hpp>
#include <edgerazor/pack/kv_cache.hpp>

namespace edgerazor::inline v0 {

namespace detail {
inline void require_head(const kv_cache& cache, std::size_t head, std::size_t head_size, std::size_t positions) {
  if (head < cache.kv_heads() && head_size == cache.head_size() && positions <= cache.size()) return;
  fail("attention: head " + std::to_string(head) + " of " + std::to_string(head_size) + " columns over " +
       std::to_string(positions) + " positions, of a cache of " + std::to_string(cache.kv_heads()) + " heads of " +
       std::to_string(cache.head_size()) + " columns with " + std::to_string(cache.size()) + " positions");
}
}  // namespace detail

/// scores[t] = query . key[t] of a key/value head for the first scores.size() positions; unscaled (a host multiplies by
/// 1 / sqrt(head_size)). The query stays float, as in the reference, or is int8 with the cache's groups.
/// Fails where the sizes do not fit the cache. No allocation.
inline void attention_scores(const kv_cache& cache, std::size_t head, std::span<const float> query,
                             std::span<float> scores, const kernel& k = best_kernel()) {
  detail::require_head(cache, head, query.size(), scores.size());
  const matrix_view<float> y{scores.data(), 1, scores.size()};
  detail::multiply(cache.keys(head), matrix_view<const float>{query.data(), 1, query.size()}, y, {0, scores.size()}, k);
}
inline void attention_scores(const kv_cache& cache, std::size_t head, const activation_view& query,
                             std::span<float> scores, const kernel& k = best_kernel()) {
  detail::require_head(cache, head, query.cols, scores.size());
  if (query.tokens != 1) fail("attention: expected one query, got " + std::to_string(query.tokens));
  const matrix_view<float> y{scores.data(), 1, scores.size()};
  detail::multiply(cache.keys(head), query, y, {0, scores.size()}, k);
}

/// In place: e^(scale * (s - max)) over the sum of them. One code path for all kernels; std::exp is the C library's.
inline void softmax(std::span<float> scores, float scale = 1.0f) noexcept {
  if (scores.empty()) return;
  const float largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (float& s : scores) {
    s = std::exp(scale * (s - largest));
    sum += static_cast<double>(s);
  }
  const float inverse = static_cast<float>(1.0 / sum);
  for (float& s : scores) s *= inverse;
}

/// out[c] = sum over the first probabilities.size() positions of probability[t] * value[t][c], in the order of
/// positions: out = fma(probability[t] * scale[t][group], level, out), from zero. Fails where the sizes do not fit the
/// cache. No allocation.
inline void attention_mix(const kv_cache& cache, std::size_t head, std::span<const float> probabilities,
                          std::span<float> out, const kernel& k = best_kernel()) {
  detail::require_head(cache, head, out.size(), probabilities.size());
  constexpr std::size_t block = 256;
  float weights[block];
  std::fill(out.begin(), out.end(), 0.0f);
  for (std::size_t g = 0; g < cache.groups(); ++g) {
    const std::size_t begin = g * cache.group_cols(), count = std::min(cache.group_cols(), out.size() - begin);
    for (std::size_t t = 0; t < probabilities.size(); t += block) {
      const std::size_t positions = std::min(block, probabilities.size() - t);
      for (std::size_t i = 0; i < positions; ++i) {
        weights[i] = probabilities[t + i] * cache.value_scales(head)[(t + i) * cache.groups() + g];
      }
      k.mix(cache.values(head) + t * cache.head_size() + begin, cache.head_size(), weights, positions, count,
            out.data() + begin);
    }
  }
}

}  // namespace edgerazor::inline v0
