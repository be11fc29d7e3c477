// SPDX-License-Identifier: Apache-2.0
#include "profile.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

#include <Eigen/Core>

namespace qad {

double measured_peak() {
  constexpr Eigen::Index size = 1024;
  const matrix a = matrix::Random(size, size), b = matrix::Random(size, size);
  matrix c(size, size);
  double best = 0;
  for (int round = 0; round < 8; ++round) {
    const double start = thread_seconds();
    c.noalias() = a * b;
    best = std::max(best, 2.0 * size * size * size / (thread_seconds() - start));
  }
  return best;
}

void print_times(const trainer::time_spent& spent, double seconds, std::size_t threads,
                 std::size_t tokens) {
  double teacher = 0, all = 0;
  for (const double part : spent.teacher) teacher += part;
  for (const double part : spent.student) all += part;
  all += teacher;
  std::fprintf(stderr, "%-24s %12s %7s\n", "time on processors", "us a token", "share");
  const auto line = [&](const std::string& name, double used) {
    std::fprintf(stderr, "%-24s %12.0f %6.1f%%\n", name.c_str(),
                 1e6 * used / static_cast<double>(tokens), 100 * used / all);
  };
  for (std::size_t i = 0; i < step_parts; ++i)
    line(std::string{step_part_names[i]}, spent.student[i]);
  line("the teacher's pass", teacher);
  line("together", all);
  const double peak = measured_peak();
  const double products = spent.product_operations / spent.product_seconds,
               overall = spent.product_operations / all;
  std::fprintf(
      stderr,
      "%zu tokens in %.1f s on the clock, %.0f tokens/s; the %zu threads had %.1f s of "
      "processors\n"
      "a thread's peak: %.1f GFLOP/s; in the step's products %.1f, %.0f %% of it; over the "
      "whole step %.1f, %.0f %%\n",
      tokens, seconds, static_cast<double>(tokens) / seconds, threads, all, 1e-9 * peak,
      1e-9 * products, 100 * products / peak, 1e-9 * overall, 100 * overall / peak);
}

}  // namespace qad
