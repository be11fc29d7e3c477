// SPDX-License-Identifier: Apache-2.0
// Our products beside those of ggml, or of ik_llama.cpp's ggml, in one process, taking turns: the
// same float weights, tokens, shapes and threads.
//
//   compare_ggml|compare_ik_llama [--filter=<text>] [--passes=<n>] [--json=<file>]
//
// Prints a Markdown table: 10^9 multiply-adds a second of both, and our time over theirs, the
// median of the passes' ratios (below 1 we are faster), with the quartiles. `hot`: one matrix again
// and again; `dram`: in turn over copies that take 512 MiB. Each side quantizes the float tokens to
// int8 within every product, as theirs do. Results are checked before and after: ours bit
// for bit with the scalar kernel, theirs with a product in double of the weights as they dequantize
// them. Time is the clock's, or for one thread its processor time; `running` is the share of the
// clock's time in which the threads were running, of the side that had less: lines of several
// threads count only where it is near 100 %, since below others had the cores too. `quantize`
// compares float32 to packed, one thread, in 10^9 bytes of input a second.
//
// Ours run on the fastest kernel, or the one that EDGERAZOR_KERNEL in the environment names. A line
// is shown where the name, such as `gemv 4096x4096 hot`, or a format contains the filter.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "../../examples/support/kernel_choice.hpp"
#include "../support/in_turn.hpp"
#include "../support/product_case.hpp"
#include "../support/program.hpp"
#include "../support/random_values.hpp"
#include "ggml_product.hpp"

namespace er = edgerazor;

namespace {

struct task {
  const char* name;
  bench::shape size;
  std::size_t tokens;
  bool hot;
};
constexpr task tasks[] = {
    {"gemv 4096x4096 hot", {4096, 4096}, 1, true},
    {"gemv 4096x4096 dram", {4096, 4096}, 1, false},
    {"gemv 3072x1024 hot", {3072, 1024}, 1, true},
    {"gemv 3072x1024 dram", {3072, 1024}, 1, false},
    {"gemv 151936x1024 dram", {151936, 1024}, 1, false},
    {"gemm 4096x4096, 512 tokens", {4096, 4096}, 512, true},
    {"gemm 3072x1024, 512 tokens", {3072, 1024}, 512, true},
};

struct settings {
  std::string filter, json;
  int passes = 0;  ///< 0: by the task
};

/// One line of the table. Rates are of the passes' medians.
class table {
 public:
  explicit table(const std::string& json) : json_(json) {
    std::printf(
        "| work | threads | ours | rate | peer | rate | our time / theirs | quartiles | running "
        "|\n");
    std::printf("| --- | --- | --- | ---: | --- | ---: | ---: | --- | ---: |\n");
  }
  ~table() {
    if (json_.empty()) return;
    std::ofstream file(json_);
    file << "[\n" << lines_ << "\n]\n";
  }
  table(const table&) = delete;

  /// `amount`: what a call does; seconds a call, pass by pass.
  void add(const std::string& work, std::size_t threads, const std::string& ours,
           const std::string& theirs, double amount, const std::vector<double>& our_seconds,
           const std::vector<double>& their_seconds, double running) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < our_seconds.size(); ++i)
      ratios.push_back(our_seconds[i] / their_seconds[i]);
    const double our_rate = amount / bench::median(our_seconds),
                 their_rate = amount / bench::median(their_seconds);
    const double ratio = bench::median(ratios), low = bench::quantile(ratios, 0.25),
                 high = bench::quantile(ratios, 0.75);
    std::printf("| %s | %zu | %s | %.2f | %s | %.2f | %.3f | %.3f to %.3f | %.0f %% |\n",
                work.c_str(), threads, ours.c_str(), our_rate / 1e9, theirs.c_str(),
                their_rate / 1e9, ratio, low, high, running);
    std::fflush(stdout);
    char line[512];
    std::snprintf(
        line, sizeof line,
        R"(  {"work": "%s", "threads": %zu, "ours": "%s", "our_rate": %.6g, "peer": "%s %s", )"
        R"("peer_rate": %.6g, "ratio": %.4f, "low": %.4f, "high": %.4f, "running": %.1f})",
        work.c_str(), threads, ours.c_str(), our_rate, std::string{peers::library_name()}.c_str(),
        theirs.c_str(), their_rate, ratio, low, high, running);
    lines_.append(lines_.empty() ? "" : ",\n").append(line);
  }

 private:
  std::string json_, lines_;
};

