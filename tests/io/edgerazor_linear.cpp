// SPDX-License-Identifier: Apache-2.0
// EdgeRazor (Python): codes and scales of fake-quantized weights, and the tensors of its plugin.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/edgerazor_linear.hpp>
#include <edgerazor/matrix/unpack.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;

TEST_SUITE_BEGIN("io/edgerazor_linear");

namespace {
/// Weights as a trainer stores them: blocks of consecutive elements, int4 where `is_int4` says so.
struct fake_weights {
  tensor weight;
  std::vector<float> exact;  ///< q s in float32

  template <class IsInt4>
  fake_weights(std::size_t rows, std::size_t cols, std::size_t block, const IsInt4& is_int4,
               std::mt19937& random)
      : weight("w", bf16, {rows, cols}) {
    float scale = 0;
    bool int4 = false;
    for (std::size_t e = 0; e < rows * cols; ++e) {
      if (e % block == 0) {
        scale = er::bfloat16{0.001f + 0.0001f * static_cast<float>(random() % 1000)};
        int4 = is_int4(e / block);
      }
      const int level = e % block == 0 ? (int4 ? -7 : 1)
                        : int4         ? static_cast<int>(random() % 15) - 7
                                       : static_cast<int>(random() % 3) - 1;
      exact.push_back(static_cast<float>(level) * scale);
      weight.put(e, er::bfloat16{exact.back()}.bits);
    }
  }
};

/// Rounded to bfloat16, the values of a matrix are the stored ones.
void check_rounds_to(const er::packed_linear& linear, const er::safetensors_tensor& weight) {
  const std::vector<float> values = packed_layers::decoded(linear);
  std::vector<float> stored(values.size());
  er::decode_floats(weight, 0, stored);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    wrong += float{er::bfloat16{values[i]}} != stored[i];
  CHECK(wrong == 0);
}
}  // namespace

TEST_CASE("edgerazor: codes and scales of fake-quantized weights are those of the trainer") {
  const er::safetensors_reader file = packed_layers::open("edgerazor_fake_quantized");
  struct row {
    const char* name;
    const char* format;
  };
  for (const row& item : {row{"ternary", "ternary2_g256_bf16"}, row{"int4", "int4_g256_bf16"},
                          row{"w2_79", "int4_g256_bf16+ternary2_g256_bf16:every_2_rows"},
                          row{"w1_88", "int4_g256_bf16+ternary2_g256_bf16:every_8_rows"}}) {
    const std::string name = item.name;
    CAPTURE(name);
    const er::safetensors_tensor& weight = file.get("edgerazor_fake." + name);
    for (const std::size_t block : {0, 256}) {
      const std::optional<er::packed_linear> linear =
          er::edgerazor_fake_quantized_linear("q_proj", weight, block);
      REQUIRE(linear);
      check_rounds_to(*linear, weight);
      packed_layers::check(*linear, packed_layers::decoded(*linear), item.format);
    }
  }
  const er::any_matrix int4 =
      er::edgerazor_fake_quantized_linear("q_proj", file.get("edgerazor_fake.int4"))
          ->import_matrix();
  std::vector<std::int8_t> levels(16 * 512), expected(levels.size());
  er::unpack(*int4.packed(), {levels.data(), 16, 512});
  er::read_integers(file.get("edgerazor_fake.int4_codes"), 0, std::span{expected});
  CHECK(levels == expected);
  std::vector<float> scales(32), golden(32);
  er::unpack_scales(*int4.packed(), {scales.data(), 16, 2});
  er::decode_floats(file.get("edgerazor_fake.int4_scale"), 0, golden);
  CHECK(scales == golden);
}

