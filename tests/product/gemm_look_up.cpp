// SPDX-License-Identifier: Apache-2.0
/// Several tokens with ternary codes, where some kernels look products up: the bits of one token
/// after another by the reference implementation, for every kernel, group and number of tokens
/// around the switch.
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "product/executors.hpp"
#include "support/operands.hpp"
#include "support/samples.hpp"
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/product/fused.hpp>
#include <edgerazor/product/gemv.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemm");

namespace {

using sizes = std::initializer_list<std::size_t>;

std::vector<er::code_type> ternary_codes() {
  std::vector<er::code_type> codes;
  for (const er::codec_info& codec : er::codec_list)
    if (codec.zero_code == 1 && codec.max_code == 2) codes.push_back(codec.type);
  return codes;
}

/// Token after token, by the reference implementation.
std::vector<float> one_by_one(const er::weight_ref& w, const er::activation_view& x) {
  const auto scalar = er::find_kernel("scalar");
  std::vector<float> y(x.tokens * w.rows());
  for (std::size_t t = 0; t < x.tokens; ++t) {
    er::gemv(w, x.tokens_between(t, t + 1), std::span{y}.subspan(t * w.rows(), w.rows()),
             {.kernel = scalar});
  }
  return y;
}

/// Elements of the products of the first `tokens` tokens, by every kernel, that differ.
std::size_t count_wrong(const er::weight_ref& w, const er::activation_view& x,
                        const std::vector<float>& expected, std::size_t tokens,
                        er::row_range range) {
  std::size_t wrong = 0;
  const std::size_t stride = w.rows() + 3;
  for (const er::kernel& k : er::available_kernels()) {
    std::vector<float> y(tokens * stride, -3.0f), right = y;
    er::gemm(w, x.tokens_between(0, tokens),
             er::matrix_view<float>{y.data(), tokens, w.rows(), stride},
             {.rows = range, .kernel = &k});
    for (std::size_t t = 0; t < tokens; ++t) {
      std::copy_n(expected.data() + t * w.rows() + range.begin, range.size(),
                  right.data() + t * stride + range.begin);
    }
    wrong += samples::count_differences(y, right);
  }
  return wrong;
}

}  // namespace

TEST_CASE("product: ternary codes, any number of tokens about the look-up's") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const er::code_type code : ternary_codes()) {
    for (const std::uint32_t group : {32u, 64u, 96u, 252u, 256u, 260u, 512u, 0u, 4u}) {
      const std::size_t cols = i % 3 == 0   ? 512
                               : i % 3 == 1 ? 301
                                            : 130,
                        rows = i % 2 == 0 ? 144 : 277;
      const er::format fmt{code, group};
      const er::tile_layout layout(fmt, rows, cols);
      // Codes that no packer writes, and activations whose sum no 16 bits hold.
      const operands::content what =
          i % 4 == 3 ? operands::content::any_bytes
                     : operands::all_contents[1 + i % (operands::all_contents.size() - 1)];
      const operands::codes codes = i % 2 == 0
                                        ? operands::codes::random
                                        : operands::all_codes[i / 2 % operands::all_codes.size()];
      const std::vector<std::byte> bytes = operands::draw_matrix(layout, what, random);
      const er::packed_view w(layout, bytes);
      er::packed_activations x =
          operands::draw_activations(cols, group == 0 ? cols : group, 33, codes, random);
      if (i % 5 == 0) x.scales(5)[0] = i % 2 == 0 ? NAN : INFINITY;
      const std::vector<float> expected = one_by_one(w, x.view());
      CAPTURE(fmt.name());
      CAPTURE(rows);
      CAPTURE(cols);
      for (const std::size_t tokens : sizes{1, 7, 8, 9, 11, 12, 15, 16, 17, 28, 33}) {
        CAPTURE(tokens);
        CHECK(count_wrong(w, x.view(), expected, tokens, {0, rows}) == 0);
      }
      CHECK(count_wrong(w, x.view(), expected, 16, {3, rows - 2}) == 0);
      ++i;
    }
  }
}

