// SPDX-License-Identifier: Apache-2.0
/// Scores and masks of TaCQ against the published functions, and rounding with what they keep.
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/calibrate/kept_weights.hpp>
#include <edgerazor/calibrate/published_fits.hpp>
#include <edgerazor/calibrate/tacq.hpp>

namespace er = edgerazor;

namespace {
struct layer {
  const nlohmann::json& data;
  std::size_t rows = data["shape"][0], cols = data["shape"][1];
  std::vector<float> weights = golden::floats(data["weights_f32"]);

  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
  [[nodiscard]] er::second_moments moments() const {
    const auto hessian = data["hessian_f32"].get<std::vector<double>>();
    return {{hessian.data(), cols, cols}, 1};
  }
  /// Whether all are the numbers under a key, to 1e-6.
  void compare(const std::vector<float>& values, const char* key) const {
    const std::vector<float> expected = golden::floats(data[key]);
    REQUIRE(values.size() == expected.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(std::fabs(values[i] - expected[i]) <= 1e-6f);
    }
  }
};
}  // namespace

TEST_SUITE_BEGIN("calibrate/tacq");

TEST_CASE("golden: uniform model, scores, mask over both layers, final model") {
  const nlohmann::json data = golden::load("task_scores.json");
  const er::level_grid grid = er::level_grid::with_zero(2, 0, er::group_zero::integer);
  std::vector<std::vector<float>> scores;
  for (const auto& l : data["layers"]) {
    const layer own{l};
    const er::feedback_result uniform = er::round_by_feedback(
        own.view(), er::damped_inverse_factor(own.moments()), grid, er::published::gptq_search{});
    const std::vector<float> values = uniform.values();
    own.compare(values, "uniform_f32");
    own.compare(uniform.rounded.scales, "uniform_scale_f32");
    CHECK(uniform.squared_output_error ==
          doctest::Approx(l["output_error_uniform"].get<double>()).epsilon(1e-5));
    const std::vector<float> gradients = golden::floats(l["gradients_f32"]);
    er::gradient_magnitudes magnitudes(own.rows, own.cols);
    for (std::size_t s = 0; s < l["samples"].get<std::size_t>(); ++s) {
      magnitudes.add({gradients.data() + s * own.weights.size(), own.rows, own.cols});
    }
    CHECK(magnitudes.count() == l["samples"].get<std::size_t>());
    scores.push_back(er::tacq_scores(magnitudes, own.view(), {values.data(), own.rows, own.cols}));
    const std::vector<float> expected = golden::floats(l["score_f32"]);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(scores.back()[i] == doctest::Approx(expected[i]).epsilon(1e-5));
    }
  }
  const std::vector<std::span<const float>> both(scores.begin(), scores.end());
  const auto masks = er::keep_largest(both, data["fraction"]);
  for (std::size_t m = 0; m < masks.size(); ++m) {
    const layer own{data["layers"][m]};
    for (std::size_t i = 0; i < masks[m].size(); ++i) {
      CHECK(masks[m][i] == own.data["kept"][i].get<int>());
    }
    const er::kept_result result = er::round_by_feedback_keeping(
        own.view(), {masks[m].data(), own.rows, own.cols}, er::damped_inverse_factor(own.moments()),
        grid, er::published::gptq_search{});
    own.compare(result.values(), "final_f32");
    own.compare(result.rounded.scales, "final_scale_f32");
    std::vector<float> kept;
    for (const er::sparse_entry& entry : result.kept) kept.push_back(entry.value);
    own.compare(kept, "kept_values_f32");  // the code's value is 0
    for (std::size_t i = 0; i < own.weights.size(); ++i) {
      CHECK(result.rounded.levels[i] == own.data["final_codes"][i].get<int>());
    }
    CHECK(result.squared_output_error ==
          doctest::Approx(own.data["output_error_final"].get<double>()).epsilon(1e-5));
  }
}

TEST_CASE("keep_largest: of equal scores the first, none, all") {
  const std::vector<float> a{1, 5, 5}, b{5, 0, 7, 2};
  const std::span<const float> both[] = {a, b};
  const auto mask = [&](double fraction) { return er::keep_largest(both, fraction); };
  using bytes = std::vector<std::uint8_t>;
  CHECK(mask(0.5)[0] == bytes{0, 1, 1});
  CHECK(mask(0.5)[1] == bytes{0, 0, 1, 0});
  CHECK(mask(0.1)[0] == bytes{0, 0, 0});
  CHECK(mask(1)[0] == bytes{1, 1, 1});
  CHECK(mask(1)[1] == bytes{1, 1, 1, 1});
  CHECK_THROWS_WITH_AS(mask(1.5), "keep_largest: the fraction is 1.500000, expected 0 to 1",
                       std::invalid_argument);
  const std::vector<float> bad{1, std::numeric_limits<float>::quiet_NaN()};
  const std::span<const float> one[] = {bad};
  CHECK_THROWS_WITH(static_cast<void>(er::keep_largest(one, 0.5)),
                    "keep_largest: score 1 of matrix 0 is NaN");
  CHECK(er::keep_largest({}, 0.5).empty());
}

TEST_CASE("gradient_magnitudes, tacq_scores: what does not fit is refused by name") {
  er::gradient_magnitudes magnitudes(2, 3);
  std::vector<float> g(6, -1.0f);
  magnitudes.add({g.data(), 2, 3});
  CHECK(magnitudes.sums()[4] == 1);
  CHECK_THROWS_WITH_AS(magnitudes.add({g.data(), 3, 2}),
                       "gradient_magnitudes: a gradient of 3 x 2, expected 2 x 3",
                       std::invalid_argument);
  g[4] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(magnitudes.add({g.data(), 2, 3}),
                    "gradient at row 1, column 1 is infinite: expected finite values");
  CHECK(magnitudes.count() == 1);
  CHECK_THROWS_WITH(
      static_cast<void>(er::tacq_scores(magnitudes, {g.data(), 2, 3}, {g.data(), 2, 2})),
      "tacq_scores: gradients 2 x 3, weights 2 x 3, values 2 x 2");
  CHECK_THROWS_WITH(
      static_cast<void>(er::tacq_scores(magnitudes, {g.data(), 2, 3}, {g.data(), 2, 3})),
      "weight at row 1, column 1 is infinite: expected finite values");
}

TEST_SUITE_END();
