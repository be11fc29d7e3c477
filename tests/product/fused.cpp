// SPDX-License-Identifier: Apache-2.0
/// Products that share activations, and the gated product: the bits of doing it one by one.
#include <array>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <random>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "product/executors.hpp"
#include "support/allocation_count.hpp"
#include "support/samples.hpp"
#include <edgerazor/product/fused.hpp>
#include <edgerazor/quant.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/fused");

namespace {

using sizes = std::initializer_list<std::size_t>;

constexpr std::size_t cols = 192;
constexpr float untouched = -12345.0f;

er::any_matrix packed(std::string_view name, std::size_t rows, std::mt19937& random) {
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
  return er::any_matrix::pack(er::matrix_format::parse(name).value(),
                              er::matrix_view<const float>{w.data(), rows, cols});
}

/// A mixed matrix that no name describes: every group has a precision of its own.
er::mixed_matrix patchwork(std::size_t rows, std::mt19937& random) {
  const er::format high{er::code_type::int4, 64}, low{er::code_type::ternary5, 64};
  std::vector<std::uint8_t> mask(rows * (cols / 64));
  for (std::uint8_t& m : mask) m = random() % 2 == 0;
  er::mixed_matrix result(high, low, rows, cols, mask);
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
  result.pack_rows(0, er::matrix_view<const float>{w.data(), rows, cols},
                   er::int4<er::per_group<64>>{}, er::ternary<er::per_group<64>>{});
  return result;
}

/// Activations of several tokens, as they are and as int8 in groups of 64.
struct inputs {
  std::vector<float> x;
  er::matrix_view<const float> reals;
  er::packed_activations memory;
  er::activation_view x8;

  inputs(std::size_t tokens, std::mt19937& random)
      : x(samples::draw(samples::kind::uniform, tokens * cols, random)),
        reals(x.data(), tokens, cols),
        memory(cols, 64, tokens),
        x8(er::quantize_activations(reals, memory)) {}
};

/// y = silu(gate x) * (up x) in three steps, all rows.
template <class G, class U, class X>
std::vector<float> gated_in_steps(const G& gate, const U& up, const X& x, std::size_t tokens,
                                  const er::kernel& k) {
  std::vector<float> g(tokens * gate.rows()), u(g.size()), y(g.size());
  er::gemm(gate, x, er::matrix_view<float>{g.data(), tokens, gate.rows()}, {.kernel = &k});
  er::gemm(up, x, er::matrix_view<float>{u.data(), tokens, up.rows()}, {.kernel = &k});
  er::silu_product(g, u, y, {.kernel = &k});
  return y;
}

template <class G, class U, class X>
std::size_t count_wrong_gated(const G& gate, const U& up, const X& x, std::size_t tokens,
                              std::mt19937& random) {
  std::size_t wrong = 0;
  const std::size_t rows = gate.rows(), stride = rows + 3;
  const std::vector<float> expected =
      gated_in_steps(gate, up, x, tokens, *er::find_kernel("scalar"));
  for (const er::kernel& k : er::available_kernels()) {
    wrong += samples::count_differences(gated_in_steps(gate, up, x, tokens, k), expected);
    const auto check = [&](er::row_range range, const auto& multiply) {
      std::vector<float> y(tokens * stride, untouched);
      multiply(er::matrix_view<float>{y.data(), tokens, rows, stride});
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t r = i % stride;
        const bool inside = r >= range.begin && r < range.end;
        wrong += !samples::same(y[i], inside ? expected[i / stride * rows + r] : untouched);
      }
    };
    for (int i = 0; i < 4; ++i) {
      const std::size_t begin = random() % (rows + 1);
      const er::row_range range{begin, begin + random() % (rows - begin + 1)};
      check(range, [&](const er::matrix_view<float>& y) {
        er::gemm_gated(gate, up, x, y, {.rows = range, .kernel = &k});
      });
    }
    check({0, rows},
          [&](const er::matrix_view<float>& y) { er::gemm_gated(gate, up, x, y, {.kernel = &k}); });
    check({0, rows}, [&](const er::matrix_view<float>& y) {
      er::gemm_gated(gate, up, x, y, {.kernel = &k, .executor = executors::backwards});
    });
    check({0, rows}, [&](const er::matrix_view<float>& y) {
      er::gemm_gated(gate, up, x, y, {.kernel = &k, .executor = executors::threads{3}});
    });
  }
  return wrong;
}

}  // namespace

