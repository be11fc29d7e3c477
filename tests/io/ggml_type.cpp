// SPDX-License-Identifier: Apache-2.0
// The list of GGUF tensor types: what a row says is what its functions do.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/ggml_scales.hpp"
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
  for (const std::uint32_t id : {4u, 5u, 9u, 15u, 31u, 33u, 37u, 38u, 43u, 99u, 0xffffffffu}) {
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
    blocks.emplace_back(info.block_bytes + info.tail_bytes, std::byte{1});
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
  CHECK(refused == 12);
}

namespace {
/// At most four decimals, without zeros at the end.
std::string short_number(double value) {
  std::string text = std::to_string(value);
  text.resize(text.find('.') + 5);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

/// Bits a weight of a long row.
double bits_of(const er::format& fmt) {
  const er::codec_info& codec = er::codec_of(fmt.code);
  double bits = 0;
  for (std::size_t p = 0; p < codec.plane_count; ++p)
    bits += static_cast<double>(codec.plane(p).bits) / codec.plane(p).unit;
  if (fmt.group == 0) return bits;
  const double numbers = fmt.zero == er::zero_kind::none ? 1 : 2;
  return bits + 8 * numbers * static_cast<double>(er::scale_size(fmt.scale)) / fmt.group;
}
}  // namespace

TEST_CASE("the table of types in docs/formats.md is the list") {
  std::string expected;
  for (const er::ggml_type_info& info : er::ggml_types) {
    const std::string bits = short_number(8.0 * info.block_bytes / info.block);
    expected += "| " + std::string{info.name} + " | " +
                std::to_string(static_cast<unsigned>(info.type)) + " | " +
                std::to_string(info.block) + " in " + std::to_string(info.block_bytes) + " | " +
                bits + " | " +
                (info.codes != nullptr
                     ? "`" + info.packed.name() + "` | " + short_number(bits_of(info.packed))
                 : info.real()      ? "itself | " + bits
                 : info.quantized() ? "not decoded: codebook | |"
                                    : "not decoded | |") +
                (info.decoded() ? " |\n" : "\n");
  }
  std::ifstream file(std::filesystem::path{EDGERAZOR_TEST_DATA} / ".." / ".." / "docs" /
                     "formats.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::string_view head = "| --- | ---: | --- | ---: | --- | ---: |\n";
  const std::size_t at = page.find(head);
  REQUIRE(at != std::string::npos);
  CHECK(page.substr(at + head.size(), expected.size()) == expected);
  CHECK(page.substr(at + head.size() + expected.size(), 1) == "\n");
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
    float scales[er::detail::io::max_block_groups], zeros[er::detail::io::max_block_groups];
    CHECK(er::detail::io::read_numbers(info, block.data(), 1, scales, zeros));
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
      CHECK(er::detail::io::read_numbers(info, spoiled.data(), 1, scales, zeros) == finite);
      found += finite ? 0 : 1;
    }
    CHECK(found == samples::float16_offsets(info.type).size());
  }
}

