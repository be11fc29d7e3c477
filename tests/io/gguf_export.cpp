// SPDX-License-Identifier: Apache-2.0
// Export copies codes: what the exported file decodes to is what the matrix dequantizes to, bit for
// bit.
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

std::vector<float> random_weights(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> weights(count);
  for (float& w : weights) w = normal(random);
  return weights;
}

er::any_matrix pack(const char* format, const std::vector<float>& weights, std::size_t rows,
                    std::size_t cols) {
  return er::any_matrix::pack(*er::matrix_format::parse(format),
                              er::matrix_view<const float>{weights.data(), rows, cols});
}

/// The matrix as floats, by the pack floor.
std::vector<float> dequantized(const er::any_matrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.cols());
  if (const er::packed_view* const view = matrix.packed()) {
    er::dequantize(*view, {values.data(), matrix.rows(), matrix.cols()});
  }
  if (const er::mixed_matrix* const mixed = matrix.mixed()) {
    for (const er::mixed_matrix::segment& part : mixed->segments()) {
      std::vector<float> segment(part.layout.rows() * part.layout.cols());
      er::dequantize(mixed->view(part), {segment.data(), part.layout.rows(), part.layout.cols()});
      for (std::size_t r = 0; r < part.rows.size(); ++r) {
        std::memcpy(&values[part.rows[r] * matrix.cols() + part.col_begin],
                    &segment[r * part.layout.cols()], part.layout.cols() * sizeof(float));
      }
    }
  }
  return values;
}

std::vector<float> decode(const er::gguf_reader& reader, const char* name) {
  const er::tensor_info& tensor = reader.get(name);
  std::vector<float> values(tensor.rows() * tensor.cols());
  reader.read_rows(tensor, {0, tensor.rows()}, {values.data(), tensor.rows(), tensor.cols()});
  return values;
}

std::vector<float> exported(const er::any_matrix& matrix, er::ggml_type type) {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  er::add_exported(writer, "w", matrix, type);
  writer.write(folder / "model.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "model.gguf");
  CHECK(reader.get("w").type == type);
  CHECK(reader.get("w").rows() == matrix.rows());
  CHECK(reader.get("w").cols() == matrix.cols());
  return decode(reader, "w");
}

}  // namespace

TEST_SUITE_BEGIN("io/gguf_export");

TEST_CASE("codes and scales arrive in every type that can hold them") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  struct export_case {
    const char* format;
    std::size_t cols;
    er::ggml_type type;
  };
  const export_case cases[] = {
      {"ternary2_g256", 512, er::ggml_type::tq1_0},
      {"ternary2_g256", 512, er::ggml_type::tq2_0},
      {"ternary5_g256", 512, er::ggml_type::tq2_0},
      {"ternary5_g512", 512, er::ggml_type::tq1_0},  // one scale for two blocks
      {"ternary2_row", 768, er::ggml_type::tq2_0},   // one scale for three
      {"ternary2_g512", 768, er::ggml_type::tq2_0},  // the last group has one block
      {"ternary2_g64", 192, er::ggml_type::q4_0},
      {"int4_g32", 96, er::ggml_type::q4_0},
      {"int4_g64", 576, er::ggml_type::q4_0},
      {"int4_g64", 96, er::ggml_type::q4_0},   // the last group has one block
      {"int4_g256", 96, er::ggml_type::q4_0},  // and here the only one is short
      {"int4_row", 160, er::ggml_type::q4_0},
      {"int4_g64+ternary2_g64:every_8_rows", 576, er::ggml_type::q4_0},
      {"int4_g64+ternary5_g64:rows_4_of_8", 128, er::ggml_type::q4_0},
      {"int3_g64", 192, er::ggml_type::q4_0},
      {"binary_g64", 192, er::ggml_type::q4_0},
      {"binary_g256", 512, er::ggml_type::tq1_0},
      {"binary_g256", 512, er::ggml_type::tq2_0},
      {"int3_g64+binary_g64:every_8_rows", 128, er::ggml_type::q4_0},
      {"int2_g64", 192, er::ggml_type::q4_0},
      {"int4m_g32", 96, er::ggml_type::q4_1},
      {"int3m_g64", 192, er::ggml_type::q4_1},
      {"int2m_row", 160, er::ggml_type::q4_1},
      {"int4m_g64+int2m_g64:every_8_rows", 128, er::ggml_type::q4_1},
      {"int4m_g64", 100, er::ggml_type::f32},
      {"int5z_g64", 100, er::ggml_type::f32},
      {"int8z_g32+int3m_g32:every_2_rows", 100, er::ggml_type::f32},
      {"int5_g64", 100, er::ggml_type::f32},
      {"int6_g64", 100, er::ggml_type::f32},
      {"int4_g64", 100, er::ggml_type::f32},
      {"int8_g128_f32", 100, er::ggml_type::f32},
      {"ternary5_g64+ternary2_g64:every_2_rows", 100, er::ggml_type::f32},
  };
  for (const export_case& c : cases) {
    CAPTURE(c.format);
    CAPTURE(er::info_of(c.type).name);
    const std::size_t rows = 19;
    const er::any_matrix matrix = pack(c.format, random_weights(rows * c.cols, seed), rows, c.cols);
    CHECK(exported(matrix, c.type) == dequantized(matrix));
  }
}

