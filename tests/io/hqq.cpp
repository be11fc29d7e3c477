// SPDX-License-Identifier: Apache-2.0
// HQQ's packed layers: the numbers of its own packer, every width and axis, and broken tensors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/hqq.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;

TEST_SUITE_BEGIN("io/hqq");

namespace {
struct layer {
  tensor w_q, scale, zero;
  er::hqq_settings settings;

  [[nodiscard]] er::packed_linear open() const {
    return er::hqq_linear("q_proj", w_q, scale, zero, settings);
  }
};

layer golden(const er::safetensors_reader& file, const std::string& name, unsigned bits) {
  return {file.get(name + ".W_q"),
          file.get(name + ".scale"),
          file.get(name + ".zero"),
          {bits, name.ends_with("0") ? 0u : 1u, 32, 128}};
}

/// Codes of `height` x `width`, packed by the definition.
tensor packed(const std::vector<std::uint8_t>& codes, std::size_t height, std::size_t width,
              unsigned bits) {
  const std::size_t parts = bits == 3  ? 10
                            : bits > 4 ? 1
                                       : 8 / bits,
                    rows = (height + parts - 1) / parts;
  tensor result("W_q", bits == 3 ? i32 : u8, {rows, width});
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t c = 0; c < width; ++c) {
      std::uint32_t word = 0;
      for (std::size_t p = 0; p < parts; ++p) {
        const std::size_t row = p * rows + i;
        word = word << bits | (row < height ? codes[row * width + c] : 0u);
      }
      if (bits == 3) {
        result.put(i * width + c, word);
      } else {
        result.put(i * width + c, static_cast<std::uint8_t>(word));
      }
    }
  }
  return result;
}
}  // namespace

TEST_CASE("hqq: the golden layers, to the bit, and multiplied by every kernel") {
  const er::safetensors_reader file = packed_layers::open("hqq");
  struct row {
    const char* name;
    unsigned bits;
    const char* format;
  };
  for (const row& item :
       {row{"hqq_4bit_axis1", 4, "int4z_g64"}, row{"hqq_4bit_axis0", 4, ""},
        row{"hqq_2bit_axis1", 2, "int2z_g32"}, row{"hqq_3bit_axis1", 3, "int3z_g64"}}) {
    const std::string name = item.name;
    CAPTURE(name);
    packed_layers::check(golden(file, name, item.bits).open(), file.get(name + ".weight"),
                         item.format);
  }
}

TEST_CASE("hqq: every width, on both axes, by the definition") {
  std::mt19937 random(11);
  const std::size_t rows = 10, cols = 48;
  for (const unsigned bits : {1u, 2u, 3u, 4u, 5u, 6u, 8u}) {
    for (const unsigned axis : {0u, 1u}) {
      for (const std::size_t group : {12, 16, 40}) {  // 40: groups run over the ends of rows
        CAPTURE(bits);
        CAPTURE(axis);
        CAPTURE(group);
        const std::size_t count = rows * cols / group, height = axis == 1 ? count : group,
                          width = axis == 1 ? group : count;
        if (bits < 3 && height % (8 / bits) != 0) continue;
        std::vector<std::uint8_t> codes(rows * cols);
        for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random() % (1u << bits));
        layer one;
        one.w_q = packed(codes, height, width, bits);
        const std::vector<std::uint64_t> shape =
            axis == 1 ? std::vector<std::uint64_t>{count, 1} : std::vector<std::uint64_t>{1, count};
        one.scale = tensor("scale", f32, shape);
        one.zero = tensor("zero", f32, shape);
        one.scale.fill(random), one.zero.fill(random);
        one.settings = {bits, axis, rows, cols};
        std::vector<float> expected(rows * cols);
        for (std::size_t e = 0; e < expected.size(); ++e) {
          const std::size_t n = axis == 1 ? e / width : e % width;
          float scale, zero;
          std::memcpy(&scale, one.scale.bytes.data() + 4 * n, 4);
          std::memcpy(&zero, one.zero.bytes.data() + 4 * n, 4);
          expected[e] = (static_cast<float>(codes[e]) - zero) * scale;
        }
        const char* const names[] = {"",     "int2", "int2", "int3", "int4",
                                     "int5", "int6", "",     "int8"};
        const bool exact = axis == 1 && group != 40;
        packed_layers::check(
            one.open(), expected,
            exact ? std::string{names[bits]} + "z_g" + std::to_string(group) + "_f32" : "");
      }
    }
  }
}

TEST_CASE("hqq: what is not as it should be is refused by name") {
  const er::safetensors_reader file = packed_layers::open("hqq");
  const layer good = golden(file, "hqq_4bit_axis1", 4);
  const auto refused = [&](const auto& breaks, const std::string& sentence) {
    layer one = good;
    breaks(one);
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(one.open()), doctest::Contains(sentence.c_str()),
                         er::io_error);
  };
  refused([](layer& l) { l.settings.bits = 7; }, "has codes of 7 bits on axis 1, expected 1, 2, 3");
  refused([](layer& l) { l.settings.axis = 2; }, "on axis 2");
  refused([](layer& l) { l.settings.cols = 0; }, "is 32 x 0 with 64 scales");
  refused([](layer& l) { l.settings.rows = SIZE_MAX; }, "with 64 scales");
  refused([](layer& l) { l.settings.cols = 129; }, "is 32 x 129 with 64 scales");
  refused([](layer& l) { l.settings.bits = 3; }, ".W_q' is U8 [32, 64], expected I32 [7, 64]");
  refused([](layer& l) { l.w_q.bytes.pop_back(); }, "expected the bytes of 2048 elements");
  refused([](layer& l) { l.zero.shape = {1, 64}; }, ".zero' is F16 [1, 64], expected F16");
  refused([](layer& l) { l.zero.put(63, er::float16{INFINITY}.bits); }, "element 63 is inf");
}

TEST_CASE("hqq: random layers are refused, or import to what they decode to") {
  packed_layers::check_random([](std::mt19937& random) {
    static layer one;  // the layer's bytes are referred to
    const std::size_t rows = 1 + random() % 40, cols = 4 * (1 + random() % 30);
    const std::size_t group = random() % 2 == 0 ? cols : 4 * (1 + random() % 8),
                      count = rows * cols / group;
    one.settings = {static_cast<unsigned>(1 + random() % 8), static_cast<unsigned>(random() % 2),
                    rows, cols};
    const bool by_row = one.settings.axis == 1;
    const std::size_t height = by_row ? count : group, width = by_row ? group : count;
    const unsigned bits = one.settings.bits;
    const std::size_t parts = bits == 3 ? 10 : bits > 4 ? 1 : 8 / bits;
    one.w_q = tensor("w", bits == 3 ? i32 : u8, {(height + parts - 1) / parts, width});
    const std::vector<std::uint64_t> shape =
        by_row ? std::vector<std::uint64_t>{count, 1} : std::vector<std::uint64_t>{1, count};
    one.scale = tensor("s", f16, shape),
    one.zero = tensor("z", random() % 2 == 0 ? f16 : f32, shape);
    for (tensor* const t : {&one.w_q, &one.scale, &one.zero}) t->fill(random);
    return one.open();
  });
}

TEST_SUITE_END();
