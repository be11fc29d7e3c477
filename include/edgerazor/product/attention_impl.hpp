// SPDX-License-Identifier: Apache-2.0
/// What attention.hpp declares.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/product/attention.hpp>
#include <edgerazor/product/gemm_impl.hpp>

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
inline constexpr std::size_t sums_at_once = 4;
inline void add_positions(const kv_cache& cache, std::size_t head,
                          const matrix_view<const float>& probabilities, std::size_t begin,
                          std::size_t end, const matrix_view<float>& out,
                          const kernel::functions& k) noexcept {
  constexpr std::size_t block = 256;
  float weights[sums_at_once * block];
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
      k.weighted_sum(cache.values(head) + t * cache.head_size() + first, cache.head_size(), weights,
                     block, positions, count, out.rows, out.data + first, out.stride);
    }
  }
}
}  // namespace detail::product

EDGERAZOR_FUNCTION void attention_scores(const kv_cache& cache, std::size_t head,
                                         const product_input& queries, matrix_view<float> scores,
                                         const kernel_options& options) {
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  queries.visit([&](const auto& q) {
    detail::product::require_head(cache, head, detail::product::cols_of(q), scores.cols);
    detail::product::require_queries(detail::product::count_of(q), scores.rows);
    detail::product::require_apart(q, scores, "attention");
  });
  const weight_ref keys = cache.keys(head);
  const std::optional<detail::product::one_input> own = queries.input(0, cache.group_cols());
  if (!own) detail::core::fail("attention: the input was not prepared for the cached keys");
  detail::product::require_operands(keys.part(), *own);
  detail::product::multiply(keys, queries, scores, {0, scores.cols}, k);
}

EDGERAZOR_FUNCTION void softmax(std::span<float> scores, const softmax_options& options) noexcept {
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
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
    sum += static_cast<double>(k.exponentials(scores.data() + i, count, options.scale, largest));
  }
  const float inverse = static_cast<float>(1.0 / sum);
  for (float& s : scores) s *= inverse;
}

EDGERAZOR_FUNCTION void attention_mix(const kv_cache& cache, std::size_t head,
                                      matrix_view<const float> probabilities,
                                      matrix_view<float> out, const kernel_options& options) {
  using detail::product::sums_at_once;
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  detail::product::require_head(cache, head, out.cols, probabilities.cols);
  detail::product::require_queries(out.rows, probabilities.rows);
  detail::product::require_apart(probabilities, out, "attention");
  for (std::size_t q = 0; q < out.rows; q += sums_at_once) {
    const std::size_t end = std::min(q + sums_at_once, out.rows);
    const matrix_view<float> some = out.rows_between(q, end);
    for (std::size_t i = 0; i < some.rows; ++i) std::fill_n(some.row(i).data(), some.cols, 0.0f);
    detail::product::add_positions(cache, head, probabilities.rows_between(q, end), 0,
                                   probabilities.cols, some, k);
  }
}

EDGERAZOR_FUNCTION void attention(const kv_cache& cache, std::size_t head,
                                  matrix_view<const float> queries,
                                  std::span<const std::size_t> lengths, float scale,
                                  matrix_view<float> scores, matrix_view<float> out,
                                  const kernel_options& options) {
  using detail::product::sums_at_once;
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
  attention_scores(cache, head, unquantized{queries},
                   matrix_view<float>{scores.data, scores.rows, longest, scores.stride}, options);
  for (std::size_t q = 0; q < queries.rows; ++q)
    softmax(scores.row(q).first(lengths[q]), {.scale = scale, .kernel = options.kernel});
  for (std::size_t q = 0; q < out.rows; q += sums_at_once) {
    const std::size_t end = std::min(q + sums_at_once, out.rows);
    const std::size_t shared =
        *std::min_element(lengths.begin() + static_cast<std::ptrdiff_t>(q),
                          lengths.begin() + static_cast<std::ptrdiff_t>(end));
    attention_mix(cache, head,
                  matrix_view<const float>{scores.row(q).data(), end - q, shared, scores.stride},
                  out.rows_between(q, end), options);
    for (std::size_t i = q; i < end; ++i) {  // positions that only this one of the four sees
      detail::product::add_positions(
          cache, head, {scores.row(i).data(), 1, lengths[i], scores.stride}, shared, lengths[i],
          out.rows_between(i, i + 1), detail::product::functions_of(options.kernel));
    }
  }
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
