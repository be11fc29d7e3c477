// SPDX-License-Identifier: Apache-2.0
#include "program.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>

#include "../../examples/support/kernel_choice.hpp"
#include "console.hpp"
#include "dot_product_peak.hpp"
#include "machine.hpp"
#include "model_shapes.hpp"
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/version.hpp>

namespace er = edgerazor;

namespace bench {

namespace {

[[noreturn]] void refuse(const std::string& sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  std::exit(2);
}

/// Of those that were added.
std::size_t longest_name = 0;

/// Google Benchmark writes into a name how a measurement was configured. All of ours are configured
/// alike.
template <class Reporter>
class plain_names : public Reporter {
 public:
  using Reporter::Reporter;

  void ReportRuns(const std::vector<benchmark::BenchmarkReporter::Run>& runs) override {
    std::vector<benchmark::BenchmarkReporter::Run> renamed = runs;
    for (benchmark::BenchmarkReporter::Run& run : renamed) {
      run.run_name.iterations.clear();
      run.run_name.time_type.clear();
    }
    Reporter::ReportRuns(renamed);
  }
};

}  // namespace

arguments arguments::take(int& argc, char** argv) {
  arguments result;
  std::string kernel_name;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::string_view value =
        argument.substr(std::min(argument.find('=') + 1, argument.size()));
    if (argument == "--all") {
      result.all = true;
    } else if (argument.starts_with("--model=")) {
      result.model = value;
    } else if (argument.starts_with("--kernel=")) {
      kernel_name = value;
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  const auto known = [&result](const known_model& m) { return m.name == result.model; };
  if (!result.model.empty() && std::none_of(models.begin(), models.end(), known)) {
    std::string names;
    for (const known_model& m : models) names.append(" ").append(m.name);
    refuse("no model '" + result.model + "'; there are" + names);
  }
  try {
    const er::kernel& chosen = support::chosen_kernel(kernel_name);
    if (!kernel_name.empty() || &chosen != &er::best_kernel()) result.kernel = chosen.name;
  } catch (const std::exception& error) {
    refuse(error.what());
  }
  return result;
}

std::vector<std::string> arguments::kernels() const {
  if (!kernel.empty()) return {kernel};
  if (!all) return {std::string{er::best_kernel().name}};
  std::vector<std::string> names;
  for (const er::kernel& k : er::available_kernels()) {
    if (k.name != "scalar")
      names.emplace_back(k.name);  // the reference implementation is not in a hurry
  }
  return names;
}

std::vector<std::size_t> thread_counts() {
  const std::size_t all = processor_count();
  return all == 1 ? std::vector<std::size_t>{1} : std::vector<std::size_t>{1, all};
}

std::string threads_name(std::size_t threads) { return "threads:" + std::to_string(threads); }

void add(const std::string& name, const std::function<void(benchmark::State&)>& measurement) {
  longest_name = std::max(longest_name, name.size());
  const auto watched = [measurement](benchmark::State& state) {
    const busy since;
    measurement(state);
    state.counters["others_percent"] = since.others_percent();
  };
  benchmark::RegisterBenchmark(name.c_str(), watched)->Iterations(1)->UseManualTime();
}

int run(int argc, char** argv) {
  const auto given = [&](std::string_view text) {
    return std::any_of(argv + 1, argv + argc, [&](const char* argument) {
      return std::string_view{argument}.starts_with(text);
    });
  };
  const bool json = given("--benchmark_format=json"), file = given("--benchmark_out=");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("edgerazor", EDGERAZOR_VERSION);
  benchmark::AddCustomContext("fastest kernel", std::string{er::best_kernel().name});
  benchmark::AddCustomContext("dot-product instructions",
                              std::string{widest_dot_product().instructions});
  std::unique_ptr<benchmark::BenchmarkReporter> display, out;
  if (json) {
    display = std::make_unique<plain_names<benchmark::JSONReporter>>();
  } else {
    display = std::make_unique<plain_names<console>>(longest_name);
  }
  if (file) out = std::make_unique<plain_names<benchmark::JSONReporter>>();
  benchmark::RunSpecifiedBenchmarks(display.get(), out.get());
  benchmark::Shutdown();
  return 0;
}

}  // namespace bench