TEST_CASE("a mask of blocks, not of rows, exports as well") {
  const std::size_t rows = 20, cols = 256;
  const std::vector<float> weights = random_weights(rows * cols, 3);
  const er::mixed_matrix mixed =
      er::pack_mixed<er::int4<er::per_group<64>>, er::ternary<er::per_group<64>>>(
          er::matrix_view<const float>{weights.data(), rows, cols}, er::largest_variance{0.3});
  REQUIRE(mixed.segments().size() > 2);
  const er::any_matrix matrix = er::any_matrix::from_bytes(
      *er::matrix_format::parse("int4_g64+ternary2_g64"), rows, cols, mixed.bytes());
  const std::vector<float> values = dequantized(matrix);
  CHECK(exported(matrix, er::ggml_type::q4_0) == values);
  CHECK(exported(matrix, er::ggml_type::f32) == values);
}

TEST_CASE("F16 and BF16 are the values rounded once") {
  const std::size_t rows = 5, cols = 70;
  const er::any_matrix matrix = pack("int8_g64", random_weights(rows * cols, 4), rows, cols);
  std::vector<float> values = dequantized(matrix);
  const std::vector<float> halves = exported(matrix, er::ggml_type::f16);
  const std::vector<float> bfloats = exported(matrix, er::ggml_type::bf16);
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(halves[i] == static_cast<float>(er::float16{values[i]}));
    CHECK(bfloats[i] == static_cast<float>(er::bfloat16{values[i]}));
  }
}

TEST_CASE("dense matrices become F32, F16 or BF16") {
  const std::size_t rows = 3, cols = 10;
  const std::vector<float> weights = random_weights(rows * cols, 5);
  for (const char* format : {"f32", "f16", "bf16"}) {
    const er::any_matrix matrix = pack(format, weights, rows, cols);
    const std::vector<float> values = exported(matrix, er::ggml_type::f32);
    const std::vector<float> halves = exported(matrix, er::ggml_type::f16);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float expected = format[0] == 'b'   ? static_cast<float>(er::bfloat16{weights[i]})
                             : format[1] == '1' ? static_cast<float>(er::float16{weights[i]})
                                                : weights[i];
      CHECK(values[i] == expected);
      CHECK(halves[i] == static_cast<float>(er::float16{expected}));
    }
  }
}

TEST_CASE("what can't be exact is refused in a sentence") {
  const auto refuse = [](const char* format, std::size_t cols, er::ggml_type type,
                         const char* sentence) {
    CAPTURE(format);
    const er::any_matrix matrix = pack(format, random_weights(17 * cols, 6), 17, cols);
    er::gguf_writer writer;
    CHECK_THROWS_WITH_AS(er::add_exported(writer, "w", matrix, type), doctest::Contains(sentence),
                         std::invalid_argument);
  };
  refuse("int4_g64", 96, er::ggml_type::q8_0,
         "tensor 'w' (int4_g64, 17 x 96) can't become Q8_0: F32, F16, BF16, Q4_0, Q4_1, TQ1_0 and "
         "TQ2_0 are exported");
  refuse("int4z_g64", 64, er::ggml_type::q4_0,
         "int4z_g64 has a zero for each group, which the type has not");
  refuse("int4z_g64", 64, er::ggml_type::q4_1,
         "it takes formats with a minimum of the group, as int4m_g32");
  refuse("int4_g64", 64, er::ggml_type::q4_1,
         "it takes formats with a minimum of the group, as int4m_g32");
  refuse("int5m_g64", 64, er::ggml_type::q4_1, "levels of int5 lie outside 0 to 15");
  refuse("f32", 256, er::ggml_type::q4_0, "it is not quantized, and exporting does not quantize");
  refuse("int8_g64", 64, er::ggml_type::q4_0, "levels of int8 lie outside -8 to 7");
  refuse("int5_g64", 64, er::ggml_type::q4_0, "levels of int5 lie outside -8 to 7");
  refuse("int3_g256", 256, er::ggml_type::tq1_0, "levels of int3 lie outside -1 to 1");
  refuse("int4_g256", 256, er::ggml_type::tq2_0, "levels of int4 lie outside -1 to 1");
  refuse("ternary2_g256+int4_g256:every_2_rows", 256, er::ggml_type::tq1_0,
         "levels of int4 lie outside -1 to 1");
  refuse("int4_g64", 100, er::ggml_type::q4_0, "its 100 columns are no multiple of 32");
  refuse("ternary2_g64", 576, er::ggml_type::tq2_0, "its 576 columns are no multiple of 256");
  refuse("ternary2_g64", 256, er::ggml_type::tq2_0,
         "its groups of 64 columns are no multiple of 256");
  refuse("int4_g48", 96, er::ggml_type::q4_0, "its groups of 48 columns are no multiple of 32");
  refuse("int4_g64_f32", 64, er::ggml_type::q4_0, "is no finite float16");
}

