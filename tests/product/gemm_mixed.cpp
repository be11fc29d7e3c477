// SPDX-License-Identifier: Apache-2.0
/// Products of matrices of two precisions are the sums over their groups by hand, for every map.
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "support/operands.hpp"
#include "support/oracle.hpp"
#include "support/samples.hpp"
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemm");

namespace {

using sizes = std::initializer_list<std::size_t>;

template <class Policy>
void quantize(std::span<const float> group, oracle::weights& w) {
  const float scale = Policy{}.scale(group);
  for (const float value : group) w.levels.push_back(Policy::level(value, scale));
  w.scales.push_back(typename Policy::scale_type(scale));
}

/// Levels and stored scales, group by group as the mask says.
template <class High, class Low>
oracle::weights by_hand(const er::matrix_view<const float>& weights,
                        const std::vector<std::uint8_t>& mask) {
  oracle::weights w;
  w.rows = weights.rows;
  w.cols = weights.cols;
  w.group_cols = High::granularity::group == 0 ? weights.cols : High::granularity::group;
  w.groups = mask.size() / weights.rows;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const std::size_t begin = i % w.groups * w.group_cols;
    const auto group =
        weights.row(i / w.groups).subspan(begin, std::min(w.group_cols, w.cols - begin));
    mask[i] != 0 ? quantize<High>(group, w) : quantize<Low>(group, w);
  }
  return w;
}

template <class Granularity, class Map>
void check_map(std::size_t rows, std::size_t cols, const Map& map, std::mt19937& random) {
  using high = er::int4<Granularity, er::bfloat16>;
  using low = er::ternary<Granularity>;
  const std::vector<float> values = samples::draw(samples::kind::normal, rows * cols, random);
  const er::matrix_view<const float> weights{values.data(), rows, cols};
  const oracle::weights expected =
      by_hand<high, low>(weights, er::precision_mask<Granularity>(weights, map));
  const er::mixed_matrix w = er::pack_mixed<high, low>(weights, map);
  const er::mixed_matrix base3 =
      er::pack_mixed<high, low, er::codecs::int4, er::codecs::ternary5>(weights, map);
  const er::mixed_matrix two_planes =
      er::pack_mixed<high, low, er::codecs::int6, er::codecs::int3>(weights, map);

  const std::size_t tokens = 6;
  const er::packed_activations x8 =
      operands::draw_activations(cols, w.group_cols(), tokens, operands::codes::random, random);
  const std::vector<float> x = samples::draw(samples::kind::uniform, tokens * cols, random);
  std::size_t wrong = 0;
  for (const er::kernel& k : er::available_kernels()) {
    for (const er::mixed_matrix* matrix : {&w, &base3, &two_planes}) {
      std::vector<float> y8(tokens * rows, -3.0f), y(tokens * rows, -3.0f);
      er::gemm(*matrix, x8.view(), er::matrix_view<float>{y8.data(), tokens, rows}, {.kernel = &k});
      er::gemm(*matrix, er::unquantized{er::matrix_view<const float>{x.data(), tokens, cols}},
               er::matrix_view<float>{y.data(), tokens, rows}, {.kernel = &k});
      for (std::size_t t = 0; t < tokens; ++t) {
        wrong += samples::count_differences(std::span{y8}.subspan(t * rows, rows),
                                            oracle::product(expected, x8.view(), t));
        wrong += samples::count_differences(
            std::span{y}.subspan(t * rows, rows),
            oracle::product(expected, std::span{x}.subspan(t * cols, cols)));
      }
    }
  }
  std::vector<float> row(cols);
  for (std::size_t r = 0; r < rows; ++r) {
    er::look_up_row(w, r, row);
    for (std::size_t c = 0; c < cols; ++c) {
      const float scale = expected.scales[r * expected.groups + c / expected.group_cols];
      wrong += !samples::same(row[c], static_cast<float>(expected.levels[r * cols + c]) * scale);
    }
  }
  CAPTURE(rows);
  CAPTURE(cols);
  CHECK(wrong == 0);
}

template <class Granularity>
void check_maps(std::mt19937& random) {
  for (const std::size_t rows : sizes{1, 9, 40}) {
    for (const std::size_t cols : sizes{7, 64, 150}) {
      check_map<Granularity>(rows, cols, er::every_nth_row{8}, random);
      check_map<Granularity>(rows, cols, er::every_nth_row{2}, random);
      check_map<Granularity>(rows, cols, er::rows_modulo{8, 4}, random);
      check_map<Granularity>(rows, cols, er::leading_columns{0.4}, random);
      check_map<Granularity>(rows, cols, er::leading_blocks{0.3}, random);
      check_map<Granularity>(rows, cols, er::leading_blocks_of_hundred{0.2}, random);
      check_map<Granularity>(rows, cols, er::largest_variance{0.5}, random);
    }
  }
}

}  // namespace

TEST_CASE("mixed product: the sum over its groups, for every map") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  check_maps<er::per_group<32>>(random);
  check_maps<er::per_group<20>>(random);
  check_maps<er::per_channel>(random);
}

TEST_SUITE_END();
