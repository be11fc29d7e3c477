// SPDX-License-Identifier: Apache-2.0
/// Rank-one splits: the published start's numbers, the definition, and what is degenerate.
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/calibrate/rank_one.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/pack_levels.hpp>

namespace er = edgerazor;

namespace {
struct problem {
  nlohmann::json data = golden::load("rank_one.json");
  std::size_t rows = data["shape"][0], cols = data["shape"][1];
  std::vector<float> weights = golden::floats(data["weights_f32"]);

  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};

double error_of(er::matrix_view<const float> w, const std::vector<float>& g,
                const std::vector<float>& h, std::span<const float> importance) {
  double sum = 0;
  for (std::size_t r = 0; r < w.rows; ++r) {
    for (std::size_t c = 0; c < w.cols; ++c) {
      const double apart = std::fabs(static_cast<double>(w.row(r)[c])) -
                           static_cast<double>(g[r]) * static_cast<double>(h[c]);
      sum += (importance.empty() ? 1.0 : static_cast<double>(importance[c])) * apart * apart;
    }
  }
  return sum;
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/rank_one");

TEST_CASE("golden: the singular pair, its error, and the published factorization's") {
  const problem p;
  const er::rank_one_split split = er::split_magnitudes(p.view());
  const auto& svd = p.data["svd"];
  for (std::size_t r = 0; r < p.rows; ++r)
    CHECK(split.g[r] == doctest::Approx(svd["g_f64"][r].get<double>()).epsilon(1e-5));
  for (std::size_t c = 0; c < p.cols; ++c)
    CHECK(split.h[c] == doctest::Approx(svd["h_f64"][c].get<double>()).epsilon(1e-5));
  // There a weight of 0 has the sign 0 and no error. g and h are floats: 2^-24 of each of 960
  // products of at most 0.1 is below 1e-6 of the norm.
  double of_zeros = 0;
  for (std::size_t i = 0; i < p.weights.size(); ++i) {
    const float product = split.g[i / p.cols] * split.h[i % p.cols];
    if (p.weights[i] == 0) of_zeros += static_cast<double>(product * product);
  }
  CHECK(std::sqrt(split.squared_error - of_zeros) ==
        doctest::Approx(svd["error_frobenius"].get<double>()).epsilon(1e-6));
  const std::vector<float> g = golden::floats(p.data["nmf"]["g_f32"]),
                           h = golden::floats(p.data["nmf"]["h_f32"]);
  CHECK(split.squared_error <= error_of(p.view(), g, h, {}) * (1 + 1e-6));
  for (std::size_t r = 0; r < p.rows; ++r) {
    for (std::size_t c = 0; c < p.cols; ++c)  // products agree to 6e-6 of the norm of all
      CHECK(std::fabs(split.g[r] * split.h[c] - g[r] * h[c]) <= 2e-5f * 0.2f);
  }
  // What signs with a scale a row lose, and with one scale.
  const auto& others = p.data["other_errors_frobenius"];
  CHECK(std::sqrt(split.squared_error) <
        others["sign times mean|w| of the row"].get<double>() - 0.013);
}

TEST_CASE("signs_with_scales: the signs of the golden matrix, 0 as 1, packed with h before it") {
  const problem p;
  const er::rank_one_split split = er::split_magnitudes(p.view());
  const er::rounded_matrix signs =
      er::signs_with_scales(p.view(), split.g, er::scale_kind::float16);
  for (std::size_t i = 0; i < p.weights.size(); ++i) {
    const int sign = p.data["sign"][i].get<int>();
    CHECK(signs.levels[i] == (sign == 0 ? 1 : sign));
  }
  const er::any_matrix packed =
      er::pack_levels(*er::format::parse("binary_row"),
                      er::matrix_view<const std::int16_t>{signs.levels.data(), p.rows, p.cols},
                      er::matrix_view<const float>{signs.scales.data(), p.rows, 1});
  const er::scaled_columns whole{split.h, packed};
  CHECK(whole.stages().size() == 1);
  double error = 0;
  for (std::size_t r = 0; r < p.rows; ++r) {
    for (std::size_t c = 0; c < p.cols; ++c) {
      const float w = p.weights[r * p.cols + c];
      const double apart = static_cast<double>(w - signs.value(r, c) * split.h[c]);
      error += apart * apart;
    }
  }
  // g rounded to float16 changes each value by 2^-11 of it.
  CHECK(std::sqrt(error) == doctest::Approx(0.6179).epsilon(1e-3));
  const float zeros[] = {0.0f, -0.0f, -1.0f};
  CHECK(er::signs_with_scales({zeros, 1, 3}, std::vector<float>{2}).levels ==
        std::vector<std::int16_t>{1, 1, -1});
}

TEST_CASE("split_magnitudes: no small change makes it better, with importances or without") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  const std::size_t rows = 7, cols = 11;
  std::vector<float> w(rows * cols), importance(cols);
  for (float& value : w) value = normal(generator) * normal(generator);
  for (float& a : importance) a = std::exp(normal(generator));
  const er::matrix_view<const float> view{w.data(), rows, cols};
  for (const bool weighted : {false, true}) {
    const std::span<const float> used = std::span{importance}.first(weighted ? cols : 0);
    const er::rank_one_split split = er::split_magnitudes(view, used);
    const double least = error_of(view, split.g, split.h, used);
    CHECK(split.squared_error == doctest::Approx(least).epsilon(1e-9));
    for (std::size_t i = 0; i < rows + cols; ++i) {
      for (const float factor : {0.99f, 1.01f}) {
        er::rank_one_split moved = split;
        (i < rows ? moved.g[i] : moved.h[i - rows]) *= factor;
        CHECK(error_of(view, moved.g, moved.h, used) > least * (1 - 1e-9));
      }
    }
    double squares_g = 0, squares_h = 0;
    for (const float g : split.g) squares_g += static_cast<double>(g * g);
    for (const float h : split.h) squares_h += static_cast<double>(h * h);
    CHECK(squares_g == doctest::Approx(squares_h).epsilon(1e-5));
  }
}

TEST_CASE("split_magnitudes: exact where |W| is a product; rows and columns of zeros; nothing") {
  const float g[] = {2, 0, 0.5f}, h[] = {1, 3, 0, 0.25f};
  std::vector<float> w;
  for (const float row : g)
    for (const float col : h) w.push_back((w.size() % 2 == 0 ? 1.0f : -1.0f) * row * col);
  const er::rank_one_split split = er::split_magnitudes({w.data(), 3, 4});
  CHECK(split.squared_error < 1e-10);
  CHECK(split.g[1] == 0);
  CHECK(split.h[2] == 0);
  const std::vector<float> none(6);
  const er::rank_one_split zeros = er::split_magnitudes({none.data(), 2, 3});
  CHECK(zeros.g == std::vector<float>(2));
  CHECK(zeros.h == std::vector<float>(3));
  CHECK(er::split_magnitudes({nullptr, 0, 0}).g.empty());
}

TEST_CASE("rank_one: what does not fit is refused by name") {
  std::vector<float> w{1, 2, std::numeric_limits<float>::quiet_NaN(), 4};
  CHECK_THROWS_WITH_AS(static_cast<void>(er::split_magnitudes({w.data(), 2, 2})),
                       "weight at row 1, column 0 is NaN: expected finite values",
                       std::invalid_argument);
  w[2] = 3;
  CHECK_THROWS_WITH(
      static_cast<void>(er::split_magnitudes({w.data(), 2, 2}, std::vector<float>(3))),
      "split_magnitudes: 3 importances for 2 columns");
  CHECK_THROWS_WITH(
      static_cast<void>(er::signs_with_scales({w.data(), 2, 2}, std::vector<float>(3))),
      "signs_with_scales: 3 scales for 2 rows");
}

TEST_SUITE_END();
