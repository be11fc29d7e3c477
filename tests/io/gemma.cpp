// SPDX-License-Identifier: Apache-2.0
// Gemma's packed layers: the numbers of its own packer, 8 bits, and broken tensors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/gemma.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;

TEST_SUITE_BEGIN("io/gemma");

TEST_CASE("gemma: the golden layers, to the bit, and multiplied by every kernel") {
  const er::safetensors_reader file = packed_layers::open("gemma");
  for (const unsigned bits : {2u, 4u}) {
    const std::string name = "gemma_int" + std::to_string(bits);
    CAPTURE(name);
    packed_layers::check(
        er::gemma_linear("q_proj", file.get(name + ".weight_packed"),
                         file.get(name + ".weight_scale"), bits, bits == 4 ? 63 : 62),
        file.get(name + ".weight"), "int" + std::to_string(bits) + "_row_f32");
  }
}

TEST_CASE("gemma: bytes are levels, of which -128 is one") {
  const std::vector<std::int8_t> levels{-128, -127, -1, 0, 1, 127};
  const tensor weight("w", i8, {2, 3}, levels),
      scale("s", f32, {2, 1}, std::vector<float>{0.5f, -3});
  packed_layers::check(er::gemma_linear("q_proj", weight, scale, 8),
                       std::vector<float>{-64, -63.5f, -0.5f, 0, -3, -381}, "int8_row_f32");
}

TEST_CASE("gemma: what is not as it should be is refused by name") {
  const tensor weight("w", u8, {2, 3}), scale("s", f32, {2, 1});
  const auto refused = [](const tensor& w, const tensor& s, unsigned bits, std::size_t cols,
                          const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(er::gemma_linear("q_proj", w, s, bits, cols)),
                         doctest::Contains(sentence.c_str()), er::io_error);
  };
  refused(weight, scale, 3, 0, "Gemma layer 'q_proj' has codes of 3 bits, expected 2, 4 or 8");
  refused(weight, scale, 8, 0, "'w' is U8 [2, 3], expected I8");
  refused(weight, scale, 4, 7, "expected 4 columns for 7 inputs");
  refused(weight, tensor("s", f32, {2}), 4, 6,
          "'s' is F32 [2], expected F32 or F16 or BF16 [2, 1]");
  refused(weight, tensor("s", f32, {2, 1}, std::vector<float>{1, NAN}), 4, 6, "element 1 is nan");
  tensor cut = weight;
  cut.bytes.pop_back();
  refused(cut, scale, 4, 6, "expected the bytes of 6 elements");
}

TEST_CASE("gemma: random layers are refused, or import to what they decode to") {
  packed_layers::check_random([](std::mt19937& random) {
    static tensor weight, scale;  // the layer's bytes are referred to
    const unsigned bits = 1u << (1 + random() % 3);
    const std::size_t rows = 1 + random() % 70, cols = 1 + random() % 90;
    weight = tensor("w", bits == 8 ? i8 : u8, {rows, (cols * bits + 7) / 8});
    scale = tensor("s", f32, {rows, 1});
    weight.fill(random), scale.fill(random);
    return er::gemma_linear("q_proj", weight, scale, bits, cols + (random() % 4 == 0 ? 9 : 0));
  });
}

TEST_SUITE_END();