TEST_CASE("edgerazor: every size of block, blocks that run over the ends of rows, mixed rows") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  struct row {
    std::size_t rows, cols, block;
    const char *int4, *ternary;
  };
  for (const row& item : {row{6, 512, 256, "int4_g256_bf16", "ternary2_g256_bf16"},
                          row{6, 512, 32, "int4_g32_bf16", "ternary2_g32_bf16"},
                          row{8, 576, 256, "int4_g64_bf16", "ternary2_g64_bf16"},
                          row{8, 64, 256, "int4_row_bf16", "ternary2_row_bf16"},
                          row{7, 100, 64, "int4_g4_bf16", "ternary2_g4_bf16"}}) {
    CAPTURE(item.rows);
    CAPTURE(item.cols);
    CAPTURE(item.block);
    for (const bool high : {true, false}) {
      const fake_weights made(
          item.rows, item.cols, item.block, [high](std::size_t) { return high; }, random);
      const er::safetensors_tensor weight = made.weight;
      const auto linear = er::edgerazor_fake_quantized_linear("q_proj", weight);
      REQUIRE(linear);
      check_rounds_to(*linear, weight);
      // A trailing block without a level of 7 may be explained by another scale, as exactly.
      if (item.rows * item.cols % item.block == 0) {
        packed_layers::check(*linear, made.exact, high ? item.int4 : item.ternary);
      } else {
        packed_layers::check(*linear, packed_layers::decoded(*linear),
                             high ? item.int4 : item.ternary);
      }
    }
  }
  // Of rows of 62 in blocks of 64 a group lies in two blocks, and has one scale only by chance:
  // where the weights of one block fit the other's scale too, zeros for instance.
  std::size_t refused = 0;
  for (int i = 0; i < 40; ++i) {
    const fake_weights torn(3, 62, 64, [i](std::size_t) { return i % 2 == 0; }, random);
    const auto linear = er::edgerazor_fake_quantized_linear("q_proj", torn.weight);
    REQUIRE(linear);
    check_rounds_to(*linear, torn.weight);
    const auto format = linear->exact_format();
    refused += !format;
    packed_layers::check(*linear, packed_layers::decoded(*linear), format ? format->name() : "");
  }
  CHECK(refused > 10);
  const fake_weights made(24, 128, 128, [](std::size_t r) { return r % 7 < 3; }, random);
  const auto linear = er::edgerazor_fake_quantized_linear("q_proj", made.weight);
  REQUIRE(linear);
  packed_layers::check(*linear, made.exact, "int4_row_bf16+ternary2_row_bf16:rows_3_of_7");
  const fake_weights any(
      70, 64, 64, [](std::size_t r) { return r * r % 11 < 4 || r == 69; }, random);
  const auto masked = er::edgerazor_fake_quantized_linear("q_proj", any.weight);
  REQUIRE(masked);
  packed_layers::check(*masked, any.exact, "int4_row_bf16+ternary2_row_bf16");
}

TEST_CASE("edgerazor: weights that were not quantized are none, and neither is another type") {
  std::mt19937 random(1);
  fake_weights made(8, 256, 256, [](std::size_t) { return true; }, random);
  CHECK(er::edgerazor_fake_quantized_linear("q_proj", made.weight));
  CHECK_FALSE(er::edgerazor_fake_quantized_linear("q_proj", made.weight, 512));
  tensor plain("w", bf16, {8, 256});
  plain.fill(random);
  CHECK_FALSE(er::edgerazor_fake_quantized_linear("q_proj", plain));
  tensor changed = made.weight;
  changed.put(3 * 256 + 9, er::bfloat16{made.exact[0] * 1.07f}.bits);
  CHECK_FALSE(er::edgerazor_fake_quantized_linear("q_proj", changed, 256));
  changed.put(3 * 256 + 9, er::bfloat16{NAN}.bits);
  CHECK_FALSE(er::edgerazor_fake_quantized_linear("q_proj", changed));
  tensor halves = made.weight;
  halves.dtype = f16;
  CHECK_FALSE(er::edgerazor_fake_quantized_linear("q_proj", halves));
}

TEST_CASE("edgerazor: the plugin's tensors, to the bit, and multiplied by every kernel") {
  const er::safetensors_reader file = packed_layers::open("edgerazor_packed");
  const auto get = [&](const std::string& name) { return file.get("edgerazor_" + name); };
  packed_layers::check(
      er::edgerazor_packed_linear("q_proj", er::checkpoint_code::int2, get("w1_58.qweight"),
                                  get("w1_58.qweight_scale")),
      get("w1_58.weight"), "ternary2_g256_bf16");
  // The scale of a block of 256 is stored for each 32 columns.
  packed_layers::check(er::edgerazor_packed_linear("q_proj", er::checkpoint_code::int4,
                                                   get("w4.qweight"), get("w4.qweight_scale")),
                       get("w4.weight"), "int4_g256_bf16");
  for (const std::string name : {"w1_88.", "w2_79."}) {
    CAPTURE(name);
    packed_layers::check(
        er::edgerazor_packed_linear("q_proj", get(name + "qweight_int4"),
                                    get(name + "qweight_scale_int4"), get(name + "qweight_int2"),
                                    get(name + "qweight_scale_int2"), get(name + "inverse_perm")),
        get(name + "weight"),
        "int4_g256_bf16+ternary2_g256_bf16:" +
            std::string{name == "w1_88." ? "every_8_rows" : "rows_4_of_8"});
  }
}

