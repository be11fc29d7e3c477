// SPDX-License-Identifier: Apache-2.0
// HQQ (mobiusml, 2023): the zero of each group by half-quadratic splitting, without data.
#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  const problem p(argc, argv);
  bool better = true;
  for (const char* format : {"int4z_g64", "int3z_g64", "int2z_g64"}) {
    const er::level_grid grid = grid_of(format);
    const auto magnitudes = [&](const er::rounded_matrix& rounded) {  // what it makes smaller
      double sum = 0;
      for (std::size_t i = 0; i < p.weights.size(); ++i)
        sum += std::fabs(static_cast<double>(p.weights[i] - rounded.value(i / p.cols, i % p.cols)));
      return sum;
    };
    const er::rounded_matrix extremes = er::round_to_nearest(p.view(), grid, er::fit_extremes{});
    const er::rounded_matrix hqq = er::round_to_nearest(p.view(), grid, er::fit_half_quadratic{});
    const double nearest = report(p, "to nearest", pack(format, extremes));
    const double found = report(p, "HQQ", pack(format, hqq));
    report(p, "least squares, without data",
           pack(format, er::round_to_nearest(p.view(), grid, er::fit_squared_error{})));
    report(p, "GPTQ, with data",
           pack(format, er::round_by_feedback(p.view(), er::damped_inverse_factor(p.moments), grid,
                                              er::fit_extremes{})
                            .rounded));
    std::printf("%-34s sum |w - q| is %.3f of the first's\n", "",
                magnitudes(hqq) / magnitudes(extremes));
    better = better && found < nearest && magnitudes(hqq) < magnitudes(extremes);
  }
  return verdict("less error than rounding to nearest, without data", better);
}
