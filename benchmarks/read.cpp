// SPDX-License-Identifier: Apache-2.0
// The limits of this machine: how fast memory can be read, and how many products of bytes a second
// there are.
//
//   read/<dram|dram_small_pages|l3|l2>/threads:<n>    bytes a second of a plain loop of the widest loads
//   dot_product/threads:<n>                           multiply-adds a second of the widest instruction, in registers
//   clock                                             cycles a second of one core, on which figures a cycle rest
//
// Every other program measures the limit that it needs itself, in turn with what it is compared to;
// this one shows them all. DRAM: 512 MiB read in sequence, in huge pages as the library's owners
// ask for them, and in pages of 4 KiB. L3: 12 MiB a thread, or its share of half the cache where
// that is less; L2: half of it a thread.
#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "support/dot_product_peak.hpp"
#include "support/in_turn.hpp"
#include "support/program.hpp"
#include "support/read_bandwidth.hpp"
#include <edgerazor/core/storage.hpp>

#if EDGERAZOR_LINUX
#include <sys/mman.h>
#endif

namespace {

constexpr std::size_t dram_bytes = std::size_t{512} << 20;
constexpr int passes = 21;

const edgerazor::byte_storage& huge_pages() {
  static const edgerazor::byte_storage memory(dram_bytes);
  return memory;
}

#if EDGERAZOR_LINUX
/// As malloc gives it where huge pages are had on request alone.
class small_pages {
 public:
  small_pages()
      : data_(::mmap(nullptr, dram_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0)) {
    if (data_ == MAP_FAILED) return;
    (void)::madvise(data_, dram_bytes, MADV_NOHUGEPAGE);
    std::memset(data_, 1, dram_bytes);
  }
  small_pages(const small_pages&) = delete;
  ~small_pages() {
    if (data_ != MAP_FAILED) ::munmap(data_, dram_bytes);
  }
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(data_), data_ == MAP_FAILED ? 0 : dram_bytes};
  }

 private:
  void* data_;
};
#endif

void set_results(benchmark::State& state, const std::vector<double>& seconds,
                 const std::vector<double>& rates, const char* counter) {
  for (auto _ : state) state.SetIterationTime(bench::median(seconds));
  state.counters[counter] = bench::median(rates);
  state.counters["best"] = *std::max_element(rates.begin(), rates.end());
  state.counters["spread_percent"] = 100 * bench::spread(seconds);
}

/// Rates of `passes` repetitions of `work`, which does `amount`.
template <class Work>
void measure(benchmark::State& state, double amount, const char* counter, std::size_t threads,
             const Work& work) {
  const std::size_t calls = bench::calls_for(4e-3, work, threads);
  const bench::busy undisturbed(threads);
  std::vector<double> seconds, rates;
  for (int pass = 0; pass < passes; ++pass) {
    seconds.push_back(bench::seconds_a_call(calls, work, threads));
    rates.push_back(amount / seconds.back());
  }
  state.counters["busy_percent"] = undisturbed.percent();
  set_results(state, seconds, rates, counter);
}

void read_dram(benchmark::State& state, std::span<const std::byte> memory,
               std::size_t thread_count) {
  bench::spinning_threads threads(thread_count);
  measure(state, static_cast<double>(memory.size()), "bytes/s", thread_count,
          [&] { bench::read_once(threads, memory); });
}

/// Every thread reads `size` bytes of its own, often enough that the threads' meeting costs
/// nothing.
void read_cache(benchmark::State& state, std::size_t size, std::size_t thread_count) {
  const bench::read_function read = bench::widest_read();
  const std::size_t times = std::max<std::size_t>(1, (std::size_t{64} << 20) / size);
  bench::spinning_threads threads(thread_count);
  std::atomic<std::size_t> sink{0};
  const std::byte* const memory = huge_pages().data();
  measure(state, static_cast<double>(size * times * thread_count), "bytes/s", thread_count, [&] {
    threads.run(thread_count, [&](std::size_t i) {
      for (std::size_t time = 0; time < times; ++time) sink += read(memory + i * size, size) == 1;
    });
  });
}

void dot_products(benchmark::State& state, std::size_t thread_count) {
  const bench::dot_product dot = bench::widest_dot_product();
  if (!dot) return state.SkipWithError("no dot-product instruction that this program knows");
  bench::spinning_threads threads(thread_count);
  constexpr std::size_t steps = 200'000;
  measure(state, static_cast<double>(steps * dot.multiply_adds * thread_count), "multiply_adds/s",
          thread_count, [&] { bench::multiply_on_all(threads, dot, steps); });
  state.SetLabel(std::string{dot.instructions});
}

void clock_rates(benchmark::State& state) {
  std::vector<double> seconds, rates;
  for (int pass = 0; pass < 10 * passes; ++pass) {
    rates.push_back(bench::clock_rate());
    seconds.push_back(1 / rates.back());
  }
  set_results(state, seconds, rates, "cycles/s");
}

}  // namespace

int main(int argc, char** argv) {
  (void)bench::arguments::take(argc, argv);
  const bench::cache_sizes caches = bench::read_cache_sizes();
  for (const std::size_t count : bench::thread_counts()) {
    const std::string threads = '/' + bench::threads_name(count);
    bench::add("read/dram" + threads, [count](benchmark::State& state) {
      read_dram(state, {huge_pages().data(), huge_pages().size()}, count);
    });
#if EDGERAZOR_LINUX
    bench::add("read/dram_small_pages" + threads, [count](benchmark::State& state) {
      const small_pages memory;
      if (memory.bytes().empty()) return state.SkipWithError("no memory");
      read_dram(state, memory.bytes(), count);
    });
#endif
    const std::size_t l3 = std::min(std::size_t{12} << 20, caches.l3 / 2 / count),
                      l2 = caches.l2 / 2;
    bench::add("read/l3" + threads, [=](benchmark::State& state) { read_cache(state, l3, count); });
    bench::add("read/l2" + threads, [=](benchmark::State& state) { read_cache(state, l2, count); });
    bench::add("dot_product" + threads,
               [count](benchmark::State& state) { dot_products(state, count); });
  }
  bench::add("clock", clock_rates);
  return bench::run(argc, argv);
}
