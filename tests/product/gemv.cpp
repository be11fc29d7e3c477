// SPDX-License-Identifier: Apache-2.0
/// gemv is gemm of one token; what gemm computes is tested there.
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemv");

namespace {

constexpr std::size_t rows = 33, cols = 192;
using policy = er::int4<er::per_group<64>>;

std::vector<float> numbers(std::size_t count) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i)
    result[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) / 64.0f;
  return result;
}

}  // namespace

TEST_CASE("gemv: one token of gemm, by every kernel, and the rows asked for alone") {
  const std::vector<float> w = numbers(rows * cols), x = numbers(cols);
  const auto packed = er::pack<policy>(er::matrix_view<const float>{w.data(), rows, cols});
  const er::unquantized token{er::matrix_view<const float>{x.data(), 1, cols}};
  std::vector<float> one(rows), many(rows), expected(rows);
  er::gemv(packed, token, std::span<float>{one});
  er::gemm(packed, token, er::matrix_view<float>{many.data(), 1, rows});
  CHECK(one == many);

  er::gemv(packed, std::span<const float>{x}, std::span<float>{expected});
  for (const auto& kernel : er::available_kernels()) {
    CAPTURE(kernel.name);
    std::vector<float> y(rows, 99.0f);
    er::gemv(packed, std::span<const float>{x}, std::span<float>{y},
             {.rows = er::row_range{16, rows}, .kernel = &kernel});
    for (std::size_t r = 0; r < rows; ++r) CHECK(y[r] == (r < 16 ? 99.0f : expected[r]));
  }
}

TEST_CASE(
    "gemv: an infinite or NaN activation gives NaN, and no number, in every kernel and format") {
  for (const char* name : {"ternary2_g4", "ternary5_g8", "int4_g4", "int8_row", "binary_g4"}) {
    CAPTURE(name);
    const std::vector<float> weights{1, 0, 0, 0, 0, 1, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0};
    const er::any_matrix w = er::any_matrix::pack(*er::matrix_format::parse(name),
                                                  er::matrix_view{weights.data(), 4, 4});
    for (const er::kernel& k : er::available_kernels()) {
      CAPTURE(k.name);
      for (const float bad : {INFINITY, -INFINITY, NAN}) {
        const std::vector<float> x{bad, 0, 0, 0};
        std::vector<float> y(4);
        er::packed_activations memory(4, w.group_cols());
        er::gemv(w, er::quantize_activations(std::span<const float>{x}, memory, {.kernel = &k}), y,
                 {.kernel = &k});
        for (const float sum : y) CHECK(std::isnan(sum));
      }
    }
  }
}

TEST_CASE("gemv: weights in threes have the bits of 2-bit ones, with tables and without") {
  for (const char* group : {"_g4", "_g20", "_g64", "_g2304", "_row"}) {
    for (const std::size_t width :
         {std::size_t{1}, std::size_t{65}, std::size_t{577}, std::size_t{2500}}) {
      CAPTURE(group);
      CAPTURE(width);
      const std::vector<float> weights = numbers(rows * width), x = numbers(3 * width);
      const auto packed = [&](const char* code) {
        return er::any_matrix::pack(*er::matrix_format::parse(std::string{code} + group),
                                    er::matrix_view{weights.data(), rows, width});
      };
      const er::any_matrix two = packed("ternary2"), three = packed("ternary3");
      for (const er::kernel& k : er::available_kernels()) {
        CAPTURE(k.name);
        for (const std::size_t tokens : {std::size_t{1}, std::size_t{3}}) {
          const er::matrix_view<const float> in{x.data(), tokens, width};
          std::vector<float> expected(tokens * rows), y(tokens * rows);
          er::packed_activations with(width, three.group_cols(), tokens, nullptr,
                                      er::weight_ref(three).tables());
          er::packed_activations without(width, three.group_cols(), tokens);
          CHECK(er::weight_ref(three).tables() == er::activation_tables::of_triples);
          CHECK(er::weight_ref(two).tables() == er::activation_tables::none);
          const auto x8 = er::quantize_activations(in, with, {.kernel = &k});
          CHECK(x8.tables != nullptr);
          er::gemm(two, x8, er::matrix_view{expected.data(), tokens, rows}, {.kernel = &k});
          er::gemm(three, x8, er::matrix_view{y.data(), tokens, rows}, {.kernel = &k});
          CHECK(y == expected);
          const auto plain = er::quantize_activations(in, without, {.kernel = &k});
          CHECK(plain.tables == nullptr);
          er::gemm(three, plain, er::matrix_view{y.data(), tokens, rows}, {.kernel = &k});
          CHECK(y == expected);
          std::vector<std::byte> room(er::input_bytes(three, tokens));
          er::gemm(three, er::prepare(three, in, room, {.kernel = &k}),
                   er::matrix_view{y.data(), tokens, rows}, {.kernel = &k});
          CHECK(y == expected);
        }
      }
    }
  }
}

TEST_SUITE_END();
