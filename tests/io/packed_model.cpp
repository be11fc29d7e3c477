// SPDX-License-Identifier: Apache-2.0
// Packed matrices through a file. What a matrix is multiplied with is the kernels' business; here
// its bytes, format and place come back, and a host gets a matrix of whatever a tensor is.
#include <clocale>
#include <cstdint>
#include <cstring>
#include <limits>
#include <locale>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/mapped_file.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/policy/recipe.hpp>
#include <edgerazor/product/gemv.hpp>

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

bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

/// One of every kind: codes, groups, scales, mixed and dense.
const std::vector<const char*> formats{"ternary2_g64",
                                       "table2_g64",
                                       "ternary5_g32_bf16",
                                       "int4_row",
                                       "int8_g128_f32",
                                       "binary_g64",
                                       "int3_g64",
                                       "int2_row",
                                       "int4z_g64",
                                       "int3m_g32_bf16",
                                       "int6m_g64+int2z_g64:every_8_rows",
                                       "int5_g32_bf16",
                                       "int6_row",
                                       "int4_g64+ternary2_g64:every_8_rows",
                                       "int4_g64+ternary5_g64:rows_4_of_8",
                                       "f32",
                                       "f16",
                                       "bf16"};

}  // namespace

TEST_SUITE_BEGIN("io/packed_model");

TEST_CASE(
    "matrices of every format come back with format, shape and bytes, ready to be multiplied in "
    "place") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const temporary_folder folder;
  const std::size_t rows = 33, cols = 100;
  const std::vector<float> weights = random_weights(rows * cols, seed);
  std::vector<er::any_matrix> matrices;
  for (const char* format : formats) matrices.push_back(pack(format, weights, rows, cols));
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  for (std::size_t i = 0; i < formats.size(); ++i) er::add_matrix(writer, formats[i], matrices[i]);
  writer.write(folder / "model.gguf");

  const er::gguf_reader reader = er::gguf_reader::open(folder / "model.gguf");
  CHECK(reader.get_u32("edgerazor.layout_version") == er::packed_layout_version);
  CHECK(reader.alignment() == 64);
  const er::packed_tensors packed(reader);
  CHECK(packed.all().size() == formats.size() - 3);
  for (std::size_t i = 0; i < formats.size(); ++i) {
    CAPTURE(formats[i]);
    const er::any_matrix matrix = er::load_matrix(reader, formats[i]);
    CHECK(matrix.fmt().name() == formats[i]);
    CHECK(matrix.rows() == rows);
    CHECK(matrix.cols() == cols);
    CHECK(same(matrix.bytes(), matrices[i].bytes()));
    CHECK(matrix.bytes().data() == reader.get(formats[i]).bytes.data());
    CHECK(reinterpret_cast<std::uintptr_t>(matrix.bytes().data()) % 64 == 0);
    const er::packed_tensor* const tensor = packed.find(formats[i]);
    CHECK((tensor == nullptr) == matrix.is_dense());
    if (tensor != nullptr) CHECK(same(er::load_matrix(*tensor).bytes(), matrix.bytes()));
  }
  CHECK(packed.find("none") == nullptr);
  CHECK_THROWS_WITH_AS((void)er::load_matrix(reader, "none"), "the file has no tensor 'none'",
                       er::io_error);
}

