// SPDX-License-Identifier: Apache-2.0
/// Statistics of activations against sums in long double.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include <edgerazor/calibrate/statistics.hpp>

namespace er = edgerazor;

namespace {
er::matrix_view<const float> tokens_of(const std::vector<float>& x, std::size_t cols,
                                       std::size_t begin, std::size_t end) {
  return {x.data() + begin * cols, end - begin, cols};
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/statistics");

TEST_CASE("column_statistics: means, merged or not") {
  constexpr std::size_t tokens = 300, cols = 37;
  const std::vector<float> x = samples::correlated(tokens, cols, 1);
  er::column_statistics whole(cols), first(cols), second(cols);
  whole.add(tokens_of(x, cols, 0, tokens));
  first.add(tokens_of(x, cols, 0, 100));
  second.add(tokens_of(x, cols, 100, 101));
  second.add(tokens_of(x, cols, 101, tokens));
  first.merge(second);
  CHECK(whole.count() == tokens);
  CHECK(first.count() == tokens);
  for (std::size_t c = 0; c < cols; ++c) {
    long double sum = 0, magnitude = 0, square = 0;
    double largest = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
      const long double v = x[t * cols + c];
      sum += v;
      magnitude += std::fabs(v);
      square += v * v;
      largest = std::max(largest, static_cast<double>(std::fabs(v)));
    }
    // Each of 300 additions in float64 errs by 2^-53 of the sum of magnitudes.
    const double bound = 300 * 0x1p-53 * static_cast<double>(magnitude) / tokens;
    for (const er::column_statistics* s : {&whole, &first}) {
      CHECK(std::fabs(s->mean(c) - static_cast<double>(sum / tokens)) <= bound);
      CHECK(std::fabs(s->mean_magnitude(c) - static_cast<double>(magnitude / tokens)) <= bound);
      CHECK(s->mean_square(c) ==
            doctest::Approx(static_cast<double>(square / tokens)).epsilon(1e-13));
      CHECK(s->max_magnitude(c) == largest);
      CHECK(s->mean_squares()[c] == static_cast<float>(s->mean_square(c)));
    }
  }
  CHECK(er::column_statistics(3).mean(2) == 0);
}

TEST_CASE("second_moments: X^T X, symmetric, however tokens come and whoever adds") {
  for (const std::size_t cols : {1u, 95u, 96u, 97u, 250u}) {
    constexpr std::size_t tokens = 600;
    const std::vector<float> x = samples::correlated(tokens, cols, 2);
    er::second_moments whole(cols), parts(cols), rest(cols), backwards(cols);
    whole.add(tokens_of(x, cols, 0, tokens));
    parts.add(tokens_of(x, cols, 0, 1));
    parts.add(tokens_of(x, cols, 1, 1));
    rest.add(tokens_of(x, cols, 1, 300));
    rest.add(tokens_of(x, cols, 300, tokens));
    parts.merge(rest);
    backwards.add(tokens_of(x, cols, 0, tokens), [](std::size_t count, er::grain_work work) {
      while (count > 0) work(--count);
    });
    CHECK(whole.count() == tokens);
    CHECK(parts.count() == tokens);
    CHECK(whole.matrix() == backwards.matrix());
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = i % 7; j < cols; j += 7) {
        long double sum = 0, squares_i = 0, squares_j = 0;
        for (std::size_t t = 0; t < tokens; ++t) {
          const long double a = x[t * cols + i], b = x[t * cols + j];
          sum += a * b;
          squares_i += a * a;
          squares_j += b * b;
        }
        const auto bound = 256 * 0x1p-24 * static_cast<double>(std::sqrt(squares_i * squares_j));
        CHECK(std::fabs(whole(i, j) - static_cast<double>(sum)) <= bound);
        CHECK(std::fabs(parts(i, j) - static_cast<double>(sum)) <= bound);
        CHECK(whole(i, j) == whole(j, i));
      }
    }
    const er::second_moments scaled = whole.scaled(2.0 / tokens);
    CHECK(scaled(0, cols - 1) == whole(0, cols - 1) * (2.0 / tokens));
    CHECK(whole.mean_squares()[0] == static_cast<float>(whole(0, 0) / tokens));
  }
}

TEST_CASE("second_moments: views with a stride, and sums of somebody else's") {
  std::vector<float> x(3 * 5, 100.0f);
  for (std::size_t t = 0; t < 3; ++t)
    for (std::size_t c = 0; c < 4; ++c) x[t * 5 + c] = static_cast<float>(t + c);
  er::second_moments moments(4);
  moments.add({x.data(), 3, 4, 5});
  CHECK(moments(0, 3) == 0 * 3 + 1 * 4 + 2 * 5);
  const er::second_moments copy({moments.matrix().data(), 4, 4}, 3);
  CHECK(copy.matrix() == moments.matrix());
  CHECK(copy.count() == 3);
  const std::vector<double> bad(6, 1.0);
  CHECK_THROWS_WITH_AS(er::second_moments({bad.data(), 2, 3}, 1),
                       "second_moments: expected a square matrix, got 2 x 3",
                       std::invalid_argument);
}

TEST_CASE("statistics: what is no activation is refused by name, and nothing added") {
  std::vector<float> x(12, 1.0f);
  er::column_statistics columns(4);
  er::second_moments moments(4);
  CHECK_THROWS_WITH_AS(columns.add({x.data(), 4, 3}),
                       "column_statistics: activations of 3 columns, expected 4",
                       std::invalid_argument);
  CHECK_THROWS_WITH(moments.add({x.data(), 4, 3}),
                    "second_moments: activations of 3 columns, expected 4");
  CHECK_THROWS_WITH(columns.merge(er::column_statistics(5)),
                    "column_statistics: merging 5 columns into 4");
  CHECK_THROWS_WITH(moments.merge(er::second_moments(5)),
                    "second_moments: merging 5 columns into 4");
  x[9] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(columns.add({x.data(), 3, 4}),
                    "activation at row 2, column 1 is NaN: expected finite values");
  CHECK_THROWS_WITH(moments.add({x.data(), 3, 4}),
                    "activation at row 2, column 1 is NaN: expected finite values");
  CHECK(columns.count() == 0);
  CHECK(columns.mean_square(0) == 0);
  CHECK(moments.count() == 0);
  CHECK(moments(0, 0) == 0);
}

TEST_SUITE_END();
