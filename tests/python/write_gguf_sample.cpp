// SPDX-License-Identifier: Apache-2.0
// Files for check_gguf.py to read with the `gguf` package.
//
//     write_gguf_sample OUT          metadata of every type; for every type that we decode or export a tensor of random
//     blocks
//                                    and, under its name with ".decoded", the floats that we make of it; a packed
//                                    matrix
//     write_gguf_sample MODEL OUT    a model with every tensor decoded to F32
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/ggml_scales.hpp"
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace er = edgerazor;

namespace {

/// Whether the `gguf` package 0.19 reads it.
bool known_to_package(er::ggml_type type) {
  return type != er::ggml_type::i2_s && type != er::ggml_type::q1_0 && type != er::ggml_type::q2_0;
}

void write_sample(const char* path) {
  std::mt19937 random(1);
  er::gguf_writer writer;
  writer.set_string("general.architecture", "sample");
  writer.set_u8("value.u8", 200);
  writer.set_i8("value.i8", -100);
  writer.set_u16("value.u16", 60000);
  writer.set_i16("value.i16", -30000);
  writer.set_u32("value.u32", 4000000000u);
  writer.set_i32("value.i32", -2000000000);
  writer.set_u64("value.u64", (std::uint64_t{1} << 63) + 1);
  writer.set_i64("value.i64", -(std::int64_t{1} << 62));
  writer.set_f32("value.f32", 0.1f);
  writer.set_f64("value.f64", 0.1);
  writer.set_bool("value.bool", true);
  writer.set_string("value.string",
                    "Gr\xc3\xbc\xc3\x9f"
                    "e");
  const std::vector<std::string_view> texts{"a", "", "ccc"};
  writer.set_strings("array.string", texts);
  const std::vector<std::int32_t> integers{1, -2, 3};
  writer.set_array<std::int32_t>("array.i32", integers);
  const std::vector<float> floats{0.5f, -0.25f};
  writer.set_array<float>("array.f32", floats);

  // Everything that the writer refers to lives until it has written.
  std::deque<std::vector<std::byte>> blocks;
  std::deque<std::vector<float>> decoded;
  const std::size_t rows = 3, cols = 768;
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (!info.decoded() || !info.quantized() || !known_to_package(info.type)) continue;
    // Finite scales of both signs, one subnormal and one zero.
    std::normal_distribution<float> drawn(0.0f, 0.05f);
    blocks.push_back(
        samples::random_blocks(random, info, rows * cols / info.block, [&](std::size_t block) {
          return block == 0 ? 0.0f : block == 1 ? 0x1p-24f : drawn(random);
        }));
    decoded.emplace_back(rows * cols);
    const std::size_t row_bytes = cols / info.block * info.block_bytes;
    for (std::size_t r = 0; r < rows; ++r) {
      er::decode_ggml_row(info.type, std::span{blocks.back()}.subspan(r * row_bytes, row_bytes),
                          std::span{decoded.back()}.subspan(r * cols, cols));
    }
    const std::string name = "blocks." + std::string{info.name};
    writer.add_tensor(name, info.type, {cols, rows}, blocks.back());
    writer.add_tensor(name + ".decoded", er::ggml_type::f32, {cols, rows},
                      std::as_bytes(std::span{decoded.back()}));
  }

  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> weights(rows * cols);
  for (float& w : weights) w = normal(random);
  std::deque<er::any_matrix> matrices;
  struct sample {
    const char* format;
    er::ggml_type type;
  };
  for (const sample& s : {sample{"int4_g64", er::ggml_type::q4_0},
                          sample{"int4_g64+ternary5_g64:every_8_rows", er::ggml_type::q4_0},
                          sample{"ternary2_g256", er::ggml_type::tq1_0},
                          sample{"ternary5_g256", er::ggml_type::tq2_0},
                          sample{"f32", er::ggml_type::f16}, sample{"f32", er::ggml_type::bf16}}) {
    matrices.push_back(
        er::any_matrix::pack(*er::matrix_format::parse(s.format),
                             er::matrix_view<const float>{weights.data(), rows, cols}));
    const std::string name = "exported." + std::to_string(matrices.size());
    er::add_exported(writer, name, matrices.back(), s.type);
    // A dense matrix is rounded by the type; what we make of it is that type's own value.
    if (matrices.back().is_dense()) {
      const char* const element = s.type == er::ggml_type::f16 ? "f16" : "bf16";
      matrices.push_back(
          er::any_matrix::pack(*er::matrix_format::parse(element),
                               er::matrix_view<const float>{weights.data(), rows, cols}));
    }
    er::add_exported(writer, name + ".decoded", matrices.back(), er::ggml_type::f32);
  }
  er::add_matrix(writer, "packed", matrices.front());
  writer.write(path);
}

void write_decoded(const char* model, const char* path) {
  const er::gguf_reader reader = er::gguf_reader::open(model);
  er::gguf_writer writer;
  writer.copy_metadata(reader);
  writer.set_u32("general.file_type", er::gguf_file_type(er::ggml_type::f32));
  for (const er::tensor_info& tensor : reader.tensors()) {
    er::add_converted(writer, reader, tensor, er::ggml_type::f32);
  }
  writer.write(path);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 2) {
      write_sample(argv[1]);
    } else if (argc == 3) {
      write_decoded(argv[1], argv[2]);
    } else {
      std::fputs("usage: write_gguf_sample OUT | write_gguf_sample MODEL OUT\n", stderr);
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
