// Products of packed matrices: gemv and gemm for every kernel of this machine, format and shape, hot and from DRAM.
//
//   gemv/<format>/<kernel>/<rows>x<cols>         one token, the matrix in whatever cache holds it
//   dram/<format>/<kernel>/<rows>x<cols>         one token, cycling through 512 MB of distinct matrices
//   gemm/<format>/<kernel>/<rows>x<cols>/<tokens>
//
// Each answer is compared with the scalar kernel's, bit for bit, before it is timed. One thread.
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "read_bandwidth.hpp"
#include <edgerazor/quant.hpp>

namespace er = edgerazor;

namespace {

struct shape {
  std::size_t rows, cols;
};
// SmolLM2-135M, Qwen3-0.6B, a 7B model.
constexpr shape shapes[] = {{576, 576}, {1536, 576}, {576, 1536}, {3072, 1024}, {1024, 3072}, {4096, 4096}};
constexpr const char* formats[] = {
    "ternary2_g64", "ternary2_g256", "ternary5_g64", "ternary5_g256",
    "int4_g64",     "int4_g256",     "int8_g256",    "int4_g256+ternary2_g256:every_8_rows"};
constexpr std::size_t dram_bytes = std::size_t{512} << 20;

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

struct problem {
  er::any_matrix weights;
  er::packed_activations activations;
  er::activation_view x;
  std::vector<float> y;

  problem(const std::string& format, shape size, std::size_t tokens) {
    const std::vector<float> w = random_values(size.rows * size.cols, 1), a = random_values(tokens * size.cols, 2);
    weights = er::any_matrix::pack(*er::matrix_format::parse(format), er::matrix_view{w.data(), size.rows, size.cols});
    activations = er::packed_activations(size.cols, weights.group_cols(), tokens);
    x = er::quantize_activations({a.data(), tokens, size.cols}, activations);
    y.resize(tokens * size.rows);
  }
  er::matrix_view<float> out() { return {y.data(), x.tokens, weights.rows()}; }

  /// Whether the kernel's answer is the scalar kernel's.
  bool right(const er::kernel& kernel) {
    er::gemm(weights, x, out(), *er::find_kernel("scalar"));
    const std::vector<float> expected = y;
    er::gemm(weights, x, out(), kernel);
    return expected == y;
  }
};

void set_counters(benchmark::State& state, const problem& work, double bandwidth) {
  const double products = static_cast<double>(work.weights.rows()) * static_cast<double>(work.weights.cols()) *
                          static_cast<double>(work.x.tokens);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["weights/s"] = benchmark::Counter(products, rate);
  if (work.x.tokens == 1) {
    const double bytes = static_cast<double>(work.weights.bytes().size());
    state.counters["packed_B/s"] = benchmark::Counter(bytes, rate);
    state.counters["of_read"] = benchmark::Counter(bytes / bandwidth, rate);
  }
  state.counters["bits/weight"] = work.weights.bits_per_weight();
}

void product(benchmark::State& state, const char* format, const er::kernel& kernel, shape size, std::size_t tokens,
             double bandwidth) {
  problem work(format, size, tokens);
  if (!work.right(kernel)) return state.SkipWithError("differs from the scalar kernel");
  for (auto _ : state) {
    er::gemm(work.weights, work.x, work.out(), kernel);
    benchmark::DoNotOptimize(work.y.data());
  }
  set_counters(state, work, bandwidth);
}

void from_dram(benchmark::State& state, const char* format, const er::kernel& kernel, shape size, double bandwidth) {
  problem work(format, size, 1);
  if (!work.right(kernel)) return state.SkipWithError("differs from the scalar kernel");
  const std::span<const std::byte> bytes = work.weights.bytes();
  const std::size_t copies = dram_bytes / bytes.size() + 1;
  er::byte_storage memory(copies * bytes.size());
  std::vector<er::any_matrix> matrices;
  for (std::size_t i = 0; i < copies; ++i) {
    std::memcpy(memory.data() + i * bytes.size(), bytes.data(), bytes.size());
    matrices.push_back(er::any_matrix::from_bytes(work.weights.fmt(), size.rows, size.cols,
                                                  {memory.data() + i * bytes.size(), bytes.size()}));
  }
  std::size_t next = 0;
  for (auto _ : state) {
    er::gemm(matrices[next], work.x, work.out(), kernel);
    benchmark::DoNotOptimize(work.y.data());
    next = (next + 1) % copies;
  }
  set_counters(state, work, bandwidth);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  double dram = 0;
  {
    er::byte_storage memory(dram_bytes);
    dram = read_bandwidth(memory);
  }
  std::printf("read bandwidth from DRAM, one thread: %.1f GB/s (of_read is relative to it)\n", dram / 1e9);

  for (const char* format : formats) {
    for (const er::kernel& kernel : er::available_kernels()) {
      if (kernel.name == "scalar") continue;  // the truth is not in a hurry
      const std::string end = std::string{"/"} + format + '/' + std::string{kernel.name} + '/';
      for (const shape size : shapes) {
        const std::string text = std::to_string(size.rows) + 'x' + std::to_string(size.cols);
        benchmark::RegisterBenchmark(("gemv" + end + text).c_str(), product, format, kernel, size, std::size_t{1},
                                     dram);
      }
      benchmark::RegisterBenchmark(("dram" + end + "4096x4096").c_str(), from_dram, format, kernel, shape{4096, 4096},
                                   dram);
      benchmark::RegisterBenchmark(("gemm" + end + "3072x1024/128").c_str(), product, format, kernel, shape{3072, 1024},
                                   std::size_t{128}, dram);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
}
