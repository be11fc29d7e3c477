// SPDX-License-Identifier: Apache-2.0
/// Total variation against its definition.
#include <vector>

#include <doctest/doctest.h>

#include "distill/divergence_checks.hpp"
#include <edgerazor/distill/total_variation.hpp>

namespace er = edgerazor;
using namespace divergence_checks;

TEST_SUITE_BEGIN("distill/total_variation");

namespace {

struct variation_oracle {
  real operator()(const std::vector<real>& log_q, const std::vector<real>& log_p) const {
    real sum = 0;
    for (std::size_t i = 0; i < log_q.size(); ++i)
      sum += std::fabs(std::exp(log_q[i]) - std::exp(log_p[i])) / 2;
    return sum;
  }
};

}  // namespace

TEST_CASE("total variation") {
  for_each_case([&](const std::vector<float>& student, const std::vector<float>& teacher) {
    check(er::total_variation{}, variation_oracle{}, student, teacher);
  });
}

TEST_SUITE_END();
