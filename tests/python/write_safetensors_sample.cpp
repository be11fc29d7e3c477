// SPDX-License-Identifier: Apache-2.0
// A folder for check_safetensors.py to read with other projects' code: matrices in their layouts,
// and beside each, under its name with ".expected", the floats that it stands for.
//
//     write_safetensors_sample FOLDER
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <edgerazor/io/safetensors_export.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;
using er::safetensors_dtype;

namespace {

er::any_matrix random_matrix(std::string_view format, std::size_t rows, std::size_t cols) {
  static std::mt19937 random(31);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> weights(rows * cols);
  for (float& w : weights) w = normal(random);
  return er::any_matrix::pack(*er::matrix_format::parse(std::string{format}),
                              er::matrix_view<const float>{weights.data(), rows, cols});
}

/// Ternary with one scale for all rows, in `bytes`.
er::any_matrix tensorwise(std::size_t rows, std::size_t cols, std::vector<std::byte>& bytes) {
  const er::any_matrix matrix = random_matrix("ternary2_row_bf16", rows, cols);
  bytes.assign(matrix.bytes().begin(), matrix.bytes().end());
  const er::bfloat16 scale{0.0734f};
  for (std::size_t r = 0; r < rows; ++r)
    std::memcpy(bytes.data() + matrix.packed()->layout().scale_offset(r, 0), &scale, sizeof scale);
  return er::any_matrix::from_bytes(matrix.fmt(), rows, cols, bytes);
}

void write_sample(const std::filesystem::path& folder) {
  // Everything that the writer refers to lives until it has written.
  std::deque<er::any_matrix> matrices;
  er::safetensors_writer writer;
  const auto matrix = [&](const std::string& name, er::any_matrix made) -> const er::any_matrix& {
    matrices.push_back(std::move(made));
    er::add_reals(writer, name + ".expected", matrices.back(), safetensors_dtype::f32);
    return matrices.back();
  };
  const auto random = [&](const std::string& name, std::string_view format, std::size_t rows,
                          std::size_t cols) -> const er::any_matrix& {
    return matrix(name, random_matrix(format, rows, cols));
  };
  using enum safetensors_dtype;
  er::add_compressed_tensors(writer, "ct.group", random("ct.group", "int4_g128", 48, 256), 32, f16);
  er::add_compressed_tensors(writer, "ct.channel", random("ct.channel", "int4_row_bf16", 10, 100),
                             0, bf16);
  er::add_compressed_tensors(
      writer, "ct.mixed",
      random("ct.mixed", "int4_g64_bf16+ternary2_g64_bf16:every_8_rows", 32, 128), 64, bf16);
  er::add_gptq(writer, "gptq.group", random("gptq.group", "int4_g64", 64, 128), 64);
  er::add_gptq(writer, "gptq.ternary", random("gptq.ternary", "ternary2_g128", 32, 256), 32);
  std::vector<std::byte> bytes;
  er::add_bitnet(writer, "bitnet.layer", matrix("bitnet.layer", tensorwise(24, 64, bytes)));
  er::add_edgerazor(writer, "edgerazor.ternary",
                    random("edgerazor.ternary", "ternary2_g64_bf16", 16, 128));
  er::add_edgerazor(writer, "edgerazor.int4", random("edgerazor.int4", "int4_g64_bf16", 16, 128));
  const er::any_matrix& plain = random("plain", "int4_g32", 8, 64);
  er::add_reals(writer, "plain.bf16", plain, bf16);
  er::add_reals(writer, "plain.f16", plain, f16);
  writer.write_folder(folder, 40000);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: write_safetensors_sample FOLDER\n");
    return 2;
  }
  try {
    write_sample(arguments[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_safetensors_sample: %s\n", error.what());
    return 1;
  }
}