TEST_CASE("edgerazor: plugin's tensors that are not as they should be are refused by name") {
  using enum er::checkpoint_code;
  const tensor weight("w", u8, {4, 32}, std::vector<std::uint8_t>(128, 0xaa)),
      scale("s", bf16, {4, 2});
  const auto refused = [](er::checkpoint_code code, const tensor& w, const tensor& s,
                          const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(er::edgerazor_packed_linear("q_proj", code, w, s)),
                         doctest::Contains(sentence.c_str()), er::io_error);
  };
  refused(int4, tensor("w", i8, {4, 32}), scale, "'w' is I8 [4, 32], expected U8");
  refused(int4, tensor("w", u8, {0, 32}), tensor("s", bf16, {0, 2}), "expected at least one row");
  refused(int4, weight, tensor("s", bf16, {4, 3}), "a number of columns that divides 64");
  refused(int2, weight, tensor("s", bf16, {3, 2}), "'s' is BF16 [3, 2], expected BF16 [4, 2]");
  refused(int4, weight, tensor("s", f32, {4, 2}), "'s' is F32 [4, 2], expected BF16 [4, 2]");
  tensor nan = scale, level = weight;
  nan.put(2, er::bfloat16{NAN}.bits);
  refused(int4, weight, nan, "element 2 is nan");
  level.put(32 + 5, std::uint8_t{0x8a});
  const er::packed_linear linear = er::edgerazor_packed_linear("q_proj", int2, level, scale);
  CHECK_THROWS_WITH_AS(static_cast<void>(linear.import_matrix()),
                       "EdgeRazor layer 'q_proj': the level at row 1, column 22 is -2, expected -1 "
                       "to 1",
                       er::io_error);

  const tensor low("w2", u8, {2, 16}, std::vector<std::uint8_t>(32, 0xaa)),
      low_scale("s2", bf16, {2, 2});
  const auto refused_mix = [&](const tensor& low_weight, const tensor& scales, const tensor& perm,
                               const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(er::edgerazor_packed_linear("q_proj", weight, scale,
                                                                       low_weight, scales, perm)),
                         doctest::Contains(sentence.c_str()), er::io_error);
  };
  const auto perm = [](std::vector<std::int64_t> numbers) {
    return tensor("p", i64, {numbers.size()}, numbers);
  };
  CHECK_NOTHROW(static_cast<void>(er::edgerazor_packed_linear(
      "q_proj", weight, scale, low, low_scale, perm({5, 4, 3, 2, 1, 0}))));
  refused_mix(low, low_scale, perm({0, 1, 2, 3, 4}), "'p' is I64 [5], expected I64 [6]");
  refused_mix(low, low_scale, perm({0, 1, 2, 3, 4, 6}), "expected each row from 0 to 5 once");
  refused_mix(low, low_scale, perm({0, 1, 2, 3, 4, -1}), "expected each row from 0 to 5 once");
  refused_mix(low, low_scale, perm({0, 1, 2, 3, 4, 4}), "expected each row from 0 to 5 once");
  refused_mix(tensor("w2", u8, {2, 8}), low_scale, perm({0, 1, 2, 3, 4, 5}),
              "'w2' is U8 [2, 8], expected rows of 64 columns and 2 scales");
}

TEST_CASE("edgerazor: random layers are refused, or import to what they decode to") {
  packed_layers::check_random([](std::mt19937& random) {
    static tensor high, high_scale, low, low_scale, perm;  // the layer's bytes are referred to
    const std::size_t above = random() % 20, below = random() % 20, blocks = 1 + random() % 3,
                      block = 4 * (1 + random() % 9), cols = blocks * block, rows = above + below;
    high = tensor("h", u8, {above, cols / 2}), low = tensor("l", u8, {below, cols / 4});
    high_scale = tensor("s", bf16, {above, blocks}), low_scale = tensor("t", bf16, {below, blocks});
    for (tensor* const t : {&high, &low, &high_scale, &low_scale}) t->fill(random);
    const bool valid = random() % 3 != 0;
    for (std::byte& byte : low.bytes)
      if (valid) byte |= std::byte{0x55};
    std::vector<std::int64_t> numbers(rows);
    for (std::size_t r = 0; r < rows; ++r) numbers[r] = static_cast<std::int64_t>(rows - 1 - r);
    perm = tensor("p", i64, {rows}, numbers);
    return er::edgerazor_packed_linear("q_proj", high, high_scale, low, low_scale, perm);
  });
}

TEST_CASE("rows of more columns than can be counted are refused") {
  tensor q("w", u8, {0, 0}), s("s", bf16, {0, 1});
  q.shape[1] = std::uint64_t{1} << 63;
  CHECK_THROWS_AS((void)er::edgerazor_packed_linear("l", er::checkpoint_code::int2, q, s),
                  er::io_error);
}

TEST_SUITE_END();
