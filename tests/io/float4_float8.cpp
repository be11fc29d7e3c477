// SPDX-License-Identifier: Apache-2.0
// Layers of 4-bit and 8-bit floats: golden numbers, every code and scale, and broken tensors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/float4_float8.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;
using enum er::nvfp4_scale;

TEST_SUITE_BEGIN("io/float4_float8");

TEST_CASE("float4: the golden layers, to the bit, and multiplied by every kernel") {
  const er::safetensors_reader file = packed_layers::open("float4_float8");
  const auto get = [&](const char* name) { return file.get(name); };
  packed_layers::check(
      er::nvfp4_linear("q_proj", get("nvfp4_ct.weight_packed"), get("nvfp4_ct.weight_scale"),
                       get("nvfp4_ct.weight_global_scale"), divisor),
      get("nvfp4_ct.weight"), "int5_g16_f32");
  packed_layers::check(er::nvfp4_linear("q_proj", get("nvfp4_modelopt.weight_packed"),
                                        get("nvfp4_modelopt.weight_scale"),
                                        get("nvfp4_modelopt.weight_scale_2"), multiplier),
                       get("nvfp4_modelopt.weight"), "int5_g16_f32");
  packed_layers::check(
      er::mxfp4_linear("q_proj", get("mxfp4_ct.weight_packed"), get("mxfp4_ct.weight_scale")),
      get("mxfp4_ct.weight"), "int5_g32_bf16");
}

TEST_CASE("float4: every code under every scale of MXFP4") {
  const float values[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  tensor weight("w", u8, {255, 16}), scales("s", f8_e8m0, {255, 1});
  std::vector<float> expected;
  for (std::size_t e = 0; e < 255; ++e) {
    scales.put(e, static_cast<std::uint8_t>(e));
    for (std::size_t c = 0; c < 32; ++c) {
      const float value = values[c % 8] * (c / 8 % 2 == 0 ? 1.0f : -1.0f);
      expected.push_back(std::ldexp(value, static_cast<int>(e) - 127));
      if (c % 2 == 1) {
        weight.put(16 * e + c / 2, static_cast<std::uint8_t>((c - 1) % 16 | (c % 16) << 4));
      }
    }
  }
  // 6 * 2^127 is past float's range, in which products are of finite numbers.
  const er::packed_linear linear = er::mxfp4_linear("w", weight, scales);
  CHECK(packed_layers::decoded(linear) == expected);
  CHECK(packed_layers::values_of(linear.import_matrix()) == expected);
  scales.put(7, std::uint8_t{255});
  CHECK_THROWS_WITH_AS(static_cast<void>(er::mxfp4_linear("w", weight, scales)),
                       doctest::Contains("'s': element 7 is nan"), er::io_error);
}

TEST_CASE("float4: an expert is its slice of gpt-oss' blocks") {
  const er::safetensors_reader file = packed_layers::open("float4_float8");
  tensor blocks = file.get("mxfp4_ct.weight_packed"), scales = file.get("mxfp4_ct.weight_scale");
  blocks.shape = {2, 4, 4, 16}, scales.shape = {2, 4, 4};
  std::vector<float> all(8 * 128);
  er::decode_floats(file.get("mxfp4_ct.weight"), 0, all);
  for (const std::size_t expert : {0, 1}) {
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(expert * 512);
    packed_layers::check(er::mxfp4_expert_linear("up", blocks, scales, expert),
                         {first, first + 512}, "int5_g32_bf16");
  }
  const auto refused = [](const tensor& b, const tensor& s, std::size_t expert,
                          const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(er::mxfp4_expert_linear("up", b, s, expert)),
                         doctest::Contains(sentence.c_str()), er::io_error);
  };
  refused(blocks, scales, 2, "expected experts x outputs x groups x 16, with an expert 2");
  scales.shape = {2, 8, 2};
  refused(blocks, scales, 1, "is U8 [2, 8, 2], expected U8 or F8_E8M0 [2, 4, 4]");
  blocks.shape = {8, 64};
  refused(blocks, scales, 1, "is U8 [8, 64], expected experts x outputs");
}

