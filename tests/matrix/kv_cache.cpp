// SPDX-License-Identifier: Apache-2.0
/// The key/value cache holds what EdgeRazor (Python)'s int8 state quantizer gives.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include "support/samples.hpp"
#include "support/tile_places.hpp"
#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/kv_cache");

namespace {

using sizes = std::initializer_list<std::size_t>;

std::vector<float> keys_of(const er::kv_cache& cache, std::size_t head) {
  std::vector<float> values(cache.max_positions() * cache.head_size());
  er::dequantize(cache.keys(head),
                 er::matrix_view<float>{values.data(), cache.max_positions(), cache.head_size()});
  values.resize(cache.size() * cache.head_size());
  return values;
}

std::vector<float> values_of(const er::kv_cache& cache, std::size_t head) {
  std::vector<float> values;
  for (std::size_t t = 0; t < cache.size(); ++t) {
    for (std::size_t c = 0; c < cache.head_size(); ++c) {
      values.push_back(static_cast<float>(cache.values(head)[t * cache.head_size() + c]) *
                       cache.value_scales(head)[t * cache.groups() + c / cache.group_cols()]);
    }
  }
  return values;
}

/// Rows of `states` are positions of all heads; the policy gives what the cache must hold.
template <class Policy>
void check_appended(std::size_t heads, std::size_t head_size, std::uint32_t group,
                    std::mt19937& random) {
  CAPTURE(heads);
  CAPTURE(head_size);
  CAPTURE(group);
  const std::size_t positions = 19;
  er::kv_cache cache(heads, head_size, positions, group);
  std::vector<float> keys =
      samples::draw(samples::kind::outliers, positions * heads * head_size, random);
  std::vector<float> values = samples::draw(samples::kind::uniform, keys.size(), random);
  for (const std::size_t zeroed : sizes{3, 16}) {  // a position of nothing: the smallest scale
    std::fill_n(keys.begin() + static_cast<std::ptrdiff_t>(zeroed * heads * head_size),
                heads * head_size, 0.0f);
  }
  for (std::size_t t = 0; t < positions; ++t) {
    CHECK(cache.size() == t);
    cache.append(std::span{keys}.subspan(t * heads * head_size, heads * head_size),
                 std::span{values}.subspan(t * heads * head_size, heads * head_size));
  }
  // One row a head and position, so that groups are the head's.
  const auto quantized = [&](const std::vector<float>& states) {
    std::vector<float> result(states.size());
    er::fake_quantize<Policy>(
        er::matrix_view<const float>{states.data(), positions * heads, head_size},
        er::matrix_view<float>{result.data(), positions * heads, head_size});
    return result;
  };
  const std::vector<float> expected_keys = quantized(keys), expected_values = quantized(values);
  std::size_t wrong = 0;
  for (std::size_t h = 0; h < heads; ++h) {
    const std::vector<float> held_keys = keys_of(cache, h), held_values = values_of(cache, h);
    for (std::size_t t = 0; t < positions; ++t) {
      for (std::size_t c = 0; c < head_size; ++c) {
        const std::size_t from = (t * heads + h) * head_size + c, at = t * head_size + c;
        wrong += !samples::same(held_keys[at], expected_keys[from]) ||
                 !samples::same(held_values[at], expected_values[from]);
      }
    }
    CHECK(tile_places::matrix(cache.keys(h).layout().fmt(), positions, head_size,
                              cache.keys(h).bytes())
              .padding_is_zero);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("kv_cache: EdgeRazor (Python)'s golden cases of int8 states") {
  std::size_t cases = 0;
  const nlohmann::json all = golden::load("quantizers.json").at("cases");
  for (const nlohmann::json& item : all) {
    const std::string function = item.at("function");
    if (function != "state_quant_uniform_symmetric_absmax_per_block_int8") continue;
    const auto shape = item.at("shape").get<std::vector<std::size_t>>();
    const std::size_t block = item.at("args").at("block_size"), cols = shape.back();
    if (cols % block != 0)
      continue;  // there EdgeRazor (Python)'s blocks run over row ends, which no cache does
    const std::vector<float> input = golden::floats(item.at("input")),
                             output = golden::floats(item.at("output"));
    const std::size_t rows = input.size() / cols;
    er::kv_cache cache(1, cols, rows, static_cast<std::uint32_t>(block));
    for (std::size_t t = 0; t < rows; ++t) {
      cache.append(std::span{input}.subspan(t * cols, cols),
                   std::span{input}.subspan(t * cols, cols));
    }
    CHECK(keys_of(cache, 0) == output);
    CHECK(values_of(cache, 0) == output);
    ++cases;
  }
  CHECK(cases == 10);
}

TEST_CASE("kv_cache: several heads, any head size, whole heads and groups") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t head_size : sizes{1, 20, 64, 80, 100, 128}) {
    check_appended<er::int8<er::per_channel, float>>(1, head_size, 0, random);
    check_appended<er::int8<er::per_channel, float>>(3, head_size, 0, random);
    check_appended<er::int8<er::per_group<64>, float>>(2, head_size, 64, random);
    check_appended<er::int8<er::per_group<32>, float>>(5, head_size, 32, random);
  }
}

TEST_CASE("kv_cache: truncated, filled again, full, moved") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::vector<float> states = samples::draw(samples::kind::normal, 5 * 2 * 36, random);
  const auto position = [&](std::size_t t) { return std::span{states}.subspan(t * 72, 72); };
  er::kv_cache cache(2, 36, 4), again(2, 36, 4);
  for (const std::size_t t : sizes{0, 1, 2, 3}) cache.append(position(t), position(3 - t));
  CHECK_THROWS_WITH_AS(cache.append(position(4), position(4)),
                       "kv_cache: all 4 positions are in use", std::invalid_argument);
  cache.truncate(9);
  CHECK(cache.size() == 4);
  cache.truncate(1);
  CHECK(cache.size() == 1);
  for (const std::size_t t : sizes{4, 2}) cache.append(position(t), position(t));
  again.append(position(0), position(3));
  again.append(position(4), position(4));
  again.append(position(2), position(2));
  const er::kv_cache moved = std::move(cache);
  for (const std::size_t h : sizes{0, 1}) {
    CHECK(keys_of(moved, h) == keys_of(again, h));
    CHECK(values_of(moved, h) == values_of(again, h));
  }
  CHECK(moved.bytes() ==
        2 * (er::packed_bytes({er::code_type::int8, 0, er::scale_kind::float32}, 4, 36) + 4 * 36 +
             4 * 4));
}