/// Threads of the side that has just finished may still be waiting actively for more.
void let_threads_sleep(std::size_t threads) {
  if (threads > 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

void require_right(const peers::ggml_product& theirs, const peers::pairing& pair) {
  if (!theirs.right())
    throw std::runtime_error("the result of " + pair.theirs.name() + " is not the product");
}

void compare_products(const task& what, const peers::pairing& pair, const settings& options,
                      table& results) {
  bench::product_case ours(pair.ours, what.size, what.tokens);
  std::span<const std::byte> memory;
  std::vector<er::any_matrix> copies;
  if (!what.hot) copies = ours.spread_out(memory);
  const er::kernel& kernel = support::chosen_kernel();

  // A graph of about 10 ms, or once over all copies.
  const std::size_t their_copies =
      what.hot ? 1 : bench::dram_bytes / peers::ggml_product::bytes_of(pair.theirs, what.size) + 1;
  const double guess = 2 * ours.multiply_adds() / 100e9;
  const std::size_t products =
      what.hot ? std::max<std::size_t>(1, static_cast<std::size_t>(1e-2 / guess)) : their_copies;
  peers::ggml_product theirs(pair.theirs, what.size, what.tokens, their_copies, products);

  for (const std::size_t count : bench::thread_counts()) {
    theirs.use_threads(count);
    const auto all_of_ours = [&](bench::spinning_threads& threads) {
      for (std::size_t i = 0; i < (what.hot ? products : copies.size()); ++i) {
        ours.quantize_tokens(kernel);
        ours.multiply(threads, what.hot ? ours.weights() : copies[i], kernel);
      }
    };
    const double our_products = static_cast<double>(what.hot ? products : copies.size());
    std::vector<double> our_seconds, their_seconds, running;
    const int passes = options.passes > 0 ? options.passes
                       : what.tokens > 1  ? 9
                       : what.hot         ? 31
                                          : 11;
    for (int pass = -1; pass < passes; ++pass) {  // the first warms up
      double our_time = 0, we_ran = 0;
      {
        bench::spinning_threads threads(count);
        ours.multiply(threads, ours.weights(), kernel);
        const bench::busy undisturbed(count);
        our_time = bench::seconds_of([&] { all_of_ours(threads); }, count) / our_products;
        we_ran = undisturbed.percent();
      }
      if (!ours.right()) throw std::runtime_error("our result differs from the scalar kernel's");
      const bench::busy undisturbed(count);
      const double their_time = bench::seconds_of([&] { theirs.multiply(); }, count) /
                                static_cast<double>(theirs.products());
      const double they_ran = undisturbed.percent();
      if (pass < 0) require_right(theirs, pair);
      let_threads_sleep(count);
      if (pass < 0) continue;
      our_seconds.push_back(our_time);
      their_seconds.push_back(their_time);
      running.push_back(std::min(we_ran, they_ran));
    }
    require_right(theirs, pair);
    results.add(what.name, count, pair.ours, pair.theirs.name(), ours.multiply_adds(), our_seconds,
                their_seconds, bench::median(running));
  }
}

void compare_packing(const peers::pairing& pair, const settings& options, table& results) {
  constexpr std::size_t rows = 4096, cols = 4096;
  const std::vector<float> weights = bench::random_values(rows * cols);
  er::any_matrix ours = er::any_matrix::empty(*er::matrix_format::parse(pair.ours), rows, cols);
  std::vector<std::byte> theirs(peers::ggml_product::bytes_of(pair.theirs, {rows, cols}));
  std::vector<double> our_seconds, their_seconds;
  const bench::busy undisturbed(1);
  for (int pass = 0; pass < (options.passes > 0 ? options.passes : 9); ++pass) {
    our_seconds.push_back(
        bench::seconds_of([&] { ours.pack_rows(0, er::matrix_view{weights.data(), rows, cols}); }));
    their_seconds.push_back(bench::seconds_of([&] {
      peers::quantize_rows(pair.theirs.type, weights.data(), theirs.data(), rows, cols);
    }));
  }
  results.add("quantize 4096x4096", 1, pair.ours, pair.theirs.name(),
              double{rows} * cols * sizeof(float), our_seconds, their_seconds,
              undisturbed.percent());
}

}  // namespace

int main(int argc, char** argv) {
  settings options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::string value{argument.substr(std::min(argument.find('=') + 1, argument.size()))};
    if (argument.starts_with("--filter=")) {
      options.filter = value;
    } else if (argument.starts_with("--json=")) {
      options.json = value;
    } else if (argument.starts_with("--passes=")) {
      options.passes = std::atoi(value.c_str());
    } else {
      std::fprintf(stderr,
                   "no argument '%s'; there are --filter=<text>, --passes=<n>, --json=<file>\n",
                   argv[i]);
      return 2;
    }
  }
  try {
    std::printf("Ours: kernel %s. %s: %s.\n\n", std::string{support::chosen_kernel().name}.c_str(),
                std::string{peers::library_name()}.c_str(), peers::library_features().c_str());
    table results(options.json);
    const auto wanted = [&](std::string_view work, const peers::pairing& pair) {
      const std::string name = std::string{work} + ' ' + pair.ours + ' ' + pair.theirs.name();
      return name.find(options.filter) != std::string::npos;
    };
    for (const task& what : tasks) {
      for (const peers::pairing& pair : peers::pairings()) {
        if (wanted(what.name, pair)) compare_products(what, pair, options, results);
      }
    }
    for (const peers::pairing& pair : peers::pairings()) {
      if (!pair.theirs.repacked && wanted("quantize 4096x4096", pair))
        compare_packing(pair, options, results);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
