// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/safetensors_files.hpp>
#include <edgerazor/io/safetensors_writer.hpp>

namespace er = edgerazor;
namespace fs = std::filesystem;
using er::safetensors_dtype;

namespace {

const fs::path data{EDGERAZOR_TEST_DATA};

/// The tensors of a file in another order, written again.
std::vector<std::byte> rewritten(const fs::path& path) {
  const temporary_folder folder;
  const er::safetensors_reader reader = er::safetensors_reader::open(path);
  er::safetensors_writer writer;
  writer.metadata = reader.metadata();
  for (std::size_t i = reader.tensors().size(); i-- > 0;) writer.add(reader.tensors()[i]);
  const std::size_t size = writer.write(folder / "copy.safetensors");
  CHECK(size == fs::file_size(folder / "copy.safetensors"));
  CHECK(folder.files() == 1);
  return read_bytes(folder / "copy.safetensors");
}

}  // namespace

TEST_SUITE_BEGIN("io/safetensors_writer");

TEST_CASE("files are, byte for byte, the format's own writer's") {
  const fs::path files[] = {data / "safetensors" / "written_by_safetensors_0_8.safetensors",
                            data / "safetensors" / "dtypes.safetensors",
                            data / "hf" / "llama_tied" / "model.safetensors",
                            data / "hf" / "qwen2_bias_f16" / "model.safetensors",
                            data / "hf" / "qwen3_sharded" / "model-00002-of-00003.safetensors"};
  for (const fs::path& file : files) {
    CAPTURE(file.string());
    CHECK(rewritten(file) == read_bytes(file));
  }
}

TEST_CASE("no tensors, no metadata") {
  const temporary_folder folder;
  er::safetensors_writer writer;
  writer.metadata.clear();
  CHECK(writer.write(folder / "a.safetensors") == 16);
  CHECK(er::safetensors_reader::open(folder / "a.safetensors").tensors().empty());
}

TEST_CASE("a folder of several files and their index") {
  const temporary_folder folder;
  std::array<std::byte, 40> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  er::safetensors_writer writer;
  writer.add("z", safetensors_dtype::u8, {10}, std::span{bytes}.first(10));
  writer.add("y", safetensors_dtype::u8, {10}, std::span{bytes}.first(10));
  writer.add("big", safetensors_dtype::f32, {2, 5}, bytes);
  writer.add("a", safetensors_dtype::u8, {1}, std::span{bytes}.first(1));
  const std::size_t size = writer.write_folder(folder.path, 20);
  CHECK(folder.files() == 4);
  CHECK(size == fs::file_size(folder / "model-00001-of-00003.safetensors") +
                    fs::file_size(folder / "model-00002-of-00003.safetensors") +
                    fs::file_size(folder / "model-00003-of-00003.safetensors") +
                    fs::file_size(folder / "model.safetensors.index.json"));
  const er::safetensors_files files = er::safetensors_files::open(folder.path, er::file_access::map,
                                                                  er::safetensors_links::in_folder);
  REQUIRE(files.readers().size() == 3);
  CHECK(files.readers()[0].tensors().size() == 2);
  CHECK(files.readers()[1].tensors().size() == 1);
  CHECK(files.readers()[2].find("a") != nullptr);
  const er::safetensors_tensor& big = files.get("big");
  CHECK(std::vector<std::byte>(big.bytes.begin(), big.bytes.end()) ==
        std::vector<std::byte>(bytes.begin(), bytes.end()));
  CHECK(er::detail::io::read_json(folder / "model.safetensors.index.json")
            .at("metadata")
            .at("total_size") == 61);
}

TEST_CASE("what fits is one file") {
  const temporary_folder folder;
  const std::array<std::byte, 4> bytes{};
  er::safetensors_writer writer;
  writer.add("a", safetensors_dtype::f32, {1}, bytes);
  writer.write_folder(folder.path);
  CHECK(folder.files() == 1);
  CHECK(fs::exists(folder / "model.safetensors"));
  // Files with an index beside it would never be read.
  writer.add("b", safetensors_dtype::f32, {1}, bytes);
  CHECK_THROWS_WITH_AS((void)writer.write_folder(folder.path, 4),
                       doctest::Contains("has a model.safetensors already"), er::io_error);
  CHECK(folder.files() == 1);
}

TEST_CASE("a source that throws leaves an older model as it was") {
  const temporary_folder folder;
  const std::array<std::byte, 4> bytes{};
  er::safetensors_writer first;
  first.add("a", safetensors_dtype::f32, {1}, bytes);
  first.add("b", safetensors_dtype::f32, {1}, bytes);
  first.write_folder(folder.path, 4);
  const std::vector<std::byte> before = read_bytes(folder / "model-00001-of-00002.safetensors");
  er::safetensors_writer second;
  second.add("c", safetensors_dtype::f32, {1}, bytes);
  second.add("d", safetensors_dtype::f32, {1},
             [](er::tensor_sink&) { throw std::runtime_error("source"); });
  CHECK_THROWS_WITH_AS((void)second.write_folder(folder.path, 4), "source", std::runtime_error);
  CHECK(folder.files() == 3);
  CHECK(read_bytes(folder / "model-00001-of-00002.safetensors") == before);
}

TEST_CASE("what can't be written is refused when it is added") {
  const std::array<std::byte, 4> bytes{};
  er::safetensors_writer writer;
  writer.add("a", safetensors_dtype::f32, {1}, bytes);
  const auto refused = [&](const char* expected, std::string_view name, safetensors_dtype dtype,
                           std::initializer_list<std::uint64_t> shape) {
    CHECK_THROWS_WITH_AS(writer.add(name, dtype, shape, bytes), expected, std::invalid_argument);
  };
  refused("safetensors_writer: tensor 'a' is there already", "a", safetensors_dtype::f32, {1});
  refused("safetensors_writer: tensor '': expected a name of UTF-8 without NUL", "",
          safetensors_dtype::f32, {1});
  refused("safetensors_writer: tensor '\\xff': expected a name of UTF-8 without NUL", "\xff",
          safetensors_dtype::f32, {1});
  refused("safetensors_writer: tensor '__metadata__': expected a name of UTF-8 without NUL",
          "__metadata__", safetensors_dtype::f32, {1});
  refused("safetensors_writer: tensor 'b': expected 8 bytes, got 4", "b", safetensors_dtype::f32,
          {2});
  refused("safetensors_writer: tensor 'b': its 4 bits are no whole bytes", "b",
          safetensors_dtype::f4, {1});
  refused("safetensors_writer: tensor 'b': its size does not fit 64 bits", "b",
          safetensors_dtype::u8, {std::uint64_t{1} << 63, 2});
  refused("safetensors_writer: tensor 'b': expected at most 8 dimensions", "b",
          safetensors_dtype::u8, {1, 1, 1, 1, 1, 1, 1, 1, 4});
}

TEST_SUITE_END();
