// SPDX-License-Identifier: Apache-2.0
/// The generalized Jensen-Shannon divergence against its definition.
#include <vector>

#include <doctest/doctest.h>

#include "distill/divergence_checks.hpp"
#include <edgerazor/distill/generalized_js.hpp>

namespace er = edgerazor;
using namespace divergence_checks;

TEST_SUITE_BEGIN("distill/generalized_js");

namespace {

struct js_oracle {
  real beta;
  real operator()(const std::vector<real>& log_q, const std::vector<real>& log_p) const {
    const auto m = mixture(beta, log_p, 1 - beta, log_q);
    return beta * oracle::kl(log_p, m) + (1 - beta) * oracle::kl(log_q, m);
  }
};
}  // namespace

TEST_CASE("the generalized Jensen-Shannon divergence") {
  for (const float beta : {0.5f, 0.1f, 0.9f}) {
    for (const float temperature : {1.0f, 2.0f}) {
      for_each_case([&](const std::vector<float>& student, const std::vector<float>& teacher) {
        check(er::generalized_js{.temperature = temperature, .beta = beta},
              js_oracle{static_cast<real>(beta)}, student, teacher);
      });
    }
  }
}

TEST_CASE("the ends of the generalized Jensen-Shannon divergence are KL") {
  const std::vector<float> student{1, 2, 3}, teacher{2, 0, 1};
  const er::matrix_view<const float> s{student.data(), 1, 3}, t{teacher.data(), 1, 3};
  CHECK(er::generalized_js{.beta = 0}(s, t, er::token_batch{}).value ==
        er::forward_kl{}(s, t, er::token_batch{}).value);
  CHECK(er::generalized_js{.beta = 1}(s, t, er::token_batch{}).value ==
        er::reverse_kl{}(s, t, er::token_batch{}).value);
  CHECK_THROWS_WITH(er::generalized_js{.beta = 2}(s, t, er::token_batch{}),
                    "generalized_js: beta is 2.000000, expected 0 to 1");
}

TEST_SUITE_END();
