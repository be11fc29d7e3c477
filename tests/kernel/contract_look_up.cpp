// SPDX-License-Identifier: Apache-2.0
/// The functions of a kernel's table that look products up, one by one: against plain loops, with
/// every array between pages that can't be touched.
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "support/guarded.hpp"
#include "support/operands.hpp"
#include "support/samples.hpp"
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("kernel/contract");

namespace {

using sizes = std::initializer_list<std::size_t>;

std::vector<er::kernel> with_look_up() {
  std::vector<er::kernel> result;
  for (const er::kernel& k : er::available_kernels())
    if (k.functions->look_up) result.push_back(k);
  return result;
}

std::vector<std::uint8_t> draw_panel(std::size_t slots, std::mt19937& random) {
  std::vector<std::uint8_t> panel(64 * slots);
  for (std::uint8_t& code : panel) code = static_cast<std::uint8_t>(random() % 3);
  return panel;
}
std::size_t units_to_fours(std::size_t slots) { return ((4 * slots + 2) / 3 + 3) / 4 * 4; }
std::vector<std::uint8_t> indices_of(const std::vector<std::uint8_t>& panel, std::size_t slots) {
  std::vector<std::uint8_t> indices(16 * units_to_fours(slots));
  for (std::size_t c = 0; c < 4 * slots; ++c) {
    for (std::size_t r = 0; r < 16; ++r) {
      const int weight = c % 3 == 0 ? 4 : c % 3 == 1 ? 12 : 36;
      indices[16 * (c / 3) + r] = static_cast<std::uint8_t>(
          indices[16 * (c / 3) + r] + weight * panel[64 * (c / 4) + 4 * r + c % 4]);
    }
  }
  return indices;
}

}  // namespace

TEST_CASE("kernel: look_up.indices") {
  std::mt19937 random(1);
  for (const er::kernel& k : with_look_up()) {
    CAPTURE(k.name);
    for (const std::size_t slots : sizes{1, 2, 3, 4, 5, 6, 8, 16, 17, 24, 63, 64}) {
      CAPTURE(slots);
      std::vector<std::uint8_t> panel = draw_panel(slots, random);
      const std::vector<std::uint8_t> expected = indices_of(panel, slots);
      const guarded::edge edge = slots % 2 == 0 ? guarded::edge::begin : guarded::edge::end;
      const guarded::array<std::uint8_t> codes(panel, edge);
      const guarded::array<std::uint8_t> indices(std::vector<std::uint8_t>(expected.size(), 9),
                                                 edge);
      CHECK(k.functions->look_up.indices(codes.data(), slots, indices.data()));
      CHECK(indices.copy() == expected);
      // One code that is none, anywhere.
      for (const std::uint8_t wrong : {std::uint8_t{3}, std::uint8_t{255}}) {
        codes.data()[random() % panel.size()] = wrong;
        CHECK_FALSE(k.functions->look_up.indices(codes.data(), slots, indices.data()));
        std::copy(panel.begin(), panel.end(), codes.data());
      }
    }
  }
}