TEST_CASE("a mapped file is multiplied in place") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const temporary_folder folder;
  const std::size_t rows = 37, cols = 136;
  const std::vector<float> weights = random_weights(rows * cols, seed),
                           x = random_weights(cols, seed + 1);
  std::vector<er::any_matrix> owned;
  for (const char* format : formats) owned.push_back(pack(format, weights, rows, cols));
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  for (std::size_t i = 0; i < formats.size(); ++i) er::add_matrix(writer, formats[i], owned[i]);
  writer.write(folder / "model.gguf");

  const er::mapped_file file = er::mapped_file::open(folder / "model.gguf");
  const er::gguf_reader reader{file.bytes()};
  const auto lies_in_file = [&](std::span<const std::byte> bytes) {
    return bytes.data() >= file.bytes().data() && bytes.size() <= file.bytes().size() &&
           bytes.data() <= file.bytes().data() + (file.bytes().size() - bytes.size());
  };
  const auto product = [&](const er::any_matrix& w) {
    std::vector<float> y(rows);
    er::gemv(w, std::span<const float>{x}, std::span<float>{y});
    return y;
  };
  for (std::size_t i = 0; i < formats.size(); ++i) {
    CAPTURE(formats[i]);
    const er::any_matrix mapped = er::load_matrix(reader, formats[i]);
    CHECK(lies_in_file(mapped.bytes()));
    CHECK_FALSE(lies_in_file(owned[i].bytes()));
    // What the kernels read are the file's bytes as well.
    if (const er::packed_view* const packed = mapped.packed())
      CHECK(packed->tile(0) == mapped.bytes().data());
    if (const er::mixed_matrix* const mixed = mapped.mixed()) {
      for (const auto& part : mixed->segments()) {
        CHECK(mixed->view(part).tile(0) == mapped.bytes().data() + part.offset);
      }
    }
    if (mapped.is_dense()) CHECK(mapped.dense().data == mapped.bytes().data());
    const std::vector<float> y = product(mapped), expected = product(owned[i]);
    CHECK(same(std::as_bytes(std::span{y}), std::as_bytes(std::span{expected})));
  }
}

TEST_CASE("sums through a file: mapped, multiplied in place, refused where they are none") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const temporary_folder folder;
  const std::size_t rows = 37, cols = 128;
  const std::vector<float> weights = random_weights(rows * cols, seed),
                           x = random_weights(cols, seed + 1), h = random_weights(cols, seed + 2);
  std::vector<std::uint32_t> p(cols);
  for (std::size_t c = 0; c < cols; ++c) p[c] = static_cast<std::uint32_t>(cols - 1 - c);
  const er::any_matrix four = pack("int4_g16", weights, rows, cols),
                       mixed = pack("int4_g64+ternary2_g64:every_8_rows", weights, rows, cols),
                       half = pack("f16", weights, rows, cols),
                       u = pack("int4_g16", weights, rows, 20),
                       v = pack("int4_g64", weights, 20, cols);
  const er::sparse_matrix sparse = er::sparse_matrix::above({weights.data(), rows, cols}, 0.13f);
  std::vector<er::any_matrix> sums;
  sums.push_back(er::any_matrix::joined(er::sum_of{four, sparse}));
  sums.push_back(er::any_matrix::joined(er::sum_of{sparse}));
  sums.push_back(er::any_matrix::joined(er::scaled_columns{h, half}));
  sums.push_back(er::any_matrix::joined(
      er::permuted_columns{p, er::sum_of{mixed, er::scaled_columns{h, four}, sparse}}));
  sums.push_back(er::any_matrix::joined(er::sum_of{four, er::low_rank{u, v}}));
  sums.push_back(er::any_matrix::joined(er::rotated{er::hadamard{64}, four}));
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  for (std::size_t i = 0; i < sums.size(); ++i)
    er::add_matrix(writer, "w" + std::to_string(i), sums[i]);
  writer.write(folder / "model.gguf");

  const er::mapped_file file = er::mapped_file::open(folder / "model.gguf");
  const er::gguf_reader reader{file.bytes()};
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const er::any_matrix& sum = sums[i];
    const std::string name = "w" + std::to_string(i);
    CAPTURE(name);
    const er::any_matrix mapped = er::load_matrix(reader, name);
    CHECK(mapped.fmt() == sum.fmt());
    CHECK(mapped.bytes().data() == reader.get(name).bytes.data());
    CHECK(same(mapped.bytes(), sum.bytes()));
    for (const er::matrix_sum::part& part : mapped.sum()->parts()) {
      CHECK(part.matrix.bytes().data() > mapped.bytes().data());
      CHECK(reinterpret_cast<std::uintptr_t>(part.matrix.bytes().data()) % 64 == 0);
    }
    std::vector<float> y(rows), expected(rows);
    er::gemv(mapped, std::span<const float>{x}, std::span<float>{y});
    er::gemv(sum, std::span<const float>{x}, std::span<float>{expected});
    CHECK(same(std::as_bytes(std::span{y}), std::as_bytes(std::span{expected})));
  }

  // A NaN among the entries is refused by name, unless trusted; a column that is not there always.
  const std::string name = sums[0].fmt().name();
  std::vector<std::byte> bytes{sums[0].bytes().begin(), sums[0].bytes().end()};
  const auto load = [&](const er::load_options& options) {
    return er::load_matrix(er::packed_tensor{"w", name, rows, cols, bytes}, options);
  };
  const std::size_t first = bytes.size() - sparse.bytes().size() + 64;
  const std::vector<std::byte> good = bytes;
  std::memset(bytes.data() + first + 32, 0x7f, 32);
  CHECK_THROWS_WITH_AS(
      (void)load({}),
      doctest::Contains("packed tensor 'w': in part 1 of the sum, the entry at row 0"),
      er::io_error);
  CHECK(load({.trusted = true}).rows() == rows);
  bytes = good;
  std::memset(bytes.data() + first, 0xff, 2);
  for (const bool trusted : {false, true}) {
    CHECK_THROWS_WITH_AS((void)load({.trusted = trusted}),
                         doctest::Contains("an entry is in column 65535"), er::io_error);
  }
  CHECK_THROWS_WITH_AS(
      (void)er::load_matrix(er::packed_tensor{"w", "int4_row+sparse", 1, 65537, bytes}),
      "packed tensor 'w' has groups of 65537 columns; at most 65536 are read", er::io_error);
}

