// SPDX-License-Identifier: Apache-2.0
/// Masks against the published functions' and against their definitions in plain loops.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include "support/golden.hpp"
#include <edgerazor/calibrate/pruning_mask.hpp>
#include <edgerazor/calibrate/statistics.hpp>

namespace er = edgerazor;

namespace {
struct problem {
  nlohmann::json data = golden::load("pruning.json");
  std::size_t rows = data["shape"][0], cols = data["shape"][1];
  std::vector<float> weights = golden::floats(data["weights_f32"]);
  std::vector<float> importance = golden::floats(data["calibration"]["shifted_f32"]);
  er::second_moments moments{cols};

  problem() {
    const std::vector<float> x = golden::floats(data["calibration"]["x_f32"]);
    moments.add({x.data(), x.size() / cols, cols});
    // As published: 2 / samples.
    moments = moments.scaled(2 / data["calibration"]["samples"].get<double>());
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
  void compare(const std::vector<std::uint8_t>& mask, const char* key) const {
    const auto& expected = data["wanda"][key];
    REQUIRE(mask.size() == expected.size());
    for (std::size_t i = 0; i < mask.size(); ++i) CHECK(mask[i] == expected[i].get<int>());
  }
};

/// SparseGPT one row at a time: after each removal the inverse of the whole rest would be exact;
/// this is its factor's recursion as written.
void remove_in_order(std::vector<double>& row, const er::inverse_factor& factor,
                     const er::pruning_pattern& pattern, std::vector<int>& mask) {
  const auto u = [&](std::size_t i, std::size_t j) {
    return factor.upper(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j));
  };
  for (std::size_t p = 0; p < row.size(); ++p) {
    if (p % pattern.group == 0) {
      const std::size_t end = std::min(p + pattern.group, row.size());
      for (std::size_t n = 0; n < pattern.of(end - p); ++n) {
        std::size_t least = end;
        for (std::size_t i = p; i < end; ++i) {
          const auto score = [&](std::size_t k) { return row[k] * row[k] / (u(k, k) * u(k, k)); };
          if (mask[i] == 0 && (least == end || score(i) < score(least))) least = i;
        }
        mask[least] = 1;
      }
    }
    if (mask[p] == 0) continue;
    const double error = row[p] / u(p, p);
    row[p] = 0;
    for (std::size_t j = p + 1; j < row.size(); ++j) row[j] -= error * u(p, j);
  }
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/pruning_mask");

TEST_CASE("golden: Wanda's masks and those by magnitude") {
  const problem p;
  const auto half = er::pruning_pattern::part_of_row(p.cols, 0.5);
  p.compare(er::wanda_mask(p.view(), p.importance, er::pruning_pattern::two_of_four()),
            "removed_2_of_4");
  p.compare(er::wanda_mask(p.view(), p.importance, half), "removed_half_of_a_row");
  p.compare(er::wanda_mask(p.view(), {}, er::pruning_pattern::two_of_four()),
            "magnitude_removed_2_of_4");
}

TEST_CASE("golden: SparseGPT's 2 of 4") {
  const problem p;
  const auto& expected = p.data["sparsegpt_2_of_4"];
  const std::vector<float> values = golden::floats(expected["weights_f32"]);
  // The published program sets weights of a column that no token has moved to 0, and its diagonal
  // to 1, before it takes the mean of which the damping is a part.
  const std::size_t dead = 5;
  std::vector<float> weights = p.weights;
  for (std::size_t r = 0; r < p.rows; ++r) weights[r * p.cols + dead] = 0;
  auto sums = p.moments.matrix();
  sums(dead, dead) = 1;
  const er::inverse_factor factor =
      er::damped_inverse_factor(er::second_moments{{sums.data(), p.cols, p.cols}, 1});
  const auto pattern = er::pruning_pattern::two_of_four();
  const er::pruned_matrix pruned =
      er::prune_by_feedback({weights.data(), p.rows, p.cols}, factor, pattern);
  const er::pruned_matrix own =
      er::prune_by_feedback(p.view(), er::damped_inverse_factor(p.moments), pattern);
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK((pruned.mask[i] != 0) == (values[i] == 0));
    CHECK(own.mask[i] == pruned.mask[i]);
    CHECK(std::fabs(pruned.values[i] - values[i]) <= 1e-6f);
    CHECK(std::fabs(own.values[i] - values[i]) <= 1e-5f);  // its damping is another
  }
  const auto error = [&](const std::vector<float>& q) {
    return er::output_error(p.view(), {q.data(), p.rows, p.cols}, p.moments);
  };
  CHECK(error(pruned.values) ==
        doctest::Approx(expected["output_error"].get<double>()).epsilon(1e-5));
  CHECK(own.squared_output_error == doctest::Approx(error(own.values)).epsilon(1e-5));
  CHECK(error(er::without(p.view(), er::wanda_mask(p.view(), p.importance, pattern))) ==
        doctest::Approx(expected["wanda_output_error"].get<double>()).epsilon(1e-5));
}

TEST_CASE("prune_by_feedback: its definition in plain loops, for every pattern and row count") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  const std::size_t rows = 70, cols = 150;  // two strips, two blocks
  std::vector<float> w(rows * cols), x(300 * cols);
  for (float& value : w) value = normal(generator);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = normal(generator) + (i % cols > 0 ? 0.5f * x[i - 1] : 0.0f);
  er::second_moments moments(cols);
  moments.add({x.data(), 300, cols});
  const er::inverse_factor factor = er::damped_inverse_factor(moments);
  for (const er::pruning_pattern pattern :
       {er::pruning_pattern{2, 4}, er::pruning_pattern{5, 7}, er::pruning_pattern{64, 128},
        er::pruning_pattern::part_of_row(cols, 0.3)}) {
    CAPTURE(pattern.group);
    const er::matrix_view<const float> view{w.data(), rows, cols};
    const er::pruned_matrix pruned = er::prune_by_feedback(view, factor, pattern);
    for (std::size_t r = 0; r < rows; ++r) {
      std::vector<double> row(view.row(r).begin(), view.row(r).end());
      std::vector<int> mask(cols);
      remove_in_order(row, factor, pattern, mask);
      for (std::size_t c = 0; c < cols; ++c) {
        REQUIRE(pruned.mask[r * cols + c] == mask[c]);
        CHECK(pruned.values[r * cols + c] == doctest::Approx(row[c]).epsilon(1e-6).scale(1e-3));
      }
    }
    CHECK(pruned.squared_output_error ==
          doctest::Approx(er::output_error(view, {pruned.values.data(), rows, cols}, moments))
              .epsilon(1e-5));
    const std::vector<float> plain =
        er::without(view, er::wanda_mask(view, moments.mean_squares(), pattern));
    CHECK(pruned.squared_output_error <
          er::output_error(view, {plain.data(), rows, cols}, moments));
  }
  // An order of its own decides before any feedback: the groups stay the matrix's columns.
  const er::inverse_factor ordered =
      er::damped_inverse_factor(moments, {.order = er::column_order::descending});
  const er::matrix_view<const float> view{w.data(), rows, cols};
  const er::pruned_matrix pruned = er::prune_by_feedback(view, ordered, {2, 4});
  for (std::size_t i = 0; i < w.size(); i += 4) {
    if (i % cols + 4 > cols) continue;  // 2 columns are left of a row, of which one goes
    int sum = 0;
    for (std::size_t j = 0; j < 4; ++j) sum += pruned.mask[i + j];
    if (i % cols % 4 == 0) CHECK(sum == 2);
  }
  CHECK(pruned.squared_output_error ==
        doctest::Approx(er::output_error(view, {pruned.values.data(), rows, cols}, moments))
            .epsilon(1e-5));
}

