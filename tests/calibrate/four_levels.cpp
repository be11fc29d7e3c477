// SPDX-License-Identifier: Apache-2.0
/// Weighted means of four classes: golden numbers, the definition in plain loops, edges.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/calibrate/four_levels.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/unpack.hpp>

namespace er = edgerazor;

namespace {
double weighted_error(er::matrix_view<const float> w, const er::four_level_matrix& q,
                      std::span<const float> importance) {
  double sum = 0;
  for (std::size_t r = 0; r < w.rows; ++r) {
    for (std::size_t c = 0; c < w.cols; ++c) {
      const double apart = static_cast<double>(w.row(r)[c]) - static_cast<double>(q.value(r, c));
      sum += (importance.empty() ? 1.0 : static_cast<double>(importance[c])) * apart * apart;
    }
  }
  return sum;
}

std::vector<float> as_floats(const nlohmann::json& numbers) {
  std::vector<float> result;
  for (const double number : numbers.get<std::vector<double>>())
    result.push_back(static_cast<float>(number));
  return result;
}

struct problem {
  nlohmann::json data = golden::load("four_levels.json");
  std::size_t rows = data["shape"][0], cols = data["shape"][1], group = data["group"];
  std::vector<float> weights = as_floats(data["weights_f64"]);  // they are floats
  std::vector<float> importance = as_floats(data["hessian_diagonal_f64"]);

  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};
}  // namespace

TEST_SUITE_BEGIN("calibrate/four_levels");

TEST_CASE("golden: codes, levels, rounds and the error beside other two-bit rules") {
  const problem p;
  const er::four_level_matrix fit = er::fit_four_levels(p.view(), p.group, p.importance);
  const auto& em = p.data["em"];
  for (std::size_t i = 0; i < fit.codes.size(); ++i)
    CHECK(fit.codes[i] == em["codes"][i].get<int>());
  for (std::size_t g = 0; g < fit.levels.size(); ++g) {
    CHECK(fit.rounds[g] == em["iterations"][g].get<int>());
    for (std::size_t k = 0; k < 4; ++k) {
      CHECK(fit.levels[g][k] ==
            doctest::Approx(em["levels_f64"][4 * g + k].get<double>()).epsilon(1e-6));
    }
    // The paper's form: sign times a scale plus an offset, of the outer pair and of the inner.
    const auto& form = p.data["parameters"];
    const auto near = [&](float ours, const char* key) {
      CHECK(std::fabs(ours - form[key][g].get<float>()) <= 1e-7f);
    };
    near((fit.levels[g][3] - fit.levels[g][0]) / 2, "alpha_outer_f64");
    near((fit.levels[g][3] + fit.levels[g][0]) / 2, "mu_outer_f64");
    near((fit.levels[g][2] - fit.levels[g][1]) / 2, "alpha_inner_f64");
    near((fit.levels[g][2] + fit.levels[g][1]) / 2, "mu_inner_f64");
  }
  const auto& errors = p.data["weighted_squared_errors"];
  const double error = weighted_error(p.view(), fit, p.importance);
  CHECK(error == doctest::Approx(errors["W(1+1), four free levels"].get<double>()).epsilon(1e-5));
}

TEST_CASE("golden: levels of 8 bits, and of those that a table holds") {
  const problem p;
  const auto& expected = p.data["int8_levels"];
  er::four_level_matrix fit = er::fit_four_levels(p.view(), p.group, p.importance);
  const double exact = weighted_error(p.view(), fit, p.importance);
  const er::integer_levels wide = er::round_levels(p.view(), fit, 127);
  for (std::size_t g = 0; g < wide.levels.size(); ++g) {
    CHECK(wide.scales[g] == doctest::Approx(expected["scale_f64"][g].get<double>()).epsilon(1e-6));
    for (std::size_t k = 0; k < 4; ++k)
      CHECK(wide.levels[g][k] == expected["levels"][4 * g + k].get<int>());
  }
  // Codes there are those of the exact levels; ours, of the rounded ones, can only be better.
  const double rounded = weighted_error(p.view(), fit, p.importance);
  CHECK(rounded <= expected["weighted_error"].get<double>() * (1 + 1e-6));
  CHECK(rounded > exact * 0.999);
  fit = er::fit_four_levels(p.view(), p.group, p.importance);
  const er::integer_levels table = er::round_levels(p.view(), fit, 63, er::scale_kind::float16);
  CHECK(weighted_error(p.view(), fit, p.importance) < 1.005 * exact);
  for (std::size_t g = 0; g < table.levels.size(); ++g) {
    for (std::size_t k = 0; k < 4; ++k) {
      CHECK(std::abs(table.levels[g][k]) <= 63);
      CHECK(fit.levels[g][k] == table.scales[g] * static_cast<float>(table.levels[g][k]));
    }
  }
}

