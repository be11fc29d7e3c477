// SPDX-License-Identifier: Apache-2.0
// A packed matrix into a GGUF file and back; the file is mapped and multiplied in place.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <vector>

#include <edgerazor/edgerazor.hpp>

namespace er = edgerazor;

int main(int argc, char** argv) {
  const std::filesystem::path path = argc > 1 ? argv[1] : "hello.gguf";
  const std::size_t rows = 64, cols = 256;
  std::vector<float> weights(rows * cols), x(cols, 0.5f), y(rows), again(rows);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = 0.02f * std::sin(0.7f * static_cast<float>(i));
  const er::matrix_view view{weights.data(), rows, cols};

  // ---- README.md
  auto packed = er::any_matrix::pack(*er::matrix_format::parse("ternary2_g256"), view);
  er::gguf_writer writer;
  writer.set_string("general.architecture", "hello");
  er::add_matrix(writer, "w", packed);                              // our format
  er::add_exported(writer, "w.tq2", packed, er::ggml_type::tq2_0);  // for other engines
  writer.write(path);                                               // whole, or not at all

  auto file = er::gguf_reader::open(path);   // refuses a bad file
  auto mapped = er::load_matrix(file, "w");  // in the file's memory
  er::gemv(mapped, x, again);
  // ----
  er::gemv(packed, x, y);

  // The exported codes decode to what ours do.
  std::vector<float> ours(weights.size()), theirs(weights.size());
  er::dequantize(*packed.packed(), er::matrix_view{ours.data(), rows, cols});
  file.read_rows(file.get("w.tq2"), {0, rows}, {theirs.data(), rows, cols});
  std::printf("%zu tensors, %ju bytes\n", file.tensors().size(),
              std::uintmax_t{std::filesystem::file_size(path)});
  return y == again && ours == theirs && std::fflush(stdout) == 0 ? 0 : 1;
}
