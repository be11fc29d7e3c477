// SPDX-License-Identifier: Apache-2.0
// tests/data/gguf_package.gguf was written by the `gguf` Python package
// (tests/python/make_gguf_data.py).
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace er = edgerazor;

namespace {

const std::filesystem::path package_file =
                                std::filesystem::path{EDGERAZOR_TEST_DATA} / "gguf_package.gguf",
                            ggml_file =
                                std::filesystem::path{EDGERAZOR_TEST_DATA} / "ggml_blocks.gguf";

std::vector<float> decode(const er::gguf_reader& reader, const er::tensor_info& tensor) {
  std::vector<float> values(tensor.rows() * tensor.cols());
  reader.read_rows(tensor, {0, tensor.rows()}, {values.data(), tensor.rows(), tensor.cols()});
  return values;
}

}  // namespace

TEST_SUITE_BEGIN("io/gguf_reader");

TEST_CASE("metadata of every type, as another program wrote it") {
  const er::gguf_reader reader = er::gguf_reader::open(package_file);
  CHECK(reader.version() == 3);
  CHECK(reader.alignment() == 32);
  CHECK(reader.get_string("general.architecture") == "test");
  CHECK(reader.get_u32("value.u8") == 200);
  CHECK(reader.get_i32("value.i8") == -100);
  CHECK(reader.get_u32("value.u16") == 60000);
  CHECK(reader.get_i64("value.i16") == -30000);
  CHECK(reader.get_u32("value.u32") == 4000000000u);
  CHECK(reader.get_i32("value.i32") == -2000000000);
  CHECK(reader.get_u64("value.u64") == (std::uint64_t{1} << 63) + 1);
  CHECK(reader.get_i64("value.i64") == -(std::int64_t{1} << 62));
  CHECK(reader.get_f32("value.f32") == 0.1f);
  CHECK(reader.get_f64("value.f64") == 0.1);
  CHECK(reader.get_bool("value.true"));
  CHECK_FALSE(reader.get_bool("value.false"));
  CHECK(reader.get_string("value.string") ==
        "Gr\xc3\xbc\xc3\x9f"
        "e");
  CHECK(reader.get_strings("array.string") == std::vector<std::string_view>{"a", "", "ccc"});
  CHECK(reader.get_i32s("array.i32") == std::vector<std::int32_t>{1, -2, 3});
  CHECK(reader.get_f32s("array.f32") == std::vector<float>{0.5f, -0.25f});
  CHECK(reader.get_bools("array.bool") == std::vector<bool>{true, false, true});
  CHECK(reader.get_u64s("array.u64") == std::vector<std::uint64_t>{1, std::uint64_t{1} << 40});
}

TEST_CASE("a missing key is an error for get_ and nothing for optional_") {
  const er::gguf_reader reader = er::gguf_reader::open(package_file);
  CHECK_THROWS_WITH_AS((void)reader.get_u32("none"), "the file has no key 'none'", er::io_error);
  CHECK_FALSE(reader.has("none"));
  CHECK_FALSE(reader.optional_u32("none"));
  CHECK_FALSE(reader.optional_string("none"));
  CHECK(reader.optional_u32("value.u8") == 200);
  CHECK(reader.optional_f32("value.f32") == 0.1f);
  CHECK(reader.optional_bool("value.false") == false);
  CHECK(reader.optional_string("general.architecture") == "test");
  CHECK_THROWS_AS((void)reader.optional_u32("value.f32"), er::io_error);
}

