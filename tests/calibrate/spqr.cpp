// SPDX-License-Identifier: Apache-2.0
/// SpQR against the published engine; its second level, its outliers and what they are worth.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include "support/golden.hpp"
#include <edgerazor/calibrate/spqr.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/unpack.hpp>

namespace er = edgerazor;

namespace {
constexpr double infinity = std::numeric_limits<double>::infinity();

struct problem {
  nlohmann::json data = golden::load("outliers.json");
  std::size_t rows = data["shape"][0], cols = data["shape"][1];
  std::vector<float> weights = golden::floats(data["weights_f32"]);
  er::second_moments moments;

  problem() {
    const auto hessian = data["hessian_f32"].get<std::vector<double>>();
    moments = er::second_moments({hessian.data(), cols, cols}, 1);
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};
}  // namespace

TEST_SUITE_BEGIN("calibrate/spqr");

TEST_CASE("golden: codes, both levels of statistics, outliers, values and errors") {
  const problem p;
  for (const auto& c : p.data["cases"]) {
    const std::string name = c["name"];
    CAPTURE(name);
    const er::inverse_factor factor = er::damped_inverse_factor(
        p.moments, {.damping = c["percdamp"],
                    .order = c["order"] == "identity" ? er::column_order::natural
                                                      : er::column_order::descending});
    const auto& relative = c["outlier_relative_threshold"];
    const bool two_level = !c["scale_bits"].is_null();
    const er::spqr_result result =
        er::round_by_spqr(p.view(), factor, er::level_grid::with_zero(c["bits"], c["group"]),
                          {.threshold = relative.is_null() ? infinity : relative.get<double>(),
                           .scale_bits = two_level ? c["scale_bits"].get<int>() : 0,
                           .zero_bits = two_level ? c["zero_bits"].get<int>() : 0,
                           .codes = er::second_level_codes::nearest});
    for (std::size_t i = 0; i < p.weights.size(); ++i) {
      CHECK(result.rounded.levels[i] == c["codes"][i].get<int>());
    }
    const std::vector<float> scales = golden::floats(c["scale_f32"]);
    const std::vector<float> zeros = golden::floats(c["zero_f32"]);
    for (std::size_t i = 0; i < scales.size(); ++i) {
      CHECK(result.rounded.scales[i] == doctest::Approx(scales[i]).epsilon(1e-5));
      CHECK(result.rounded.zeros[i] == doctest::Approx(zeros[i]).epsilon(1e-5));
    }
    if (two_level) {
      const auto& second = c["second_level"];
      for (std::size_t i = 0; i < scales.size(); ++i) {
        CHECK(result.statistics.scale_codes[i] == second["scale_codes"][i].get<int>());
        CHECK(result.statistics.zero_codes[i] == second["zero_codes"][i].get<int>());
      }
      for (std::size_t g = 0; g < result.statistics.scales.size(); ++g) {
        const auto near = [&](float ours, const char* key) {
          CHECK(ours == doctest::Approx(second[key][g].get<float>()).epsilon(1e-4));
        };
        near(result.statistics.scales[g].scale, "scale_of_scales_f32");
        near(result.statistics.scales[g].zero, "zero_of_scales_f32");
        near(result.statistics.zeros[g].scale, "scale_of_zeros_f32");
        near(result.statistics.zeros[g].zero, "zero_of_zeros_f32");
      }
    } else {
      CHECK(result.statistics.scale_codes.empty());
    }
    REQUIRE(result.kept.size() == c["outlier_count"].get<std::size_t>());
    for (std::size_t i = 0; i < result.kept.size(); ++i) {
      CHECK(result.kept[i].row == c["outlier_rows"][i].get<std::size_t>());
      CHECK(result.kept[i].col == c["outlier_cols"][i].get<std::size_t>());
      // An entry is what the weight is more than its code's value, which is not 0.
      const float dense = c["dense_value_at_outliers_f32"][i], whole = c["outlier_values_f32"][i];
      CHECK(std::fabs(result.kept[i].value - (whole - dense)) <= 1e-6f);
    }
    const std::vector<float> expected = golden::floats(c["weights_f32"]);
    const std::vector<float> values = result.values();
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(std::fabs(values[i] - expected[i]) <= 1e-6f);
    }
    CHECK(result.squared_output_error ==
          doctest::Approx(c["squared_output_error"].get<double>()).epsilon(1e-4));
    CHECK(er::output_error(p.view(), {values.data(), p.rows, p.cols}, p.moments) ==
          doctest::Approx(c["squared_output_error"].get<double>()).epsilon(1e-4));
    if (!relative.is_null()) {
      CHECK(result.threshold ==
            doctest::Approx(c["outlier_threshold"].get<double>()).epsilon(1e-5));
    }
    for (std::size_t i = 0; i < result.permutation.size(); ++i) {
      CHECK(result.permutation[i] == c["perm"][i].get<std::size_t>());
    }
  }
}

