// SPDX-License-Identifier: Apache-2.0
/// A divergence against its definition in long double, its gradient against central differences of
/// that. Tests only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "distill/oracle.hpp"
#include <edgerazor/distill/engine.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace divergence_checks {

namespace er = edgerazor;
using oracle::real;

inline constexpr float infinity = std::numeric_limits<float>::infinity();

inline std::vector<real> mixture(real a, const std::vector<real>& log_x, real b,
                                 const std::vector<real>& log_y) {
  std::vector<real> result(log_x.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    const real larger = std::max(log_x[i], log_y[i]);
    result[i] =
        larger == -std::numeric_limits<real>::infinity()
            ? larger
            : larger + std::log(a * std::exp(log_x[i] - larger) + b * std::exp(log_y[i] - larger));
  }
  return result;
}

template <class Loss, class Oracle>
void check(const Loss& loss, const Oracle& expected, const std::vector<float>& student,
           const std::vector<float>& teacher) {
  const std::size_t size = student.size();
  const real t = static_cast<real>(loss.temperature);
  const auto log_p = oracle::log_softmax(teacher, size, t);
  const real value = t * t * expected(oracle::log_softmax(student, size, t), log_p);

  // Central differences in long double: the step's cube root of the rounding, 2^-63, balances both
  // errors below 1e-11.
  const std::size_t apart = 1 + size / 40;
  std::vector<real> slopes;
  for (std::size_t i = 0; i < size; i += apart) {
    if (student[i] == -infinity) {
      slopes.push_back(0);
      continue;
    }
    std::vector<real> moved(student.begin(), student.end());
    const real step = 1e-5L * std::max<real>(1, t);
    moved[i] += step;
    const real above = expected(oracle::log_softmax(moved, size, t), log_p);
    moved[i] -= 2 * step;
    const real below = expected(oracle::log_softmax(moved, size, t), log_p);
    slopes.push_back(t * t * (above - below) / (2 * step));
  }

  for (const er::loss_engine& engine : er::available_loss_engines()) {
    INFO(std::string{engine.name});
    std::vector<float> gradient(size, 7);
    const er::loss_result r =
        loss(er::matrix_view<const float>{student.data(), 1, size},
             er::matrix_view<const float>{teacher.data(), 1, size},
             er::token_batch{.engine = &engine}, er::matrix_view<float>{gradient.data(), 1, size});
    CHECK(std::fabs(static_cast<real>(r.value) - value) <= real{1e-6} * value + real{1e-14});
    real largest = 0, error = 0;
    for (std::size_t i = 0; i < size; i += apart) {
      if (student[i] == -infinity) CHECK(gradient[i] == 0);
      const real slope = slopes[i / apart];
      largest = std::max(largest, std::fabs(slope));
      error = std::max(error, std::fabs(slope - static_cast<real>(gradient[i])));
    }
    CHECK(error <= real{1e-6} * largest + real{1e-10});
  }
}

template <class Check>
void for_each_case(Check&& run) {
  for (const std::size_t size : {2, 7, 64, 515}) {
    for (const float scale : {1e-2f, 1.0f, 10.0f, 100.0f}) {
      const auto seed = static_cast<std::uint32_t>(size * 7) + static_cast<std::uint32_t>(scale);
      INFO("seed " << seed << ", " << size << " columns, scale " << scale);
      std::mt19937 random{seed};
      std::normal_distribution<float> draw(0, scale);
      std::vector<float> student(size), teacher(size);
      for (float& x : student) x = draw(random);
      for (float& x : teacher) x = draw(random);
      run(student, teacher);
      // Impossible tokens: of the teacher, of both.
      teacher[size / 2] = -infinity;
      run(student, teacher);
      if (size > 2) student[size / 2] = -infinity;
      run(student, teacher);
    }
  }
}

}  // namespace divergence_checks
