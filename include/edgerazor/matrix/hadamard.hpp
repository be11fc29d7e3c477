// SPDX-License-Identifier: Apache-2.0
/// Orthogonal transforms by Hadamard matrices: activations whose few large columns are spread over
/// all, so that a coarse grid holds them.
///
///     y = H x / sqrt(n)        H: n x n of 1 and -1, H H^T = n I
///
/// The order n is 2^k, or m 2^k with a core of order m = 12, 20, 28, 36, 40, 52, 60, 108, 140, 156
/// or 172, whose sizes are those of language models: H = core x Sylvester (Kronecker product), of
/// the largest core that leaves a power of two. The cores are QuaRot's (arXiv 2404.00456), and so
/// are the transforms:
///
///     Paley I        q = m - 1 = 11, 19, 59, 107, 139, chi the quadratic character modulo q
///     Paley II       q = m / 2 - 1 = 13, 17
///     Williamson     m = 52, 156, 172: four symmetric circulant blocks of order m / 4
///     40             Sylvester's 2 x 2 x the core of order 20
///
/// Sources: Paley, J. Math. Phys. 12 (1933); Williamson, Duke Math. J. 11 (1944).
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
/// The loops of a transform, a table for each instruction set; all give the same bits.
struct hadamard_loops {
  static constexpr std::size_t width = 64, rows = 4;

  std::string_view name;
  bool (*supported)() noexcept;
  /// Transforms by Sylvester's matrix of order `power`, block after block, without a factor.
  void (*butterflies)(float* values, std::size_t count, std::size_t power) noexcept;
  /// out[width * r + k] = factor * (sum over j < m, in order, of signs[m * r + j] * in[width * j +
  /// k]) of `rows` rows and `count` <= width columns; more of both may be read and written.
  void (*core_rows)(const float* in, std::size_t m, std::size_t count, const float* signs,
                    float factor, float* out) noexcept;
};
/// Those that this processor can run, fastest first; the last runs everywhere.
[[nodiscard]] EDGERAZOR_FUNCTION std::span<const hadamard_loops* const>
available_hadamard_loops() noexcept;
/// The transform by those loops.
EDGERAZOR_FUNCTION void transform_blocks(const hadamard_loops& loops, std::size_t order,
                                         std::size_t core_order, float factor, bool back,
                                         std::span<float> values) noexcept;
}  // namespace detail::matrix

/// A transform of blocks of n columns; n may be all of a row's or a part of them (64 or 128: groups
/// stay apart, and fewer additions). Its additions have one order, so results have the same bits
/// everywhere:
///
///     butterflies of distance 1, 2, 4, ..., then each row of the core, column after column, then
///     times float(1 / sqrt(n))
class hadamard {
 public:
  /// Whether there is a transform of that order.
  [[nodiscard]] static EDGERAZOR_FUNCTION bool has_order(std::size_t n) noexcept;
  /// Fails where there is none.
  explicit EDGERAZOR_FUNCTION hadamard(std::size_t n);

  [[nodiscard]] std::size_t order() const noexcept { return order_; }
  /// Of the core: 1 where the order is a power of two.
  [[nodiscard]] std::size_t core_order() const noexcept { return core_; }
  /// An element of H, 1 or -1.
  [[nodiscard]] EDGERAZOR_FUNCTION int sign(std::size_t row, std::size_t col) const noexcept;

  /// values = H values / sqrt(n), or with the transposed H, which takes that back up to rounding;
  /// block after block. Precondition: the size is a multiple of the order. A NaN or infinity
  /// reaches its whole block. No allocation.
  EDGERAZOR_FUNCTION void transform(std::span<float> values) const noexcept;
  EDGERAZOR_FUNCTION void transform_back(std::span<float> values) const noexcept;

 private:
  std::size_t order_, core_;
  float factor_;
};

/// The weights' side: each row transformed, so that (rotated w) (H x / sqrt(n)) = w x. Before they
/// are quantized; the input is transformed by the stage `rotated` (matrix_sum.hpp), or by whoever
/// makes it. Fails where the columns are no multiple of the order.
EDGERAZOR_FUNCTION void rotate_rows(matrix_view<float> weights, const hadamard& h);

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/matrix/hadamard_impl.hpp>
#endif