TEST_CASE("scales of 8 bits: NaN, the largest and the smallest") {
  const auto read = [](er::ggml_type type, unsigned byte, float& scale) {
    std::vector<std::byte> block(er::info_of(type).block_bytes, static_cast<std::byte>(byte));
    float scales[er::detail::io::max_block_groups], zeros[er::detail::io::max_block_groups];
    const bool usable =
        er::detail::io::read_numbers(er::info_of(type), block.data(), 1, scales, zeros);
    scale = scales[0];
    return usable;
  };
  float scale = 0;
  CHECK_FALSE(read(er::ggml_type::mxfp4, 255, scale));
  CHECK(std::isnan(scale));
  CHECK_FALSE(read(er::ggml_type::mxfp4, 254, scale));  // 12 * 2^126 is no float
  CHECK(scale == 0x1p126f);
  CHECK(read(er::ggml_type::mxfp4, 0, scale));
  CHECK(scale == 0x1p-128f);
  for (unsigned byte = 0; byte < 256; ++byte) CHECK(read(er::ggml_type::nvfp4, byte, scale));
  static_cast<void>(read(er::ggml_type::nvfp4, 0x7e, scale));
  CHECK(scale == 224);
  static_cast<void>(read(er::ggml_type::nvfp4, 1, scale));
  CHECK(scale == 0x1p-10f);
  static_cast<void>(read(er::ggml_type::nvfp4, 0x7f, scale));
  CHECK(scale == 0);
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
      case er::ggml_type::q5_1:
        return half(0) * level(nibble(8, i) | (byte(4 + i / 8) >> i % 8 & 1) << 4, 0) + half(2);
      case er::ggml_type::q2_k:
        return half(80) * level(byte(i / 16) & 15, 0) * level(pair(16, i), 0) -
               half(82) * level(byte(i / 16) >> 4, 0);
      case er::ggml_type::q3_k: {
        const std::size_t j = i / 16;
        const unsigned s =
            (byte(96 + j % 8) >> 4 * (j / 8) & 15) | (byte(104 + j % 4) >> 2 * (j / 4) & 3) << 4;
        const int set = byte(i % 32) >> i / 32 & 1;
        return half(108) * level(s, 32) * (level(pair(32, i), 0) - (set != 0 ? 0.0f : 4.0f));
      }
      case er::ggml_type::q4_k:
        return k_value(i, byte(16 + 32 * (i / 64) + i % 32) >> (i % 64 < 32 ? 0 : 4) & 15);
      case er::ggml_type::q5_k:
        return k_value(i, (byte(48 + 32 * (i / 64) + i % 32) >> (i % 64 < 32 ? 0 : 4) & 15) |
                              (byte(16 + i % 32) >> i / 32 & 1) << 4);
      case er::ggml_type::iq4_nl:
        return half(0) * curve[nibble(2, i)];
      case er::ggml_type::iq4_xs: {
        const std::size_t j = i / 32;
        const unsigned high = byte(2) | byte(3) << 8,
                       s = (byte(4 + j / 2) >> 4 * (j % 2) & 15) | (high >> 2 * j & 3) << 4;
        return half(0) * level(s, 32) * curve[nibble(8 + 16 * j, i % 32)];
      }
      case er::ggml_type::mxfp4:
        return byte(0) == 255 ? NAN
                              : std::ldexp(e2m1(nibble(1, i)), static_cast<int>(byte(0)) - 127);
      case er::ggml_type::nvfp4: {
        const std::size_t j = i / 16;
        const unsigned code = byte(4 + 8 * j + i % 8) >> (i % 16 < 8 ? 0 : 4) & 15, s = byte(j),
                       exponent = s >> 3 & 15;
        if (s == 0x7f) return 0 * e2m1(code);
        const float scale = exponent == 0 ? std::ldexp(static_cast<float>(s & 7), -9)
                                          : std::ldexp(1 + static_cast<float>(s & 7) / 8,
                                                       static_cast<int>(exponent) - 7);
        return scale * e2m1(code);
      }
      case er::ggml_type::q1_0:
        return (byte(2 + i / 8) >> i % 8 & 1) != 0 ? half(0) : -half(0);
      case er::ggml_type::q2_0:
        return half(0) * level(byte(2 + i / 4) >> 2 * (i % 4) & 3, 1);
      case er::ggml_type::i2_s:
        return level(byte(i % 32) >> (6 - 2 * (i / 32)) & 3, 1);
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
  /// Of 64 bytes, two bits of each: elements 0 to 127 from the first 32, 32 at a time.
  [[nodiscard]] unsigned pair(std::size_t first, std::size_t i) const {
    return byte(first + i / 128 * 32 + i % 32) >> 2 * (i % 128 / 32) & 3;
  }
  /// Q4_K and Q5_K: eight scales and minima of 6 bits in the 12 bytes from 4 on.
  [[nodiscard]] float k_value(std::size_t i, unsigned code) const {
    const std::size_t j = i / 32;
    unsigned scale = byte(4 + j) & 63, minimum = byte(4 + j + 4) & 63;
    if (j >= 4) {
      scale = (byte(4 + j + 4) & 15) | byte(4 + j - 4) >> 6 << 4;
      minimum = byte(4 + j + 4) >> 4 | byte(4 + j) >> 6 << 4;
    }
    return half(0) * level(scale, 0) * level(code, 0) - half(2) * level(minimum, 0);
  }
  static float e2m1(unsigned code) {
    static constexpr float values[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return code == 8 ? 0.0f : (code < 8 ? 1.0f : -1.0f) * values[code % 8];
  }
  static constexpr float curve[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};
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
