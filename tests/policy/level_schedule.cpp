// SPDX-License-Identifier: Apache-2.0
/// The schedule of levels: golden factors and scales stage by stage, and learned steps of odd
/// numbers of levels beside the published elastic quantizer.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/level_schedule.hpp>

namespace er = edgerazor;

namespace {
struct two_bits {
  using granularity = er::per_channel;
  using scale_type = float;
  static constexpr int min_level = -2, max_level = 1;
  static constexpr er::level_rule levels{min_level, max_level};
  static float scale(std::span<const float>) noexcept { return 1; }
  static constexpr int level(float weight, float scale) noexcept { return levels(weight, scale); }
};
}  // namespace

TEST_SUITE_BEGIN("policy/level_schedule");

TEST_CASE("golden: levels, factors, scales, magnitudes and errors of every stage") {
  const nlohmann::json data = golden::load("level_schedule.json")["schedule"];
  std::vector<float> a;
  for (const double x : data["a_f64"].get<std::vector<double>>())
    a.push_back(static_cast<float>(x));
  const er::level_schedule schedule;
  REQUIRE(data["stages"].size() == static_cast<std::size_t>(schedule.stages()));
  float scale = 0;
  for (int stage = 0; stage < schedule.stages(); ++stage) {
    const auto& expected = data["stages"][static_cast<std::size_t>(stage)];
    const int count = schedule.levels(stage);
    CHECK(count == expected["levels"].get<int>());
    er::with_symmetric_levels(count, [&](auto policy) {
      using step = er::learned_step<decltype(policy)>;
      const er::matrix_view<const float> view{a.data(), 1, a.size()};
      if (stage == 0) {
        er::initial_scales<step>(view, std::span{&scale, 1});
      } else {
        const float factor = er::projection_factor(a, scale, schedule.levels(stage - 1), count);
        CHECK(factor == doctest::Approx(expected["factor"].get<double>()).epsilon(1e-6));
        scale *= factor;
      }
      CHECK(scale == doctest::Approx(expected["scale"].get<double>()).epsilon(1e-6));
      std::vector<float> out(a.size());
      er::fake_quantize<step>(view, std::span<const float>{&scale, 1},
                              er::matrix_view<float>{out.data(), 1, out.size()});
      double magnitude = 0, error = 0;
      int zeros = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        magnitude += std::fabs(static_cast<double>(out[i])) / static_cast<double>(a.size());
        const double apart = static_cast<double>(a[i]) - static_cast<double>(out[i]);
        error += apart * apart;
        zeros += out[i] == 0;
      }
      CHECK(magnitude == doctest::Approx(expected["mean_magnitude"].get<double>()).epsilon(1e-6));
      CHECK(error == doctest::Approx(expected["squared_error"].get<double>()).epsilon(1e-5));
      CHECK(zeros == expected["zeros"].get<int>());
    });
  }
}

TEST_CASE("golden: a learned step of levels -2 to 1 is the published elastic quantizer") {
  const nlohmann::json data = golden::load("level_schedule.json")["elastic"];
  const auto& expected = data["two_bits_signed"];
  const std::vector<float> x = golden::floats(data["x_f32"]),
                           upstream = golden::floats(data["upstream_f32"]);
  const float alpha = data["alpha"];
  using step = er::learned_step<two_bits>;
  const er::matrix_view<const float> view{x.data(), 1, x.size()};
  std::vector<float> value(x.size()), grad(x.size());
  er::fake_quantize<step>(view, std::span{&alpha, 1},
                          er::matrix_view<float>{value.data(), 1, x.size()});
  float grad_alpha = 0;
  er::learned_step_backward<step>(view, std::span{&alpha, 1}, {upstream.data(), 1, x.size()},
                                  {grad.data(), 1, x.size()}, std::span{&grad_alpha, 1});
  const std::vector<float> values = golden::floats(expected["value_f32"]),
                           grads = golden::floats(expected["grad_x_f32"]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK(value[i] == values[i]);
    CHECK(grad[i] == grads[i]);
  }
  CHECK(grad_alpha == doctest::Approx(expected["grad_alpha_f32"][0].get<float>()).epsilon(1e-5));
}

TEST_CASE("golden: binary weights less the mean of the matrix, scales of the weights themselves") {
  const nlohmann::json data = golden::load("level_schedule.json")["weights"];
  const std::size_t rows = data["shape"][0], cols = data["shape"][1];
  const std::vector<float> w = golden::floats(data["weights_f32"]);
  const float mean = data["mean_f32"];
  for (std::size_t r = 0; r < rows; ++r) {
    const std::span<const float> row = std::span{w}.subspan(r * cols, cols);
    CHECK(er::binary<>{}.scale(row) ==
          doctest::Approx(data["row_scale_f32"][r].get<float>()).epsilon(1e-6));
    for (std::size_t c = 0; c < cols; ++c)
      CHECK(er::sign_level(row[c] - mean) == data["sign"][r * cols + c].get<int>());
  }
}

TEST_CASE("level_schedule: stages share the steps; edges and what is refused") {
  constexpr er::level_schedule schedule{7, 3};
  static_assert(schedule.stages() == 3 && schedule.levels(2) == 3);
  CHECK(schedule.stage_at(0, 9) == 0);
  CHECK(schedule.stage_at(3, 9) == 1);
  CHECK(schedule.stage_at(8, 9) == 2);
  const std::vector<float> zeros(3), far{10, -10};
  CHECK(er::projection_factor(zeros, 1, 5, 3) == 1);
  CHECK(er::projection_factor(far, 1, 5, 3) == 2);
  CHECK(er::projection_factor(far, 1, 3, 5) == 0.5f);
  CHECK_THROWS_WITH_AS(static_cast<void>(er::projection_factor(far, 1, 4, 3)),
                       "projection_factor: from 4 to 3 levels, expected odd numbers from 3 to 255",
                       std::invalid_argument);
  for (const float scale : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity()}) {
    CHECK_THROWS_WITH(static_cast<void>(er::projection_factor(far, scale, 5, 3)),
                      doctest::Contains("expected a finite number above 0"));
  }
  CHECK_THROWS_WITH(er::with_symmetric_levels(4, [](auto) {}),
                    "with_symmetric_levels: 4 levels, expected an odd number from 3 to 17");
  CHECK_THROWS_WITH(er::with_symmetric_levels(19, [](auto) {}),
                    "with_symmetric_levels: 19 levels, expected an odd number from 3 to 17");
}

TEST_SUITE_END();