TEST_CASE("fused: any range of the rows of several matrices, on any executor") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  // The typed matrix, the mixed one with a mask of its own, and run-time formats side by side.
  const std::vector<float> values = samples::draw(samples::kind::normal, 33 * cols, random);
  const auto typed =
      er::pack<er::ternary<er::per_group<64>>>(er::matrix_view{values.data(), 33, cols});
  const er::any_matrix a = packed("int4_g64", 700, random),
                       c = packed("int8_g64+ternary5_g64:every_2_rows", 90, random);
  const er::mixed_matrix b = patchwork(50, random);
  for (const std::size_t tokens : sizes{1, 3, 9}) {
    const inputs in(tokens, random);
    std::array<std::vector<float>, 4> expected, y;
    const auto out = [&](std::array<std::vector<float>, 4>& buffers, std::size_t i,
                         std::size_t rows) {
      buffers[i].assign(tokens * rows, untouched);
      return er::matrix_view<float>{buffers[i].data(), tokens, rows};
    };
    const auto check = [&](const auto& x) {
      er::gemm(a, x, out(expected, 0, 700));
      er::gemm(typed, x, out(expected, 1, 33));
      er::gemm(b, x, out(expected, 2, 50));
      er::gemm(c, x, out(expected, 3, 90));
      const auto products = [&] {
        return std::array<er::fused_product, 4>{er::fused_product{a, out(y, 0, 700)},
                                                {typed, out(y, 1, 33)},
                                                {b, out(y, 2, 50)},
                                                {c, out(y, 3, 90)}};
      };
      for (const er::kernel& k : er::available_kernels()) {
        auto all = products();
        CHECK(er::fused_rows(all) == 873);
        er::gemm_fused(all, x, {.kernel = &k});
        CHECK(y == expected);
        all = products();
        er::gemm_fused(all, x, {.kernel = &k, .executor = executors::backwards});
        CHECK(y == expected);
        all = products();
        er::gemm_fused(all, x, {.kernel = &k, .executor = executors::threads{3}});
        CHECK(y == expected);
        for (const std::size_t step : sizes{16, 100, 333, 872}) {
          all = products();
          for (std::size_t r = 0; r < 873; r += step)
            er::gemm_fused(
                all, x,
                {.rows = er::row_range{r, std::min(r + step, std::size_t{873})}, .kernel = &k});
          CHECK(y == expected);
        }
        all = products();
        er::gemm_fused(all, x,
                       {.rows = er::row_range{690, 740},
                        .kernel = &k});  // 10 rows of the first, 33, 7 of the third
        std::size_t written = 0;
        for (const std::vector<float>& one : y) {
          for (const float v : one) written += v != untouched;
        }
        CHECK(written == 50 * tokens);
        CHECK(y[1] == expected[1]);
      }
    };
    check(er::unquantized{in.reals});
    check(in.x8);
  }
}

TEST_CASE("fused: the gated product is two products and a silu_product") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  constexpr const char* mixed = "int4_g64+ternary2_g64:every_8_rows";
  for (const std::size_t rows : sizes{1, 16, 300}) {
    CAPTURE(rows);
    for (const std::size_t tokens : sizes{1, 5, 70, 300}) {
      if (rows * tokens > 30000) continue;  // 300 tokens, of few rows
      CAPTURE(tokens);
      const inputs in(tokens, random);
      for (const auto& pair :
           {std::array{"ternary2_g64", "ternary2_g64"}, std::array{"int4_g64", "ternary5_g64"},
            std::array{mixed, mixed}, std::array{"ternary2_g64", mixed}}) {
        const char *gate = pair[0], *up = pair[1];
        CAPTURE(gate);
        CAPTURE(up);
        const er::any_matrix g = packed(gate, rows, random), u = packed(up, rows, random);
        CHECK(count_wrong_gated(g, u, in.x8, tokens, random) == 0);
        if (tokens <= 5)
          CHECK(count_wrong_gated(g, u, er::unquantized{in.reals}, tokens, random) == 0);
      }
      const er::mixed_matrix g = patchwork(rows, random), u = patchwork(rows, random);
      CHECK(count_wrong_gated(g, u, in.x8, tokens, random) == 0);
      const er::any_matrix dense = packed("bf16", rows, random), f32 = packed("f32", rows, random);
      if (tokens <= 5)
        CHECK(count_wrong_gated(dense, f32, er::unquantized{in.reals}, tokens, random) == 0);
    }
  }
}

