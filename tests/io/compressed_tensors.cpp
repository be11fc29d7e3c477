// SPDX-License-Identifier: Apache-2.0
// compressed-tensors' packed layers: the numbers of its own packers, old and new, and broken
// tensors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/compressed_tensors.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;

TEST_SUITE_BEGIN("io/compressed_tensors");

namespace {
struct layer {
  tensor weight, scale;
  std::optional<tensor> zero_point, shape, g_idx;
  unsigned bits = 4;
  std::size_t group = 0;

  layer() = default;
  layer(const er::safetensors_reader& file, const std::string& name, unsigned width)
      : weight(file.get(name + ".weight_packed")),
        scale(file.get(name + ".weight_scale")),
        shape(file.get(name + ".weight_shape")),
        bits(width) {
    if (const auto* zeros = file.find(name + ".weight_zero_point")) zero_point = tensor(*zeros);
    if (const auto* index = file.find(name + ".weight_g_idx")) g_idx = tensor(*index);
  }

  [[nodiscard]] er::packed_linear open() const {
    // What is opened refers to the layer's bytes.
    const auto of = [](const std::optional<tensor>& t) {
      return t ? static_cast<er::safetensors_tensor>(*t) : er::safetensors_tensor{};
    };
    const er::safetensors_tensor w = weight, s = scale, z = of(zero_point), n = of(shape),
                                 g = of(g_idx);
    return er::compressed_tensors_linear(
        "q_proj", {&w, &s, zero_point ? &z : nullptr, shape ? &n : nullptr, g_idx ? &g : nullptr},
        bits, group);
  }
};
}  // namespace

TEST_CASE("compressed_tensors: the golden layers, to the bit, and multiplied by every kernel") {
  const er::safetensors_reader file = packed_layers::open("compressed_tensors");
  struct row {
    const char* name;
    unsigned bits;
    const char* format;
  };
  for (const row& item :
       {row{"ct_4bit_sym", 4, "int4_g32_bf16"}, row{"ct_4bit_asym", 4, "int4z_g32_bf16"},
        row{"ct_8bit_sym", 8, "int8_g32_bf16"}, row{"ct_2bit_sym", 2, "int2_g32_bf16"},
        row{"ct_4bit_channel_tail", 4, "int4_row_bf16"}, row{"ct_3bit_dense", 3, "int3_g64_bf16"},
        row{"ct_3bit_padded", 3, "int3_g64_bf16"}, row{"ct_6bit_dense", 6, "int6_g64_bf16"},
        row{"ct_6bit_padded", 6, "int6_g64_bf16"},
        row{"ct_4bit_g_idx", 4, "permuted(int4_g32_bf16)"}}) {
    const std::string name = item.name;
    CAPTURE(name);
    packed_layers::check(layer(file, name, item.bits).open(), file.get(name + ".weight"),
                         item.format);
  }
}

TEST_CASE("compressed_tensors: zeros of bytes, of any strategy, and no order by activations") {
  std::mt19937 random(5);
  const std::size_t rows = 3, cols = 8;
  const std::vector<std::int8_t> levels{-128, -5, 0, 1, 2, 3, 4, 127, 9, 9, 9, 9,
                                        9,    9,  9, 9, 1, 2, 3, 4,   5, 6, 7, 8};
  const std::vector<float> of_groups{0.5f, 1, 2, 0.25f, 3, 4};
  const std::vector<std::int8_t> zeros{0, 1, -2, 3, -128, 127};
  struct strategy {
    std::vector<std::uint64_t> shape;
    std::size_t numbers;
    const char* format;
  };
  for (const strategy& one :
       {strategy{{3, 2}, 6, "int8z_g4_f32"}, strategy{{3, 1}, 3, "int8z_row_f32"},
        strategy{{3}, 3, "int8z_row_f32"}, strategy{{1}, 1, "int8_row_f32"},
        strategy{{}, 1, "int8_row_f32"}}) {
    layer l;
    l.bits = 8;
    l.weight = tensor("w", i8, {rows, cols}, levels);
    l.scale = tensor("s", f32, one.shape, of_groups);
    l.zero_point = tensor("z", i8, one.shape, zeros);
    const std::size_t groups = one.numbers == 6 ? 2 : 1;
    std::vector<float> expected;
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const std::size_t g = one.numbers == 1 ? 0 : i / cols * groups + i % cols * groups / cols;
      expected.push_back(of_groups[g] * static_cast<float>(levels[i] - zeros[g]));
    }
    packed_layers::check(l.open(), expected, one.format);
    l.g_idx = tensor("g", i32, {cols}, std::vector<std::int32_t>(cols, -1));
    packed_layers::check(l.open(), expected, one.format);
  }
}