TEST_CASE("float8: the golden layer, and one number for the matrix or an output") {
  const er::safetensors_reader file = packed_layers::open("float4_float8");
  const er::safetensors_tensor& weight = file.get("fp8_block.weight_f8");
  packed_layers::check(
      er::fp8_linear("q_proj", weight, file.get("fp8_block.weight_scale_inv"), 16, 16),
      file.get("fp8_block.weight"), "");
  std::vector<float> plain(weight.elements()), factors(48), expected(plain.size());
  er::decode_floats(weight, 0, plain);
  for (std::size_t r = 0; r < 48; ++r) factors[r] = 0.01f * static_cast<float>(r + 1);
  for (std::size_t i = 0; i < plain.size(); ++i) expected[i] = plain[i] * factors[i / 80];
  packed_layers::check(er::fp8_linear("q_proj", weight, tensor("s", f32, {48, 1}, factors)),
                       expected, "");
  for (std::size_t i = 0; i < plain.size(); ++i) expected[i] = plain[i] * 3;
  for (const std::vector<std::uint64_t>& shape : {std::vector<std::uint64_t>{}, {1}, {1, 1}}) {
    packed_layers::check(
        er::fp8_linear("q_proj", weight, tensor("s", f32, shape, std::vector<float>{3})), expected,
        "");
  }
}

TEST_CASE("float4, float8: what is not as it should be is refused by name") {
  const tensor weight("w", u8, {4, 16}), scale("s", f8_e4m3, {4, 2}), one("n", f32, {1});
  const auto refused = [](const tensor& w, const tensor& s, const tensor& n, er::nvfp4_scale use,
                          const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(er::nvfp4_linear("q_proj", w, s, n, use)),
                         doctest::Contains(sentence.c_str()), er::io_error);
  };
  refused(weight, scale, one, divisor, "'n' is F32 [1], expected a number that keeps the scales");
  refused(weight, scale, tensor("n", f32, {2}), divisor, "'n' is F32 [2], expected F32 [1]");
  refused(weight, tensor("s", f8_e4m3, {4, 1}), one, multiplier, "expected F8_E4M3 [4, 2]");
  refused(weight, tensor("s", u8, {4, 2}), one, multiplier, "'s' is U8 [4, 2], expected F8_E4M3");
  refused(tensor("w", u8, {4, 17}), scale, one, multiplier, "expected a multiple of 8 columns");
  refused(tensor("w", i8, {4, 16}), scale, one, multiplier, "'w' is I8 [4, 16], expected U8");
  tensor nan = scale;
  nan.put(3, std::uint8_t{0x7f});
  refused(weight, nan, one, multiplier, "'s': element 3 is nan");
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::mxfp4_linear("q_proj", weight, tensor("s", u8, {4, 2}))),
      doctest::Contains("'s' is U8 [4, 2], expected U8 or F8_E8M0 [4, 1]"), er::io_error);
  const tensor bytes("w", f8_e4m3, {4, 16});
  const auto refused8 = [&](const tensor& s, std::size_t block, const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(er::fp8_linear("q_proj", bytes, s, block, block)),
                         doctest::Contains(sentence.c_str()), er::io_error);
  };
  refused8(tensor("s", f32, {2, 4}), 0, "'s' is F32 [2, 4], expected F32 or BF16 or F16 [4, 1]");
  refused8(tensor("s", f32, {2, 4}), 4, "expected F32 or BF16 or F16 [1, 4]");
  refused8(tensor("s", f32, {2, 4}), SIZE_MAX, "expected F32 or BF16 or F16 [1, 1]");
  refused8(tensor("s", f32, {1, 4}, std::vector<float>{0, 0, INFINITY, 0}), 4, "element 2 is inf");
}

TEST_CASE("float4, float8: random layers are refused, or import to what they decode to") {
  packed_layers::check_random([](std::mt19937& random) {
    static tensor weight, scale, number;  // the layer's bytes are referred to
    const std::size_t rows = 1 + random() % 40, groups = 1 + random() % 5;
    const bool nv = random() % 2 == 0;
    weight = tensor("w", u8, {rows, (nv ? 8 : 16) * groups});
    scale = tensor("s", nv ? f8_e4m3 : u8, {rows, groups});
    number = tensor("n", f32, {1});
    for (tensor* const t : {&weight, &scale, &number}) t->fill(random);
    // Exponents of ordinary size, and sometimes a scale that is NaN.
    for (std::byte& byte : scale.bytes) byte &= nv ? std::byte{0xf7} : std::byte{0x7f};
    if (random() % 8 == 0) scale.bytes[0] = nv ? std::byte{0x7f} : std::byte{0xff};
    return nv ? er::nvfp4_linear("w", weight, scale, number,
                                 random() % 2 == 0 ? divisor : multiplier)
              : er::mxfp4_linear("w", weight, scale);
  });
}

TEST_SUITE_END();
