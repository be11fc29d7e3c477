// SPDX-License-Identifier: Apache-2.0
/// Distributions over positions: a query's over keys, student's and the mean of several of the
/// teacher's; and a token's over the tokens of its sample, R = softmax(x_i . x_j / sqrt(width))
/// over j, kept as logarithms in rows of doubles.
#pragma once

#include <cstddef>

#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Rows like `first`, `stride` elements apart, that stand for their mean.
struct row_group {
  input_row first;
  std::size_t count = 1;
  std::size_t stride = 0;

  [[nodiscard]] input_row operator[](std::size_t g) const noexcept {
    return {static_cast<const std::byte*>(first.data) + g * stride * size_of(first.type),
            first.size, first.type};
  }
};

/// H(p) in nats. Parity: as EdgeRazor (Python) has it (compute_teacher_confidence), of softmax(p).
[[nodiscard]] EDGERAZOR_FUNCTION double attention_entropy(const row_group& teacher,
                                                          bool parity) noexcept;

/// Both divergences, and the gradient of the blend with respect to the student's probabilities
/// where `out` has data; it may overwrite the student's row. With a = ln(q / p): KL(q||p) = sum q a
/// and KL(p||q) = -sum p a, where 0 ln 0 is 0.
///
///     d KL(q||p) / dq = a + 1        d KL(p||q) / dq = -p / q        0 where both are 0
///
/// Parity: probabilities are clamped at 1e-8, and a clamped one of the student has no gradient.
EDGERAZOR_FUNCTION kl_divergences attention_row(const input_row& student, const row_group& teacher,
                                                const kl_blend& blend, bool parity,
                                                const output_row& out) noexcept;

/// A row of relations is read in whole vectors: behind its last token stands a logarithm whose
/// exponential is 0.
inline constexpr std::size_t relation_padding = 64;

/// Doubles of a row of relations among `tokens`.
[[nodiscard]] constexpr std::size_t relation_cols(std::size_t tokens) noexcept {
  return (tokens + relation_padding - 1) / relation_padding * relation_padding;
}

/// ln R of row `i` of `states` (tokens x width), padded.
EDGERAZOR_FUNCTION void relate(const double* states, std::size_t tokens, std::size_t width,
                               std::size_t i, double* out) noexcept;

/// H(p) in nats of a row of ln p. Parity: as EdgeRazor (Python) has it
/// (compute_teacher_confidence), of softmax(p).
[[nodiscard]] EDGERAZOR_FUNCTION double relation_entropy(const double* ln_p, std::size_t tokens,
                                                         bool parity) noexcept;

/// Both divergences of two rows, and the blend's gradient in the student's relations before softmax
/// where `slopes` isn't null:
///
///     d KL(p||q) / dz_j = q_j - p_j        d KL(q||p) / dz_j = q_j (ln q_j - ln p_j - KL(q||p))
///
/// Parity: probabilities clamped at 1e-8 and no gradient through a clamped one (see parity_kl).
EDGERAZOR_FUNCTION kl_divergences relation_row(const double* ln_q, const double* ln_p,
                                               std::size_t tokens, const kl_blend& blend,
                                               bool parity, double* slopes) noexcept;

/// From the relations of token `i` back to the states:
///
///     dx_i += sum_j dz_j x_j / sqrt(width)        dx_j += dz_j x_i / sqrt(width)
EDGERAZOR_FUNCTION void relate_back(const double* states, std::size_t tokens, std::size_t width,
                                    std::size_t i, const double* slopes, double* gradient) noexcept;

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/distill/row/positions_impl.hpp>
#endif