TEST_CASE("product: 256 products of -1 and -128 are one too many for 16 bits") {
  std::mt19937 random(1);
  for (const er::code_type code : ternary_codes()) {
    const er::tile_layout layout({code, 256}, 128, 600);
    const std::vector<std::byte> bytes =
        operands::draw_matrix(layout, operands::content::minimal, random);
    const er::packed_view w(layout, bytes);
    const er::packed_activations x =
        operands::draw_activations(600, 256, 16, operands::codes::smallest, random);
    CAPTURE(layout.fmt().name());
    CHECK(count_wrong(w, x.view(), one_by_one(w, x.view()), 16, {0, 128}) == 0);
  }
}

TEST_CASE("product: rows of a mixed matrix by look-up") {
  std::mt19937 random(2);
  for (const char* name :
       {"int4_g32+ternary5_g32:rows_4_of_8", "int4_g64+ternary2_g64:every_8_rows"}) {
    const std::size_t rows = 330, cols = 200;
    const std::vector<float> values = samples::draw(samples::kind::normal, rows * cols, random);
    const er::any_matrix w = er::any_matrix::pack(
        *er::matrix_format::parse(name), er::matrix_view<const float>{values.data(), rows, cols});
    const er::packed_activations x =
        operands::draw_activations(cols, w.group_cols(), 18, operands::codes::random, random);
    const std::vector<float> expected = one_by_one(w, x.view());
    CAPTURE(name);
    CHECK(count_wrong(w, x.view(), expected, 18, {0, rows}) == 0);
    CHECK(count_wrong(w, x.view(), expected, 16, {5, 309}) == 0);
  }
}

TEST_CASE("product: products that are looked up, cut by an executor into rows and tokens") {
  std::mt19937 random(3);
  for (const char* name : {"ternary5_g64", "int4_g64+ternary2_g64:every_8_rows"}) {
    const std::size_t rows = 700, cols = 150, tokens = 150;
    const auto pack = [&](std::size_t count) {
      const std::vector<float> values = samples::draw(samples::kind::normal, count * cols, random);
      return er::any_matrix::pack(*er::matrix_format::parse(name),
                                  er::matrix_view<const float>{values.data(), count, cols});
    };
    const er::any_matrix gate = pack(rows), up = pack(rows), small = pack(160);
    const er::packed_activations x = operands::draw_activations(cols, gate.group_cols(), tokens,
                                                                operands::codes::random, random);
    const auto out = [&](std::vector<float>& y, std::size_t count) {
      y.assign(tokens * count, -3.0f);
      return er::matrix_view<float>{y.data(), tokens, count};
    };
    std::vector<float> expected, expected_small, gated, y, of_small;
    const auto scalar = er::find_kernel("scalar");
    er::gemm(gate, x.view(), out(expected, rows), {.kernel = scalar});
    er::gemm(small, x.view(), out(expected_small, 160), {.kernel = scalar});
    er::gemm_gated(gate, up, x.view(), out(gated, rows), {.kernel = scalar});
    const executors::threads executor{3};
    for (const er::kernel& k : er::available_kernels()) {
      CAPTURE(name);
      CAPTURE(k.name);
      er::gemm(gate, x.view(), out(y, rows), {.kernel = &k, .executor = executor});
      CHECK(samples::count_differences(y, expected) == 0);
      const er::fused_product both[] = {{gate, out(y, rows)}, {small, out(of_small, 160)}};
      er::gemm_fused(both, x.view(), {.kernel = &k, .executor = executor});
      CHECK(samples::count_differences(y, expected) == 0);
      CHECK(samples::count_differences(of_small, expected_small) == 0);
      er::gemm_gated(gate, up, x.view(), out(y, rows), {.kernel = &k, .executor = executor});
      CHECK(samples::count_differences(y, gated) == 0);
      er::gemm_gated(gate, up, x.view(), out(y, rows), {.kernel = &k});
      CHECK(samples::count_differences(y, gated) == 0);
    }
  }
}

TEST_SUITE_END();
