// SPDX-License-Identifier: Apache-2.0
// AWQ (arXiv 2306.00978): columns that meet large inputs are scaled up before rounding; then groups
// are clipped. The inverse scales go into the norm before, here into the matrix's input stage.
#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  const problem p(argc, argv);
  bool better = true;
  for (const char* format : {"int4z_g64", "int3z_g64"}) {
    const er::level_grid grid = grid_of(format);
    const er::matrix_view<const float> matrices[] = {p.view()};
    const er::fit_extremes fit;
    const double nearest =
        report(p, "to nearest", pack(format, er::round_to_nearest(p.view(), grid, fit)));
    const er::awq_result found = er::awq_scales(matrices, p.columns, p.moments, grid, fit);

    const std::vector<float> scaled = er::scale_columns(p.view(), found.scales);
    const er::matrix_view<const float> view{scaled.data(), p.rows, p.cols};
    std::vector<float> inverse = found.scales;
    for (float& s : inverse) s = 1 / s;
    const auto stored = [&](const er::any_matrix& packed) {
      return er::any_matrix::joined(er::scaled_columns{inverse, packed});
    };
    const double awq =
        report(p, "AWQ, scales alone", stored(pack(format, er::round_to_nearest(view, grid, fit))));

    er::second_moments moments(p.cols);  // of x / s
    std::vector<float> x = p.x;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= inverse[i % p.cols];
    moments.add({x.data(), p.tokens, p.cols});
    const std::vector<float> clipped = er::clip_by_output_error(view, moments, grid, fit);
    const double both = report(
        p, "AWQ, scales and clipping",
        stored(pack(format, er::round_to_nearest({clipped.data(), p.rows, p.cols}, grid, fit))));
    report(p, "AWQ's scales, then GPTQ",
           stored(pack(format, er::round_by_feedback(view, er::damped_inverse_factor(moments), grid,
                                                     er::fit_squared_error{})
                                   .rounded)));
    report(p, "GPTQ alone",
           pack(format, er::round_by_feedback(p.view(), er::damped_inverse_factor(p.moments), grid,
                                              er::fit_squared_error{})
                            .rounded));
    better = better && awq < nearest && both < awq;
  }
  return verdict("less error than rounding to nearest, no weight fitted", better);
}
