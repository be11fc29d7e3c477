// SPDX-License-Identifier: Apache-2.0
// The library starts no thread: a host's threads take rows, or are lent to it as an executor.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

#include <edgerazor/quant.hpp>

namespace er = edgerazor;

int main() try {
  const std::size_t rows = 4096, cols = 1024;
  const std::size_t threads = std::max(2u, std::thread::hardware_concurrency());
  std::vector<float> weights(rows * cols), x(cols, 0.5f), one(rows), y(rows), z(rows);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = 0.02f * std::sin(0.7f * static_cast<float>(i));
  auto w = er::pack<er::int4<>>(er::matrix_view{weights.data(), rows, cols});

  // ---- README.md
  er::packed_activations room(cols, 256);
  const er::activation_view x8 =
      er::quantize_activations({x.data(), 1, cols}, room);  // once; every thread reads it
  er::gemv(w, x8, one);                                     // one thread

  std::vector<std::jthread> team;  // each thread takes its rows
  for (std::size_t i = 0; i < threads; ++i)
    team.emplace_back([&, i] { er::gemv(w, x8, y, {.rows = er::split_rows(rows, threads, i)}); });
  team.clear();  // joins them

  // Or an executor, any callable: it calls work(i) once for every i < count, then returns.
  auto pool = [&](std::size_t count, er::grain_work work) {
    std::atomic<std::size_t> next = 0;
    std::vector<std::jthread> helpers;  // joined at the end
    for (std::size_t i = 0; i < threads; ++i)
      helpers.emplace_back([&] {
        for (std::size_t grain; (grain = next++) < count;) work(grain);
      });
  };
  er::gemv(w, x8, z, {.executor = pool});
  // ----

  std::printf("%zu threads give the bits of one: %s\n", threads,
              y == one && z == one ? "yes" : "NO");
  return y == one && z == one && std::fflush(stdout) == 0 ? 0 : 1;
} catch (const std::exception& error) {  // a thread that the system refuses, for instance
  std::fprintf(stderr, "own_threads: %s\n", error.what());
  return 1;
}
