// SPDX-License-Identifier: Apache-2.0
/// Packing at two precisions is fake quantization at two precisions, for every map.
#include <cstddef>
#include <initializer_list>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/lloyd_max.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/pack_mixed");

namespace {

using sizes = std::initializer_list<std::size_t>;

template <class Granularity>
using high_of = er::int4<Granularity, float>;
template <class Granularity>
using low_of = er::ternary<Granularity, float>;

std::vector<float> dequantized(const er::mixed_matrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.cols(), -9.0f);
  er::dequantize(matrix, er::matrix_view<float>{values.data(), matrix.rows(), matrix.cols()});
  return values;
}

template <class Granularity, class Map>
std::size_t count_wrong(const er::matrix_view<const float>& weights, const Map& map) {
  using high = high_of<Granularity>;
  using low = low_of<Granularity>;
  std::vector<float> expected(weights.rows * weights.cols);
  er::fake_quantize_mixed<high, low>(
      weights, er::matrix_view<float>{expected.data(), weights.rows, weights.cols}, map);
  const er::mixed_matrix packed = er::pack_mixed<high, low>(weights, map);
  std::size_t wrong = samples::count_differences(dequantized(packed), expected);
  const er::mixed_matrix base3 =
      er::pack_mixed<high, low, er::codecs::int8, er::codecs::ternary5>(weights, map);
  wrong += samples::count_differences(dequantized(base3), expected);
  using table = er::lloyd_max<Granularity, float>;
  er::fake_quantize_mixed<table, low>(
      weights, er::matrix_view<float>{expected.data(), weights.rows, weights.cols}, map);
  wrong +=
      samples::count_differences(dequantized(er::pack_mixed<table, low>(weights, map)), expected);
  er::fake_quantize_mixed<high, table>(
      weights, er::matrix_view<float>{expected.data(), weights.rows, weights.cols}, map);
  wrong +=
      samples::count_differences(dequantized(er::pack_mixed<high, table>(weights, map)), expected);
  er::fake_quantize_mixed<high, low>(
      weights, er::matrix_view<float>{expected.data(), weights.rows, weights.cols}, map);
  // The bytes alone, with formats and shape, are the matrix.
  const er::mixed_matrix again = er::mixed_matrix::from_bytes(
      packed.high(), packed.low(), packed.rows(), packed.cols(), packed.bytes());
  return wrong + samples::count_differences(dequantized(again), expected);
}

template <class Granularity>
void check_all_maps(std::mt19937& random) {
  std::size_t i = 0;
  for (const std::size_t rows : sizes{1, 7, 16, 33}) {
    for (const std::size_t cols : sizes{3, 64, 100, 257}) {
      CAPTURE(rows);
      CAPTURE(cols);
      const std::vector<float> w = samples::draw(samples::nth_kind(i++), rows * cols, random);
      const er::matrix_view<const float> weights{w.data(), rows, cols};
      for (const std::size_t n : sizes{0, 1, 2, 8})
        CHECK(count_wrong<Granularity>(weights, er::every_nth_row{n}) == 0);
      CHECK(count_wrong<Granularity>(weights, er::rows_modulo{8, 4}) == 0);
      for (const double p : {0.0, 0.125, 0.5, 1.0}) {
        CHECK(count_wrong<Granularity>(weights, er::leading_columns{p}) == 0);
        CHECK(count_wrong<Granularity>(weights, er::leading_blocks{p}) == 0);
        CHECK(count_wrong<Granularity>(weights, er::leading_blocks_of_hundred{p}) == 0);
        CHECK(count_wrong<Granularity>(weights, er::largest_variance{p}) == 0);
      }
    }
  }
}

}  // namespace

TEST_CASE("mixed matrix: dequantize is fake_quantize_mixed, for every map, group and shape") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  check_all_maps<er::per_group<32>>(random);
  check_all_maps<er::per_group<4>>(random);
  check_all_maps<er::per_group<20>>(random);
  check_all_maps<er::per_channel>(random);
}

TEST_SUITE_END();
