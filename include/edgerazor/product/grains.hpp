// SPDX-License-Identifier: Apache-2.0
/// Products whose rows a host's threads share: gemm(executor, w, x, y), and the cut into grains for
/// hosts that would rather call the forms with a row_range themselves.
///
/// Who takes which grain is the executor's choice. Grains are small, so that unequal cores finish
/// together; results have the bits of the undivided product whatever the choice.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/product/gemv.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Part `index` of `parts` nearly equal parts of `rows` rows, cut at multiples of `tile_rows`. The
/// parts cover all rows once; the last ones are empty where there are fewer tiles than parts. Fails
/// where `parts` is 0 or `index` is not below it.
[[nodiscard]] inline row_range split_rows(std::size_t rows, std::size_t parts, std::size_t index) {
  if (index >= parts) {
    detail::core::fail("split_rows: part " + std::to_string(index) + " of " +
                       std::to_string(parts) + ", expected a part below the number of parts");
  }
  const std::size_t tiles = (rows + tile_rows - 1) / tile_rows;
  const std::size_t begin = tiles * index / parts * tile_rows,
                    end = tiles * (index + 1) / parts * tile_rows;
  return {begin < rows ? begin : rows, end < rows ? end : rows};
}

namespace detail::product {

/// Rows at whose multiples no tile is cut in two, and no block of a dense matrix.
inline std::size_t whole_tile_rows(const packed_view&) noexcept {
  return tile_rows;
}
/// A part's second tile begins at row rows[16] of the matrix; every nth row in the higher precision
/// makes that 16 n, where the other part's tiles end too. Of masks without a period the result is a
/// guess: a tile that is cut is computed twice.
inline std::size_t whole_tile_rows(const mixed_matrix& w) noexcept {
  std::size_t unit = tile_rows;
  for (const mixed_matrix::segment& part : w.segments()) {
    if (part.rows.size() > tile_rows)
      unit = std::max<std::size_t>(unit, part.rows[tile_rows] - part.rows[0]);
  }
  return (unit + tile_rows - 1) / tile_rows * tile_rows;
}
inline std::size_t whole_tile_rows(const any_matrix& w) noexcept {
  if (w.is_dense()) return dense_rows;
  return w.mixed() ? whole_tile_rows(*w.mixed()) : tile_rows;
}

inline std::size_t group_cols_of(const packed_view& w) noexcept {
  return w.layout().group_cols();
}
template <class W>
std::size_t group_cols_of(const W& w) noexcept {
  return w.group_cols();
}

/// Fails as the product would.
template <class W, class X>
void require_product(const W& w, const X& x, const matrix_view<float>& y, row_range range,
                     const kernel::functions& k) {
  require_fit(w.rows(), w.cols(), x, y, range);
  multiply(w, x, y, row_range{0, 0}, k);
}

}  // namespace detail::product

/// The rows of a product in nearly equal grains [0, count()), each of whole tiles.
class row_grains {
 public:
  /// Weights that a grain multiplies with tokens, in bytes, at least: some three microseconds of a
  /// core that reads from DRAM, against a tenth of one to hand a grain out. From `few` grains on
  /// twice as many: where a grain ends, a core's prefetcher has to find the next one's stream.
  static constexpr std::size_t least_bytes = 32 * 1024, few = 8;
  /// More would not let unequal cores finish together any better.
  static constexpr std::size_t most = 256;

  row_grains() = default;
  /// `unit`: rows at whose multiples a grain may end; `bytes`: of all weights.
  row_grains(std::size_t rows, std::size_t unit, std::size_t bytes, std::size_t tokens) noexcept
      : rows_(rows), unit_(unit) {
    const std::size_t least =
        std::max<std::size_t>(1, least_bytes / std::max<std::size_t>(1, tokens));
    const std::size_t wanted = std::clamp<std::size_t>(bytes / least, 1, 2 * most);
    count_ = std::min(units(), wanted <= few ? wanted : std::max(few, wanted / 2));
    // A count that the usual numbers of threads divide, so that equal cores finish together too.
    count_ = count_ < few ? std::bit_floor(count_) : count_ / few * few;
  }
  /// Of a matrix that `tokens` tokens are multiplied with.
  template <weight_matrix W>
  row_grains(const W& w, std::size_t tokens) noexcept
      : row_grains(w.rows(), detail::product::whole_tile_rows(detail::product::operand(w)),
                   w.bytes().size(), tokens) {}

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] row_range operator[](std::size_t grain) const noexcept {
    return {std::min(rows_, units() * grain / count_ * unit_),
            std::min(rows_, units() * (grain + 1) / count_ * unit_)};
  }

 private:
  [[nodiscard]] std::size_t units() const noexcept { return (rows_ + unit_ - 1) / unit_; }

  std::size_t rows_ = 0, unit_ = tile_rows, count_ = 0;
};

namespace detail::product {
template <class Executor, class W, class X>
void execute_product(Executor& executor, const W& w, const X& x, const matrix_view<float>& y,
                     const kernel::functions& k) {
  require_product(w, x, y, {0, w.rows()}, k);
  const row_grains grains(w, y.rows);
  core::execute(executor, grains.count(),
                [&](std::size_t grain) noexcept { multiply(w, x, y, grains[grain], k); });
}
}  // namespace detail::product

/// As gemm(w, x, y, k), its rows on the executor's threads; see row_executor.
template <class Executor, weight_matrix W>
void gemm(Executor&& executor, const W& w, const activation_view& x, matrix_view<float> y,
          const kernel& k = best_kernel()) {
  detail::product::execute_product(executor, detail::product::operand(w), x, y, k);
}
template <class Executor, weight_matrix W>
void gemm(Executor&& executor, const W& w, const unquantized& x, matrix_view<float> y,
          const kernel& k = best_kernel()) {
  detail::product::execute_product(executor, detail::product::operand(w), x.tokens, y, k);
}

/// As gemv(w, x, y, k), its rows on the executor's threads.
template <class Executor, weight_matrix W>
void gemv(Executor&& executor, const W& w, const activation_view& x, std::span<float> y,
          const kernel& k = best_kernel()) {
  gemm(executor, w, x, matrix_view<float>{y.data(), 1, y.size()}, k);
}
template <class Executor, weight_matrix W>
void gemv(Executor&& executor, const W& w, const unquantized& x, std::span<float> y,
          const kernel& k = best_kernel()) {
  gemm(executor, w, x, matrix_view<float>{y.data(), 1, y.size()}, k);
}
/// The convenient form: quantizes x on the calling thread, with room that it allocates.
template <class Executor, weight_matrix W>
void gemv(Executor&& executor, const W& w, std::span<const float> x, std::span<float> y,
          const kernel& k = best_kernel()) {
  if constexpr (std::is_same_v<W, any_matrix>) {
    if (w.is_dense()) return gemv(executor, w, unquantized{x}, y, k);
  }
  const matrix_view<const float> token{x.data(), 1, x.size()};
  detail::product::require_fit(w.rows(), w.cols(), token, matrix_view<float>{y.data(), 1, y.size()},
                               {0, w.rows()});
  packed_activations x8(x.size(), detail::product::group_cols_of(detail::product::operand(w)));
  gemv(executor, w, quantize_activations(token, x8, activation_scales::of_groups, k), y, k);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
