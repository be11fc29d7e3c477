// SPDX-License-Identifier: Apache-2.0
/// One scale a matrix: the published rule's numbers, and that the true error's rule is better.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/calibrate/low_rank_correction.hpp>
#include <edgerazor/calibrate/pruning_mask.hpp>
#include <edgerazor/calibrate/slim_quant.hpp>
#include <edgerazor/matrix/pack_levels.hpp>

namespace er = edgerazor;

namespace {
struct problem {
  nlohmann::json data = golden::load("pruning.json");
  std::size_t rows = data["shape"][0], cols = data["shape"][1];
  std::vector<float> weights = golden::floats(data["weights_f32"]);

  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};

double squared_error(er::matrix_view<const float> w, const er::rounded_matrix& q,
                     std::span<const float> importance = {}) {
  double sum = 0;
  for (std::size_t r = 0; r < w.rows; ++r) {
    for (std::size_t c = 0; c < w.cols; ++c) {
      const double apart = static_cast<double>(w.row(r)[c]) - static_cast<double>(q.value(r, c));
      sum += (importance.empty() ? 1.0 : static_cast<double>(importance[c])) * apart * apart;
    }
  }
  return sum;
}

/// Every scale of a fine grid, in plain loops.
double least_error(er::matrix_view<const float> w, int bits, std::span<const float> importance) {
  const int most = (1 << (bits - 1)) - 1;
  double largest = 0, least = std::numeric_limits<double>::infinity();
  for (const float x : std::span{w.data, w.rows * w.cols})
    largest = std::max(largest, std::fabs(static_cast<double>(x)));
  for (int i = 1; i <= 1000; ++i) {
    const double scale = largest / most * i / 1000;
    double sum = 0;
    for (std::size_t j = 0; j < w.rows * w.cols; ++j) {
      const auto x = static_cast<double>(w.data[j]);
      const double level = std::clamp(std::nearbyint(x / scale), -most - 1.0, 1.0 * most);
      sum += (importance.empty() ? 1.0 : static_cast<double>(importance[j % w.cols])) *
             (x - level * scale) * (x - level * scale);
    }
    least = std::min(least, sum);
  }
  return least;
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/slim_quant");

TEST_CASE("golden: the published alphas, losses and levels") {
  const problem p;
  for (const auto& c : p.data["slim_quant"]["cases"]) {
    const int bits = c["bits"];
    CAPTURE(bits);
    CHECK(er::published::slim_quant_alpha(p.view(), bits).alpha ==
          doctest::Approx(c["alpha_f32"].get<float>()).epsilon(1e-6));
    const er::rounded_matrix rounded = er::published::slim_quant(p.view(), bits);
    for (std::size_t i = 0; i < p.weights.size(); ++i)
      CHECK(rounded.levels[i] == c["levels"][i].get<int>());
    for (const float scale : rounded.scales)
      CHECK(scale == doctest::Approx(c["scale_f32"].get<float>()).epsilon(1e-6));
    CHECK(squared_error(p.view(), rounded) ==
          doctest::Approx(c["squared_error"].get<double>()).epsilon(1e-5));
  }
  const auto alpha = er::published::slim_quant_alpha(p.view(), 4);
  const auto& histogram = p.data["slim_quant"]["histogram_4_bits"];
  REQUIRE(alpha.coarse_losses.size() == histogram["loss_f32"].size());
  for (std::size_t i = 0; i < alpha.coarse_losses.size(); ++i) {
    CHECK(alpha.coarse_alphas[i] ==
          doctest::Approx(histogram["alpha_f32"][i].get<float>()).epsilon(1e-5));
    CHECK(alpha.coarse_losses[i] ==
          doctest::Approx(histogram["loss_f32"][i].get<float>()).epsilon(1e-5));
  }
  const std::vector<float> importance =
      er::published::slim_importance(golden::floats(p.data["calibration"]["mean_square_f32"]));
  const std::vector<float> shifted = golden::floats(p.data["calibration"]["shifted_f32"]);
  for (std::size_t c = 0; c < p.cols; ++c)
    CHECK(importance[c] == doctest::Approx(shifted[c]).epsilon(1e-6));
}

TEST_CASE("slim_quant: the best alpha by the true error, at 8 bits too") {
  const problem p;
  for (const auto& c : p.data["slim_quant"]["cases"]) {
    const int bits = c["bits"];
    CAPTURE(bits);
    const double ours = squared_error(p.view(), er::slim_quant(p.view(), bits));
    // The golden search had a grid of its own: a part in a thousand from the least.
    CHECK(ours <= c["best_squared_error"].get<double>() * 1.001);
    CHECK(ours < c["squared_error"].get<double>());
    CHECK(ours <= c["absmax_squared_error"].get<double>());
    const std::vector<float> importance = golden::floats(p.data["calibration"]["shifted_f32"]);
    for (const bool weighted : {false, true}) {
      const std::span<const float> counts = std::span{importance}.first(weighted ? p.cols : 0);
      CHECK(squared_error(p.view(), er::slim_quant(p.view(), bits, counts), counts) <=
            least_error(p.view(), bits, counts) * 1.01);
    }
  }
}

TEST_CASE("golden: quantized and 2 of 4, and what rank 4 takes back") {
  const problem p;
  const auto& expected = p.data["low_rank"];
  const std::vector<float> importance = golden::floats(p.data["calibration"]["shifted_f32"]);
  const auto pattern = er::pruning_pattern::two_of_four();
  const std::vector<std::uint8_t> mask = er::wanda_mask(p.view(), importance, pattern);
  const auto values_of = [&](const er::rounded_matrix& rounded) {
    const std::vector<float> values = rounded.values();
    return er::without({values.data(), p.rows, p.cols}, mask);
  };
  const std::vector<float> q = values_of(er::published::slim_quant(p.view(), 4));
  std::vector<float> error = p.weights;
  for (std::size_t i = 0; i < error.size(); ++i) error[i] -= q[i];
  const er::low_rank_factors factors =
      er::low_rank_correction({error.data(), p.rows, p.cols}, 4, importance);
  CHECK(
      factors.error_before ==
      doctest::Approx(expected["weighted_error"]["quantized and 2:4"].get<double>()).epsilon(1e-5));
  const std::vector<float> product = factors.values();
  for (std::size_t i = 0; i < product.size(); ++i)
    CHECK(std::fabs(product[i] - expected["product_f64"][i].get<double>()) <= 1e-6);
  std::vector<float> rest = p.weights;
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= product[i];
  const std::vector<float> pruned = er::without({rest.data(), p.rows, p.cols}, mask);
  const er::rounded_matrix base = er::published::slim_quant({pruned.data(), p.rows, p.cols}, 4);
  CHECK(base.scales[0] * 7 ==
        doctest::Approx(expected["base_alpha_f32"].get<float>()).epsilon(1e-5));
  for (std::size_t i = 0; i < pruned.size(); ++i)
    CHECK(base.levels[i] == expected["base_levels"][i].get<int>());
  double left = 0;
  for (std::size_t i = 0; i < pruned.size(); ++i) {
    const double apart = static_cast<double>(p.weights[i]) - static_cast<double>(product[i]) -
                         static_cast<double>(base.value(i / p.cols, i % p.cols));
    left += static_cast<double>(importance[i % p.cols]) * apart * apart;
  }
  CHECK(left ==
        doctest::Approx(expected["weighted_error"]["with low rank"].get<double>()).epsilon(1e-5));
}

TEST_CASE("slim_quant: one scale for all rows, as a packed matrix holds it") {
  const problem p;
  const er::rounded_matrix rounded =
      er::slim_quant(p.view(), 4, {}, {.storage = er::scale_kind::float16});
  const er::any_matrix packed =
      er::pack_levels(*er::format::parse("int4_row"),
                      er::matrix_view<const std::int16_t>{rounded.levels.data(), p.rows, p.cols},
                      er::matrix_view<const float>{rounded.scales.data(), p.rows, 1});
  CHECK(packed.rows() == p.rows);
  for (const float scale : rounded.scales) {
    CHECK(scale == rounded.scales[0]);
    CHECK(scale == static_cast<float>(er::float16{scale}));
  }
  const std::vector<float> zeros(6);
  for (const float value : er::slim_quant({zeros.data(), 2, 3}, 4).values()) CHECK(value == 0);
  for (const float value : er::published::slim_quant({zeros.data(), 2, 3}, 4).values())
    CHECK(value == 0);
  CHECK(er::slim_quant({nullptr, 0, 0}, 4).levels.empty());
  CHECK(er::published::slim_quant({nullptr, 0, 0}, 4).levels.empty());
}

TEST_CASE("slim_quant: what does not fit is refused by name") {
  const problem p;
  CHECK_THROWS_WITH_AS(static_cast<void>(er::slim_quant(p.view(), 1)),
                       "slim_quant: 1 bits, expected 2 to 8", std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::published::slim_quant(p.view(), 9)),
                    "slim_quant: 9 bits, expected 2 to 8");
  CHECK_THROWS_WITH(static_cast<void>(er::slim_quant(p.view(), 4, std::vector<float>(3))),
                    "slim_quant: 3 importances for 64 columns");
  std::vector<float> bad = p.weights;
  bad[70] = std::numeric_limits<float>::infinity();
  const er::matrix_view<const float> view{bad.data(), p.rows, p.cols};
  CHECK_THROWS_WITH(static_cast<void>(er::slim_quant(view, 4)),
                    "weight at row 1, column 6 is infinite: expected finite values");
  CHECK_THROWS_WITH(static_cast<void>(er::published::slim_quant(view, 4)),
                    "weight at row 1, column 6 is infinite: expected finite values");
}

TEST_SUITE_END();
