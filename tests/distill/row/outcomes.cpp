// SPDX-License-Identifier: Apache-2.0
/// A teacher's entries and its tail.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/outcomes.hpp>

namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/outcomes");

TEST_CASE("outcomes: the tail holds the mass that the entries leave, and at least the floor") {
  const std::vector<std::int32_t> ids{4, -1, 0};
  const std::vector<float> ln{std::log(0.5f), 0, std::log(0.25f)};
  const row::teacher_outcomes with{ids, ln.data(), 10, true, 0},
      without{ids, ln.data(), 10, false, 0}, all{ids, ln.data(), 2, true, 0},
      floored{ids, ln.data(), 10, true, 0.375};
  CHECK(with.size() == 4);
  CHECK(without.size() == 3);
  CHECK(!all.has_tail());  // no column is left
  CHECK(std::exp(with.logit(3)) == doctest::Approx(0.25).epsilon(1e-6));
  CHECK(with.logit(1) == -std::numeric_limits<double>::infinity());
  CHECK(std::exp(floored.logit(3)) == doctest::Approx(0.375).epsilon(1e-12));
  CHECK(with.entropy() == doctest::Approx(1.5 * std::log(2.0)).epsilon(1e-6));
  const std::vector<std::int32_t> none{-1, -1};
  CHECK(row::teacher_outcomes{none, ln.data(), 10, true, 0}.empty());
}

TEST_CASE("outcomes: equal models don't diverge, and gradients of a tail are shared by e^s") {
  const std::vector<float> s{std::log(0.5f), std::log(0.25f), std::log(0.125f), std::log(0.125f)};
  const std::vector<std::int32_t> ids{0};
  const std::vector<float> same{std::log(0.5f)}, other{std::log(0.75f)};
  const edgerazor::input_row student{s.data(), 4};
  const row::divergence_term forward{row::term_kind::kl_blend, 1, 0};
  const row::teacher_outcomes equal{ids, same.data(), 4, true, 0},
      surer{ids, other.data(), 4, true, 0};
  CHECK(std::fabs(row::outcome_pair{student, equal, 1}.sum(forward).value) <= 1e-7);
  const row::outcome_pair pair{student, surer, 1};
  const row::term_sums sums = pair.sum(forward);
  CHECK(sums.value == doctest::Approx(0.75 * std::log(1.5) + 0.25 * std::log(0.5)).epsilon(1e-6));
  std::vector<float> g(4);
  pair.gradient(forward, sums.slope, 1, {g.data(), 4, false});
  const float expected[] = {-0.25f, 0.125f, 0.0625f, 0.0625f};  // q - p, and shares of 0.25
  for (std::size_t i = 0; i < 4; ++i) CHECK(g[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

TEST_SUITE_END();