TEST_CASE("every decoded type gives the very floats that other programs give") {
  // ggml_blocks.gguf: blocks that ggml's own C quantized (libgguf 0.2.2; I2_S: bitnet.cpp), and
  // what the gguf package 0.19.0 makes of them; of Q1_0 libgguf, of I2_S bitnet.cpp, of Q2_0 its
  // definition.
  struct sample {
    std::filesystem::path path;
    std::size_t types;
  };
  for (const sample& one : {sample{package_file, 9}, sample{ggml_file, 19}}) {
    const er::gguf_reader reader = er::gguf_reader::open(one.path);
    std::size_t compared = 0;
    for (const er::tensor_info& tensor : reader.tensors()) {
      CAPTURE(tensor.name);
      if (!er::info_of(tensor.type).decoded()) {
        CHECK(tensor.name.starts_with("IQ"));
        CHECK_THROWS_WITH_AS(static_cast<void>(decode(reader, tensor)),
                             doctest::Contains("which is not decoded"), er::io_error);
        continue;
      }
      const er::tensor_info* const decoded = reader.find(std::string{tensor.name} + ".decoded");
      if (decoded == nullptr) continue;
      CHECK(er::info_of(tensor.type).name == tensor.name);
      const std::vector<float> ours = decode(reader, tensor), theirs = decode(reader, *decoded);
      REQUIRE(ours.size() == theirs.size());
      CHECK(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)) == 0);
      reader.validate(tensor);
      ++compared;
    }
    CHECK(compared == one.types);
  }
}

TEST_CASE("a tensor of blocks may have a scale of its own, beside it or behind its blocks") {
  const temporary_folder folder;
  const er::gguf_reader source = er::gguf_reader::open(ggml_file);
  const er::tensor_info& blocks = source.get("NVFP4");
  const std::vector<float> plain = decode(source, blocks);
  const float scale = 0.3f, others[] = {0.3f, 0.3f};
  const auto write = [&](std::string_view name, std::string_view beside, er::ggml_type type,
                         std::span<const std::byte> bytes, std::size_t count) {
    er::gguf_writer writer;
    writer.set_string("general.architecture", "test");
    writer.add_tensor(name, er::ggml_type::nvfp4, {blocks.cols(), blocks.rows()}, blocks.bytes);
    writer.add_tensor("f.weight", er::ggml_type::f32, {2}, std::as_bytes(std::span{others}));
    writer.add_tensor("f.scale", er::ggml_type::f32, {1}, std::as_bytes(std::span{&scale, 1}));
    writer.add_tensor("w.input_scale", er::ggml_type::f32, {1},
                      std::as_bytes(std::span{&scale, 1}));
    writer.add_tensor(beside, type, {count}, bytes);
    writer.write(folder / "scaled.gguf");
    return er::gguf_reader::open(folder / "scaled.gguf");
  };
  const std::span number = std::as_bytes(std::span{&scale, 1});
  struct names {
    const char *owner, *scale;
  };
  for (const names& one :
       {names{"w.weight", "w.scale"}, names{"w.weight", "w.weight.scale"}, names{"w", "w.scale"}}) {
    const char *const name = one.owner, *const beside = one.scale;
    CAPTURE(name);
    CAPTURE(beside);
    const er::gguf_reader reader = write(name, beside, er::ggml_type::f32, number, 1);
    CHECK(reader.scale_of(reader.get(name)) == scale);
    CHECK(reader.is_scale(reader.get(beside)));
    CHECK(reader.is_scale(reader.get("w.input_scale")));
    CHECK_FALSE(reader.is_scale(reader.get(name)));
    // Of a plain tensor nothing is a scale.
    CHECK(reader.scale_of(reader.get("f.weight")) == 1);
    CHECK_FALSE(reader.is_scale(reader.get("f.scale")));
    reader.validate(reader.get(name));
    const std::vector<float> values = decode(reader, reader.get(name));
    for (std::size_t i = 0; i < values.size(); ++i) {
      // Levels are halves up to 6: plain = level * s, values = level * float(s * scale).
      CHECK(values[i] == doctest::Approx(plain[i] * scale).epsilon(1e-6));
    }
  }
  const er::gguf_reader two =
      write("w.weight", "w.scale", er::ggml_type::f32, std::as_bytes(std::span{others}), 2);
  CHECK_THROWS_WITH_AS(static_cast<void>(decode(two, two.get("w.weight"))),
                       "tensor 'w.scale': expected one F32 number, the scale of tensor 'w.weight'",
                       er::io_error);
  const er::gguf_reader half = write("w.weight", "w.scale", er::ggml_type::f16, number.first(2), 1);
  CHECK_THROWS_AS(half.validate(half.get("w.weight")), er::io_error);
  const float infinite = std::numeric_limits<float>::infinity();
  const er::gguf_reader broken =
      write("w.weight", "w.scale", er::ggml_type::f32, std::as_bytes(std::span{&infinite, 1}), 1);
  CHECK_THROWS_WITH_AS(broken.validate(broken.get("w.weight")),
                       doctest::Contains("tensor 'w.weight' has a NaN or an infinity at row 0"),
                       er::io_error);

  const er::gguf_reader& ternary = source;
  CHECK(ternary.scale_of(ternary.get("I2_S")) ==
        er::detail::io::read_f32(ternary.get("I2_S").bytes.data() + 8 * 256 / 4));
}

