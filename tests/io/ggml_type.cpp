// SPDX-License-Identifier: Apache-2.0
// The list of GGUF tensor types: what a row says is what its functions do.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
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

namespace {
/// One block by ggml's formulas, element by element; nothing of the decoders.
class plain_block {
 public:
  plain_block(er::ggml_type type, const std::byte* bytes) : type_(type), bytes_(bytes) {}

  [[nodiscard]] float element(std::size_t i) const {
    switch (type_) {
      case er::ggml_type::f32: {
        float value;
        std::memcpy(&value, bytes_, sizeof value);
        return value;
      }
      case er::ggml_type::f16:
        return half(0);
      case er::ggml_type::bf16:
        return std::bit_cast<float>((byte(0) | byte(1) << 8) << 16);
      case er::ggml_type::q8_0:
        return half(0) * static_cast<float>(static_cast<std::int8_t>(byte(2 + i)));
      case er::ggml_type::q4_0:
        return half(0) * level(nibble(2, i), 8);
      case er::ggml_type::q4_1:
        return half(0) * level(nibble(4, i), 0) + half(2);
      case er::ggml_type::q5_0:
        return half(0) * level(nibble(6, i) | (byte(2 + i / 8) >> i % 8 & 1) << 4, 16);
      case er::ggml_type::q6_k: {
        const std::size_t h = i / 128, j = i % 128, l = j % 32, quarter = j / 32;
        const unsigned low = byte(64 * h + l + 32 * (quarter % 2)) >> (quarter < 2 ? 0 : 4) & 15,
                       high = byte(128 + 32 * h + l) >> 2 * quarter & 3;
        const auto scale = static_cast<std::int8_t>(byte(192 + 8 * h + l / 16 + 2 * quarter));
        return half(208) * static_cast<float>(scale) * level(low | high << 4, 32);
      }
      case er::ggml_type::tq1_0: {
        static constexpr unsigned powers[] = {1, 3, 9, 27, 81};
        const std::size_t first = i < 160   ? i % 32
                                  : i < 240 ? 32 + (i - 160) % 16
                                            : 48 + i % 4,
                          digit = i < 160   ? i / 32
                                  : i < 240 ? (i - 160) / 16
                                            : (i - 240) / 4;
        return half(52) * level(byte(first) * powers[digit] % 256 * 3 >> 8, 1);
      }
      case er::ggml_type::tq2_0:
        return half(64) * level(byte(i / 128 * 32 + i % 32) >> 2 * (i % 128 / 32) & 3, 1);
      default:
        return 12345;
    }
  }

 private:
  [[nodiscard]] unsigned byte(std::size_t at) const {
    return std::to_integer<unsigned>(bytes_[at]);
  }
  [[nodiscard]] float half(std::size_t at) const {
    return er::float16::from_bits(static_cast<std::uint16_t>(byte(at) | byte(at + 1) << 8));
  }
  /// Of 16 bytes the lower halves are elements 0 to 15, the upper ones 16 to 31.
  [[nodiscard]] unsigned nibble(std::size_t first, std::size_t i) const {
    return byte(first + i % 16) >> (i < 16 ? 0 : 4) & 15;
  }
  static float level(unsigned code, int zero) {
    return static_cast<float>(static_cast<int>(code) - zero);
  }

  er::ggml_type type_;
  const std::byte* bytes_;
};
}  // namespace

TEST_CASE("random bytes, scales that are NaN or infinite included, decode as ggml's formulas say") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (!info.decoded()) continue;
    CAPTURE(info.name);
    constexpr std::size_t blocks = 500;
    std::vector<std::byte> bytes(blocks * info.block_bytes);
    std::size_t wrong = 0;
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    std::vector<float> values(blocks * info.block);
    er::decode_ggml_row(info.type, bytes, values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const plain_block block(info.type, bytes.data() + i / info.block * info.block_bytes);
      wrong += !samples::same(values[i], block.element(i % info.block));
    }
    CHECK(wrong == 0);
  }
}

TEST_SUITE_END();