TEST_CASE("kernel: look_up.sums, modulo 2^16") {
  std::mt19937 random(2);
  std::size_t i = 0;
  for (const er::kernel& k : with_look_up()) {
    CAPTURE(k.name);
    for (const std::size_t slots : sizes{1, 2, 3, 4, 5, 6, 8, 11, 12, 13, 16, 17, 24, 32, 63, 64}) {
      for (const std::size_t tokens : sizes{1, 7, 15, 16}) {
        CAPTURE(slots);
        CAPTURE(tokens);
        const std::size_t tiles = 1 + i % 3, stride = 4 * slots + i % 40,
                          tile_stride = 16 * units_to_fours(slots) + i % 2 * 32;
        const operands::codes what = operands::all_codes[i % operands::all_codes.size()];
        std::vector<std::int8_t> x((tokens - 1) * stride + 4 * slots);
        for (std::size_t c = 0; c < x.size(); ++c)
          x[c] = operands::draw_code(what, c, x.size() / 2, random);
        std::vector<std::uint8_t> indices;
        std::vector<std::int16_t> expected(256 * tiles);
        for (std::size_t tile = 0; tile < tiles; ++tile) {
          std::vector<std::uint8_t> panel = draw_panel(slots, random);
          if (i % 7 == 0) std::fill(panel.begin(), panel.end(), std::uint8_t{0});
          for (std::size_t t = 0; t < tokens; ++t) {
            for (std::size_t r = 0; r < 16; ++r) {
              int sum = 0;
              for (std::size_t c = 0; c < 4 * slots; ++c)
                sum += (panel[64 * (c / 4) + 4 * r + c % 4] - 1) * x[t * stride + c];
              expected[256 * tile + 16 * t + r] = static_cast<std::int16_t>(sum);
            }
          }
          const std::vector<std::uint8_t> some = indices_of(panel, slots);
          indices.insert(indices.end(), some.begin(), some.end());
          if (tile + 1 < tiles) indices.resize((tile + 1) * tile_stride);
        }
        const guarded::edge edge = i % 2 == 0 ? guarded::edge::begin : guarded::edge::end;
        const guarded::array<std::uint8_t> rows(indices, edge);
        const guarded::array<std::int8_t> columns(x, edge);
        const guarded::array<std::int16_t> sums(std::vector<std::int16_t>(expected.size(), 77),
                                                edge);
        k.functions->look_up.sums(
            {.indices = rows.data(), .tile_stride = tile_stride, .tiles = tiles, .slots = slots},
            columns.data(), stride, tokens, sums.data());
        CHECK(sums.copy() == expected);
        ++i;
      }
    }
  }
}

TEST_CASE("kernel: look_up.scale, groups in order") {
  std::mt19937 random(3);
  std::size_t i = 0;
  for (const er::kernel& k : with_look_up()) {
    CAPTURE(k.name);
    for (const std::size_t tokens : sizes{1, 5, 16}) {
      for (const std::size_t tiles : sizes{1, 2, 5}) {
        for (const std::size_t groups : sizes{1, 2, 3}) {
          const std::size_t stride = 16 * tiles + i % 20, group_stride = groups + i % 3;
          std::vector<std::int16_t> sums(groups * tiles * 256);
          for (std::int16_t& sum : sums) sum = static_cast<std::int16_t>(random());
          const std::vector<float> scales = operands::draw_reals(groups * tiles * 16, i, random),
                                   x_scales = operands::draw_reals(
                                       (tokens - 1) * group_stride + groups, i / 2, random);
          std::vector<float> y = operands::draw_reals((tokens - 1) * stride + 16 * tiles, i / 3,
                                                      random),
                             expected = y;
          for (std::size_t n = 0; n < tokens * tiles * 16; ++n) {
            const std::size_t t = n / (tiles * 16), row = n % (tiles * 16);
            for (std::size_t g = 0; g < groups; ++g) {
              const float sum = sums[256 * (g * tiles + row / 16) + 16 * t + row % 16],
                          scale = scales[16 * g * tiles + row] * x_scales[t * group_stride + g];
              expected[t * stride + row] = std::fma(sum, scale, expected[t * stride + row]);
            }
          }
          const guarded::edge edge = i % 2 == 0 ? guarded::edge::begin : guarded::edge::end;
          const guarded::array<std::int16_t> all(sums, edge);
          const guarded::array<float> of_rows(scales, edge), of_tokens(x_scales, edge);
          const guarded::array<float> out(y, edge);
          k.functions->look_up.scale({.sums = all.data(),
                                      .sums_step = 256 * tiles,
                                      .scales = of_rows.data(),
                                      .scales_step = 16 * tiles,
                                      .groups = groups,
                                      .tiles = tiles},
                                     of_tokens.data(), group_stride, tokens, out.data(), stride);
          CAPTURE(tokens);
          CAPTURE(tiles);
          CAPTURE(groups);
          CHECK(samples::count_differences(out.span(), expected) == 0);
          ++i;
        }
      }
    }
  }
}

TEST_SUITE_END();
