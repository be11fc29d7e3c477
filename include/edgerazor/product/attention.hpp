// SPDX-License-Identifier: Apache-2.0
/// Attention over the int8 cache: scores of queries with the cached keys, softmax, and the mix of
/// the cached values.
///
/// Queries that share a key/value head (the heads of a group, the tokens of a prompt) are best
/// given together: keys and values are then decoded once for all of them. A query's result does not
/// depend on the others, bit for bit.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/product/gemv.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::product {
inline void require_head(const kv_cache& cache, std::size_t head, std::size_t head_size,
                         std::size_t positions) {
  if (head < cache.kv_heads() && head_size == cache.head_size() && positions <= cache.size())
    return;
  core::fail("attention: head " + std::to_string(head) + " of " + std::to_string(head_size) +
             " columns over " + std::to_string(positions) + " positions, of a cache of " +
             std::to_string(cache.kv_heads()) + " heads of " + std::to_string(cache.head_size()) +
             " columns with " + std::to_string(cache.size()) + " positions");
}
inline void require_queries(std::size_t queries, std::size_t rows) {
  if (queries == rows) return;
  core::fail("attention: " + std::to_string(queries) + " queries do not fit a matrix of " +
             std::to_string(rows) + " rows");
}

/// out[q][c] += sum over positions [begin, end) of probabilities[q][t] * value[t][c], for at most
/// `mixes` queries.
inline constexpr std::size_t mixes = 4;
inline void mix_positions(const kv_cache& cache, std::size_t head,
                          const matrix_view<const float>& probabilities, std::size_t begin,
                          std::size_t end, const matrix_view<float>& out,
                          const kernel::functions& k) noexcept {
  constexpr std::size_t block = 256;
  float weights[mixes * block];
  for (std::size_t g = 0; g < cache.groups(); ++g) {
    const std::size_t first = g * cache.group_cols(),
                      count = std::min(cache.group_cols(), out.cols - first);
    for (std::size_t t = begin; t < end; t += block) {
      const std::size_t positions = std::min(block, end - t);
      for (std::size_t q = 0; q < out.rows; ++q) {
        const float* scales = cache.value_scales(head) + t * cache.groups() + g;
        const float* row = probabilities.row(q).data() + t;
        for (std::size_t i = 0; i < positions; ++i)
          weights[block * q + i] = row[i] * scales[i * cache.groups()];
      }
      k.mix(cache.values(head) + t * cache.head_size() + first, cache.head_size(), weights, block,
            positions, count, out.rows, out.data + first, out.stride);
    }
  }
}
}  // namespace detail::product

/// scores[q][t] = query[q] . key[t] of a key/value head for the first scores.cols positions;
/// unscaled (softmax takes the factor 1 / sqrt(head_size)). Queries stay float, as in the
/// reference; `queries` is queries x head_size, `scores` queries x positions. Fails where the sizes
/// do not fit the cache. No allocation.
inline void attention_scores(const kv_cache& cache, std::size_t head,
                             matrix_view<const float> queries, matrix_view<float> scores,
                             const kernel& k = best_kernel()) {
  detail::product::require_head(cache, head, queries.cols, scores.cols);
  detail::product::require_queries(queries.rows, scores.rows);
  detail::product::multiply(cache.keys(head), queries, scores, {0, scores.cols}, k);
}
/// The same for one query.
inline void attention_scores(const kv_cache& cache, std::size_t head, std::span<const float> query,
                             std::span<float> scores, const kernel& k = best_kernel()) {
  attention_scores(cache, head, matrix_view<const float>{query.data(), 1, query.size()},
                   matrix_view<float>{scores.data(), 1, scores.size()}, k);
}
/// The same for one int8 query with the cache's groups.
inline void attention_scores(const kv_cache& cache, std::size_t head, const activation_view& query,
                             std::span<float> scores, const kernel& k = best_kernel()) {
  detail::product::require_head(cache, head, query.cols, scores.size());
  if (query.tokens != 1)
    detail::core::fail("attention: expected one query, got " + std::to_string(query.tokens));
  const matrix_view<float> y{scores.data(), 1, scores.size()};
  detail::product::multiply(cache.keys(head), query, y, {0, scores.size()}, k);
}

