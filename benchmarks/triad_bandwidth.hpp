// SPDX-License-Identifier: Apache-2.0
/// How fast this process can read two rows and write one, which is all that a loss with its
/// gradient must do: the limit that the losses are held against.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <span>

#include <xsimd/xsimd.hpp>

/// Bytes a second of out[i] = a[i] + b[i] over all elements, one thread, 12 bytes an element: the
/// best of `passes`, since noise only slows, in time of the process's own. Ordinary stores, as the
/// losses have them: a line that is written is read before. The three have one size.
inline double triad_bandwidth(std::span<const float> a, std::span<const float> b,
                              std::span<float> out, int passes = 10) {
  using reals = xsimd::batch<float>;
  constexpr std::size_t step = 2 * reals::size;
  const std::size_t count = out.size() / step * step;
  double best = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const std::clock_t start = std::clock();
    for (std::size_t i = 0; i < count; i += step) {
      const reals first = reals::load_unaligned(&a[i]) + reals::load_unaligned(&b[i]);
      const reals second =
          reals::load_unaligned(&a[i + reals::size]) + reals::load_unaligned(&b[i + reals::size]);
      first.store_unaligned(&out[i]);
      second.store_unaligned(&out[i + reals::size]);
    }
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    best = std::max(best, 12 * static_cast<double>(count) / seconds);
  }
  return best;
}
