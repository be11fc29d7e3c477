// SPDX-License-Identifier: Apache-2.0
/// Products whose outputs are normalized: OneBit's published layer, the formula, threads.
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "product/executors.hpp"
#include "support/golden.hpp"
#include "support/samples.hpp"
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/layer_norm_after.hpp>
#include <edgerazor/product/linear_operator.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/layer_norm_after");

TEST_CASE("layer_norm_after: OneBit's layer, signs and two vectors") {
  const nlohmann::json data = golden::load("layer_norm_after.json");
  const std::size_t rows = data.at("rows"), cols = data.at("cols"), tokens = data.at("tokens");
  const std::vector<float> g = golden::floats(data.at("g")), h = golden::floats(data.at("h")),
                           x = golden::floats(data.at("x"));
  const std::vector<int> sign = data.at("sign").get<std::vector<int>>();
  // A weight of exactly 0 has sign 0 in the published layer.
  const er::format fmt{er::code_type::ternary2, 0, er::scale_kind::float32};
  const er::any_matrix signs =
      er::pack_levels(fmt, er::matrix_view<const int>{sign.data(), rows, cols},
                      er::matrix_view<const float>{g.data(), rows, 1});
  const er::layer_norm_after layer{er::scaled_columns{h, signs}};
  const er::matrix_view<const float> in{x.data(), tokens, cols};
  const std::vector<double> before = data.at("before_norm").get<std::vector<double>>(),
                            after = data.at("after_norm").get<std::vector<double>>(),
                            published = data.at("published_output").get<std::vector<double>>();
  for (const er::kernel& k : er::available_kernels()) {
    CAPTURE(k.name);
    std::vector<std::byte> room(er::input_bytes(layer.w, tokens, false));
    const er::prepared_input prepared =
        er::prepare(layer.w, in, room, {.quantized = false, .kernel = &k});
    std::vector<float> y(tokens * rows), z(tokens * rows);
    const er::matrix_view<float> out{z.data(), tokens, rows};
    er::gemm(layer.w, prepared, {y.data(), tokens, rows}, {.kernel = &k});
    er::gemm(layer, prepared, out, {.kernel = &k});
    for (std::size_t t = 0; t < tokens; ++t) {
      double largest = 0, variance = 0;
      for (std::size_t r = 0; r < rows; ++r) {
        double magnitude = 0;
        for (std::size_t c = 0; c < cols; ++c)
          magnitude += double{g[r]} * std::fabs(double{h[c]} * x[t * cols + c]);
        // cols additions, the products with h and g, and the nine digits of the data.
        const double error = 0x1p-24 * static_cast<double>(cols + 4) * magnitude;
        CHECK(std::fabs(y[t * rows + r] - before[t * rows + r]) <= error);
        largest = std::max(largest, error);
        variance += before[t * rows + r] * before[t * rows + r] / static_cast<double>(rows);
      }
      for (std::size_t r = 0; r < rows; ++r) {
        const std::size_t i = t * rows + r;
        // The output moves by the inputs' errors over their deviation, directly, by the mean and by
        // the deviation itself, of which an output is a few times as large.
        const double bound = (2 + std::fabs(after[i])) * largest / std::sqrt(variance) * 2 + 1e-6;
        CHECK(std::fabs(z[i] - after[i]) <= bound);
        CHECK(std::fabs(z[i] - published[i]) <= bound);
      }
    }
  }
}

TEST_CASE("normalize_rows: the formula in long double, and one set of bits on any thread") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t cols : {1u, 2u, 15u, 16u, 17u, 100u, 4096u}) {
    constexpr std::size_t rows = 9;
    const std::vector<float> y = samples::draw(samples::kind::normal, rows * cols, random),
                             bias = samples::draw(samples::kind::normal, cols, random);
    for (const bool with_bias : {false, true}) {
      const std::span<const float> added = with_bias ? std::span{bias} : std::span<const float>{};
      std::vector<float> one = y, many = y;
      er::normalize_rows({one.data(), rows, cols}, added, 1e-3f);
      const executors::threads pool{3};
      er::normalize_rows({many.data(), rows, cols}, added, 1e-3f, pool);
      CHECK(std::memcmp(one.data(), many.data(), one.size() * sizeof(float)) == 0);
      for (std::size_t r = 0; r < rows; ++r) {
        long double mean = 0, variance = 0;
        for (std::size_t c = 0; c < cols; ++c) mean += y[r * cols + c];
        mean /= cols;
        for (std::size_t c = 0; c < cols; ++c)
          variance += (y[r * cols + c] - mean) * (y[r * cols + c] - mean);
        variance /= cols;
        for (std::size_t c = 0; c < cols; ++c) {
          const long double normal =
              (y[r * cols + c] - mean) / std::sqrt(variance + static_cast<long double>(1e-3f));
          const auto exact = static_cast<double>(normal + (with_bias ? bias[c] : 0.0f));
          // Rounded once from a double whose own error is some 2^-53 of what is added.
          CHECK(std::fabs(one[r * cols + c] - exact) <= 0x1.001p-24 * std::fabs(exact) + 1e-12);
        }
      }
    }
  }
}

