// SPDX-License-Identifier: Apache-2.0
/// What fused.hpp declares.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/product/fused.hpp>
#include <edgerazor/product/gemm_impl.hpp>
#include <edgerazor/product/product_grains.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

inline void require_rows(row_range range, std::size_t rows) {
  if (range.begin <= range.end && range.end <= rows) return;
  core::fail("fused product: rows " + std::to_string(range.begin) + " to " +
             std::to_string(range.end) + " of " + std::to_string(rows));
}

/// The rows of one of several matrices, whose first is number `first`, that lie in a range of all.
[[nodiscard]] inline row_range rows_of_matrix(row_range range, std::size_t first,
                                              std::size_t count) noexcept {
  return {std::clamp(range.begin, first, first + count) - first,
          std::clamp(range.end, first, first + count) - first};
}

/// -infinity as the lowest number, whose SiLU is the limit, -0; by the bits, since a build with
/// -ffinite-math-only removes comparisons with infinity.
inline float finite_below(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>(bits == 0xff800000u ? 0xff7fffffu : bits);
}

inline void multiply_silu(std::span<const float> gate, std::span<const float> up,
                          std::span<float> out, const kernel::functions& k) noexcept {
  alignas(64) float powers[256];
  for (std::size_t begin = 0; begin < out.size(); begin += std::size(powers)) {
    const std::size_t count = std::min(std::size(powers), out.size() - begin);
    const float *g = gate.data() + begin, *u = up.data() + begin;
    float* to = out.data() + begin;
    std::copy_n(g, count, powers);
    (void)k.exponentials(powers, count, -1.0f, 0.0f);
    for (std::size_t i = 0; i < count; ++i)
      to[i] = core::quotient(finite_below(g[i]), 1.0f + powers[i]) * u[i];
  }
}

/// Floats of a block of gates, on the stack: rows times tokens. Where products are looked up, fewer
/// tokens and more rows, which share a table.
inline constexpr std::size_t gate_floats = 8192, gate_tokens = 256, gate_rows = 1024,
                             look_up_gate_tokens = 2 * kernel::look_up_tokens;

/// Rows at whose multiples neither matrix has a tile that is cut, or the most that a block holds
/// for 16 tokens.
[[nodiscard]] inline std::size_t gated_unit(std::size_t gate_unit, std::size_t up_unit) noexcept {
  return std::min(gate_floats / 16, std::max(gate_unit, up_unit));
}

/// A block at a time: y takes gate x, which moves to the buffer, then up x; both are still in the
/// nearest cache when silu_product joins them.
inline void multiply_gated(const weight_ref& gate, const weight_ref& up, const product_input& x,
                           const matrix_view<float>& y, row_range range,
                           const kernel::functions& k) noexcept {
  alignas(64) float gates[gate_floats];
  const std::size_t unit = gated_unit(gate.row_unit(), up.row_unit()),
                    most = has_look_up(k, gate) || has_look_up(k, up) ? look_up_gate_tokens
                                                                      : gate_tokens,
                    tokens = std::clamp<std::size_t>(y.rows, 1, std::min(most, gate_floats / unit));
  // Nearly equal blocks: the last is no shorter than a table is worth.
  const std::size_t most_rows =
                        std::max(unit, std::min(gate_rows, gate_floats / tokens) / unit * unit),
                    first = range.begin / unit * unit, all = range.end - first,
                    blocks = std::max<std::size_t>(1, (all + most_rows - 1) / most_rows),
                    block = (all + blocks * unit - 1) / (blocks * unit) * unit;
  for (std::size_t begin = range.begin; begin < range.end;) {
    const std::size_t end = std::min(range.end, begin / unit * unit + block), rows = end - begin;
    for (std::size_t t = 0; t < y.rows; t += tokens) {
      const matrix_view<float> out = y.rows_between(t, std::min(t + tokens, y.rows));
      const product_input some = tokens_of(x, t, t + out.rows);
      multiply(gate, some, out, row_range{begin, end}, k);
      for (std::size_t i = 0; i < out.rows; ++i)
        std::copy_n(out.row(i).data() + begin, rows, gates + rows * i);
      multiply(up, some, out, row_range{begin, end}, k);
      for (std::size_t i = 0; i < out.rows; ++i) {
        const std::span<float> to = out.row(i).subspan(begin, rows);
        multiply_silu({gates + rows * i, rows}, to, to, k);
      }
    }
    begin = end;
  }
}

}  // namespace detail::product

