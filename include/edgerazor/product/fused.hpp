// SPDX-License-Identifier: Apache-2.0
/// Several products with the same activations as one job, and the gated product of a feed-forward
/// layer.
///
/// Query, key and value, or gate and up, have one input: it is quantized once, and their rows are
/// handed out together, so that threads meet once and not three times. All forms take int8
/// activations (activation_view) or float ones (unquantized) as gemm does, allocate nothing, and
/// give the bits of the products one by one.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <variant>

#include <edgerazor/product/grains.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What a product multiplies weights with.
template <class X>
concept product_input = std::same_as<X, activation_view> || std::same_as<X, unquantized>;

/// Any weight matrix by reference.
class weight_ref {
 public:
  template <weight_matrix W>
  weight_ref(const W& w) {
    if constexpr (std::convertible_to<const W&, packed_view>) {
      matrix_ = packed_view(w);
    } else {
      matrix_ = &w;
    }
  }

  /// use(matrix), of a packed_view, mixed_matrix or any_matrix.
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    if (const auto* packed = std::get_if<packed_view>(&matrix_)) return use(*packed);
    if (const auto* mixed = std::get_if<const mixed_matrix*>(&matrix_)) return use(**mixed);
    return use(**std::get_if<const any_matrix*>(&matrix_));
  }
  [[nodiscard]] std::size_t rows() const noexcept {
    return visit([](const auto& w) { return w.rows(); });
  }

 private:
  std::variant<packed_view, const mixed_matrix*, const any_matrix*> matrix_;
};

/// One of several products with the same activations: y = w x.
struct fused_product {
  weight_ref w;
  matrix_view<float> y;

  fused_product(const weight_ref& weights, const matrix_view<float>& out) : w(weights), y(out) {}
  /// Of one token.
  fused_product(const weight_ref& weights, std::span<float> out)
      : w(weights), y(out.data(), 1, out.size()) {}
};

/// Rows of all matrices, one after the other.
[[nodiscard]] inline std::size_t fused_rows(std::span<const fused_product> products) noexcept {
  std::size_t sum = 0;
  for (const fused_product& p : products) sum += p.w.rows();
  return sum;
}

namespace detail::product {

inline const activation_view& input_of(const activation_view& x) noexcept {
  return x;
}
inline const matrix_view<const float>& input_of(const unquantized& x) noexcept {
  return x.tokens;
}

template <class X>
void require_products(std::span<const fused_product> products, const X& x,
                      const kernel::functions& k) {
  for (const fused_product& p : products) {
    p.w.visit([&](const auto& w) { require_product(w, x, p.y, {0, w.rows()}, k); });
  }
}

/// Floats of a block of gates, on the stack: rows times tokens.
inline constexpr std::size_t gate_floats = 8192, gate_tokens = 256, gate_rows = 1024;

/// Rows at whose multiples neither matrix has a tile that is cut, or the most that a block holds
/// for 16 tokens.
template <class G, class U>
std::size_t gated_unit(const G& gate, const U& up) noexcept {
  return std::min(gate_floats / 16, std::max(whole_tile_rows(gate), whole_tile_rows(up)));
}

}  // namespace detail::product

/// out[i] = gate[i] / (1 + e^-gate[i]) * up[i]: SiLU of the gate, times up; with the exponential of
/// exponential.hpp, the same bits from every kernel. Gates below -88.7 give zero. All three have
/// one size; out may be gate or up.
inline void silu_product(std::span<const float> gate, std::span<const float> up,
                         std::span<float> out, const kernel& k = best_kernel()) noexcept {
  alignas(64) float powers[256];
  for (std::size_t begin = 0; begin < out.size(); begin += std::size(powers)) {
    const std::size_t count = std::min(std::size(powers), out.size() - begin);
    const float *g = gate.data() + begin, *u = up.data() + begin;
    float* to = out.data() + begin;
    std::copy_n(g, count, powers);
    (void)k.exponentials(powers, count, -1.0f, 0.0f);
    for (std::size_t i = 0; i < count; ++i) to[i] = g[i] / (1.0f + powers[i]) * u[i];
  }
}

