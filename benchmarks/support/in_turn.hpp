// SPDX-License-Identifier: Apache-2.0
/// Measuring side by side: pieces of work are timed one after the other, pass after pass, so that
/// what changes meanwhile (the clock, the neighbours) changes for all of them. Medians over the
/// passes; ratios are taken within a pass.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "machine.hpp"

namespace bench {

/// The value that a fraction `at` of the others lie below, between two of them where it falls
/// between.
[[nodiscard]] inline double quantile(std::vector<double> values, double at) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = at * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}
[[nodiscard]] inline double median(const std::vector<double>& values) {
  return quantile(values, 0.5);
}

/// Half the distance between the quartiles over the median: how far a pass usually is from the
/// figure that is given.
[[nodiscard]] inline double spread(const std::vector<double>& values) {
  return (quantile(values, 0.75) - quantile(values, 0.25)) / (2 * median(values));
}

/// The median of a pass's a over the same pass's b.
[[nodiscard]] inline double median_ratio(const std::vector<double>& a,
                                         const std::vector<double>& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) ratios.push_back(a[i] / b[i]);
  return median(ratios);
}

/// Seconds a call of `calls` calls of `work` (see seconds_of).
template <class Work>
[[nodiscard]] double seconds_a_call(std::size_t calls, const Work& work, std::size_t threads = 1) {
  const auto all = [&] {
    for (std::size_t i = 0; i < calls; ++i) work();
  };
  return seconds_of(all, threads) / static_cast<double>(calls);
}

/// How many calls of `work` take about `seconds`; at least one. Calls it until that is known, so
/// caches are warm.
template <class Work>
[[nodiscard]] std::size_t calls_for(double seconds, const Work& work, std::size_t threads = 1) {
  for (std::size_t calls = 1;; calls *= 2) {
    const double call = seconds_a_call(calls, work, threads);
    if (call * static_cast<double>(calls) < seconds / 4 && calls < (std::size_t{1} << 30)) continue;
    return std::max<std::size_t>(1, static_cast<std::size_t>(std::round(seconds / call)));
  }
}

}  // namespace bench
