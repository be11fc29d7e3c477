// SPDX-License-Identifier: Apache-2.0
/// Fake quantization of states: activations as `quantize_activations` stores them, keys and values
/// as `kv_cache` does, bit for bit.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/policy_data.hpp"
#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;
using policy_data::random_values;
using policy_data::view;

namespace {

std::string sentence_of(const auto& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_SUITE_BEGIN("policy/fake_quantize");

TEST_CASE(
    "activations: level * scale of quantize_activations, per group and per token, by every "
    "kernel") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t tokens = 5;
  for (const std::size_t cols : std::initializer_list<std::size_t>{1, 64, 100, 576}) {
    std::vector<float> x = random_values(tokens * cols, seed);
    std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(2 * cols), cols, 0.0f);  // a token of zeros
    for (std::size_t c = 0; c < cols; ++c) x[3 * cols + c] *= 1e-7f;  // one below epsilon
    for (const std::size_t group :
         {std::size_t{0}, std::size_t{32}, std::size_t{64}, std::size_t{100}}) {
      for (const er::activation_scales of :
           {er::activation_scales::of_groups, er::activation_scales::of_token}) {
        for (const er::kernel& kernel : er::available_kernels()) {
          CAPTURE(cols);
          CAPTURE(group);
          er::packed_activations packed(cols, group, tokens);
          er::quantize_activations(view(x, tokens, cols), packed,
                                   {.scales = of, .kernel = &kernel});
          const bool whole_row = of == er::activation_scales::of_token;
          std::vector<float> result(x.size());
          er::fake_quantize<er::int8<>>(view(x, tokens, cols),
                                        er::matrix_view<float>{result.data(), tokens, cols}, {},
                                        {.group = whole_row ? 0 : group});
          for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t c = 0; c < cols; ++c) {
              const float scale = packed.scales(t)[c / packed.group_cols()];
              CHECK(result[t * cols + c] == static_cast<float>(packed.codes(t)[c]) * scale);
            }
        }
      }
    }
  }
}

TEST_CASE("keys and values: level * scale of kv_cache, whole heads and groups of a head") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t heads = 3, head_size = 40, positions = 7, cols = heads * head_size;
  const std::vector<float> keys = random_values(positions * cols, seed),
                           values = random_values(positions * cols, seed);
  for (const std::uint32_t group : {0u, 8u, 16u}) {  // 16 leaves a last group of 8
    CAPTURE(group);
    er::kv_cache cache(heads, head_size, positions, group);
    for (std::size_t p = 0; p < positions; ++p)
      cache.append(std::span{keys}.subspan(p * cols, cols),
                   std::span{values}.subspan(p * cols, cols));

    std::vector<float> by_head(keys.size()), by_token(keys.size());
    er::fake_quantize<er::int8<>>(
        view(values, positions * heads, head_size),
        er::matrix_view<float>{by_head.data(), positions * heads, head_size}, {}, {.group = group});
    std::vector<float> key_rows(positions * head_size), expected_keys(keys.size());
    for (std::size_t h = 0; h < heads; ++h) {
      er::dequantize(cache.keys(h), er::matrix_view<float>{key_rows.data(), positions, head_size});
      for (std::size_t p = 0; p < positions; ++p)
        for (std::size_t c = 0; c < head_size; ++c) {
          expected_keys[p * cols + h * head_size + c] = key_rows[p * head_size + c];
          const float scale = cache.value_scales(h)[p * cache.groups() + c / cache.group_cols()];
          CHECK(by_head[p * cols + h * head_size + c] ==
                static_cast<float>(cache.values(h)[p * head_size + c]) * scale);
        }
    }
    er::fake_quantize<er::int8<>>(
        view(keys, positions * heads, head_size),
        er::matrix_view<float>{by_head.data(), positions * heads, head_size}, {}, {.group = group});
    CHECK(by_head == expected_keys);
    if (head_size % (group == 0 ? head_size : group) == 0) {
      er::fake_quantize<er::int8<>>(view(keys, positions, cols),
                                    er::matrix_view<float>{by_token.data(), positions, cols}, {},
                                    {.group = group == 0 ? head_size : group});
      CHECK(by_token == expected_keys);
    }
  }
}

TEST_CASE("activations: NaN is named") {
  std::vector<float> x(12, 1.0f), out(12, -77.0f);
  x[11] = std::numeric_limits<float>::quiet_NaN();
  CHECK(sentence_of([&] {
          er::fake_quantize<er::int8<>>(view(x, 3, 4), er::matrix_view<float>{out.data(), 3, 4}, {},
                                        {.group = 2});
        }) == "value at row 2, column 3 is NaN: expected finite values");
  CHECK(out == std::vector<float>(12, -77.0f));
}

TEST_SUITE_END();