/// Rows [range) of several products, numbered through all matrices: after the last row of one comes
/// the first of the next. The matrices may differ in format and rows; columns and groups are the
/// activations'. Fails where one of them does not fit, naming it, or the range.
template <product_input X>
void gemm_fused(std::span<const fused_product> products, const X& x, row_range range,
                const kernel& k = best_kernel()) {
  detail::product::require_products(products, detail::product::input_of(x), k);
  const std::size_t rows = fused_rows(products);
  if (range.begin > range.end || range.end > rows) {
    detail::core::fail("fused product: rows " + std::to_string(range.begin) + " to " +
                       std::to_string(range.end) + " of " + std::to_string(rows));
  }
  std::size_t first = 0;
  for (const fused_product& p : products) {
    const std::size_t count = p.w.rows(),
                      begin = std::clamp(range.begin, first, first + count) - first,
                      end = std::clamp(range.end, first, first + count) - first;
    if (begin < end) {
      p.w.visit([&](const auto& w) {
        detail::product::multiply(w, detail::product::input_of(x), p.y, row_range{begin, end}, k);
      });
    }
    first += count;
  }
}
template <product_input X>
void gemm_fused(std::span<const fused_product> products, const X& x,
                const kernel& k = best_kernel()) {
  gemm_fused(products, x, row_range{0, fused_rows(products)}, k);
}
/// On the executor's threads, in grains of each matrix. At most 16 matrices.
template <class Executor, product_input X>
void gemm_fused(Executor&& executor, std::span<const fused_product> products, const X& x,
                const kernel& k = best_kernel()) {
  constexpr std::size_t most = 16;
  if (products.size() > most) {
    detail::core::fail("fused product: " + std::to_string(products.size()) +
                       " matrices, expected at most " + std::to_string(most));
  }
  detail::product::require_products(products, detail::product::input_of(x), k);
  row_grains grains[most];
  std::size_t count = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    grains[i] =
        products[i].w.visit([&](const auto& w) { return row_grains(w, products[i].y.rows); });
    count += grains[i].count();
  }
  detail::core::execute(executor, count, [&](std::size_t grain) noexcept {
    std::size_t i = 0;
    for (; grain >= grains[i].count(); ++i) grain -= grains[i].count();
    products[i].w.visit([&](const auto& w) {
      detail::product::multiply(w, detail::product::input_of(x), products[i].y, grains[i][grain],
                                k);
    });
  });
}

namespace detail::product {

/// A block at a time: y takes gate x, which moves to the buffer, then up x; both are still in the
/// nearest cache when silu_product joins them.
template <class G, class U, class X>
void multiply_gated(const G& gate, const U& up, const X& x, const matrix_view<float>& y,
                    row_range range, const kernel::functions& k) {
  alignas(64) float gates[gate_floats];
  const std::size_t unit = gated_unit(gate, up),
                    tokens = std::clamp<std::size_t>(y.rows, 1,
                                                     std::min(gate_tokens, gate_floats / unit));
  const std::size_t block = std::max(unit, std::min(gate_rows, gate_floats / tokens) / unit * unit);
  for (std::size_t begin = range.begin; begin < range.end;) {
    const std::size_t end = std::min(range.end, (begin / block + 1) * block), rows = end - begin;
    for (std::size_t t = 0; t < y.rows; t += tokens) {
      const matrix_view<float> out = y.rows_between(t, std::min(t + tokens, y.rows));
      const auto some = tokens_of(x, t, t + out.rows);
      multiply(gate, some, out, row_range{begin, end}, k);
      for (std::size_t i = 0; i < out.rows; ++i)
        std::copy_n(out.row(i).data() + begin, rows, gates + rows * i);
      multiply(up, some, out, row_range{begin, end}, k);
      for (std::size_t i = 0; i < out.rows; ++i) {
        const std::span<float> to = out.row(i).subspan(begin, rows);
        silu_product({gates + rows * i, rows}, to, to, k);
      }
    }
    begin = end;
  }
}

template <class G, class U, class X>
void require_gated(const G& gate, const U& up, const X& x, const matrix_view<float>& y,
                   row_range range, const kernel::functions& k) {
  require_product(gate, x, y, range, k);
  require_product(up, x, y, range, k);
}

}  // namespace detail::product

/// Rows [range) of the gated product: y[t][r] = silu(gate[r] . x[t]) * (up[r] . x[t]), with the
/// bits of two gemms and a silu_product. The two matrices have one shape; formats may differ. `y`:
/// tokens x rows, of which only the columns in the range are written. Fails where they do not fit.
///
/// For many tokens it saves writing and reading two matrices of tokens x rows. For one token it
/// saves a job and a few KiB, and costs what reading two streams in turn costs: where weights come
/// from DRAM, gemm_fused and a silu_product are as fast or faster.
template <weight_matrix G, weight_matrix U, product_input X>
void gemm_gated(const G& gate, const U& up, const X& x, matrix_view<float> y, row_range range,
                const kernel& k = best_kernel()) {
  detail::product::require_gated(detail::product::operand(gate), detail::product::operand(up),
                                 detail::product::input_of(x), y, range, k);
  detail::product::multiply_gated(detail::product::operand(gate), detail::product::operand(up),
                                  detail::product::input_of(x), y, range, k);
}
template <weight_matrix G, weight_matrix U, product_input X>
void gemm_gated(const G& gate, const U& up, const X& x, matrix_view<float> y,
                const kernel& k = best_kernel()) {
  gemm_gated(gate, up, x, y, row_range{0, gate.rows()}, k);
}
/// On the executor's threads.
template <class Executor, weight_matrix G, weight_matrix U, product_input X>
void gemm_gated(Executor&& executor, const G& gate, const U& up, const X& x, matrix_view<float> y,
                const kernel& k = best_kernel()) {
  const auto& g = detail::product::operand(gate);
  const auto& u = detail::product::operand(up);
  detail::product::require_gated(g, u, detail::product::input_of(x), y, {0, gate.rows()}, k);
  // Each of the two streams is as long as that of a single product would be.
  const std::size_t bytes = std::min(gate.bytes().size(), up.bytes().size());
  const row_grains grains(gate.rows(), detail::product::gated_unit(g, u), bytes, y.rows);
  detail::core::execute(executor, grains.count(), [&](std::size_t grain) noexcept {
    detail::product::multiply_gated(g, u, detail::product::input_of(x), y, grains[grain], k);
  });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
