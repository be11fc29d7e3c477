// SPDX-License-Identifier: Apache-2.0
/// Matrix products on threads of one's own: a pool of std::thread as the library's executor.
///
/// The feed-forward layer of a small model, one token: y = down (silu(gate x) * (up x)). The pool's
/// result must have the bits of one thread's.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "support/kernel_choice.hpp"
#include "support/threads.hpp"
#include <edgerazor/quant.hpp>

namespace er = edgerazor;

namespace {

/// Threads that wait for jobs. The caller works too, and grains are taken one by one, so that a
/// slow core takes fewer.
class pool {
 public:
  explicit pool(unsigned threads) {
    support::add_threads(workers_, threads - 1, [this] { serve(); });  // or as many as there are
  }
  pool(const pool&) = delete;
  ~pool() {
    stop_ = true;
    start();
    for (std::thread& worker : workers_) worker.join();
  }

  /// With it each thread's grains lie one behind the other, as memory likes it.
  [[nodiscard]] unsigned threads() const { return static_cast<unsigned>(workers_.size()) + 1; }

  /// What makes it an executor: work(i) for every i below count, then return.
  void operator()(std::size_t count, er::grain_work work) {
    work_ = &work;
    count_ = count;
    next_ = 0;
    busy_ = workers_.size();
    start();
    drain();
    for (std::size_t busy; (busy = busy_) != 0;) busy_.wait(busy);
  }

 private:
  void start() {
    ++job_;
    job_.notify_all();
  }
  void drain() {
    for (std::size_t i; (i = next_++) < count_;) (*work_)(i);
  }
  void serve() {
    for (unsigned seen = 0;;) {
      job_.wait(seen);
      ++seen;
      if (stop_) return;
      drain();
      if (--busy_ == 0) busy_.notify_one();
    }
  }

  const er::grain_work* work_ = nullptr;
  std::size_t count_ = 0;
  std::atomic<std::size_t> next_ = 0, busy_ = 0;
  std::atomic<unsigned> job_ = 0;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> workers_;  // last: they use the rest
};

std::vector<float> normal(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> values(size);
  for (float& v : values) v = draw(random);
  return values;
}

/// Whether the pool's result is that of one thread.
bool run(const er::kernel& kernel) {
  constexpr std::size_t hidden = 2048, inner = 6144, group = 256;
  using w158 = er::ternary<er::per_group<group>>;
  const auto matrix = [](std::size_t rows, std::size_t cols, unsigned seed) {
    const std::vector<float> weights = normal(rows * cols, seed);
    return er::pack<w158>(er::matrix_view{weights.data(), rows, cols});
  };
  const auto gate = matrix(inner, hidden, 1), up = matrix(inner, hidden, 2),
             down = matrix(hidden, inner, 3);
  const std::vector<float> x = normal(hidden, 4);
  er::packed_activations x8(hidden, group), middle8(inner, group);
  std::vector<float> middle(inner), y(hidden), expected(hidden);

  // One thread: no executor.
  const er::matrix_view<float> middle_view{middle.data(), 1, inner};
  const auto quantized = er::quantize_activations({x.data(), 1, hidden}, x8, {.kernel = &kernel});
  er::gemm_gated(gate, up, quantized, middle_view, {.kernel = &kernel});
  er::gemv(down, er::quantize_activations(middle_view, middle8, {.kernel = &kernel}),
           std::span{expected}, {.kernel = &kernel});

  pool threads(std::max(1u, std::thread::hardware_concurrency()));
  const auto start = std::chrono::steady_clock::now();
  constexpr int rounds = 100;
  for (int i = 0; i < rounds; ++i) {
    const auto token = er::quantize_activations({x.data(), 1, hidden}, x8, {.kernel = &kernel});
    er::gemm_gated(gate, up, token, middle_view, {.kernel = &kernel, .executor = threads});
    er::gemv(down, er::quantize_activations(middle_view, middle8, {.kernel = &kernel}),
             std::span{y}, {.kernel = &kernel, .executor = threads});
  }
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;

  const bool same = std::memcmp(y.data(), expected.data(), hidden * sizeof(float)) == 0;
  std::printf("%u threads, kernel %s: %.0f us a token, the bits of one thread: %s\n",
              threads.threads(), std::string{kernel.name}.c_str(), time.count() / rounds,
              same ? "yes" : "NO");
  return same;
}

}  // namespace

int main() {
  try {
    return run(support::chosen_kernel()) && std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rows_std_thread: %s\n", error.what());
    return 1;
  }
}
