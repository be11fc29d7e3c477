// SPDX-License-Identifier: Apache-2.0
// Import copies codes: a packed matrix is what the file's tensor decodes to, bit for bit, and what
// was exported comes back.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "support/ggml_scales.hpp"
#include "support/samples.hpp"
#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/gguf_import.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/matrix/validate.hpp>
#include <edgerazor/product/gemv.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/gguf_import");

namespace {

constexpr std::size_t rows = 85, cols = 512;  // two grains of 64 rows, the second in part

/// Blocks of any codes with scales, and minima, of ordinary size.
std::vector<std::byte> random_blocks(const er::ggml_type_info& info, std::mt19937& random) {
  std::vector<std::byte> bytes = samples::random_blocks(
      random, info, rows * cols / info.block,
      [&random](std::size_t) { return static_cast<float>(random() % 2000) * 0.003f - 3.0f; });
  if (info.tail_bytes != 0) {
    const float scale = -0.37f;
    bytes.resize(bytes.size() + info.tail_bytes);
    std::memcpy(bytes.data() + bytes.size() - info.tail_bytes, &scale, sizeof scale);
  }
  return bytes;
}

/// use(reader, tensor) of a file that holds the bytes, and a scale of the tensor unless it is 1.
template <class Use>
void with_tensor(er::ggml_type type, const std::vector<std::byte>& bytes, const Use& use,
                 float scale = 1) {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.add_tensor("w.weight", type, {cols, rows}, bytes);
  if (scale != 1)
    writer.add_tensor("w.scale", er::ggml_type::f32, {1}, std::as_bytes(std::span{&scale, 1}));
  writer.write(folder / "model.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "model.gguf");
  use(reader, reader.get("w.weight"));
}

std::vector<float> decoded(const er::gguf_reader& reader, const er::tensor_info& tensor) {
  std::vector<float> values(tensor.rows() * tensor.cols());
  reader.read_rows(tensor, {0, tensor.rows()}, {values.data(), tensor.rows(), tensor.cols()});
  return values;
}

/// What a packed matrix stands for.
std::vector<float> unpacked(const er::any_matrix& matrix) {
  REQUIRE(matrix.packed());
  std::vector<float> values(matrix.rows() * matrix.cols());
  er::dequantize(*matrix.packed(), {values.data(), matrix.rows(), matrix.cols()});
  return values;
}

}  // namespace

TEST_CASE("a packed matrix decodes to the floats of the file, whatever its type") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::map<er::ggml_type, std::string_view> formats{
      {er::ggml_type::q4_0, "int4_g32"},        {er::ggml_type::q4_1, "int4m_g32"},
      {er::ggml_type::q5_0, "int5_g32"},        {er::ggml_type::q5_1, "int5m_g32"},
      {er::ggml_type::q8_0, "int8_g32"},        {er::ggml_type::q2_k, "int2m_g16_f32"},
      {er::ggml_type::q3_k, "int3_g16_f32"},    {er::ggml_type::q4_k, "int4m_g32_f32"},
      {er::ggml_type::q5_k, "int5m_g32_f32"},   {er::ggml_type::q6_k, "int6_g16_f32"},
      {er::ggml_type::iq4_nl, "int8_g32"},      {er::ggml_type::iq4_xs, "int8_g32_f32"},
      {er::ggml_type::mxfp4, "int5_g32_bf16"},  {er::ggml_type::nvfp4, "int5_g16"},
      {er::ggml_type::q1_0, "binary_g128"},     {er::ggml_type::q2_0, "int2z_g64"},
      {er::ggml_type::tq1_0, "ternary5_g256"},  {er::ggml_type::tq2_0, "ternary2_g256"},
      {er::ggml_type::i2_s, "ternary2_row_f32"}};
  std::size_t imported = 0;
  for (const er::ggml_type_info& info : er::ggml_types) {
    CHECK(er::is_imported(info.type) == (info.decoded() && info.quantized()));
    if (!er::is_imported(info.type)) continue;
    ++imported;
    for (const float scale : {1.0f, -0.1f}) {
      CAPTURE(info.name);
      CAPTURE(scale);
      const auto same = [&](const er::gguf_reader& reader, const er::tensor_info& tensor) {
        const er::any_matrix matrix = er::import_matrix(reader, tensor);
        CHECK(samples::count_differences(unpacked(matrix), decoded(reader, tensor)) == 0);
        const std::string name = matrix.fmt().name();
        CHECK(name == er::import_format(reader, tensor).name());
        if (scale == 1) {
          CHECK(name == formats.at(info.type));
        } else {
          CHECK(name.ends_with("_f32"));
        }
        CHECK_FALSE(er::find_fault(matrix));
      };
      with_tensor(info.type, random_blocks(info, random), same, scale);
    }
  }
  CHECK(imported == formats.size());
}