TEST_CASE("scales of another type are exported where float16 holds them") {
  // |w| is 0 or 7/8: the int4 scale is 1/8 in every scale type.
  std::vector<float> weights(4 * 64);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = i % 3 == 0 ? 0.875f : i % 3 == 1 ? -0.875f : 0.0f;
  for (const char* format : {"int4_g64_f32", "int4_g64_bf16"}) {
    CHECK(exported(pack(format, weights, 4, 64), er::ggml_type::q4_0) == weights);
  }
}

TEST_CASE("values out of a type's range, and codes that a format does not have, stop the file") {
  const temporary_folder folder;
  for (const bool half : {true, false}) {
    const std::vector<float> large(2 * 64, half ? 100000.0f : std::numeric_limits<float>::max());
    const er::any_matrix matrix = pack("f32", large, 2, 64);
    er::gguf_writer writer;
    writer.set_string("general.architecture", "test");
    er::add_exported(writer, "w", matrix, half ? er::ggml_type::f16 : er::ggml_type::bf16);
    CHECK_THROWS_WITH_AS(
        writer.write(folder / "model.gguf"),
        doctest::Contains(half ? "out of the range of F16" : "out of the range of BF16"),
        std::invalid_argument);
    CHECK(folder.files() == 0);
  }

  // A 2-bit code 3, which no packer writes, is level 2: TQ1_0 has no digit for it.
  const er::any_matrix ternary = pack("ternary2_g256", random_weights(2 * 256, 7), 2, 256);
  std::vector<std::byte> bytes(ternary.bytes().begin(), ternary.bytes().end());
  bytes[ternary.packed()->layout().row_offset(1, 0)] |= std::byte{3};
  const er::any_matrix spoiled = er::any_matrix::from_bytes(ternary.fmt(), 2, 256, bytes);
  er::gguf_writer second;
  second.set_string("general.architecture", "test");
  er::add_exported(second, "w", spoiled, er::ggml_type::tq1_0);
  CHECK_THROWS_WITH_AS(second.write(folder / "model.gguf"),
                       doctest::Contains("does not have, in row 1"), std::invalid_argument);
  CHECK(folder.files() == 0);
}

TEST_CASE("a whole file converted to F32: every tensor as it decodes") {
  const temporary_folder folder;
  const er::gguf_reader source = er::gguf_reader::open(EDGERAZOR_TEST_DATA "/gguf_package.gguf");
  er::gguf_writer writer;
  writer.copy_metadata(source);
  writer.set_u32("general.file_type", er::gguf_file_type(er::ggml_type::f32));
  for (const er::tensor_info& tensor : source.tensors())
    er::add_converted(writer, source, tensor, er::ggml_type::f32);
  CHECK_THROWS_AS(er::add_converted(writer, source, source.tensors()[0], er::ggml_type::q4_0),
                  std::invalid_argument);
  writer.write(folder / "f32.gguf");
  const er::gguf_reader converted = er::gguf_reader::open(folder / "f32.gguf");
  for (const er::tensor_info& tensor : source.tensors()) {
    const std::string name{tensor.name};
    CHECK(converted.get(name).type == er::ggml_type::f32);
    CHECK(decode(converted, name.c_str()) == decode(source, name.c_str()));
  }
}

TEST_CASE("what is converted need not outlive the call, and a reader may be moved") {
  const temporary_folder folder;
  std::vector<std::byte> block(34, std::byte{1});
  const er::float16 one{1.0f};
  const float two = 2;
  std::memcpy(block.data(), &one.bits, 2);
  er::gguf_writer first, second;
  for (er::gguf_writer* w : {&first, &second}) w->set_string("general.architecture", "test");
  first.add_tensor("a.weight", er::ggml_type::q8_0, {32, 1}, block);
  first.add_tensor("a.scale", er::ggml_type::f32, {1}, std::as_bytes(std::span{&two, 1}));
  first.write(folder / "a.gguf");
  er::gguf_reader reader = er::gguf_reader::open(folder / "a.gguf");
  for (const er::tensor_info& each : reader.tensors()) {
    const er::tensor_info copy = each;
    if (!reader.is_scale(copy)) er::add_converted(second, reader, copy, er::ggml_type::f32);
  }
  const er::gguf_reader kept = std::move(reader);
  second.write(folder / "b.gguf");
  const er::gguf_reader back = er::gguf_reader::open(folder / "b.gguf");
  CHECK(er::detail::io::read_f32(back.get("a.weight").bytes.data()) == 2);
}

TEST_SUITE_END();
