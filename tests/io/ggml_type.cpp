// SPDX-License-Identifier: Apache-2.0
// The list of GGUF tensor types: what a row says is what its functions do.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/ggml_type");

TEST_CASE("every listed type is found by its id, no other, and decodes if it says so") {
  for (const er::ggml_type_info& info : er::ggml_types) {
    CAPTURE(info.name);
    CHECK(er::find_ggml_type(static_cast<std::uint32_t>(info.type)) == &info);
    CHECK(&er::info_of(info.type) == &info);
    CHECK(info.decoded() == (info.decode != nullptr));
  }
  for (const std::uint32_t id : {4u, 5u, 9u, 15u, 16u, 31u, 36u, 99u, 0xffffffffu}) {
    CHECK(er::find_ggml_type(id) == nullptr);
    CHECK_THROWS_WITH_AS((void)er::info_of(static_cast<er::ggml_type>(id)),
                         doctest::Contains((std::to_string(id) + " is not a listed").c_str()),
                         std::invalid_argument);
  }
}

TEST_CASE("a type without a decoder is listed, copied, and refused by its name") {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  std::vector<std::vector<std::byte>> blocks;
  for (const er::ggml_type_info& info : er::ggml_types)
    blocks.emplace_back(info.block_bytes, std::byte{1});
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const er::ggml_type_info& info = er::ggml_types[i];
    writer.add_tensor(info.name, info.type, {info.block}, blocks[i]);
  }
  writer.write(folder / "types.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "types.gguf");
  CHECK(reader.tensors().size() == er::ggml_types.size());

  std::size_t refused = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const er::ggml_type_info& info = er::ggml_types[i];
    CAPTURE(info.name);
    const er::tensor_info& tensor = reader.get(info.name);
    CHECK(tensor.type == info.type);
    CHECK(std::memcmp(tensor.bytes.data(), blocks[i].data(), info.block_bytes) == 0);
    std::vector<float> values(info.block);
    const er::matrix_view<float> row{values.data(), 1, values.size()};
    if (info.decoded()) {
      CHECK_NOTHROW(reader.read_rows(tensor, {0, 1}, row));
      CHECK_NOTHROW(reader.validate(tensor));
      continue;
    }
    ++refused;
    const std::string sentence = "type " + std::string{info.name} + ", which is not decoded";
    const doctest::Contains expected(sentence.c_str());
    CHECK_THROWS_WITH_AS(reader.read_rows(tensor, {0, 1}, row), expected, er::io_error);
    CHECK_THROWS_WITH_AS(reader.validate(tensor), expected, er::io_error);
    CHECK_THROWS_WITH_AS((void)er::load_matrix(reader, info.name), expected, er::io_error);
    CHECK_THROWS_WITH_AS(er::decode_ggml_row(info.type, tensor.bytes, values),
                         doctest::Contains("is not decoded"), std::invalid_argument);
  }
  CHECK(refused == 10);
}

TEST_CASE("a row that is not whole blocks, or not of their bytes, is refused") {
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (!info.decoded()) continue;
    CAPTURE(info.name);
    const std::vector<std::byte> bytes(3 * info.block_bytes);
    std::vector<float> values(3 * info.block);
    CHECK_NOTHROW(er::decode_ggml_row(info.type, bytes, values));
    CHECK_NOTHROW(er::decode_ggml_row(info.type, {}, {}));
    const auto refused = [&](std::size_t byte_count, std::size_t value_count) {
      CHECK_THROWS_WITH_AS(er::decode_ggml_row(info.type, std::span{bytes}.first(byte_count),
                                               std::span{values}.first(value_count)),
                           doctest::Contains("are not a row of"), std::invalid_argument);
    };
    refused(bytes.size() - 1, values.size());
    refused(2 * info.block_bytes, values.size());
    refused(bytes.size(), 2 * info.block);
    refused(0, values.size());
    if (info.block > 1) refused(bytes.size(), values.size() - 1);
  }
}

TEST_CASE("a row of several blocks decodes as its blocks one by one") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (!info.decoded()) continue;
    CAPTURE(info.name);
    std::vector<std::byte> bytes(5 * info.block_bytes);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    std::vector<float> values(5 * info.block), expected(5 * info.block);
    er::decode_ggml_row(info.type, bytes, values);
    for (std::size_t b = 0; b < 5; ++b) {
      er::decode_ggml_row(info.type,
                          std::span{bytes}.subspan(b * info.block_bytes, info.block_bytes),
                          std::span{expected}.subspan(b * info.block, info.block));
    }
    CHECK(std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("rows of 16 bits, of any length and at any address, are their elements one by one") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const er::ggml_type type : {er::ggml_type::f16, er::ggml_type::bf16}) {
    CAPTURE(er::info_of(type).name);
    for (const std::size_t cols : {1u, 16u, 63u, 64u, 65u, 200u}) {
      CAPTURE(cols);
      std::vector<std::byte> bytes(2 * cols + 1);
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
      std::vector<float> values(cols), expected(cols);
      er::decode_ggml_row(type, std::span{bytes}.subspan(1), values);
      for (std::size_t c = 0; c < cols; ++c) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, bytes.data() + 1 + 2 * c, 2);
        expected[c] = type == er::ggml_type::f16 ? float{er::float16::from_bits(bits)}
                                                 : float{er::bfloat16::from_bits(bits)};
      }
      CHECK(std::memcmp(values.data(), expected.data(), cols * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("a NaN or infinite scale is seen in every decoded type, wherever it stores its scales") {
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (!info.decoded()) continue;
    CAPTURE(info.name);
    std::vector<std::byte> block(info.block_bytes, std::byte{0});
    CHECK(er::detail::io::has_finite_scales(info, block.data()));
    // The decoded zeros show where a scale is: a NaN there makes them NaN.
    std::size_t found = 0;
    for (std::size_t at = 0; at + 2 <= block.size(); at += 2) {
      std::vector<std::byte> spoiled = block;
      // float16 0x7f80 is a NaN, bfloat16 and (upper half) float 0x7f80 an infinity
      spoiled[at + 1] = std::byte{0x7f};
      spoiled[at] = std::byte{0x80};
      std::vector<float> values(info.block);
      er::decode_ggml_row(info.type, spoiled, values);
      bool finite = true;
      for (const float value : values) finite = finite && std::isfinite(value);
      CAPTURE(at);
      CHECK(er::detail::io::has_finite_scales(info, spoiled.data()) == finite);
      found += finite ? 0 : 1;
    }
    CHECK(found == (info.type == er::ggml_type::q4_1 ? 2 : 1));
  }
}

TEST_SUITE_END();
