// SPDX-License-Identifier: Apache-2.0
// GPTQ (arXiv 2210.17323): columns are rounded one by one, later ones make up for earlier errors.
#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  const problem p(argc, argv);
  bool better = true;
  for (const char* format : {"int4z_g64", "int3z_g64", "int2z_g64"}) {
    const er::level_grid grid = grid_of(format);
    const er::inverse_factor factor = er::damped_inverse_factor(p.moments);
    const auto rounded = [&](auto fit, er::feedback_options options = {}) {
      return er::round_by_feedback(p.view(), factor, grid, fit, options).rounded;
    };
    const double nearest = report(
        p, "to nearest", pack(format, er::round_to_nearest(p.view(), grid, er::fit_extremes{})));
    const double published =
        report(p, "GPTQ, groups as published",
               pack(format,
                    rounded(er::fit_extremes{}, {.fitted_on = er::groups_fitted_on::block_start})));
    report(p, "GPTQ, fresh groups", pack(format, rounded(er::fit_extremes{})));
    const double ours =
        report(p, "GPTQ, groups of least error", pack(format, rounded(er::fit_squared_error{})));
    const er::inverse_factor ordered =
        er::damped_inverse_factor(p.moments, {.order = er::column_order::descending});
    report(p, "the same, hot columns first",
           pack(format, er::round_by_feedback(p.view(), ordered, grid, er::fit_squared_error{},
                                              {.fitted_on = er::groups_fitted_on::original})
                            .rounded));
    better = better && published < nearest && ours < published;
  }
  return verdict("less error than rounding to nearest, at 4, 3 and 2 bits", better);
}
