// SPDX-License-Identifier: Apache-2.0
// Products with several tokens: prefill, and decoding several sequences at once.
//
//   gemm/<format>/<kernel>/<rows>x<cols>/tokens:<n>/threads:<n>
//
// product.hpp says what is checked, what is timed and what the counters mean. The matrix is hot: of
// 512 tokens each byte is used 512 times, wherever it came from. Without arguments: the fastest
// kernel, 512 tokens on two matrices and fewer tokens on one, some two minutes. Arguments as for
// gemv.
#include <set>
#include <string>
#include <vector>

#include "support/product.hpp"
#include "support/program.hpp"

namespace {

class registry {
 public:
  explicit registry(const bench::arguments& arguments) : arguments_(arguments) {}

  void add(const std::string& format, bench::shape size, std::size_t tokens) {
    if (!seen_.insert(format + size.name() + '/' + std::to_string(tokens)).second) return;
    for (const std::string& kernel : arguments_.kernels()) {
      for (const std::size_t threads : bench::thread_counts()) {
        const bench::product_run run{format, kernel, size, tokens, true, threads};
        bench::add("gemm/" + format + '/' + kernel + '/' + size.name() +
                       "/tokens:" + std::to_string(tokens) + '/' + bench::threads_name(threads),
                   [run](benchmark::State& state) { bench::measure_product(state, run); });
      }
    }
  }

 private:
  const bench::arguments& arguments_;
  std::set<std::string> seen_;
};

}  // namespace

int main(int argc, char** argv) {
  const bench::arguments arguments = bench::arguments::take(argc, argv);
  registry products(arguments);
  if (!arguments.model.empty() || arguments.all) {
    for (const bench::known_model& model : bench::models) {
      if (!arguments.all && model.name != arguments.model) continue;
      const std::string group = "_g" + std::to_string(model.group);
      for (const bench::layer_matrix& matrix : bench::layer_matrices) {
        if (matrix.model != model.name || matrix.name == "head")
          continue;  // a prompt needs the head of its last token
        for (const char* code : {"ternary2", "ternary5", "int4", "int8"}) {
          for (const std::size_t tokens : {2, 8, 64, 512, 4096})
            products.add(code + group, matrix.size, tokens);
        }
      }
    }
  }
  if (arguments.model.empty()) {
    for (const char* format : {"ternary2_g256", "ternary5_g256", "int4_g256", "int8_g256",
                               "int4_g256+ternary5_g256:every_8_rows", "bf16"}) {
      products.add(format, {4096, 4096}, 512);
      products.add(format, {3072, 1024}, 512);
    }
    for (const std::size_t tokens : {2, 4, 8, 16, 64, 2048}) {
      for (const char* format : {"ternary2_g256", "int4_g256"})
        products.add(format, {3072, 1024}, tokens);
    }
    for (const char* format : {"ternary2_g64", "int4_g64", "int4_g64+sparse", "ternary2_row"})
      products.add(format, {3072, 1024}, 512);
  }
  return bench::run(argc, argv);
}
