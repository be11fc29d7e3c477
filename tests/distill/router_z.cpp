// SPDX-License-Identifier: Apache-2.0
/// The router z-loss.
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/central_difference.hpp"
#include "support/golden.hpp"
#include <edgerazor/distill/router_z.hpp>

namespace er = edgerazor;

using view = er::matrix_view<const float>;

TEST_SUITE_BEGIN("distill/router_z");

TEST_CASE("router_z: the mean over layers of EdgeRazor (Python)") {
  const nlohmann::json file = golden::load("router_z.json");
  CHECK(file["cases"].size() == 3);
  for (const auto& golden_case : file["cases"]) {
    const auto shape = golden_case["shape"].get<std::vector<std::size_t>>();
    double value = 0;
    for (const auto& layer : golden_case["router_logits"]) {
      const std::vector<float> logits = golden::floats(layer);
      value += er::router_z{}(view{logits.data(), shape[0] * shape[1], shape[2]}).value;
    }
    value /= golden_case["layers"].get<double>();
    CHECK(value == doctest::Approx(golden_case["z_loss"][0].get<double>())
                       .epsilon(1e-6));  // float32 sums of 24
  }
}

TEST_CASE("router_z: gradients are the slopes of the values, any number of experts") {
  const unsigned seed = 41;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  const std::vector<std::int64_t> labels{1, -100, 1, 1};
  for (const std::size_t experts : {1, 2, 3, 4, 5, 8, 17}) {
    std::vector<float> logits(4 * experts), gradient(4 * experts, -77.0f), added(4 * experts, 1.0f);
    for (float& x : logits) x = draw(random);
    const view rows{logits.data(), 4, experts};
    er::token_batch batch{.labels = labels, .how = er::reduction::mean, .upstream = 3};
    const er::loss_result result =
        er::router_z{}(rows, batch, er::matrix_view<float>{gradient.data(), 4, experts});
    CHECK(result.tokens == 3);
    const auto value = [&] { return er::router_z{}(rows, batch).value; };
    CHECK(result.value == value());
    batch.accumulate = true;
    er::router_z{}(rows, batch, er::matrix_view<float>{added.data(), 4, experts});
    for (std::size_t i = 0; i < logits.size(); ++i) {
      // Third derivatives of a few units, times 2^-22; see central_difference.
      CHECK(std::fabs(gradient[i] - 3 * support::central_difference(logits[i], value)) < 1e-5);
      CHECK(std::fabs(added[i] - (1 + gradient[i])) <= 0x1p-23f * (1 + std::fabs(added[i])));
    }
  }
}

TEST_CASE("router_z: logits of any size, and infinite ones") {
  const float inf = std::numeric_limits<float>::infinity(),
              most = std::numeric_limits<float>::max();
  std::vector<float> gradient;
  const auto value = [&](const std::vector<float>& logits, double upstream = 1) {
    gradient.assign(logits.size(), -77.0f);
    return er::router_z{}(view{logits.data(), 1, logits.size()}, {.upstream = upstream},
                          er::matrix_view<float>{gradient.data(), 1, logits.size()})
        .value;
  };
  CHECK(value({-1000, -1000, -1000}) ==
        doctest::Approx(std::pow(std::log(3.0) - 1000, 2)).epsilon(1e-14));
  CHECK(gradient[0] == doctest::Approx(2 * (std::log(3.0) - 1000) / 3));
  CHECK(value({1000, 0, -1000}) == 1e6);
  CHECK(gradient == std::vector<float>{2000, 0, 0});
  CHECK(value({-most, -most, -most}) ==
        doctest::Approx(std::pow(static_cast<double>(most), 2)).epsilon(1e-14));
  CHECK(value({-inf, 2, -inf}) == 4);
  CHECK(gradient == std::vector<float>{0, 4, 0});
  CHECK(value({-inf, -inf, -inf}) == static_cast<double>(inf));
  CHECK(gradient == std::vector<float>{-inf, -inf, -inf});
  CHECK(value({inf, 2, -inf}) == static_cast<double>(inf));
  CHECK(gradient == std::vector<float>{inf, 0, 0});
  value({inf, 2, -inf}, 0);
  CHECK(gradient == std::vector<float>{0, 0, 0});
}

TEST_CASE("router_z: shapes that don't fit are refused") {
  std::vector<float> x(12);
  CHECK_THROWS_WITH_AS(er::router_z{}(view{x.data(), 3, 4}, er::matrix_view<float>{x.data(), 4, 3}),
                       "router_z: the logits are 3 x 4, the gradient 4 x 3", std::invalid_argument);
  CHECK_THROWS_WITH_AS(er::router_z{}(view{x.data(), 3, 0}), "router_z: logits of 0 experts",
                       std::invalid_argument);
}

TEST_SUITE_END();
