// SPDX-License-Identifier: Apache-2.0
/// Skew divergences against their definitions.
#include <vector>

#include <doctest/doctest.h>

#include "distill/divergence_checks.hpp"
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/skew_kl.hpp>

namespace er = edgerazor;
using namespace divergence_checks;

TEST_SUITE_BEGIN("distill/skew_kl");

namespace {

struct skew_oracle {
  real alpha;
  bool reverse;
  real operator()(const std::vector<real>& log_q, const std::vector<real>& log_p) const {
    if (reverse) return oracle::kl(log_q, mixture(1 - alpha, log_p, alpha, log_q));
    return oracle::kl(log_p, mixture(alpha, log_p, 1 - alpha, log_q));
  }
};
}  // namespace

TEST_CASE("skew divergences") {
  for (const float alpha : {0.1f, 0.5f}) {
    for_each_case([&](const std::vector<float>& student, const std::vector<float>& teacher) {
      check(er::skew_kl{.alpha = alpha}, skew_oracle{static_cast<real>(alpha), false}, student,
            teacher);
      check(er::skew_reverse_kl{.alpha = alpha}, skew_oracle{static_cast<real>(alpha), true},
            student, teacher);
    });
  }
  const std::vector<float> student{1, 2, 3}, teacher{2, 0, 1};
  const er::matrix_view<const float> s{student.data(), 1, 3}, t{teacher.data(), 1, 3};
  CHECK(er::skew_kl{.alpha = 0}(s, t, er::token_batch{}).value ==
        doctest::Approx(er::forward_kl{}(s, t, er::token_batch{}).value).epsilon(1e-9));
  CHECK(er::skew_reverse_kl{.alpha = 0}(s, t, er::token_batch{}).value ==
        doctest::Approx(er::reverse_kl{}(s, t, er::token_batch{}).value).epsilon(1e-9));
  CHECK_THROWS_WITH(er::skew_kl{.alpha = 1}(s, t, er::token_batch{}),
                    "skew_kl: alpha is 1.000000, expected 0 to below 1");
}

TEST_SUITE_END();
