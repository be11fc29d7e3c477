// SPDX-License-Identifier: Apache-2.0
#include "product.hpp"

#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "dot_product_peak.hpp"
#include "in_turn.hpp"
#include "product_case.hpp"
#include "read_bandwidth.hpp"
#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;

namespace bench {

namespace {

/// The last case is kept: its neighbours in the list differ in kernel, regime and threads alone.
product_case& case_of(const product_run& run) {
  static std::unique_ptr<product_case> last;
  if (!last || last->format() != run.format || last->size() != run.size ||
      last->tokens() != run.tokens) {
    last.reset();
    last = std::make_unique<product_case>(run.format, run.size, run.tokens);
  }
  return *last;
}

}  // namespace

void measure_product(benchmark::State& state, const product_run& run) {
  product_case& work = case_of(run);
  const er::kernel& kernel = *er::find_kernel(run.kernel);
  std::span<const std::byte> memory = work.weights().bytes();
  std::vector<er::any_matrix> copies;
  if (!run.hot) copies = work.spread_out(memory);

  spinning_threads threads(run.threads);
  std::size_t next = 0;
  const auto multiply = [&] {
    work.multiply(threads, run.hot ? work.weights() : copies[next], kernel);
    next = next + 1 < copies.size() ? next + 1 : 0;
  };
  multiply();
  if (!work.right()) return state.SkipWithError("the result differs from the scalar kernel's");

  const auto read = [&] { read_once(threads, memory); };
  const dot_product dot = widest_dot_product();
  constexpr std::size_t dot_steps = 60'000;  // some 0.3 ms
  const auto multiply_all = [&] { multiply_on_all(threads, dot, dot_steps); };
  const std::size_t calls = run.hot ? calls_for(5e-3, multiply, run.threads) : copies.size();
  const std::size_t reads = run.hot ? calls_for(2e-3, read, run.threads) : 1;
  const double bytes = static_cast<double>(work.weights().bytes().size());

  // Seconds a call of each, pass by pass, and what they come to a second.
  std::vector<double> call, packed_rate, read_rate, weight_rate, peak_rate, cycle_rate;
  const double budget = run.hot ? 0.4 : 2.0;
  const busy undisturbed(run.threads);
  const auto pass = [&] {
    const double clock_before = clock_rate(run.threads);
    call.push_back(seconds_a_call(calls, multiply, run.threads));
    const double clock_after = clock_rate(run.threads);
    packed_rate.push_back(bytes / call.back());
    weight_rate.push_back(work.multiply_adds() / call.back());
    cycle_rate.push_back((clock_before + clock_after) / 2 * static_cast<double>(run.threads));
    read_rate.push_back(static_cast<double>(memory.size()) /
                        seconds_a_call(reads, read, run.threads));
    if (!dot) return;
    const double products = static_cast<double>(dot_steps * dot.multiply_adds * run.threads);
    peak_rate.push_back(products / seconds_a_call(1, multiply_all, run.threads));
  };
  // Where others have the processors, a second of ours takes several on the clock: four will do.
  const auto start = std::chrono::steady_clock::now();
  const auto waited = [&] {
    return std::chrono::steady_clock::now() - start > std::chrono::seconds{4};
  };
  for (double spent = 0;
       call.size() < (waited() ? 3 : 5) || (spent < budget && call.size() < 51 && !waited());)
    spent += seconds_of(pass, run.threads);
  state.counters["busy_percent"] = undisturbed.percent();
  if (!work.right()) return state.SkipWithError("the result differs from the scalar kernel's");

  for (auto _ : state) state.SetIterationTime(median(call));
  state.counters["weights/s"] = median(weight_rate);
  state.counters["bits/weight"] = work.weights().bits_per_weight();
  state.counters["weights/cycle"] = median_ratio(weight_rate, cycle_rate);
  if (run.tokens == 1) {
    state.counters["packed_B/s"] = median(packed_rate);
    state.counters["percent_of_read"] = 100 * median_ratio(packed_rate, read_rate);
  } else {
    state.counters["tokens"] = static_cast<double>(run.tokens);
  }
  if (dot) state.counters["percent_of_peak"] = 100 * median_ratio(weight_rate, peak_rate);
  state.counters["spread_percent"] = 100 * spread(call);
  state.SetLabel(matrices_of_shape(run.size));
}

}  // namespace bench