TEST_CASE("compressed_tensors: what is not as it should be is refused by name") {
  const er::safetensors_reader file = packed_layers::open("compressed_tensors");
  const layer good(file, "ct_4bit_asym", 4), three(file, "ct_3bit_dense", 3),
      ordered(file, "ct_4bit_g_idx", 4);
  const auto refused = [](layer one, const auto& breaks, const std::string& sentence) {
    breaks(one);
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(one.open()), doctest::Contains(sentence.c_str()),
                         er::io_error);
  };
  refused(good, [](layer& l) { l.bits = 0; }, "has codes of 0 bits, expected 1 to 8");
  refused(good, [](layer& l) { l.bits = 5; }, "expected 20 words for 128 codes of 5 bits, or 22");
  refused(good, [](layer& l) { l.shape.reset(); }, "is packed, and has no weight_shape");
  refused(
      good, [](layer& l) { l.shape->put(0, std::int64_t{21}); },
      ".weight_shape' says 21 x 128, and the weight is [20, 16]");
  refused(good, [](layer& l) { l.shape->put(1, std::int64_t{-1}); }, "says 20 x -1");
  refused(good, [](layer& l) { l.shape->put(1, INT64_MAX); }, "says 20 x 9223372036854775807");
  refused(
      good, [](layer& l) { l.shape->put(1, std::int64_t{129}); },
      "expected 17 words for 129 codes of 4 bits");
  refused(good, [](layer& l) { l.weight.bytes.pop_back(); }, "expected the bytes of 320 elements");
  refused(good, [](layer& l) { l.weight.dtype = f32; }, "expected I32 or I8");
  refused(good, [](layer& l) { l.scale.shape = {40, 2}; }, ".weight_scale' is BF16 [40, 2]");
  refused(good, [](layer& l) { l.group = 64; }, "expected 2 groups of 64 in 128 columns");
  refused(good, [](layer& l) { l.scale.put(1, er::bfloat16{NAN}.bits); }, "element 1 is nan");
  refused(good, [](layer& l) { l.zero_point->shape = {4, 3}; }, "expected as many zeros as scales");
  refused(
      good, [](layer& l) { l.zero_point = tensor("z", i32, {4, 4}); },
      "'z' is I32 [4, 4], expected 3 words for 20 codes of 4 bits");
  refused(
      good, [](layer& l) { l.zero_point = tensor("z", i8, {20, 1}); },
      "'z' is I8 [20, 1], expected as many zeros as scales");
  refused(ordered, [](layer& l) { l.g_idx->put(2, 4); }, "the group of column 2 is 4");
  refused(ordered, [](layer& l) { l.g_idx->put(2, -1); }, "the group of column 2 is -1");
  refused(ordered, [](layer& l) { l.g_idx->shape = {64, 2}; }, ".weight_g_idx' is I32 [64, 2]");
  // 20 codes of 3 bits are two words in both packings, which differ.
  refused(
      three,
      [](layer& l) {
        l.weight = tensor("w", i32, {8, 2});
        l.shape->put(1, std::int64_t{20});
      },
      "expected a number of columns that tells the packing before 0.17.0");
}

TEST_CASE("compressed_tensors: random layers are refused, or import to what they decode to") {
  packed_layers::check_random([](std::mt19937& random) {
    static layer one;  // the layer's bytes are referred to
    one = {};
    one.bits = static_cast<unsigned>(1 + random() % 8);
    const std::size_t rows = 1 + random() % 70, groups = 1 + random() % 4,
                      group = 4 * (1 + random() % 16), cols = groups * group;
    const er::word_packing packing =
        random() % 2 == 0 ? er::word_packing::dense : er::word_packing::padded;
    const bool packed = random() % 4 != 0;
    one.weight = packed ? tensor("w", i32, {rows, er::packed_words(packing, one.bits, cols)})
                        : tensor("w", i8, {rows, cols});
    one.shape = tensor("n", i64, {2}, std::vector<std::uint64_t>{rows, cols + (random() % 8 == 0)});
    one.scale = tensor("s", random() % 2 == 0 ? f16 : bf16, {rows, groups});
    if (random() % 2 == 0) {
      one.zero_point = random() % 2 == 0
                           ? tensor("z", i8, {rows, groups})
                           : tensor("z", i32, {er::packed_words(packing, one.bits, rows), groups});
      one.zero_point->fill(random);
    }
    one.weight.fill(random), one.scale.fill(random);
    if (random() % 2 == 0) {
      std::vector<std::int32_t> index;
      for (std::size_t c = 0; c < cols; ++c) index.push_back(static_cast<std::int32_t>(c % groups));
      if (random() % 4 == 0) index[0] = static_cast<std::int32_t>(random());
      one.g_idx = tensor("g", i32, {cols}, index);
    }
    return one.open();
  });
}

TEST_CASE("a group of any size with no scales is refused") {
  const tensor w("w", i8, {2, 8}), s("s", f32, {2, 0});
  const er::safetensors_tensor weight = w, scale = s;
  CHECK_THROWS_AS((void)er::compressed_tensors_linear("l", {&weight, &scale}, 8,
                                                      std::numeric_limits<std::size_t>::max()),
                  er::io_error);
}

TEST_SUITE_END();
