// What a user waits for when converting: float32 to every packed format, and activations to int8. One thread.
//
//   pack/<format>         4096 x 4096 float32 weights; bytes a second of input
//   activations/<kernel>  4096 columns in groups of 256
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <edgerazor/quant.hpp>

namespace er = edgerazor;

namespace {

std::vector<float> random_values(std::size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

void pack(benchmark::State& state, const er::matrix_format& format) {
  constexpr std::size_t rows = 4096, cols = 4096;
  const std::vector<float> weights = random_values(rows * cols);
  er::any_matrix packed = er::any_matrix::empty(format, rows, cols);
  for (auto _ : state) {
    packed.pack_rows(0, er::matrix_view{weights.data(), rows, cols});
    benchmark::DoNotOptimize(packed.bytes().data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * rows * cols * sizeof(float)));
}

void activations(benchmark::State& state, const er::kernel& kernel) {
  constexpr std::size_t cols = 4096, group = 256;
  const std::vector<float> x = random_values(cols);
  er::packed_activations packed(cols, group), expected(cols, group);
  er::quantize_activations({x.data(), 1, cols}, expected, er::activation_scales::of_groups, *er::find_kernel("scalar"));
  er::quantize_activations({x.data(), 1, cols}, packed, er::activation_scales::of_groups, kernel);
  if (!std::equal(packed.codes(0), packed.codes(0) + cols, expected.codes(0))) {
    return state.SkipWithError("differs from the scalar kernel");
  }
  for (auto _ : state) {
    er::quantize_activations({x.data(), 1, cols}, packed, er::activation_scales::of_groups, kernel);
    benchmark::DoNotOptimize(packed.codes(0));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * cols * sizeof(float)));
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for (const char* name : {"ternary2_g64", "ternary2_g256", "ternary5_g256", "int4_g64", "int4_g256", "int8_g256",
                           "int4_g256+ternary2_g256:every_8_rows", "f16"}) {
    benchmark::RegisterBenchmark((std::string{"pack/"} + name).c_str(), pack, *er::matrix_format::parse(name));
  }
  for (const er::kernel& kernel : er::available_kernels()) {
    benchmark::RegisterBenchmark(("activations/" + std::string{kernel.name}).c_str(), activations, kernel);
  }
  benchmark::RunSpecifiedBenchmarks();
}
