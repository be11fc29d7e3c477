// SPDX-License-Identifier: Apache-2.0
/// The clamp of parity mode.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/kl_parity.hpp>

namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/kl_parity");

TEST_CASE("kl_parity: probabilities below 1e-8 count as 1e-8 and have no gradient") {
  const std::vector<float> s{0, -100}, t{0, 0};
  std::vector<float> g{7, 7};
  const row::kl_divergences both =
      row::parity_kl({{s.data(), 2}, {t.data(), 2}, 1}, {.forward = 1}, {g.data(), 2, false});
  CHECK(both.forward ==
        doctest::Approx(0.5 * std::log(0.5) + 0.5 * std::log(0.5 / 1e-8)).epsilon(1e-12));
  CHECK(both.reverse == doctest::Approx(std::log(2.0) + 1e-8 * std::log(1e-8 / 0.5)).epsilon(1e-9));
  CHECK(std::fabs(g[0]) < 1e-20f);
  CHECK(std::fabs(g[1]) < 1e-20f);
  CHECK(row::parity_entropy({t.data(), 2}) ==
        doctest::Approx(-std::log(0.5 + 1e-8)).epsilon(1e-12));
}

TEST_SUITE_END();