TEST_CASE("wanda_mask: of equal scores the first, nothing, everything, what is left of a row") {
  const float w[] = {1, -1, 1, 1, 2, 0};
  using bytes = std::vector<std::uint8_t>;
  CHECK(er::wanda_mask({w, 1, 6}, {}, {2, 4}) == bytes{1, 1, 0, 0, 0, 1});
  CHECK(er::wanda_mask({w, 1, 6}, {}, {0, 4}) == bytes{0, 0, 0, 0, 0, 0});
  CHECK(er::wanda_mask({w, 1, 6}, {}, {4, 4}) == bytes{1, 1, 1, 1, 1, 1});
  CHECK(er::wanda_mask({w, 1, 6}, std::vector<float>{1, 9, 1, 2, 0, 9}, {2, 4}) ==
        bytes{1, 0, 1, 0, 1, 0});
  CHECK(er::without({w, 1, 6}, bytes{1, 1, 0, 0, 0, 1}) == std::vector<float>{0, 0, 1, 1, 2, 0});
  CHECK(er::wanda_mask({w, 0, 0}, {}, {0, 0}).empty());
}

TEST_CASE("pruning_mask: what does not fit is refused by name") {
  const problem p;
  CHECK_THROWS_WITH_AS(static_cast<void>(er::wanda_mask(p.view(), {}, {5, 4})),
                       "wanda_mask: 5 removed of every 4 columns: expected no more than there are",
                       std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::wanda_mask(p.view(), {}, {0, 0})),
                    "wanda_mask: 0 removed of every 0 columns: expected no more than there are");
  CHECK_THROWS_WITH(static_cast<void>(er::wanda_mask(p.view(), std::vector<float>(3), {2, 4})),
                    "wanda_mask: 3 importances for 64 columns");
  CHECK_THROWS_WITH(static_cast<void>(er::without(p.view(), std::vector<std::uint8_t>(3))),
                    "without: a mask of 3 elements for weights 16 x 64");
  const er::inverse_factor factor = er::damped_inverse_factor(p.moments);
  CHECK_THROWS_WITH(
      static_cast<void>(er::prune_by_feedback({p.weights.data(), 2, 3}, factor, {2, 4})),
      "prune_by_feedback: weights of 3 columns, second moments of 64");
  std::vector<float> bad = p.weights;
  bad[70] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(
      static_cast<void>(er::prune_by_feedback({bad.data(), p.rows, p.cols}, factor, {2, 4})),
      "weight at row 1, column 6 is NaN: expected finite values");
}

TEST_SUITE_END();
