// SPDX-License-Identifier: Apache-2.0
/// Low-rank parts of an error: singular values as published, the best of their rank, both ways.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/calibrate/low_rank_correction.hpp>
#include <edgerazor/calibrate/pruning_mask.hpp>
#include <edgerazor/calibrate/round_by_feedback.hpp>
#include <edgerazor/calibrate/slim_quant.hpp>

namespace er = edgerazor;

namespace {
struct problem {
  unsigned seed = std::random_device{}();
  std::mt19937 generator{seed};
  std::size_t rows, cols, tokens = 40;
  std::vector<float> error, x, importance;
  er::second_moments moments;

  problem(std::size_t row_count, std::size_t col_count)
      : rows(row_count), cols(col_count), error(rows * cols), x(tokens * cols), moments(cols) {
    std::normal_distribution<float> normal;
    for (float& e : error) e = normal(generator);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = normal(generator) * (i % cols == 2 ? 5.0f : 1.0f) + (i % cols > 0 ? x[i - 1] : 0.0f);
    moments.add({x.data(), tokens, cols});
    importance = moments.mean_squares();
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {error.data(), rows, cols}; }
  [[nodiscard]] double weighted_error(const std::vector<float>& taken) const {
    double sum = 0;
    for (std::size_t i = 0; i < error.size(); ++i) {
      const double left = static_cast<double>(error[i]) - static_cast<double>(taken[i]);
      sum += static_cast<double>(importance[i % cols]) * left * left;
    }
    return sum;
  }
  [[nodiscard]] double output_error(const std::vector<float>& taken) const {
    return er::output_error(view(), {taken.data(), rows, cols}, moments);
  }
};
}  // namespace

TEST_SUITE_BEGIN("calibrate/low_rank_correction");

TEST_CASE("golden: the singular values of the weighted error, one by one") {
  const nlohmann::json data = golden::load("pruning.json");
  const std::size_t rows = data["shape"][0], cols = data["shape"][1];
  const std::vector<float> weights = golden::floats(data["weights_f32"]),
                           importance = golden::floats(data["calibration"]["shifted_f32"]);
  const er::matrix_view<const float> view{weights.data(), rows, cols};
  const std::vector<float> values = er::published::slim_quant(view, 4).values();
  const std::vector<float> q =
      er::without({values.data(), rows, cols}, er::wanda_mask(view, importance, {2, 4}));
  std::vector<float> error = weights;
  for (std::size_t i = 0; i < error.size(); ++i) error[i] -= q[i];
  double before = 0;
  const auto& expected = data["low_rank"]["singular_values_f64"];
  for (std::size_t rank = 0; rank <= expected.size(); ++rank) {
    const double left =
        er::low_rank_correction({error.data(), rows, cols}, rank, importance).squared_error;
    if (rank > 0) {
      const double value = expected[rank - 1];
      CHECK(before - left == doctest::Approx(value * value).epsilon(1e-5));
    }
    before = left;
  }
}

TEST_CASE("low_rank_correction: what is left is as counted, and no step from U or V lowers it") {
  for (const bool wide : {true, false}) {
    const problem p(wide ? 9 : 17, wide ? 17 : 9);
    CAPTURE(p.seed);
    for (const bool by_outputs : {false, true}) {
      const er::low_rank_factors factors = by_outputs
                                               ? er::low_rank_correction(p.view(), 3, p.moments)
                                               : er::low_rank_correction(p.view(), 3, p.importance);
      const auto error = [&](const er::low_rank_factors& f) {
        return by_outputs ? p.output_error(f.values()) : p.weighted_error(f.values());
      };
      const double least = error(factors);
      CHECK(factors.squared_error == doctest::Approx(least).epsilon(1e-4));
      CHECK(factors.error_before ==
            doctest::Approx(by_outputs ? p.output_error(std::vector<float>(p.error.size()))
                                       : p.weighted_error(std::vector<float>(p.error.size())))
                .epsilon(1e-4));
      for (std::size_t a = 0; a < 3; ++a) {
        for (std::size_t b = 0; b < 3; ++b) {
          double dot = 0;
          for (std::size_t r = 0; r < p.rows; ++r)
            dot += static_cast<double>(factors.u[r * 3 + a] * factors.u[r * 3 + b]);
          CHECK(std::fabs(dot - (a == b ? 1 : 0)) < 1e-5);
        }
      }
      for (std::size_t i = 0; i < factors.u.size() + factors.v.size(); ++i) {
        for (const float step : {-0.03f, 0.03f}) {
          er::low_rank_factors moved = factors;
          (i < moved.u.size() ? moved.u[i] : moved.v[i - moved.u.size()]) += step;
          CHECK(error(moved) > least * (1 - 1e-6));
        }
      }
      // Each kind of counting is best by its own.
      CHECK(p.output_error(er::low_rank_correction(p.view(), 3, p.moments).values()) <=
            p.output_error(factors.values()) * (1 + 1e-5));
      CHECK(p.weighted_error(er::low_rank_correction(p.view(), 3, p.importance).values()) <=
            p.weighted_error(factors.values()) * (1 + 1e-5));
    }
  }
}

TEST_CASE("low_rank_correction: whole ranks, none, columns that do not count") {
  problem p(5, 8);
  const er::low_rank_factors all = er::low_rank_correction(p.view(), 99, p.importance);
  CHECK(all.rank == 5);
  const std::vector<float> values = all.values();
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(values[i] == doctest::Approx(p.error[i]).epsilon(1e-4).scale(1));
  const er::low_rank_factors none = er::low_rank_correction(p.view(), 0);
  CHECK(none.u.empty());
  CHECK(none.values().empty());
  CHECK(none.squared_error == none.error_before);
  // A column of importance 0: finite, and the others as if it were not there.
  p.importance[3] = 0;
  const er::low_rank_factors dead = er::low_rank_correction(p.view(), 2, p.importance);
  for (const float v : dead.v) CHECK(std::isfinite(v));
  std::vector<float> fewer, counts;
  for (std::size_t i = 0; i < p.error.size(); ++i)
    if (i % 8 != 3) fewer.push_back(p.error[i]);
  for (std::size_t c = 0; c < 8; ++c)
    if (c != 3) counts.push_back(p.importance[c]);
  CHECK(er::low_rank_correction({fewer.data(), 5, 7}, 2, counts).squared_error ==
        doctest::Approx(dead.squared_error).epsilon(1e-6));
  CHECK(er::low_rank_correction({nullptr, 0, 0}, 2).rank == 0);
}

TEST_CASE("low_rank_correction: what does not fit is refused by name") {
  problem p(3, 4);
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::low_rank_correction(p.view(), 1, er::second_moments(3))),
      "low_rank_correction: errors of 4 columns, second moments of 3", std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::low_rank_correction(p.view(), 1, std::vector<float>(2))),
                    "low_rank_correction: 2 importances for 4 columns");
  p.error[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(static_cast<void>(er::low_rank_correction(p.view(), 1, p.moments)),
                    "weight at row 1, column 1 is NaN: expected finite values");
}

TEST_SUITE_END();