TEST_CASE("round_by_spqr: codes of least error halve what a second level costs") {
  const problem p;
  const er::inverse_factor factor = er::damped_inverse_factor(p.moments, {.damping = 1});
  const er::level_grid grid = er::level_grid::with_zero(3, 16);
  const auto error = [&](er::second_level_codes codes) {
    return er::round_by_spqr(p.view(), factor, grid, {.threshold = infinity, .codes = codes})
        .squared_output_error;
  };
  CHECK(error(er::second_level_codes::least_error) < 0.6 * error(er::second_level_codes::nearest));
}

TEST_CASE("round_by_spqr: statistics are what their codes say, of stored numbers, in any strip") {
  constexpr std::size_t rows = 150, cols = 70;
  const std::vector<float> weights = samples::heavy_tailed(rows, cols, 1);
  const std::vector<float> x = samples::correlated(500, cols, 2);
  er::second_moments moments(cols);
  moments.add({x.data(), 500, cols});
  const er::matrix_view<const float> view{weights.data(), rows, cols};
  const er::inverse_factor factor = er::damped_inverse_factor(moments, {.damping = 1});
  const er::level_grid grid =
      er::level_grid::with_zero(3, 16, er::group_zero::real, er::scale_kind::float16);
  const er::spqr_result result = er::round_by_spqr(view, factor, grid);
  const std::size_t groups = grid.groups(cols);
  const er::two_level_statistics& s = result.statistics;
  REQUIRE(s.scales.size() == 10 * groups);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t g = 0; g < groups; ++g) {
      const er::group_fit of_scales = s.scales[r / 16 * groups + g];
      const er::group_fit of_zeros = s.zeros[r / 16 * groups + g];
      CHECK(of_scales.scale == static_cast<float>(er::float16{of_scales.scale}));
      CHECK(of_zeros.zero == static_cast<float>(er::float16{of_zeros.zero}));
      CHECK(s.scale_codes[r * groups + g] < 8);
      CHECK(result.rounded.fit(r, g).scale ==
            of_scales.scale * (static_cast<float>(s.scale_codes[r * groups + g]) - of_scales.zero));
      CHECK(result.rounded.fit(r, g).zero ==
            of_zeros.scale * (static_cast<float>(s.zero_codes[r * groups + g]) - of_zeros.zero));
    }
  }
  CHECK(!result.kept.empty());
  CHECK(result.kept.size() < rows * cols / 10);
  CHECK(std::is_sorted(result.kept.begin(), result.kept.end(), [](const auto& a, const auto& b) {
    return a.row != b.row ? a.row < b.row : a.col < b.col;
  }));
  const std::vector<float> values = result.values();
  CHECK(er::output_error(view, {values.data(), rows, cols}, moments) ==
        doctest::Approx(result.squared_output_error).epsilon(1e-4));
  const auto backwards = [](std::size_t count, er::grain_work work) {
    while (count > 0) work(--count);
  };
  const er::spqr_result other = er::round_by_spqr(view, factor, grid, {.executor = backwards});
  CHECK(other.rounded.levels == result.rounded.levels);
  CHECK(other.values() == values);
}

