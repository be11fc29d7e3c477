// SPDX-License-Identifier: Apache-2.0
/// A product whose outputs are normalized: OneBit's linear layer.
///
///     y = norm(w x) + bias        norm(y) = (y - mean y) / sqrt(mean (y - mean y)^2 + epsilon)
///
///     const er::layer_norm_after layer{er::scaled_columns{h, signs}, bias};
///     er::gemm(layer, x, y, {.executor = pool});
///
/// A token's norm needs all of its outputs, so it is no part of a sum, which any range of rows
/// could be asked of: threads meet once more, between rows and tokens.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/product/operands.hpp>
#include <edgerazor/product/options.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Each row normalized where it stands: no scale of its own, variance over the row's elements
/// (biased), then `bias`, one number a column or none. In double, by sixteen sums of column modulo
/// 16 that are added in order, and rounded once: the same bits everywhere. A NaN or infinity makes
/// all of its row NaN. Fails where bias has another size, or epsilon is not a finite number above
/// 0. Source: OneBit (arXiv 2402.11295), its published layer.
EDGERAZOR_FUNCTION void normalize_rows(matrix_view<float> y, std::span<const float> bias = {},
                                       float epsilon = 1e-5f, executor_ref executor = {});

/// See above. Refers to its matrices and its bias as a composition does.
struct layer_norm_after {
  matrix_sum w;
  std::span<const float> bias;  ///< one a row of w, or none
  float epsilon = 1e-5f;

  template <class Part>
    requires(!std::is_same_v<std::remove_cvref_t<Part>, layer_norm_after>)
  explicit layer_norm_after(Part&& matrix, std::span<const float> added = {},
                            float smallest_variance = 1e-5f)
      : w(detail::matrix::sum_of_one(std::forward<Part>(matrix))),
        bias(added),
        epsilon(smallest_variance) {}

  [[nodiscard]] std::size_t rows() const noexcept { return w.rows(); }
  [[nodiscard]] std::size_t cols() const noexcept { return w.cols(); }
};

/// The product, then its rows normalized. `x`: what `layer.w` takes; a composition with stages what
/// was prepared for it. Fails as gemm and normalize_rows do, before anything is written, and where
/// the options name a range of rows.
EDGERAZOR_FUNCTION void gemm(const layer_norm_after& layer, const product_input& x,
                             matrix_view<float> y, const product_options& options = {});

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/product/layer_norm_after_impl.hpp>
#endif