TEST_CASE("layer_norm_after: a product, then rows normalized, on any thread and kernel") {
  std::mt19937 random(3);
  constexpr std::size_t rows = 70, cols = 64, tokens = 20;
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random),
                           x = samples::draw(samples::kind::normal, tokens * cols, random),
                           bias = samples::draw(samples::kind::normal, rows, random);
  const er::any_matrix four = er::any_matrix::pack(*er::matrix_format::parse("int4_g16"),
                                                   er::matrix_view{w.data(), rows, cols});
  const er::layer_norm_after layer{four, bias};
  CHECK(layer.rows() == rows);
  CHECK(layer.cols() == cols);
  std::vector<std::byte> room(er::input_bytes(layer.w, tokens));
  const er::prepared_input in =
      er::prepare(layer.w, er::matrix_view<const float>{x.data(), tokens, cols}, room);
  std::vector<float> expected(tokens * rows), y(tokens * rows);
  er::gemm(four, in, {expected.data(), tokens, rows}, {.kernel = er::find_kernel("scalar")});
  er::normalize_rows({expected.data(), tokens, rows}, bias);
  const executors::threads pool{3};
  for (const er::kernel& k : er::available_kernels()) {
    er::gemm(layer, in, {y.data(), tokens, rows}, {.kernel = &k, .executor = pool});
    CHECK(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0);
  }

  std::vector<float> untouched(tokens * rows, 5.0f);
  const er::matrix_view<float> out{untouched.data(), tokens, rows};
  CHECK_THROWS_WITH_AS(er::gemm(layer, in, out, {.rows = er::row_range{0, 16}}),
                       "layer_norm_after: a norm is of all rows, not of a range of them",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(er::gemm(er::layer_norm_after{four, std::span{bias}.first(69)}, in, out),
                       "normalize_rows: a bias of 69 numbers for rows of 70",
                       std::invalid_argument);
  for (const float epsilon : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(), INFINITY})
    CHECK_THROWS_AS(er::gemm(er::layer_norm_after{four, {}, epsilon}, in, out),
                    std::invalid_argument);
  CHECK(untouched == std::vector<float>(tokens * rows, 5.0f));
}

TEST_CASE("layer_norm_after: a copy of one that may be changed is a copy") {
  const std::vector<float> bias{1, 2, 3};
  const std::vector<int> sign(12, 1);
  const std::vector<float> g(3, 1.0f);
  const er::any_matrix signs = er::pack_levels(
      er::format{er::code_type::ternary2, 0, er::scale_kind::float32},
      er::matrix_view<const int>{sign.data(), 3, 4}, er::matrix_view<const float>{g.data(), 3, 1});
  er::layer_norm_after layer{signs, bias, 0.5f};
  const er::layer_norm_after copy{layer};
  CHECK(copy.rows() == 3);
  CHECK(copy.cols() == 4);
  CHECK(copy.bias.data() == bias.data());
  CHECK(copy.epsilon == 0.5f);
}

TEST_CASE("normalize_rows: a NaN or an infinity is one in all of its row, and in no other") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY}) {
    std::vector<float> y{1, 2, 3, 4, bad, 6, 7, 8, 9};
    er::normalize_rows({y.data(), 3, 3});
    for (std::size_t i = 0; i < 9; ++i) CHECK(std::isnan(y[i]) == (i / 3 == 1));
  }
  std::vector<float> same{2, 2, 2};
  er::normalize_rows({same.data(), 1, 3});
  CHECK(same == std::vector<float>(3, 0.0f));
}

TEST_SUITE_END();