TEST_CASE("tensors that ggml itself quantized are imported bit for bit") {
  const er::gguf_reader reader =
      er::gguf_reader::open(std::filesystem::path{EDGERAZOR_TEST_DATA} / "ggml_blocks.gguf");
  std::size_t compared = 0;
  for (const er::tensor_info& tensor : reader.tensors()) {
    if (!er::is_imported(tensor.type)) continue;
    CAPTURE(tensor.name);
    const er::tensor_info& expected = reader.get(std::string{tensor.name} + ".decoded");
    CHECK(samples::count_differences(unpacked(er::import_matrix(reader, tensor)),
                                     decoded(reader, expected)) == 0);
    ++compared;
  }
  CHECK(compared == 19);
}

TEST_CASE("every kernel multiplies an imported matrix as the reference implementation does") {
  std::mt19937 random(6);
  const std::vector<float> x = samples::draw(samples::kind::normal, cols, random);
  const er::kernel* const plain = er::find_kernel("scalar");
  REQUIRE(plain != nullptr);
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (!er::is_imported(info.type)) continue;
    CAPTURE(info.name);
    with_tensor(info.type, random_blocks(info, random),
                [&](const er::gguf_reader& reader, const er::tensor_info& tensor) {
                  const er::any_matrix matrix = er::import_matrix(reader, tensor);
                  std::vector<float> y(rows), expected(rows);
                  er::gemv(matrix, std::span<const float>{x}, std::span<float>{expected},
                           {.kernel = plain});
                  for (const er::kernel& kernel : er::available_kernels()) {
                    CAPTURE(kernel.name);
                    er::gemv(matrix, std::span<const float>{x}, std::span<float>{y},
                             {.kernel = &kernel});
                    CHECK(samples::count_differences(y, expected) == 0);
                  }
                  // And that is the product of the file's floats, but for the rounding of x to
                  // levels of max|x| / 127: half a level for each column, and the float sum's.
                  const std::vector<float> w = decoded(reader, tensor);
                  float most = 0;
                  for (const float v : x) most = std::max(most, std::fabs(v));
                  for (std::size_t r = 0; r < rows; ++r) {
                    double product = 0, size = 0;
                    for (std::size_t c = 0; c < cols; ++c) {
                      product += static_cast<double>(w[r * cols + c]) * static_cast<double>(x[c]);
                      size += std::fabs(static_cast<double>(w[r * cols + c]));
                    }
                    const double bound = size * static_cast<double>(most) * (0.5 / 127 + 1e-4);
                    CHECK(std::fabs(static_cast<double>(expected[r]) - product) <= bound);
                  }
                });
  }
}

TEST_CASE("threads share the rows, and the bytes are the same") {
  std::mt19937 random(7);
  const er::ggml_type_info& info = er::info_of(er::ggml_type::q4_k);
  with_tensor(
      info.type, random_blocks(info, random),
      [](const er::gguf_reader& reader, const er::tensor_info& tensor) {
        std::size_t grains = 0;
        const auto pool = [&grains](std::size_t count, er::grain_work work) {
          grains = count;
          std::vector<std::jthread> team;
          for (std::size_t i = 0; i < count; ++i) team.emplace_back([=] { work(i); });
        };
        const er::any_matrix shared = er::import_matrix(reader, tensor, pool),
                             alone = er::import_matrix(reader, tensor);
        CHECK(grains == 2);
        REQUIRE(shared.bytes().size() == alone.bytes().size());
        CHECK(std::memcmp(shared.bytes().data(), alone.bytes().data(), alone.bytes().size()) == 0);
      });
}