TEST_CASE("round_by_spqr: packed, both levels and all, it has the values it was chosen for") {
  constexpr std::size_t rows = 150, cols = 96;
  const std::vector<float> weights = samples::heavy_tailed(rows, cols, 5);
  const std::vector<float> x = samples::correlated(500, cols, 6);
  er::second_moments moments(cols);
  moments.add({x.data(), 500, cols});
  for (const int bits : {2, 3, 4}) {
    const er::level_grid grid =
        er::level_grid::with_zero(bits, 16, er::group_zero::real, er::scale_kind::float16);
    const er::spqr_result result = er::round_by_spqr(
        {weights.data(), rows, cols}, er::damped_inverse_factor(moments, {.damping = 1}), grid);
    const auto fmt = er::format::parse("int" + std::to_string(bits) + "z_g16_q3");
    REQUIRE(fmt);
    const std::size_t groups = result.rounded.groups();
    const er::any_matrix packed = er::pack_levels(
        *fmt, er::matrix_view<const std::int16_t>{result.rounded.levels.data(), rows, cols},
        {result.rounded.scales.data(), rows, groups}, {result.rounded.zeros.data(), rows, groups});
    std::vector<float> values(rows * cols);
    er::dequantize(*packed.packed(), er::matrix_view{values.data(), rows, cols});
    CHECK(values == result.rounded.values());
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t g = 0; g < groups; ++g) {
        const er::group_fit fit = result.rounded.fit(r, g);
        CHECK(er::scale_at(*packed.packed(), r, g) == fit.scale);
        CHECK(er::zero_at(*packed.packed(), r, g) == fit.zero);
      }
    }
  }
}

TEST_CASE("round_by_spqr: rows of zeros and equal weights, one row, one column") {
  std::vector<float> weights(20 * 16, 0.0f);
  for (std::size_t i = 16; i < 64; ++i) weights[i] = 0.25f;
  er::second_moments moments(16);
  const std::vector<float> x = samples::correlated(100, 16, 3);
  moments.add({x.data(), 100, 16});
  const er::level_grid grid = er::level_grid::with_zero(3, 16);
  const er::inverse_factor factor = er::damped_inverse_factor(moments);
  const er::spqr_result result = er::round_by_spqr({weights.data(), 20, 16}, factor, grid);
  for (const float value : result.values()) CHECK(std::isfinite(value));
  const er::spqr_result one = er::round_by_spqr({weights.data() + 16, 1, 16}, factor, grid);
  CHECK(one.threshold == infinity);
  CHECK(one.kept.empty());
  for (const float value : one.values()) CHECK(value == doctest::Approx(0.25).epsilon(1e-6));
  er::second_moments narrow(1);
  const std::vector<float> ones(10, 1.0f);
  narrow.add({ones.data(), 10, 1});
  const er::spqr_result column =
      er::round_by_spqr({weights.data(), 20, 1}, er::damped_inverse_factor(narrow), grid);
  CHECK(column.rounded.levels.size() == 20);
}

TEST_CASE("round_by_spqr: what does not fit is refused by name") {
  const problem p;
  const er::inverse_factor factor = er::damped_inverse_factor(p.moments);
  const er::level_grid grid = er::level_grid::with_zero(3, 16);
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::round_by_spqr(p.view(), factor, er::level_grid::symmetric(3, 16))),
      "round_by_spqr: a second level of 3 and 3 bits over 16 rows: expected 1 to 8 bits, a divisor "
      "of 64 rows, and a grid with a real zero",
      std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::round_by_spqr(p.view(), factor, grid, {.tile_rows = 48})),
                    doctest::Contains("over 48 rows"));
  CHECK_THROWS_WITH(static_cast<void>(er::round_by_spqr(p.view(), factor, grid, {.zero_bits = 9})),
                    doctest::Contains("of 3 and 9 bits"));
  CHECK_THROWS_WITH(static_cast<void>(er::round_by_spqr(p.view(), factor, grid, {.threshold = -1})),
                    doctest::Contains("the threshold is -1"));
  CHECK_THROWS_WITH(static_cast<void>(er::round_by_spqr({p.weights.data(), 4, 60}, factor, grid)),
                    "round_by_spqr: weights of 60 columns, second moments of 64");
}

TEST_SUITE_END();
