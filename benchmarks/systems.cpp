// SPDX-License-Identifier: Apache-2.0
// How fast the related systems' weights are, as they are stored (docs/systems.md), beside two
// formats that everybody knows.
//
//   systems/<system>/<format>/<kernel>/<rows>x<cols>
//
// One token, one thread, hot. A call is the token's input (quantized, scaled, rotated, V x) and the
// product; its result is the scalar kernel's, bit for bit, before it is timed. Calls of the system
// and of the two formats take turns, pass after pass; medians, ratios within a pass.
//
//   weights/s           rows * cols a second
//   bits/weight         stored, everything included
//   of_int4_g64         weights/s over those of int4_g64
//   of_ternary2_g256    the same of ternary2_g256
//   spread_percent      half the distance between the quartiles of the passes
//
//   systems                                   the fastest kernel
//   systems --kernel=avx2
//   systems --all                             every kernel
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "support/in_turn.hpp"
#include "support/product_case.hpp"
#include "support/program.hpp"
#include "support/spinning_threads.hpp"
#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;

namespace {

struct stored_form {
  const char *system, *format;
};
/// At 4096 columns: SLiM's rank is a tenth of them, QuaRot's rotation of all.
constexpr std::array stored_forms{
    stored_form{"GPTQ,HQQ", "int4z_g64"},
    stored_form{"GPTQ", "int3z_g64"},
    stored_form{"GPTQ,HQQ", "int2z_g64"},
    stored_form{"AWQ", "scaled(int4z_g64)"},
    stored_form{"SpQR", "int3z_g16_q3+sparse"},
    stored_form{"TaCQ", "int2z_row+sparse"},
    stored_form{"OneBit", "scaled(binary_row)"},
    stored_form{"BWTA", "binary_row"},
    stored_form{"LBLLM", "table2_g128"},
    stored_form{"SLiM", "int4_row+low_rank_408(int4_row*int4_g128)"},
    stored_form{"QuaRot", "rotated_4096(int4_row)"},
    stored_form{"ZeroQAT", "int4z_row"},
};
constexpr std::array beside{"int4_g64", "ternary2_g256"};

void measure(benchmark::State& state, const std::string& format, const std::string& kernel_name,
             bench::shape size) {
  const er::kernel& kernel = *er::find_kernel(kernel_name);
  bench::spinning_threads threads(1);
  std::vector<bench::product_case> cases;
  cases.reserve(1 + beside.size());
  cases.emplace_back(format, size, 1);
  for (const char* other : beside) cases.emplace_back(other, size, 1);
  const auto call = [&](bench::product_case& one) {
    one.quantize_tokens(kernel);
    one.multiply(threads, one.weights(), kernel);
  };
  std::vector<std::size_t> calls;
  for (bench::product_case& one : cases) {
    call(one);
    if (!one.right()) return state.SkipWithError("the result differs from the scalar kernel's");
    calls.push_back(bench::calls_for(5e-3, [&] { call(one); }));
  }
  std::array<std::vector<double>, 1 + beside.size()> seconds;
  for (std::size_t pass = 0; pass < 51; ++pass) {
    for (std::size_t i = 0; i < cases.size(); ++i)
      seconds[i].push_back(bench::seconds_a_call(calls[i], [&] { call(cases[i]); }));
  }
  for (auto _ : state) state.SetIterationTime(bench::median(seconds[0]));
  state.counters["weights/s"] = cases[0].multiply_adds() / bench::median(seconds[0]);
  state.counters["bits/weight"] = cases[0].weights().bits_per_weight();
  for (std::size_t i = 0; i < beside.size(); ++i)
    state.counters[std::string{"of_"} + beside[i]] =
        bench::median_ratio(seconds[1 + i], seconds[0]);
  state.counters["spread_percent"] = 100 * bench::spread(seconds[0]);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::arguments arguments = bench::arguments::take(argc, argv);
  constexpr bench::shape size{4096, 4096};
  for (const std::string& kernel : arguments.kernels()) {
    for (const stored_form& form : stored_forms) {
      const std::string format = form.format;
      bench::add(
          std::string{"systems/"} + form.system + '/' + format + '/' + kernel + '/' + size.name(),
          [=](benchmark::State& state) { measure(state, format, kernel, size); });
    }
  }
  return bench::run(argc, argv);
}
