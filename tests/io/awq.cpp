// SPDX-License-Identifier: Apache-2.0
// AWQ's packed layers: the numbers of its own packer, any shape, and broken tensors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/awq.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;

TEST_SUITE_BEGIN("io/awq");

namespace {
struct layer {
  tensor qweight, qzeros, scales;
  std::size_t group = 0;

  [[nodiscard]] er::packed_linear open() const {
    return er::awq_linear("q_proj", qweight, qzeros, scales, group);
  }
};

layer golden(const er::safetensors_reader& file, const std::string& name) {
  return {file.get(name + ".qweight"), file.get(name + ".qzeros"), file.get(name + ".scales")};
}
}  // namespace

TEST_CASE("awq: the golden layers, to the bit, and multiplied by every kernel") {
  const er::safetensors_reader file = packed_layers::open("awq");
  for (const std::string name : {"awq_gemm_4bit", "awq_gemm_4bit_channel"}) {
    CAPTURE(name);
    const bool whole = name.ends_with("channel");
    layer one = golden(file, name);
    for (const std::size_t group : {0, whole ? 64 : 32}) {
      one.group = group;
      packed_layers::check(one.open(), file.get(name + ".weight"),
                           whole ? "int4z_row" : "int4z_g32");
    }
  }
}

TEST_CASE("awq: the formula, element by element, of shapes that blocks do not divide") {
  std::mt19937 random(3);
  const std::size_t rows = 136, cols = 51, groups = 3, group = 20;
  layer one{
      {"q", i32, {cols, rows / 8}}, {"z", i32, {groups, rows / 8}}, {"s", f32, {groups, rows}}};
  one.group = group;
  for (tensor* const t : {&one.qweight, &one.qzeros, &one.scales}) t->fill(random);
  const unsigned order[] = {0, 2, 4, 6, 1, 3, 5, 7};
  std::vector<float> expected(rows * cols);
  for (std::size_t k = 0; k < cols; ++k) {
    for (std::size_t i = 0; i < rows; ++i) {
      const auto nibble = [i, words = rows / 8](const tensor& t, std::size_t row) {
        std::uint32_t word;
        std::memcpy(&word, t.bytes.data() + 4 * (row * words + i / 8), 4);
        return static_cast<float>(word >> 4 * (i % 8) & 15u);
      };
      const std::size_t n = i / 8 * 8 + order[i % 8];
      float scale;
      std::memcpy(&scale, one.scales.bytes.data() + 4 * (k / group * rows + n), 4);
      expected[n * cols + k] = scale * (nibble(one.qweight, k) - nibble(one.qzeros, k / group));
    }
  }
  packed_layers::check(one.open(), expected, "int4z_g20_f32");
}

TEST_CASE("awq: what is not as it should be is refused by name") {
  const er::safetensors_reader file = packed_layers::open("awq");
  const layer good = golden(file, "awq_gemm_4bit");
  const auto refused = [&](const auto& breaks, const std::string& sentence) {
    layer one = good;
    breaks(one);
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(one.open()), doctest::Contains(sentence.c_str()),
                         er::io_error);
  };
  refused([](layer& l) { l.qweight.shape = {128, 5}; },
          ".qweight' is I32 [128, 5], expected the bytes of 640 elements");
  refused([](layer& l) { l.qweight.bytes.pop_back(); }, "expected the bytes of 512 elements");
  refused([](layer& l) { l.qzeros.shape = {2, 8}; }, ".qzeros' is I32 [2, 8]");
  refused([](layer& l) { l.scales.shape = {8, 16}; }, ".qweight' is I32 [128, 4]");
  refused([](layer& l) { l.scales.shape = {128, 1}; }, "expected a multiple of 8 columns");
  refused([](layer& l) { l.scales.dtype = i16; }, ".scales' is I16 [4, 32]");
  refused([](layer& l) { l.group = 64; }, "expected 2 rows: groups of 64 in 128 inputs");
  refused([](layer& l) { l.scales.put(3, er::float16{NAN}.bits); }, "element 3 is nan");
}

TEST_CASE("awq: random layers are refused, or import to what they decode to") {
  packed_layers::check_random([](std::mt19937& random) {
    static layer one;  // the layer's bytes are referred to
    const std::size_t rows = 1 + random() % 20, groups = 1 + random() % 4,
                      group = 1 + random() % 48;
    one = {{"q", i32, {groups * group - random() % 2, rows}},
           {"z", i32, {groups, rows}},
           {"s", random() % 2 == 0 ? f16 : bf16, {groups, 8 * rows}}};
    one.group = random() % 2 == 0 ? group : 0;
    for (tensor* const t : {&one.qweight, &one.qzeros, &one.scales}) t->fill(random);
    return one.open();
  });
}

TEST_SUITE_END();
