// SPDX-License-Identifier: Apache-2.0
// Products with one token: how fast weights are read and multiplied.
//
//   gemv/<format>/<kernel>/<rows>x<cols>/<hot|dram>/threads:<n>
//
// product.hpp says what is checked, what is timed and what the counters mean; the label names the
// layers that have the shape. Without arguments: the fastest kernel on the matrices that decide the
// speed of decoding, every format, some two minutes.
//
//   gemv --model=qwen3-0.6b               all matrices of a model (program.hpp has the names)
//   gemv --kernel=generic --benchmark_filter=4096x4096/hot
//   gemv --all                            every kernel, group, format, model: hours
//   gemv --benchmark_out=gemv.json        for roofline.py and compare_builds.py
#include <set>
#include <string>
#include <vector>

#include "support/product.hpp"
#include "support/program.hpp"

namespace {

/// Every format of one group, by name.
std::vector<std::string> formats_of_group(const std::string& group) {
  std::vector<std::string> names;
  for (const char* code : {"ternary2", "ternary3", "ternary5", "int4", "int8"})
    names.push_back(code + group);
  for (const char* map : {":every_8_rows", ":every_2_rows"}) {  // 1.88 and 2.79 bits
    names.push_back("int4" + group + "+ternary5" + group + map);
  }
  return names;
}

class registry {
 public:
  explicit registry(const bench::arguments& arguments) : arguments_(arguments) {}

  /// One product on every kernel, hot and from DRAM, on one thread and on all. A second time is
  /// nothing.
  void add(const std::string& format, bench::shape size) {
    if (!seen_.insert(format + size.name()).second) return;
    for (const std::string& kernel : arguments_.kernels()) {
      for (const bool hot : {true, false}) {
        for (const std::size_t threads : bench::thread_counts()) {
          const bench::product_run run{format, kernel, size, 1, hot, threads};
          bench::add("gemv/" + format + '/' + kernel + '/' + size.name() +
                         (hot ? "/hot/" : "/dram/") + bench::threads_name(threads),
                     [run](benchmark::State& state) { bench::measure_product(state, run); });
        }
      }
    }
  }
  void add_all(const std::vector<std::string>& formats, bench::shape size) {
    for (const std::string& format : formats) add(format, size);
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
      for (const bench::layer_matrix& matrix : bench::layer_matrices) {
        if (matrix.model != model.name) continue;
        products.add_all(formats_of_group("_g" + std::to_string(model.group)), matrix.size);
      }
    }
  }
  if (arguments.model.empty()) {
    products.add_all(formats_of_group("_g256"), {4096, 4096});
    products.add("bf16", {4096, 4096});
    for (const char* group : {"_g32", "_g64", "_g128", "_row"}) {
      for (const char* code : {"ternary2", "ternary5", "int4"})
        products.add(std::string{code} + group, {4096, 4096});
    }
    for (const char* format : {"ternary2_g128", "table2_g64", "table2_g128", "table2_g256"})
      products.add(format, {4096, 4096});
    for (const char* format : {"int2z_g64", "int3z_g64", "int4z_g64", "int4m_g64", "int4z_g16"})
      products.add(format, {4096, 4096});
    // Small groups, also as SpQR has them, and one weight in a hundred in 16 bits.
    for (const char* format : {"int4_g16", "int4_g16+sparse", "int4_g64+sparse", "sparse",
                               "int3z_g16_q3", "int3z_g16_q3+sparse"}) {
      products.add(format, {4096, 4096});
      products.add(format, {1536, 576});
    }
    for (const char* format : {"ternary2_g256", "ternary3_g256", "ternary5_g256", "int4_g256"})
      products.add(format, {3072, 1024});
    for (const char* format : {"ternary2_g64", "ternary3_g64", "ternary5_g64", "int4_g64"})
      products.add(format, {1536, 576});
  }
  return bench::run(argc, argv);
}
