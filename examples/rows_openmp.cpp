// SPDX-License-Identifier: Apache-2.0
/// Matrix products on OpenMP's threads: a parallel loop is all the executor that the library asks
/// for.
///
/// Query, key and value of one attention layer for a prompt, int4 weights: three matrices and one
/// job. The result must have the bits of one thread's.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <random>
#include <string>
#include <vector>

#include <omp.h>

#include "support/kernel_choice.hpp"
#include <edgerazor/quant.hpp>

namespace er = edgerazor;

namespace {

/// Grains are of a few microseconds: `dynamic` gives a slow core fewer of them.
constexpr auto parallel_loop = [](std::size_t count, er::grain_work work) {
  const auto end = static_cast<std::ptrdiff_t>(count);  // OpenMP 2 counts with signed numbers
#pragma omp parallel for schedule(dynamic)
  for (std::ptrdiff_t i = 0; i < end; ++i) work(static_cast<std::size_t>(i));
};

std::vector<float> normal(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> values(size);
  for (float& v : values) v = draw(random);
  return values;
}

/// Whether the loop's result is that of one thread.
bool run(const er::kernel& kernel) {
  constexpr std::size_t hidden = 1024, query_rows = 2048, kv_rows = 1024, tokens = 32, group = 256;
  using w4 = er::int4<er::per_group<group>>;
  const auto matrix = [](std::size_t rows, unsigned seed) {
    const std::vector<float> weights = normal(rows * hidden, seed);
    return er::pack<w4>(er::matrix_view{weights.data(), rows, hidden});
  };
  const auto query = matrix(query_rows, 1), key = matrix(kv_rows, 2), value = matrix(kv_rows, 3);
  const std::vector<float> x = normal(tokens * hidden, 4);
  er::packed_activations room(hidden, group, tokens);
  const er::activation_view x8 =
      er::quantize_activations({x.data(), tokens, hidden}, room, {.kernel = &kernel});

  std::vector<float> q(tokens * query_rows), k(tokens * kv_rows), v(tokens * kv_rows);
  const std::array products{er::fused_product{query, er::matrix_view{q.data(), tokens, query_rows}},
                            er::fused_product{key, er::matrix_view{k.data(), tokens, kv_rows}},
                            er::fused_product{value, er::matrix_view{v.data(), tokens, kv_rows}}};
  er::gemm_fused(products, x8, {.kernel = &kernel});  // one thread: no executor
  const std::array expected{q, k, v};

  const auto start = std::chrono::steady_clock::now();
  constexpr int rounds = 20;
  for (int i = 0; i < rounds; ++i)
    er::gemm_fused(products, x8, {.kernel = &kernel, .executor = parallel_loop});
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;

  const bool same = std::array{q, k, v} == expected;
  std::printf("%d threads, kernel %s: %.2f ms for %zu tokens, the bits of one thread: %s\n",
              omp_get_max_threads(), std::string{kernel.name}.c_str(), time.count() / rounds,
              tokens, same ? "yes" : "NO");
  return same;
}

}  // namespace

int main() {
  try {
    return run(support::chosen_kernel()) && std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rows_openmp: %s\n", error.what());
    return 1;
  }
}
