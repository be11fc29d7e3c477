// SPDX-License-Identifier: Apache-2.0
// SpQR (arXiv 2306.03078): groups of 16 whose scales and zeros are codes of 3 bits, error feedback,
// and the few weights that hurt most beside the codes in 16 bits.
#include <limits>

#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  const problem p(argc, argv);
  const char* const format = "int3z_g16_q3";
  const er::level_grid grid = grid_of(format);
  const er::inverse_factor factor = er::damped_inverse_factor(p.moments, {.damping = 1});
  const auto gptq = [&](const char* name) {
    return pack(name, er::round_by_feedback(p.view(), er::damped_inverse_factor(p.moments),
                                            grid_of(name), er::fit_extremes{})
                          .rounded);
  };
  const auto spqr = [&](double threshold, er::second_level_codes codes) {
    const er::spqr_result result =
        er::round_by_spqr(p.view(), factor, grid, {.threshold = threshold, .codes = codes});
    const er::any_matrix packed = pack(format, result.rounded);
    const er::sparse_matrix outliers(p.rows, p.cols, result.kept);
    return er::any_matrix::joined(er::sum_of{packed, outliers});
  };
  constexpr double none = std::numeric_limits<double>::infinity();
  report(
      p, "to nearest, 3 bits",
      pack("int3z_g64", er::round_to_nearest(p.view(), grid_of("int3z_g64"), er::fit_extremes{})));
  const double three = report(p, "GPTQ, 3 bits", gptq("int3z_g64"));
  const double small_groups = report(p, "GPTQ, 3 bits in groups of 16", gptq("int3z_g16"));
  const double two_level =
      report(p, "SpQR without outliers", spqr(none, er::second_level_codes::nearest));
  const double published = report(p, "SpQR", spqr(1, er::second_level_codes::nearest));
  const double ours =
      report(p, "SpQR, second level of least error", spqr(1, er::second_level_codes::least_error));
  const double four = report(p, "GPTQ, 4 bits", gptq("int4z_g64"));
  std::printf("the second level costs %+.1f %% of the error of groups of 16\n",
              100 * (two_level / small_groups - 1));
  std::printf("at 4 bits GPTQ has %.2f of SpQR's error here\n", four / ours);
  return verdict("3 bits with outliers: less than half of GPTQ's error at 3 bits",
                 published < 0.5 * three && ours < published);
}