TEST_CASE("fused: silu_product") {
  std::mt19937 random(5);
  std::vector<float> gate = samples::draw(samples::kind::normal, 1000, random),
                     up = samples::draw(samples::kind::outliers, 1000, random);
  for (float& g : gate) g *= 20;
  gate[3] = INFINITY, gate[4] = -INFINITY, gate[5] = 0, gate[6] = NAN, gate[7] = -200,
  gate[8] = 200;
  std::vector<float> expected(1000);
  er::silu_product(gate, up, expected, {.kernel = er::find_kernel("scalar")});
  for (std::size_t i = 9; i < 1000; ++i) {
    const double g = static_cast<double>(gate[i]),
                 exact = g / (1 + std::exp(-g)) * static_cast<double>(up[i]);
    // The exponential's 2 units, then a sum, a quotient and a product, each of half a unit: below 4
    // * 2^-23. Below a gate of -88.7 the exponential is infinite and the result 0: 88.7 * e^-88.7
    // is 2^-121.
    CHECK(std::fabs(static_cast<double>(expected[i]) - exact) <=
          4 * 0x1p-23 * std::fabs(exact) + 0x1p-121 * std::fabs(static_cast<double>(up[i])));
  }
  CHECK(expected[3] == INFINITY * up[3]);
  CHECK(expected[4] == 0);
  CHECK(expected[5] == 0);
  CHECK(std::isnan(expected[6]));
  CHECK(expected[7] == 0);
  CHECK(expected[8] == 200.0f * up[8]);
  for (const er::kernel& k : er::available_kernels()) {
    for (const std::size_t size : sizes{0, 1, 15, 16, 17, 255, 256, 257, 1000}) {
      std::vector<float> y(gate.begin(), gate.begin() + static_cast<std::ptrdiff_t>(size)),
          z(up.begin(), up.begin() + static_cast<std::ptrdiff_t>(size));
      er::silu_product(y, std::span{up}.first(size), y, {.kernel = &k});
      er::silu_product(std::span{gate}.first(size), z, z, {.kernel = &k});
      CHECK(samples::count_differences(y, std::span{expected}.first(size)) == 0);
      CHECK(samples::count_differences(z, std::span{expected}.first(size)) == 0);
    }
  }
}

TEST_CASE(
    "fused: what does not fit is refused before anything is written, and nothing is allocated") {
  using error = std::invalid_argument;
  std::mt19937 random(6);
  const er::any_matrix a = packed("int4_g64", 40, random), b = packed("ternary2_g32", 40, random),
                       c = packed("ternary2_g64", 41, random), dense = packed("f16", 40, random);
  const inputs in(2, random);
  std::vector<float> y(2 * 40, untouched), z(2 * 41, untouched);
  const er::matrix_view<float> out{y.data(), 2, 40}, wide{z.data(), 2, 41};
  executors::counting executor;
  const std::array<er::fused_product, 2> groups{er::fused_product{a, out}, {b, out}},
      kinds{er::fused_product{a, out}, {dense, out}}, shapes{er::fused_product{a, out}, {c, out}};
  constexpr const char* other_groups =
      "product: weights in groups of 32 columns and activations in groups of 64";
  CHECK_THROWS_WITH_AS(er::gemm_fused(groups, in.x8), other_groups, error);
  CHECK_THROWS_WITH_AS(er::gemm_fused(groups, in.x8, {.executor = executor}), other_groups, error);
  CHECK_THROWS_AS(er::gemm_fused(kinds, in.x8, {.executor = executor}), error);
  constexpr const char* other_shape =
      "product: a matrix of 41 x 192 times activations of 2 x 192 does not fit an output of 2 x 40";
  CHECK_THROWS_WITH_AS(er::gemm_fused(shapes, in.x8), other_shape, error);
  CHECK_THROWS_WITH_AS(er::gemm_fused(shapes, in.x8, {.executor = executor}), other_shape, error);
  CHECK_THROWS_WITH_AS(er::gemm_gated(a, c, in.x8, out), other_shape, error);
  CHECK_THROWS_WITH_AS(er::gemm_gated(a, c, in.x8, out, {.executor = executor}), other_shape,
                       error);
  CHECK_THROWS_WITH_AS(er::gemm_gated(a, b, in.x8, out, {.executor = executor}), other_groups,
                       error);
  const std::array<er::fused_product, 2> fitting{er::fused_product{a, out}, {c, wide}};
  const er::row_range beyond{0, 82}, backwards{5, 4};
  CHECK_THROWS_WITH_AS(er::gemm_fused(fitting, in.x8, {.rows = beyond}),
                       "fused product: rows 0 to 82 of 81", error);
  CHECK_THROWS_AS(er::gemm_fused(fitting, in.x8, {.rows = backwards}), error);
  CHECK_THROWS_AS(er::gemm_gated(a, a, in.x8, out, {.rows = er::row_range{0, 41}}), error);
  CHECK(executor.jobs == 0);
  CHECK(samples::count_differences(y, std::vector<float>(80, untouched)) == 0);

  const std::size_t before = allocation_count;
  er::gemm_fused(fitting, in.x8);
  er::gemm_fused(fitting, in.x8, {.executor = executors::backwards});
  er::gemm_gated(a, a, in.x8, out);
  er::gemm_gated(a, a, er::unquantized{in.reals}, out, {.executor = executors::backwards});
  CHECK(allocation_count == before);
}

TEST_SUITE_END();