TEST_CASE("packed bytes may come from a source") {
  const temporary_folder folder;
  const std::vector<float> weights = random_weights(16 * 64, 1);
  const er::any_matrix matrix = pack("int4_g64", weights, 16, 64);
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  er::add_packed(writer, "w", "int4_g64", 16, 64, matrix.bytes().size(),
                 [&](er::tensor_sink& sink) { sink.write(matrix.bytes()); });
  CHECK_THROWS_AS(er::add_packed(writer, "empty", "int4_g64", 0, 64, {}), std::invalid_argument);
  CHECK_THROWS_AS(er::add_packed(writer, "w", "int4_g64", 16, 64, matrix.bytes()),
                  std::invalid_argument);
  writer.write(folder / "model.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "model.gguf");
  CHECK(er::packed_tensors(reader).all().size() == 1);
  CHECK(same(er::load_matrix(reader, "w").bytes(), matrix.bytes()));
}

TEST_CASE("plain tensors become dense matrices: real ones in place, quantized ones decoded") {
  const er::gguf_reader reader = er::gguf_reader::open(EDGERAZOR_TEST_DATA "/gguf_package.gguf");
  CHECK(er::packed_tensors(reader).all().empty());
  for (const char* name :
       {"F16", "BF16", "F16.decoded", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q6_K", "TQ1_0", "TQ2_0"}) {
    CAPTURE(name);
    const er::tensor_info& tensor = reader.get(name);
    const er::any_matrix matrix = er::load_matrix(reader, name);
    CHECK(matrix.is_dense());
    CHECK(matrix.rows() == tensor.rows());
    CHECK(matrix.cols() == tensor.cols());
    if (er::info_of(tensor.type).quantized()) {
      CHECK(matrix.fmt().name() == "f32");
      CHECK(same(matrix.bytes(), reader.get(std::string{name} + ".decoded").bytes));
    } else {
      CHECK(matrix.bytes().data() == tensor.bytes.data());
    }
  }
}

TEST_CASE("real tensors in memory at an odd address are copied, not refused") {
  const std::vector<std::byte> bytes = read_bytes(EDGERAZOR_TEST_DATA "/gguf_package.gguf");
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
  const er::gguf_reader reader{std::span<const std::byte>{shifted}.subspan(1)};
  for (const char* name : {"F16", "BF16", "F16.decoded"}) {
    const er::any_matrix matrix = er::load_matrix(reader, name);
    CHECK(matrix.bytes().data() != reader.get(name).bytes.data());
    CHECK(same(matrix.bytes(), reader.get(name).bytes));
  }
}

TEST_CASE("a scale that is NaN and a code that is none are refused by name, unless trusted") {
  const std::vector<float> weights = random_weights(16 * 64, 1);
  const er::any_matrix matrix = pack("ternary2_g64", weights, 16, 64);
  const std::vector<std::byte> good{matrix.bytes().begin(), matrix.bytes().end()};
  const auto load = [](const std::vector<std::byte>& bytes, const er::load_options& options) {
    return er::load_matrix(er::packed_tensor{"w", "ternary2_g64", 16, 64, bytes}, options);
  };
  CHECK(load(good, {}).rows() == 16);
  std::vector<std::byte> scale = good, code = good;
  scale[7] = std::byte{0x7e};  // float16 of row 3
  code.back() = std::byte{0xc0};
  CHECK_THROWS_WITH_AS(
      (void)load(scale, {}),
      "packed tensor 'w': the scale of row 3, group 0 is NaN: expected finite scales",
      er::io_error);
  CHECK_THROWS_WITH_AS((void)load(code, {}),
                       "packed tensor 'w': the code at row 15, column 63 is none of ternary2",
                       er::io_error);
  for (const std::vector<std::byte>& bytes : {scale, code})
    CHECK(load(bytes, {.trusted = true}).bytes().data() == bytes.data());
}

TEST_CASE("a plain tensor of real numbers with a NaN is refused, unless trusted") {
  const temporary_folder folder;
  std::vector<float> values(3 * 5, 1.0f);
  values[7] = std::numeric_limits<float>::quiet_NaN();
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.add_tensor("w", er::ggml_type::f32, {5, 3}, std::as_bytes(std::span{values}));
  writer.write(folder / "model.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "model.gguf");
  CHECK_THROWS_WITH_AS((void)er::load_matrix(reader, "w"),
                       "tensor 'w': the element at row 1, column 2 is NaN: expected finite values",
                       er::io_error);
  CHECK(er::load_matrix(reader, "w", {.trusted = true}).rows() == 3);
}

namespace {
/// Numbers as half of Europe writes them.
struct decimal_comma : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

/// The host's locale, C and C++, for as long as this lives.
class host_locale {
 public:
  explicit host_locale(const std::locale& wanted) : before_(std::locale::global(wanted)) {
    const char* const now = std::setlocale(LC_ALL, nullptr);
    c_before_ = now ? now : "C";
    for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8"})
      if (std::setlocale(LC_NUMERIC, name)) break;
  }
  ~host_locale() {
    std::locale::global(before_);
    std::setlocale(LC_ALL, c_before_.c_str());
  }
  host_locale(const host_locale&) = delete;
  host_locale& operator=(const host_locale&) = delete;

 private:
  std::locale before_;
  std::string c_before_;
};
}  // namespace

TEST_CASE("the host's locale writes no number of ours: formats, recipes, files, sentences") {
  const temporary_folder folder;
  const host_locale comma{std::locale(std::locale::classic(), new decimal_comma)};
  const auto format = er::matrix_format::parse("int4_g4096+ternary5_g4096:every_1000_rows");
  REQUIRE(format);
  CHECK(format->name() == "int4_g4096+ternary5_g4096:every_1000_rows");
  CHECK(er::find_recipe("w4_a8_kv8", {.group = 4096})->weight_format("blk.0.ffn_up.weight") ==
        "int4_g4096");
  std::vector<float> weights(2 * 4096, 0.5f);
  const er::any_matrix matrix = pack("int4_g4096", weights, 2, 4096);
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.set_f32("half", 0.5f);
  er::add_matrix(writer, "w", matrix);
  writer.write(folder / "model.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "model.gguf");
  CHECK(reader.get_f32("half") == 0.5f);
  CHECK(er::load_matrix(reader, "w").fmt().name() == "int4_g4096");
  weights[4096 + 1234] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS((void)pack("int4_g4096", weights, 2, 4096),
                       "weight at row 1, column 1234 is infinite: expected finite values",
                       std::invalid_argument);
}

TEST_SUITE_END();