TEST_CASE("a range of rows, into an output with room behind its rows") {
  const er::gguf_reader reader = er::gguf_reader::open(package_file);
  const er::tensor_info& tensor = reader.get("Q6_K");
  REQUIRE(tensor.rows() == 2);
  const std::vector<float> all = decode(reader, tensor);
  const std::size_t stride = tensor.cols() + 5;
  std::vector<float> values(2 * stride, 77.0f);
  for (const er::row_range rows :
       {er::row_range{0, 1}, er::row_range{1, 2}, er::row_range{0, 2}, er::row_range{2, 2}}) {
    std::fill(values.begin(), values.end(), 77.0f);
    reader.read_rows(tensor, rows, {values.data(), rows.size(), tensor.cols(), stride});
    for (std::size_t r = 0; r < rows.size(); ++r) {
      CHECK(std::memcmp(&values[r * stride], &all[(rows.begin + r) * tensor.cols()],
                        tensor.cols() * 4) == 0);
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i / stride >= rows.size() || i % stride >= tensor.cols()) REQUIRE(values[i] == 77.0f);
    }
  }
  const auto read = [&](er::row_range rows, std::size_t out_rows, std::size_t out_cols) {
    reader.read_rows(tensor, rows, {values.data(), out_rows, out_cols, stride});
  };
  CHECK_THROWS_WITH_AS(read({0, 3}, 3, 512), doctest::Contains("tensor 'Q6_K' of 2 x 512"),
                       std::invalid_argument);
  CHECK_THROWS_AS(read({2, 1}, std::numeric_limits<std::size_t>::max(), 512),
                  std::invalid_argument);
  CHECK_THROWS_AS(read({0, 2}, 1, 512), std::invalid_argument);
  CHECK_THROWS_AS(read({0, 1}, 1, 511), std::invalid_argument);
}

TEST_CASE(
    "from memory at any address, from a mapping, from a copy: the same; a moved reader keeps its "
    "views") {
  const std::vector<std::byte> bytes = read_bytes(package_file);
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
  er::gguf_reader in_memory(std::span<const std::byte>{shifted}.subspan(1));
  const er::gguf_reader copied = er::gguf_reader::open(package_file, er::file_access::read);
  const std::string_view text = in_memory.get_string("value.string");
  const er::gguf_reader moved = std::move(in_memory);
  CHECK(moved.get_string("value.string").data() == text.data());
  for (const er::tensor_info& tensor : moved.tensors()) {
    moved.drop(tensor);
    const std::vector<float> a = decode(moved, tensor), b = decode(copied, copied.get(tensor.name));
    CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("a file that can't be opened names its path") {
  const temporary_folder folder;
  CHECK_THROWS_WITH_AS((void)er::gguf_reader::open(folder / "none.gguf"),
                       doctest::Contains("none.gguf"), er::io_error);
  write_bytes(folder / "bad.gguf", {});
  CHECK_THROWS_WITH_AS((void)er::gguf_reader::open(folder / "bad.gguf"),
                       doctest::Contains("bad.gguf: the file does not"), er::io_error);
}

TEST_CASE("a reader that was moved from holds nothing") {
  er::gguf_reader reader = er::gguf_reader::open(package_file);
  const er::gguf_reader taken{std::move(reader)};
  CHECK_FALSE(taken.tensors().empty());
  CHECK(reader.tensors().empty());  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(reader.entries().empty());
  CHECK(reader.version() == 0);
  CHECK(reader.find("output.weight") == nullptr);
}

TEST_SUITE_END();
