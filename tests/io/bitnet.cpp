// SPDX-License-Identifier: Apache-2.0
// BitNet's ternary layers: the numbers of their own packers, division and product, broken tensors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/bitnet.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;

TEST_SUITE_BEGIN("io/bitnet");

namespace {
using enum er::bitnet_class;
}  // namespace

TEST_CASE("bitnet: the golden layers, to the bit, and multiplied by every kernel") {
  const er::safetensors_reader file = packed_layers::open("bitnet");
  for (const er::bitnet_class linear_class : {bitlinear, autobitlinear}) {
    const bool divides = linear_class == bitlinear;
    const std::string name = divides ? "bitnet_bitlinear" : "bitnet_autobitlinear";
    CAPTURE(name);
    packed_layers::check(er::bitnet_linear("q_proj", file.get(name + ".weight_packed"),
                                           file.get(name + ".weight_scale"), linear_class),
                         file.get(name + ".weight"),
                         divides ? "ternary2_row_f32" : "ternary2_row_bf16");
  }
}

TEST_CASE("bitnet: the last quarter is shorter where 4 does not divide the outputs") {
  // Outputs 0 .. 4 of one input: t = 1, 0, -1, 1, 0; rows 0 and 1 of each quarter.
  const std::vector<std::uint8_t> codes{2 | 0 << 2 | 1 << 4 | 3 << 6, 1 | 2 << 2 | 3 << 4 | 3 << 6};
  const tensor weight("w", u8, {2, 1}, codes), scale("s", f32, {}, std::vector<float>{4});
  packed_layers::check(er::bitnet_linear("q_proj", weight, scale, bitlinear, 5),
                       std::vector<float>{0.25f, 0, -0.25f, 0.25f, 0}, "ternary2_row_f32");
  const er::packed_linear all = er::bitnet_linear("q_proj", weight, scale, bitlinear);
  CHECK(all.rows() == 8);
  CHECK_THROWS_WITH_AS(static_cast<void>(packed_layers::decoded(all)),
                       "BitNet layer 'q_proj': the code at row 5, column 0 is 3, expected 0 to 2",
                       er::io_error);
  CHECK_THROWS_AS(static_cast<void>(all.import_matrix()), er::io_error);
}

TEST_CASE("bitnet: what is not as it should be is refused by name") {
  const tensor weight("w", u8, {2, 3}), scale("s", bf16, {1});
  const auto refused = [](const tensor& w, const tensor& s, std::size_t rows,
                          const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(er::bitnet_linear("q_proj", w, s, bitlinear, rows)),
                         doctest::Contains(sentence.c_str()), er::io_error);
  };
  refused(weight, scale, 8, "'s' is BF16 [1], expected a number to divide by, not 0.0");
  refused(weight, tensor("s", f32, {1}, std::vector<float>{INFINITY}), 8, "element 0 is inf");
  refused(weight, tensor("s", f32, {2}), 8, "'s' is F32 [2], expected BF16 or F16 or F32 [1]");
  refused(weight, scale, 9, "'w' is U8 [2, 3], expected 3 rows for 9 outputs");
  refused(tensor("w", u8, {6}), scale, 8, "'w' has shape [6], expected a matrix");
  refused(tensor("w", bf16, {2, 3}), scale, 8, "'w' is BF16 [2, 3], expected U8");
}

TEST_CASE("bitnet: random layers are refused, or import to what they decode to") {
  packed_layers::check_random([](std::mt19937& random) {
    static tensor weight, scale;  // the layer's bytes are referred to
    const std::size_t rows = 1 + random() % 40, cols = 1 + random() % 60;
    weight = tensor("w", u8, {(rows + 3) / 4, cols}), scale = tensor("s", bf16, {1});
    weight.fill(random), scale.fill(random);
    const bool valid = random() % 4 != 0;
    for (std::byte& byte : weight.bytes)
      if (valid) byte &= ~(byte >> 1 & std::byte{0x55}) | std::byte{0xaa};
    return er::bitnet_linear("q_proj", weight, scale, random() % 2 == 0 ? bitlinear : autobitlinear,
                             rows);
  });
}

TEST_SUITE_END();