TEST_CASE("golden: tables of integers cost little, and packed matrices give them back") {
  const problem p;
  er::four_level_matrix fit = er::fit_four_levels(p.view(), p.group, p.importance);
  const double exact = weighted_error(p.view(), fit, p.importance);
  const er::rounded_matrix table = er::round_to_tables(p.view(), fit, p.importance);
  const er::any_matrix packed =
      er::pack_levels({er::code_type::table2, static_cast<std::uint32_t>(p.group)},
                      er::matrix_view<const std::int16_t>{table.levels.data(), p.rows, p.cols},
                      er::matrix_view<const float>{table.scales.data(), p.rows, table.groups()});
  std::vector<float> values(p.rows * p.cols);
  er::dequantize(*packed.packed(), {values.data(), p.rows, p.cols});
  CHECK(values == table.values());
  double error = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double apart = static_cast<double>(p.weights[i]) - static_cast<double>(values[i]);
    error += static_cast<double>(p.importance[i % p.cols]) * apart * apart;
  }
  CAPTURE(error / exact);
  // With the largest level always 15 the golden data's figure is 27.0 of 26.1.
  CHECK(error < 1.03 * exact);
  CHECK(error > exact);
  // Every weight has the nearest of its group's values.
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t first = i / p.group * p.group;
    for (std::size_t j = first; j < first + p.group; ++j)
      CHECK(std::fabs(p.weights[i] - values[i]) <=
            std::fabs(p.weights[i] - values[j]) * (1 + 1e-6f));
  }
  // Levels in another order are the same levels.
  er::four_level_matrix turned = fit;
  for (er::four_levels& levels : turned.levels) std::swap(levels[0], levels[3]);
  for (std::uint8_t& code : turned.codes) code = code == 0 ? 3 : code == 3 ? 0 : code;
  CHECK(er::round_to_tables(p.view(), turned, p.importance).values() == table.values());
}

TEST_CASE("table_of: integers of the best scale there is, in the order of the levels") {
  // 1, 5, -13 times 0.25 are exact at t = 13, and at no larger one.
  const er::table_fit exact = er::table_of({0.25f, 1.25f, -3.25f, 0.25f}, {1, 1, 1, 1});
  CHECK(exact == er::table_fit{0.25f, {1, 5, -13, 1}});
  // What nobody has does not count: 0.9 alone decides, which the largest, 1, is not a part of.
  const std::array<double, 4> counts{0, 0, 7, 0};
  const er::four_levels levels{-1, -0.3f, 0.9f, 1};
  const er::table_fit one = er::table_of(levels, counts, er::scale_kind::float32);
  const auto error = [&](const er::table_fit& fit) {
    return std::fabs(0.9 - static_cast<double>(fit.scale) * fit.levels[2]);
  };
  for (int t = 8; t <= 15; ++t) {
    const float scale = 1.0f / static_cast<float>(t);
    const auto place = static_cast<std::int8_t>(std::nearbyint(levels[2] / scale));
    CHECK(error(one) <= error({scale, {0, 0, place, 0}}));
  }
  CHECK(one.levels[2] == 9);
  CHECK(er::table_of({}, {}).levels == std::array<std::int8_t, 4>{});
}