EDGERAZOR_FUNCTION void gemm_fused(std::span<const fused_product> products, const product_input& x,
                                   const product_options& options) {
  constexpr std::size_t most = 16;
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  const std::size_t rows = fused_rows(products);
  const row_range range = detail::product::rows_of(options, rows);
  detail::product::require_rows(range, rows);
  if (options.executor && products.size() > most) {
    detail::core::fail("fused product: " + std::to_string(products.size()) +
                       " matrices, expected at most " + std::to_string(most));
  }
  for (const fused_product& p : products)
    detail::product::require_product(p.w, x, p.y, row_range{0, p.w.rows()});
  const auto multiply = [&](const fused_product& p, row_range some) noexcept {
    if (!some.empty()) detail::product::multiply(p.w, x, p.y, some, k);
  };
  if (!options.executor) {
    std::size_t first = 0;
    for (const fused_product& p : products) {
      multiply(p, detail::product::rows_of_matrix(range, first, p.w.rows()));
      first += p.w.rows();
    }
    return;
  }
  std::array<detail::product::product_grains, most> grains;
  std::array<row_range, most> parts;
  std::size_t count = 0, first = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    grains[i] = detail::product::product_grains(k, products[i].w, products[i].y.rows);
    parts[i] = detail::product::rows_of_matrix(range, first, products[i].w.rows());
    first += products[i].w.rows();
    count += grains[i].count();
  }
  options.executor(count, [&](std::size_t grain) noexcept {
    std::size_t i = 0;
    for (; grain >= grains[i].count(); ++i) grain -= grains[i].count();
    const fused_product& p = products[i];
    grains[i].visit(grain, parts[i], [&](row_range some, std::size_t begin, std::size_t end) {
      detail::product::multiply(p.w, detail::product::tokens_of(x, begin, end),
                                p.y.rows_between(begin, end), some, k);
    });
  });
}

EDGERAZOR_FUNCTION void silu_product(std::span<const float> gate, std::span<const float> up,
                                     std::span<float> out, const kernel_options& options) {
  if (gate.size() != out.size() || up.size() != out.size()) {
    detail::core::fail("silu_product: " + std::to_string(gate.size()) + " gates and " +
                       std::to_string(up.size()) + " values for an output of " +
                       std::to_string(out.size()));
  }
  detail::product::multiply_silu(gate, up, out, detail::product::functions_of(options.kernel));
}

EDGERAZOR_FUNCTION void gemm_gated(const weight_ref& gate, const weight_ref& up,
                                   const product_input& x, matrix_view<float> y,
                                   const product_options& options) {
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  const row_range range = detail::product::rows_of(options, gate.rows());
  detail::product::require_product(gate, x, y, range);
  detail::product::require_product(up, x, y, range);
  if (!options.executor) return detail::product::multiply_gated(gate, up, x, y, range, k);
  // Each of the two streams is as long as that of a single product would be.
  const detail::product::product_grains grains(
      gate.rows(), detail::product::gated_unit(gate.row_unit(), up.row_unit()),
      std::min(gate.bytes(), up.bytes()), y.rows,
      detail::product::has_look_up(k, gate) || detail::product::has_look_up(k, up));
  options.executor(grains.count(), [&](std::size_t grain) noexcept {
    grains.visit(grain, range, [&](row_range rows, std::size_t begin, std::size_t end) {
      detail::product::multiply_gated(gate, up, detail::product::tokens_of(x, begin, end),
                                      y.rows_between(begin, end), rows, k);
    });
  });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
