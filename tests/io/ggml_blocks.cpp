// SPDX-License-Identifier: Apache-2.0
// The GGUF block layouts. What the `gguf` package decodes is compared in tests/io/gguf_reader.cpp;
// here: encoding, the place of every element, and base 3 exhaustively.
#include <cstdint>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/io/ggml_blocks.hpp>
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/matrix/pack_levels.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/ggml_blocks");

TEST_CASE("encoding copies levels and scale: decoding gives level * scale exactly") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const er::ggml_type_info& info : er::ggml_types) {
    if (info.encode == nullptr) continue;
    CAPTURE(info.name);
    const auto range = er::detail::matrix::levels_of(info.packed);
    std::uniform_int_distribution<int> level(range.low, range.high);
    for (const float scale : {1.0f, 0.00123f, 65504.0f, 0x1p-24f, 0.0f}) {
      const er::float16 d{scale};
      std::vector<std::int8_t> levels(info.block);
      for (std::int8_t& l : levels) l = static_cast<std::int8_t>(level(random));
      // Bytes that encode does not write would show.
      std::vector<std::byte> block(info.block_bytes, std::byte{0xa5}),
          again(info.block_bytes, std::byte{0x5a});
      const er::float16 m{info.packed.zero == er::zero_kind::none ? 0.0f : -0.7f * scale};
      info.encode(levels.data(), d, m, block.data());
      info.encode(levels.data(), d, m, again.data());
      CHECK(block == again);
      std::vector<float> values(info.block, -1.0f);
      er::decode_ggml_row(info.type, block, values);
      for (std::size_t i = 0; i < levels.size(); ++i) {
        CHECK(values[i] == static_cast<float>(levels[i]) * static_cast<float>(d) + float{m});
      }
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
      {er::ggml_type::q4_1, 3, 4 + 3, 0x01},
      {er::ggml_type::q4_1, 16 + 3, 4 + 3, 0x10},
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
    er::info_of(p.type).encode(levels.data(), er::float16{1.0f}, er::float16{}, block.data());
    CHECK(std::to_integer<unsigned>(block[p.byte]) == p.value);
  }
}

TEST_CASE("base 3: all 243 values survive, all 256 bytes decode to digits") {
  for (unsigned v = 0; v < 243; ++v) {
    const unsigned byte = er::detail::io::blocks::tq1_byte(v);
    REQUIRE(byte < 256);
    unsigned back = 0;
    for (std::size_t n = 0; n < 5; ++n)
      back = 3 * back + er::detail::io::blocks::tq1_digit(byte, n);
    CHECK(back == v);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    for (std::size_t n = 0; n < 5; ++n) CHECK(er::detail::io::blocks::tq1_digit(byte, n) <= 2);
  }
}

TEST_SUITE_END();
