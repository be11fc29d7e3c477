// SPDX-License-Identifier: Apache-2.0
// Import copies codes: a packed matrix is what the file's tensor decodes to, bit for bit, and what
// was exported comes back.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/gguf_import.hpp>
#include <edgerazor/matrix/unpack.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/gguf_import");

namespace {

constexpr std::size_t rows = 21, cols = 96;

/// Blocks of any codes with scales, and minima, of ordinary size.
std::vector<std::byte> random_blocks(const er::ggml_type_info& info, std::mt19937& random) {
  std::vector<std::byte> bytes(rows * cols / info.block * info.block_bytes);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  for (std::size_t at = 0; at < bytes.size(); at += info.block_bytes) {
    for (std::size_t i = 0; i < info.scales.count; ++i) {
      const er::float16 number{static_cast<float>(random() % 2000) * 0.003f - 3.0f};
      std::memcpy(bytes.data() + at + info.scales.offsets[i], &number.bits, 2);
    }
    for (std::size_t i = 2; i < info.block_bytes && info.type == er::ggml_type::q8_0; ++i) {
      if (bytes[at + i] == std::byte{0x80}) bytes[at + i] = std::byte{0};
    }
  }
  return bytes;
}

/// use(reader, tensor) of a file that holds the bytes.
template <class Use>
void with_tensor(er::ggml_type type, const std::vector<std::byte>& bytes, const Use& use) {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.add_tensor("w", type, {cols, rows}, bytes);
  writer.write(folder / "model.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "model.gguf");
  use(reader, reader.get("w"));
}

}  // namespace

TEST_CASE("gguf_import: a packed matrix decodes to the floats of the file") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t imported = 0;
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (!er::is_imported(info.type)) continue;
    ++imported;
    CAPTURE(info.name);
    with_tensor(info.type, random_blocks(info, random),
                [&](const er::gguf_reader& reader, const er::tensor_info& tensor) {
                  const er::any_matrix matrix = er::import_matrix(reader, tensor);
                  REQUIRE(matrix.packed());
                  std::vector<float> values(rows * cols), expected(rows * cols);
                  er::dequantize(*matrix.packed(), {values.data(), rows, cols});
                  reader.read_rows(tensor, {0, rows}, {expected.data(), rows, cols});
                  CHECK(values == expected);
                });
  }
  CHECK(imported == 4);
}

TEST_CASE("gguf_import: what was exported comes back byte for byte") {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> weights(rows * cols);
  for (float& w : weights) w = normal(random);
  struct exported {
    std::string_view name;
    er::ggml_type type;
  };
  for (const exported& row :
       {exported{"int4m_g32", er::ggml_type::q4_1}, exported{"int4_g32", er::ggml_type::q4_0}}) {
    const std::string_view name = row.name;
    CAPTURE(name);
    const er::any_matrix matrix = er::any_matrix::pack(
        *er::matrix_format::parse(name), er::matrix_view<const float>{weights.data(), rows, cols});
    const temporary_folder folder;
    er::gguf_writer writer;
    writer.set_string("general.architecture", "test");
    er::add_exported(writer, "w", matrix, row.type);
    writer.write(folder / "model.gguf");
    const er::gguf_reader reader = er::gguf_reader::open(folder / "model.gguf");
    const er::any_matrix back = er::import_matrix(reader, reader.get("w"));
    CHECK(back.fmt().name() == name);
    CHECK(std::memcmp(back.bytes().data(), matrix.bytes().data(), matrix.bytes().size()) == 0);
  }
}

TEST_CASE("gguf_import: other types, broken scales and a code that int8 has not are refused") {
  std::mt19937 random(5);
  const er::ggml_type_info &ternary = er::info_of(er::ggml_type::f16),
                           &minimum = er::info_of(er::ggml_type::q4_1),
                           &bytes = er::info_of(er::ggml_type::q8_0);
  with_tensor(ternary.type, std::vector<std::byte>(rows * cols * 2),
              [](const er::gguf_reader& reader, const er::tensor_info& tensor) {
                CHECK_FALSE(er::is_imported(tensor.type));
                CHECK_THROWS_WITH_AS(static_cast<void>(er::import_matrix(reader, tensor)),
                                     "tensor 'w' is of type F16, whose codes are not imported",
                                     er::io_error);
              });
  std::vector<std::byte> blocks = random_blocks(minimum, random);
  const er::float16 infinite{INFINITY};
  std::memcpy(blocks.data() + 5 * minimum.block_bytes + 2, &infinite.bits, 2);
  with_tensor(minimum.type, blocks,
              [](const er::gguf_reader& reader, const er::tensor_info& tensor) {
                CHECK_THROWS_AS(static_cast<void>(er::import_matrix(reader, tensor)), er::io_error);
              });
  blocks = random_blocks(bytes, random);
  blocks[4 * bytes.block_bytes + 2 + 7] = std::byte{0x80};
  with_tensor(bytes.type, blocks, [](const er::gguf_reader& reader, const er::tensor_info& tensor) {
    CHECK_THROWS_WITH_AS(static_cast<void>(er::import_matrix(reader, tensor)),
                         "tensor 'w': the code at row 1, column 39 is -128, expected -127 to 127",
                         er::io_error);
  });
}

TEST_SUITE_END();
