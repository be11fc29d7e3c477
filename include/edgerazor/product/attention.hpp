// SPDX-License-Identifier: Apache-2.0
/// Attention over the int8 cache: scores of queries with the cached keys, softmax, and the weighted
/// sum of the cached values.
///
/// Queries that share a key/value head (the heads of a group, the tokens of a prompt) are best
/// given together: keys and values are then decoded once for all of them. A query's result does not
/// depend on the others, bit for bit. Nothing here allocates.
#pragma once

#include <cstddef>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/operands.hpp>
#include <edgerazor/product/options.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// scores[q][t] = query[q] . key[t] of a key/value head for the first scores.cols positions;
/// unscaled (softmax takes the factor 1 / sqrt(head_size)). `queries`: queries x head_size, float
/// (unquantized) as in EdgeRazor (Python), or int8 with the cache's groups; `scores`: queries x
/// positions. Fails where the sizes do not fit the cache.
EDGERAZOR_FUNCTION void attention_scores(const kv_cache& cache, std::size_t head,
                                         const product_input& queries, matrix_view<float> scores,
                                         const kernel_options& options = {});

struct softmax_options {
  float scale = 1.0f;                         ///< above 0
  const edgerazor::kernel* kernel = nullptr;  ///< null: the fastest
};

/// In place: e^(scale * (s - max)) over the sum of them, with the exponential of
/// kernel/exponential.hpp: the same bits from every kernel. Sums of 1024 exponentials are added in
/// double. A score of -infinity gets 0; NaN makes all NaN.
EDGERAZOR_FUNCTION void softmax(std::span<float> scores,
                                const softmax_options& options = {}) noexcept;

/// out[q][c] = sum over the first probabilities.cols positions of probability[q][t] * value[t][c],
/// in the order of positions: out = fma(probability[t] * scale[t][group], level, out), from zero.
/// `out` is queries x head_size. Fails where the sizes do not fit the cache.
EDGERAZOR_FUNCTION void attention_mix(const kv_cache& cache, std::size_t head,
                                      matrix_view<const float> probabilities,
                                      matrix_view<float> out, const kernel_options& options = {});

/// The three steps for queries of one key/value head: query q meets the first lengths[q] positions
/// (causal attention of a prompt gives each token one more than the token before it),
///
///     out[q] = sum over t < lengths[q] of softmax_t(scale * query[q] . key[t]) * value[t]
///
/// `queries` and `out` are queries x head_size; `scores` is the caller's working memory, queries x
/// (at least the largest length). A length of zero gives zeros. Fails where the sizes do not fit.
EDGERAZOR_FUNCTION void attention(const kv_cache& cache, std::size_t head,
                                  matrix_view<const float> queries,
                                  std::span<const std::size_t> lengths, float scale,
                                  matrix_view<float> scores, matrix_view<float> out,
                                  const kernel_options& options = {});

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/product/attention_impl.hpp>
#endif
