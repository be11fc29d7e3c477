// SPDX-License-Identifier: Apache-2.0
/// Softmax gradients and the z-loss of a row.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/softmax.hpp>

namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/softmax");

TEST_CASE("softmax: factor * softmax - offset, written or added") {
  std::vector<float> x(700), g(700, 1.0f);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.01f * static_cast<float>(i % 97);
  double sum = 0;
  for (const float v : x) sum += std::exp(static_cast<double>(v));
  row::softmax_gradient({x.data(), 700}, {0, sum}, 2, 0.5, {g.data(), 700, true});
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK(static_cast<double>(g[i]) ==
          doctest::Approx(1 + 2 * std::exp(static_cast<double>(x[i])) / sum - 0.5).epsilon(1e-7));
  }
}

TEST_CASE("softmax: the z-loss is infinite of logits that are, with a gradient of them alone") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> z{1, infinity, 2}, g(3);
  CHECK(row::router_z_row({z.data(), 3}, 1, {g.data(), 3, false}) ==
        std::numeric_limits<double>::infinity());
  CHECK(g == std::vector<float>{0, infinity, 0});
  z = {0, 0, 0};
  CHECK(row::router_z_row({z.data(), 3}, 1, {g.data(), 3, false}) ==
        doctest::Approx(std::log(3.0) * std::log(3.0)).epsilon(1e-14));
  CHECK(g[0] == doctest::Approx(2 * std::log(3.0) / 3).epsilon(1e-7));
}

TEST_CASE("softmax: the z-loss of a NaN is NaN, beside any infinity") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float other : {infinity, -infinity, 1.0f}) {
    for (const bool first : {false, true}) {
      std::vector<float> z{other, other}, g(2, 7);
      z[first ? 0 : 1] = std::nanf("");
      CHECK(std::isnan(row::router_z_row({z.data(), 2}, 1, {g.data(), 2, false})));
      CHECK(std::isnan(g[0]));
      CHECK(std::isnan(g[1]));
    }
  }
}

TEST_CASE("softmax: far logits sum to 1, and a sure label keeps the digits of its loss") {
  std::vector<float> x(4, 1e15f), g(4);
  CHECK(row::cross_entropy_row({x.data(), 4}, 0, 0, 1, {g.data(), 4, false}) ==
        doctest::Approx(std::log(4.0)));
  CHECK(g == std::vector<float>{-0.75f, 0.25f, 0.25f, 0.25f});
  CHECK(row::cross_entropy_row({x.data(), 4}, 0, 0.5, 1, {}) == doctest::Approx(std::log(4.0)));
  row::router_z_row({x.data(), 4}, 1, {g.data(), 4, false});
  CHECK(static_cast<double>(g[0]) == doctest::Approx(2e15 / 4));
  x = {50, 0, 0, 1};
  const double loss = std::exp(-50.0) * (2 + std::exp(1.0));
  CHECK(row::cross_entropy_row({x.data(), 4}, 0, 0, 1, {g.data(), 4, false}) ==
        doctest::Approx(loss).epsilon(1e-12));
  CHECK(static_cast<double>(g[0]) == doctest::Approx(-loss).epsilon(1e-6));
}

TEST_SUITE_END();