TEST_CASE("kv_cache: what is refused") {
  using error = std::invalid_argument;
  CHECK_THROWS_WITH_AS(er::kv_cache(0, 64, 10), "kv_cache: expected at least one head", error);
  CHECK_THROWS_AS(er::kv_cache(1, 0, 10), error);
  CHECK_THROWS_AS(er::kv_cache(1, 64, 0), error);
  CHECK_THROWS_AS(er::kv_cache(1, 64, 10, 6), error);
  er::kv_cache cache(2, 64, 10);
  const std::vector<float> states(129);
  CHECK_THROWS_WITH_AS(cache.append(std::span{states}.first(128), states),
                       "kv_cache: expected 128 keys and values a position, got 128 and 129", error);
  CHECK_THROWS_AS(cache.append({}, std::span{states}.first(128)), error);
  CHECK(cache.size() == 0);
}

TEST_CASE(
    "kv_cache: sizes that wrap and groups that are none are refused, and a moved one is empty") {
  using error = std::invalid_argument;
  constexpr std::size_t huge = std::size_t{1} << 60;
  CHECK_THROWS_AS(er::kv_cache(huge, 64, 16), error);
  CHECK_THROWS_AS(er::kv_cache(std::size_t{1} << 48, 64, 1024), error);
  CHECK_THROWS_WITH_AS(er::kv_cache(1, 64, 16, (std::size_t{1} << 32) + 4),
                       "packed matrix: expected at most 65536 columns a group, got 4294967300",
                       error);
  er::kv_cache cache(2, 8, 4);
  const std::vector<float> one(16, 1.0f);
  cache.append(one, one);
  er::kv_cache taken{std::move(cache)};
  CHECK(taken.size() == 1);
  CHECK(cache.size() == 0);  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(cache.kv_heads() == 0);
  CHECK(cache.head_size() == 0);
  CHECK(cache.max_positions() == 0);
  CHECK(cache.bytes() == 0);
  CHECK_THROWS_AS(cache.append(one, one), error);
  CHECK_THROWS_AS(cache.append({}, {}), error);
  er::kv_cache another(1, 4, 1);
  another = std::move(taken);
  CHECK(another.kv_heads() == 2);
  CHECK(taken.size() == 0);
}

TEST_CASE("a cache moved onto itself stays as it was") {
  const std::vector<float> both(16, 1.0f);
  er::kv_cache cache(2, 8, 4);
  cache.append(both, both);
  auto& again = cache;
  cache = std::move(again);
  CHECK(cache.size() == 1);
  CHECK(cache.kv_heads() == 2);
  cache.append(both, both);
  CHECK(cache.size() == 2);
}

TEST_SUITE_END();
