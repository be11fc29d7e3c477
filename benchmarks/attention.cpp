// SPDX-License-Identifier: Apache-2.0
// Attention over the int8 cache: what a token costs beside the products with the weights.
//
//   <scores|softmax|mix|attention>/head:<size>/queries:<n>/<kernel>/positions:<n>
//
// One key/value head, one thread, hot. `queries`: the heads that share it in grouped-query
// attention, given in one call; `attention` is the three steps. Every result is compared with the
// scalar kernel's, bit for bit, before it is timed.
//
//   positions/s       cached positions times queries a second
//   cache_B/s         bytes of keys, of values, or of both, with their scales
//   percent_of_read   cache_B/s over a plain loop that reads as many bytes, hot, in turn; not for softmax
//   cycles/position   of a query
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "support/in_turn.hpp"
#include "support/program.hpp"
#include "support/random_values.hpp"
#include "support/read_bandwidth.hpp"
#include <edgerazor/product/attention.hpp>

namespace er = edgerazor;

namespace {

enum class step { scores, softmax, mix, attention };
constexpr std::array step_names{"scores", "softmax", "mix", "attention"};

struct attention_run {
  step what;
  std::size_t head_size, queries;
  std::string kernel;
  std::size_t positions;
};

class attention_case {
 public:
  explicit attention_case(const attention_run& run)
      : run_(run),
        cache_(1, run.head_size, run.positions),
        queries_(bench::random_values(run.queries * run.head_size)),
        probabilities_(bench::random_values(run.queries * run.positions, 1)),
        scores_(run.queries * run.positions),
        lengths_(run.queries, run.positions),
        out_(queries_.size()) {
    for (std::size_t t = 0; t < run.positions; ++t) {
      const std::uint64_t first = 2 * t * run.head_size;
      cache_.append(bench::random_values(run.head_size, first),
                    bench::random_values(run.head_size, first + run.head_size));
    }
    for (std::size_t q = 0; q < run.queries; ++q) {
      er::softmax(std::span{probabilities_}.subspan(q * run.positions, run.positions));
    }
  }

  void work(const er::kernel& kernel) {
    const std::size_t queries = run_.queries, positions = run_.positions, head = run_.head_size;
    const er::matrix_view<const float> query{queries_.data(), queries, head};
    const er::matrix_view<float> scores{scores_.data(), queries, positions},
        out{out_.data(), queries, head};
    const float factor = 1 / std::sqrt(static_cast<float>(head));
    switch (run_.what) {
      case step::scores:
        return er::attention_scores(cache_, 0, er::unquantized{query}, scores, {.kernel = &kernel});
      case step::softmax:
        // In place, so it works on what it made last: as good a row of numbers as any.
        for (std::size_t q = 0; q < queries; ++q)
          er::softmax(scores.row(q), {.scale = factor, .kernel = &kernel});
        return;
      case step::mix:
        return er::attention_mix(
            cache_, 0, er::matrix_view<const float>{probabilities_.data(), queries, positions}, out,
            {.kernel = &kernel});
      case step::attention:
        return er::attention(cache_, 0, query, std::span<const std::size_t>{lengths_}, factor,
                             scores, out, {.kernel = &kernel});
    }
  }
  /// Whether one call gives what the scalar kernel gives.
  bool right(const er::kernel& kernel) {
    std::array<std::vector<float>, 2> results;
    const std::array<const er::kernel*, 2> kernels{er::find_kernel("scalar"), &kernel};
    for (std::size_t i = 0; i < 2; ++i) {
      std::fill(out_.begin(), out_.end(), 0.0f);
      scores_ = bench::random_values(scores_.size(), 2);
      work(*kernels[i]);
      results[i] = scores_;
      results[i].insert(results[i].end(), out_.begin(), out_.end());
    }
    return std::memcmp(results[0].data(), results[1].data(), results[0].size() * sizeof(float)) ==
           0;
  }
  /// Of the cache, by one call.
  [[nodiscard]] std::size_t cache_bytes() const {
    const std::size_t keys = cache_.keys(0).bytes().size();
    const std::size_t values = cache_.bytes() - keys;
    switch (run_.what) {
      case step::scores:
        return keys;
      case step::softmax:
        return 0;
      case step::mix:
        return values;
      case step::attention:
        return keys + values;
    }
    return 0;
  }

 private:
  attention_run run_;
  er::kv_cache cache_;
  std::vector<float> queries_, probabilities_, scores_;
  std::vector<std::size_t> lengths_;
  std::vector<float> out_;
};

void measure(benchmark::State& state, const attention_run& run) {
  attention_case attention(run);
  const er::kernel& kernel = *er::find_kernel(run.kernel);
  if (!attention.right(kernel))
    return state.SkipWithError("the result differs from the scalar kernel's");

  bench::spinning_threads threads(1);
  const std::size_t bytes = attention.cache_bytes();
  const er::byte_storage memory(std::max<std::size_t>(bytes, 1));
  const auto work = [&] { attention.work(kernel); };
  const auto read = [&] { bench::read_once(threads, {memory.data(), bytes}); };
  const std::size_t calls = bench::calls_for(2e-3, work),
                    reads = bytes == 0 ? 0 : bench::calls_for(1e-3, read);
  std::vector<double> seconds, cache_rate, read_rate, cycles;
  const double positions = static_cast<double>(run.positions * run.queries);
  for (int pass = 0; pass < 31; ++pass) {
    const double clock = bench::clock_rate();
    seconds.push_back(bench::seconds_a_call(calls, work));
    cycles.push_back(seconds.back() * clock / positions);
    if (bytes == 0) continue;
    cache_rate.push_back(static_cast<double>(bytes) / seconds.back());
    read_rate.push_back(static_cast<double>(bytes) / bench::seconds_a_call(reads, read));
  }
  for (auto _ : state) state.SetIterationTime(bench::median(seconds));
  state.counters["positions/s"] = positions / bench::median(seconds);
  state.counters["cycles/position"] = bench::median(cycles);
  if (bytes != 0) {
    state.counters["cache_B/s"] = bench::median(cache_rate);
    state.counters["percent_of_read"] = 100 * bench::median_ratio(cache_rate, read_rate);
  }
  state.counters["spread_percent"] = 100 * bench::spread(seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::arguments arguments = bench::arguments::take(argc, argv);
  const std::vector<std::size_t> lengths =
      arguments.all ? std::vector<std::size_t>{128, 256, 512, 1024, 2048, 4096}
                    : std::vector<std::size_t>{128, 1024, 4096};
  for (const step what : {step::scores, step::softmax, step::mix, step::attention}) {
    for (const std::size_t head_size :
         {64, 128, 100}) {  // 100: a last vector that is not full, in every kernel
      for (const std::size_t queries : {1, 4}) {
        for (const std::string& kernel : arguments.kernels()) {
          for (const std::size_t positions : lengths) {
            const attention_run run{what, head_size, queries, kernel, positions};
            bench::add(std::string{step_names[static_cast<std::size_t>(what)]} + "/head:" +
                           std::to_string(head_size) + "/queries:" + std::to_string(queries) + '/' +
                           kernel + "/positions:" + std::to_string(positions),
                       [run](benchmark::State& state) { measure(state, run); });
          }
        }
      }
    }
  }
  return bench::run(argc, argv);
}