TEST_CASE("fit_four_levels: nearest levels and weighted means, as said, in plain loops") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  const std::size_t rows = 3, cols = 50, group = 16;  // 2 columns are left of a row
  std::vector<float> w(rows * cols), importance(cols);
  for (float& x : w) x = normal(generator);
  for (float& a : importance) a = std::exp(normal(generator));
  const er::matrix_view<const float> view{w.data(), rows, cols};
  for (const bool weighted : {false, true}) {
    const auto counts = std::span{importance}.first(weighted ? cols : 0);
    const er::four_level_matrix fit = er::fit_four_levels(view, group, counts);
    CHECK(fit.groups() == 4);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t g = 0; g < 4; ++g) {
        const auto& levels = fit.levels[r * 4 + g];
        CHECK(std::is_sorted(levels.begin(), levels.end()));
        double sums[4] = {}, all[4] = {};
        for (std::size_t c = g * group; c < std::min(cols, (g + 1) * group); ++c) {
          const float x = w[r * cols + c];
          const std::size_t code = fit.codes[r * cols + c];
          for (const float level : levels)
            CHECK(std::fabs(x - levels[code]) <= std::fabs(x - level) * (1 + 1e-6f));
          const double a = weighted ? static_cast<double>(importance[c]) : 1.0;
          sums[code] += a * static_cast<double>(x);
          all[code] += a;
        }
        for (std::size_t k = 0; k < 4; ++k) {
          if (all[k] > 0)
            CHECK(levels[k] == doctest::Approx(sums[k] / all[k]).epsilon(1e-5).scale(1e-2));
        }
      }
    }
    CHECK(weighted_error(view, fit, counts) <=
          weighted_error(view, er::fit_four_levels(view, group, counts, {.rounds = 1}), counts));
  }
}

TEST_CASE("fit_four_levels: few weights, equal weights, columns that do not count") {
  const float four[] = {3, -1, 2, 7};
  er::four_level_matrix fit = er::fit_four_levels({four, 1, 4}, 0);
  CHECK(fit.values() == std::vector<float>(std::begin(four), std::end(four)));
  const float equal[] = {5, 5, 5};
  fit = er::fit_four_levels({equal, 1, 3}, 0);
  CHECK(fit.values() == std::vector<float>(3, 5.0f));
  const float one[] = {-2};
  CHECK(er::fit_four_levels({one, 1, 1}, 128).value(0, 0) == -2);
  fit = er::fit_four_levels({four, 1, 4}, 0, std::vector<float>(4));
  CHECK(fit.values() == std::vector<float>(std::begin(four), std::end(four)));
  const float zeros[] = {0, 0};
  fit = er::fit_four_levels({zeros, 1, 2}, 0);
  CHECK(er::round_levels({zeros, 1, 2}, fit).scales[0] == 0);
  CHECK(fit.values() == std::vector<float>(2));
  CHECK(er::fit_four_levels({nullptr, 0, 0}, 4).codes.empty());
}

TEST_CASE("four_levels: what does not fit is refused by name") {
  std::vector<float> w{1, 2, std::numeric_limits<float>::infinity(), 4};
  CHECK_THROWS_WITH_AS(static_cast<void>(er::fit_four_levels({w.data(), 2, 2}, 2)),
                       "weight at row 1, column 0 is infinite: expected finite values",
                       std::invalid_argument);
  w[2] = 3;
  const er::matrix_view<const float> view{w.data(), 2, 2};
  CHECK_THROWS_WITH(static_cast<void>(er::fit_four_levels(view, 2, std::vector<float>(1))),
                    "fit_four_levels: 1 importances for 2 columns");
  er::four_level_matrix fit = er::fit_four_levels(view, 2);
  CHECK_THROWS_WITH(static_cast<void>(er::round_levels(view, fit, 128)),
                    doctest::Contains("integers to 128: expected the same shape, and 1 to 127"));
  CHECK_THROWS_WITH(static_cast<void>(er::round_to_tables({w.data(), 1, 4}, fit)),
                    "round_to_tables: weights 1 x 4, levels of 2 x 2");
  CHECK_THROWS_WITH(static_cast<void>(er::round_to_tables(view, fit, std::vector<float>(3))),
                    "round_to_tables: 3 importances for 2 columns");
  CHECK_THROWS_WITH(static_cast<void>(er::round_levels({w.data(), 1, 4}, fit)),
                    doctest::Contains("round_levels: weights 1 x 4, levels of 2 x 2"));
}

TEST_SUITE_END();