TEST_CASE("what was exported comes back byte for byte") {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> weights(rows * cols);
  for (float& w : weights) w = normal(random);
  struct exported {
    std::string_view name;
    er::ggml_type type;
  };
  for (const exported& row :
       {exported{"int4m_g32", er::ggml_type::q4_1}, exported{"int4_g32", er::ggml_type::q4_0},
        exported{"ternary5_g256", er::ggml_type::tq1_0},
        exported{"ternary2_g256", er::ggml_type::tq2_0}}) {
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

TEST_CASE("other types, broken scales and codes that a format has not are refused") {
  std::mt19937 random(5);
  const auto refused = [](er::ggml_type type, const std::vector<std::byte>& bytes,
                          const char* sentence, float scale = 1) {
    CAPTURE(sentence);
    with_tensor(
        type, bytes,
        [sentence](const er::gguf_reader& reader, const er::tensor_info& tensor) {
          CHECK_THROWS_WITH_AS(static_cast<void>(er::import_matrix(reader, tensor)), sentence,
                               er::io_error);
        },
        scale);
  };
  refused(er::ggml_type::f16, std::vector<std::byte>(rows * cols * 2),
          "tensor 'w.weight' is of type F16, whose codes are not imported");
  refused(er::ggml_type::iq2_s, std::vector<std::byte>(rows * cols / 256 * 82),
          "tensor 'w.weight' is of type IQ2_S, whose codes are not imported");

  for (const er::ggml_type type : {er::ggml_type::q4_1, er::ggml_type::q4_k}) {
    const er::ggml_type_info& info = er::info_of(type);
    std::vector<std::byte> blocks = random_blocks(info, random);
    const er::float16 infinite{INFINITY};
    const std::size_t block = 75 * cols / info.block + 1;  // the second of row 75
    std::memcpy(blocks.data() + block * info.block_bytes + 2, &infinite.bits, 2);
    const std::string sentence = "tensor 'w.weight' has a NaN or an infinity at row 75, column " +
                                 std::to_string(info.block);
    refused(type, blocks, sentence.c_str());
  }
  const er::ggml_type_info &bytes = er::info_of(er::ggml_type::q8_0),
                           &ternary = er::info_of(er::ggml_type::i2_s);
  std::vector<std::byte> blocks = random_blocks(bytes, random);
  refused(bytes.type, blocks, "tensor 'w.weight' has a NaN or an infinity at row 0, column 0",
          std::numeric_limits<float>::max());
  blocks[17 * bytes.block_bytes + 2 + 7] = std::byte{0x80};
  refused(bytes.type, blocks,
          "tensor 'w.weight': the code at row 1, column 39 is -128, expected -127 to 127");
  blocks = random_blocks(ternary, random);
  blocks[5 * 32 + 3] = std::byte{0x0c};
  refused(ternary.type, blocks,
          "tensor 'w.weight': the code at row 1, column 195 is 2, expected -1 to 1");
}

TEST_CASE("rows that are wider than a group are refused by name") {
  constexpr std::size_t wide = 65536 + 128;
  const temporary_folder folder;
  const std::vector<std::byte> bytes(wide / 4 + 32, std::byte{0x55});
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.add_tensor("w", er::ggml_type::i2_s, {wide, 1}, bytes);
  writer.write(folder / "a.gguf");
  const auto reader = er::gguf_reader::open(folder / "a.gguf");
  CHECK_THROWS_WITH_AS((void)er::import_matrix(reader, reader.get("w")), doctest::Contains("'w'"),
                       er::io_error);
}

TEST_SUITE_END();