/// In place: e^(scale * (s - max)) over the sum of them, with the exponential of exponential.hpp:
/// the same bits from every kernel. Sums of 1024 exponentials are added in double. A score of
/// -infinity gets 0; NaN makes all NaN.
inline void softmax(std::span<float> scores, float scale = 1.0f,
                    const kernel& k = best_kernel()) noexcept {
  if (scores.empty()) return;
  constexpr std::size_t lanes = 16;  // one maximum would wait for itself at every score
  float maxima[lanes];
  std::fill_n(maxima, lanes, scores[0]);
  std::size_t i = 0;
  for (; i + lanes <= scores.size(); i += lanes) {
    for (std::size_t j = 0; j < lanes; ++j)
      maxima[j] = scores[i + j] > maxima[j] ? scores[i + j] : maxima[j];
  }
  float largest = maxima[0];
  for (const float s : maxima) largest = s > largest ? s : largest;
  for (; i < scores.size(); ++i) largest = scores[i] > largest ? scores[i] : largest;
  constexpr std::size_t block = 1024;
  double sum = 0;
  for (i = 0; i < scores.size(); i += block) {
    const std::size_t count = std::min(block, scores.size() - i);
    sum += static_cast<double>(k.exponentials(scores.data() + i, count, scale, largest));
  }
  const float inverse = static_cast<float>(1.0 / sum);
  for (float& s : scores) s *= inverse;
}

/// out[q][c] = sum over the first probabilities.cols positions of probability[q][t] * value[t][c],
/// in the order of positions: out = fma(probability[t] * scale[t][group], level, out), from zero.
/// `out` is queries x head_size. Fails where the sizes do not fit the cache. No allocation.
inline void attention_mix(const kv_cache& cache, std::size_t head,
                          matrix_view<const float> probabilities, matrix_view<float> out,
                          const kernel& k = best_kernel()) {
  detail::product::require_head(cache, head, out.cols, probabilities.cols);
  detail::product::require_queries(out.rows, probabilities.rows);
  for (std::size_t q = 0; q < out.rows; q += detail::product::mixes) {
    const std::size_t end = std::min(q + detail::product::mixes, out.rows);
    const matrix_view<float> some = out.rows_between(q, end);
    for (std::size_t i = 0; i < some.rows; ++i) std::fill_n(some.row(i).data(), some.cols, 0.0f);
    detail::product::mix_positions(cache, head, probabilities.rows_between(q, end), 0,
                                   probabilities.cols, some, k);
  }
}
/// The same for one query.
inline void attention_mix(const kv_cache& cache, std::size_t head,
                          std::span<const float> probabilities, std::span<float> out,
                          const kernel& k = best_kernel()) {
  attention_mix(cache, head,
                matrix_view<const float>{probabilities.data(), 1, probabilities.size()},
                matrix_view<float>{out.data(), 1, out.size()}, k);
}

/// The three steps for queries of one key/value head: query q meets the first lengths[q] positions
/// (causal attention of a prompt gives each token one more than the token before it),
///
///     out[q] = sum over t < lengths[q] of softmax_t(scale * query[q] . key[t]) * value[t]
///
/// `queries` and `out` are queries x head_size; `scores` is the caller's working memory, queries x
/// (at least the largest length). A length of zero gives zeros. Fails where the sizes do not fit.
/// No allocation.
inline void attention(const kv_cache& cache, std::size_t head, matrix_view<const float> queries,
                      std::span<const std::size_t> lengths, float scale, matrix_view<float> scores,
                      matrix_view<float> out, const kernel& k = best_kernel()) {
  detail::product::require_queries(queries.rows, lengths.size());
  detail::product::require_queries(queries.rows, scores.rows);
  detail::product::require_queries(queries.rows, out.rows);
  if (lengths.empty()) return;
  const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
  detail::product::require_head(cache, head, queries.cols, longest);
  detail::product::require_head(cache, head, out.cols, longest);
  if (scores.cols < longest) {
    detail::core::fail("attention: working memory of " + std::to_string(scores.cols) +
                       " scores a query for " + std::to_string(longest) + " positions");
  }
  attention_scores(cache, head, queries,
                   matrix_view<float>{scores.data, scores.rows, longest, scores.stride}, k);
  for (std::size_t q = 0; q < queries.rows; ++q) softmax(scores.row(q).first(lengths[q]), scale, k);
  for (std::size_t q = 0; q < out.rows; q += detail::product::mixes) {
    const std::size_t end = std::min(q + detail::product::mixes, out.rows);
    const std::size_t shared =
        *std::min_element(lengths.begin() + static_cast<std::ptrdiff_t>(q),
                          lengths.begin() + static_cast<std::ptrdiff_t>(end));
    attention_mix(cache, head,
                  matrix_view<const float>{scores.row(q).data(), end - q, shared, scores.stride},
                  out.rows_between(q, end), k);
    for (std::size_t i = q; i < end; ++i) {  // positions that only this one of the four sees
      detail::product::mix_positions(cache, head,
                                     {scores.row(i).data(), 1, lengths[i], scores.stride}, shared,
                                     lengths[i], out.rows_between(i, i + 1), k);
    }
  }
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
