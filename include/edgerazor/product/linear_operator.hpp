// SPDX-License-Identifier: Apache-2.0
/// A product in two stages: the input, once a token for all rows; then rows, on any thread.
///
///     std::vector<std::byte> room(er::input_bytes(w, tokens));  // once
///     const er::prepared_input in = er::prepare(w, x, room);    // a token, or a batch
///     er::add(w, in, y, {.rows = rows});                        // y += w x; each thread its rows
///
/// The first stage scales, permutes and quantizes x as the matrix's parts ask, each of those once,
/// however many parts ask for it; matrices that are prepared together (query, key and value) share,
/// too. Parts ask for the same where their stages hold the same numbers in the same order and their
/// groups are the same. What is prepared goes to gemm, gemm_fused and gemm_gated as well, and fits
/// every matrix that it was prepared for.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/policy/activation_policy.hpp>
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/operands.hpp>
#include <edgerazor/product/options.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct prepare_options {
  bool quantized = true;  ///< false: packed parts take floats, as `unquantized` gives them
  activation_scales scales = activation_scales::of_groups;
  const edgerazor::kernel* kernel = nullptr;  ///< null: the fastest
  executor_ref executor{};                    ///< shares the tokens
  activation_policy policy{};                 ///< of the codes; empty: int8 by the maximum
};

/// Bytes that prepare() needs for so many tokens, at any address. Fails where the matrices have
/// different columns, or ask for more than 64 inputs.
[[nodiscard]] EDGERAZOR_FUNCTION std::size_t input_bytes(std::span<const weight_ref> matrices,
                                                         std::size_t tokens, bool quantized = true);
template <class W>
  requires(weight_matrix<W> || std::is_same_v<W, weight_ref>)
[[nodiscard]] std::size_t input_bytes(const W& w, std::size_t tokens, bool quantized = true) {
  const weight_ref one = w;
  return input_bytes(std::span<const weight_ref>{&one, 1}, tokens, quantized);
}

/// What all rows of these matrices share. `x`: tokens x cols. x, the room and the matrices must
/// live as long as the result. No allocation. Fails as input_bytes() does, where x has other
/// columns than the matrices, and where the room is smaller than input_bytes() says; so does a
/// policy as quantize_activations() says.
[[nodiscard]] EDGERAZOR_FUNCTION prepared_input prepare(std::span<const weight_ref> matrices,
                                                        matrix_view<const float> x,
                                                        std::span<std::byte> room,
                                                        const prepare_options& options = {});
template <class W>
  requires(weight_matrix<W> || std::is_same_v<W, weight_ref>)
[[nodiscard]] prepared_input prepare(const W& w, matrix_view<const float> x,
                                     std::span<std::byte> room,
                                     const prepare_options& options = {}) {
  const weight_ref one = w;
  return prepare(std::span<const weight_ref>{&one, 1}, x, room, options);
}

/// y[t][r] += sum over c of w[r][c] * x[t][c], for the rows of the options; gemm is this after y =
/// 0. `y`: tokens x rows. Fails as gemm does, before anything is written; past its checks nothing
/// fails and nothing allocates. Any split into rows, any kernel and any number of threads give the
/// same bits.
EDGERAZOR_FUNCTION void add(const weight_ref& w, const product_input& x, matrix_view<float> y,
                            const product_options& options = {});

/// What can be prepared for and added: any matrix of weights, and what is composed of them.
template <class L>
concept linear_operator =
    weight_matrix<L> &&
    requires(const L& l, const matrix_view<const float>& x, std::span<std::byte> room,
             const matrix_view<float>& y, row_range rows) {
      { l.rows() } -> std::convertible_to<std::size_t>;
      { l.cols() } -> std::convertible_to<std::size_t>;
      { input_bytes(l, x.rows) } -> std::convertible_to<std::size_t>;
      { prepare(l, x, room) } -> std::convertible_to<product_input>;
      add(l, prepare(l, x, room), y, product_options{.rows = rows});
    };

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/product/linear_operator_impl.hpp>
#endif
