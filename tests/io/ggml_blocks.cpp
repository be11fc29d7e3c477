// The GGUF block layouts. What the `gguf` package decodes is compared in
// tests/io/test_gguf_reader.cpp; here: encoding, the place of every element, and base 3
// exhaustively.
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/io/ggml_blocks.hpp>

namespace er = edgerazor;

namespace {

struct encoder {
  er::ggml_type type;
  void (*encode)(const std::int8_t*, er::float16, std::byte*) noexcept;
  int min_level, max_level;
};
constexpr std::array<encoder, 3> encoders{{{er::ggml_type::q4_0, er::ggml::encode_q4_0, -8, 7},
                                           {er::ggml_type::tq1_0, er::ggml::encode_tq1_0, -1, 1},
                                           {er::ggml_type::tq2_0, er::ggml::encode_tq2_0, -1, 1}}};

}  // namespace

TEST_CASE("every listed type is found by its id, and decodes if it says so") {
  for (const er::ggml_type_info& info : er::ggml_types) {
    CAPTURE(info.name);
    CHECK(er::find_ggml_type(static_cast<std::uint32_t>(info.type)) == &info);
    CHECK((er::ggml::decoder_of(info.type) != nullptr) == info.decoded);
  }
  for (const std::uint32_t id : {4u, 5u, 9u, 15u, 16u, 31u, 36u, 99u, 0xffffffffu}) {
    CHECK(er::find_ggml_type(id) == nullptr);
  }
}

TEST_CASE("encoding copies levels and scale: decoding gives level * scale exactly") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const encoder& codec : encoders) {
    const er::ggml_type_info& info = er::info_of(codec.type);
    CAPTURE(info.name);
    std::uniform_int_distribution<int> level(codec.min_level, codec.max_level);
    for (const float scale : {1.0f, 0.00123f, 65504.0f, 0x1p-24f, 0.0f}) {
      const er::float16 d{scale};
      std::vector<std::int8_t> levels(info.block);
      for (std::int8_t& l : levels) l = static_cast<std::int8_t>(level(random));
      // Bytes that encode does not write would show.
      std::vector<std::byte> block(info.block_bytes, std::byte{0xa5}),
          again(info.block_bytes, std::byte{0x5a});
      codec.encode(levels.data(), d, block.data());
      codec.encode(levels.data(), d, again.data());
      CHECK(block == again);
      std::vector<float> values(info.block, -1.0f);
      er::decode_ggml_row(codec.type, block.data(), values);
      for (std::size_t i = 0; i < levels.size(); ++i) {
        CHECK(values[i] == static_cast<float>(levels[i]) * static_cast<float>(d));
      }
    }
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
      er::decode_ggml_row(type, bytes.data() + 1, values);
      for (std::size_t c = 0; c < cols; ++c) {
        er::ggml::decoder_of(type)(bytes.data() + 1 + 2 * c, &expected[c]);
      }
      CHECK(std::memcmp(values.data(), expected.data(), cols * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("a level lies where the format puts it") {
  // By hand from the layouts: element, byte of the block, the byte when this element alone is +1
  // and all others 0.
  struct place {
    er::ggml_type type;
    std::size_t element, byte;
    unsigned value;
  };
  // TQ1_0: all digits 1 are v = 121, byte 128; element 32 n + m adds 3^(4 - n): v = 202, 148, 130,
  // 124, 122. In qh the fifth digit is 0: v = 120 for zeros.
  const place places[] = {
      {er::ggml_type::q4_0, 3, 2 + 3, 0x89},
      {er::ggml_type::q4_0, 16 + 3, 2 + 3, 0x98},
      {er::ggml_type::tq2_0, 5, 5, 0b01010110},
      {er::ggml_type::tq2_0, 32 + 5, 5, 0b01011001},
      {er::ggml_type::tq2_0, 64 + 5, 5, 0b01100101},
      {er::ggml_type::tq2_0, 96 + 5, 5, 0b10010101},
      {er::ggml_type::tq2_0, 128 + 5, 37, 0b01010110},
      {er::ggml_type::tq2_0, 255, 63, 0b10010101},
      {er::ggml_type::tq1_0, 7, 7, 213},
      {er::ggml_type::tq1_0, 32 + 7, 7, 156},
      {er::ggml_type::tq1_0, 128 + 7, 7, 129},
      {er::ggml_type::tq1_0, 160 + 9, 32 + 9, 213},
      {er::ggml_type::tq1_0, 239, 47, 129},
      {er::ggml_type::tq1_0, 240 + 2, 50, 212},
      {er::ggml_type::tq1_0, 255, 51, 130},
  };
  for (const place& p : places) {
    CAPTURE(er::info_of(p.type).name);
    CAPTURE(p.element);
    std::vector<std::int8_t> levels(er::info_of(p.type).block, 0);
    levels[p.element] = 1;
    std::vector<std::byte> block(er::info_of(p.type).block_bytes);
    for (const encoder& codec : encoders) {
      if (codec.type == p.type) codec.encode(levels.data(), er::float16{1.0f}, block.data());
    }
    CHECK(std::to_integer<unsigned>(block[p.byte]) == p.value);
  }
}

TEST_CASE("base 3: all 243 values survive, all 256 bytes decode to digits") {
  for (unsigned v = 0; v < 243; ++v) {
    const unsigned byte = er::ggml::tq1_byte(v);
    REQUIRE(byte < 256);
    unsigned back = 0;
    for (std::size_t n = 0; n < 5; ++n) back = 3 * back + er::ggml::tq1_digit(byte, n);
    CHECK(back == v);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    for (std::size_t n = 0; n < 5; ++n) CHECK(er::ggml::tq1_digit(byte, n) <= 2);
  }
}

TEST_CASE("a NaN or infinite scale is seen in every decoded type, wherever it stores its scales") {
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (!info.decoded) continue;
    CAPTURE(info.name);
    std::vector<std::byte> block(info.block_bytes, std::byte{0});
    CHECK(er::ggml::has_finite_scale(info.type, block.data()));
    // The decoded zeros show where a scale is: a NaN there makes them NaN.
    std::size_t found = 0;
    for (std::size_t at = 0; at + 2 <= block.size(); at += 2) {
      std::vector<std::byte> spoiled = block;
      spoiled[at + 1] = std::byte{
          0x7f};  // float16 0x7f80 is a NaN, bfloat16 and (upper half) float 0x7f80 an infinity
      spoiled[at] = std::byte{0x80};
      std::vector<float> values(info.block);
      er::decode_ggml_row(info.type, spoiled.data(), values);
      bool finite = true;
      for (const float value : values) finite = finite && std::isfinite(value);
      CAPTURE(at);
      CHECK(er::ggml::has_finite_scale(info.type, spoiled.data()) == finite);
      found += finite ? 0 : 1;
    }
    CHECK(found == (info.type == er::ggml_type::q4_1 ? 2 : 1));
  }
}
