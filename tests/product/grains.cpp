// SPDX-License-Identifier: Apache-2.0
/// Products on a host's threads: each row in one grain, and the bits of the undivided product.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "product/executors.hpp"
#include "support/samples.hpp"
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/grains.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/grains");

namespace {

using sizes = std::initializer_list<std::size_t>;

constexpr const char* all_names[] = {"f32",
                                     "bf16",
                                     "ternary2_g64",
                                     "ternary5_g64",
                                     "int4_g32",
                                     "int8_row_f32",
                                     "int4_g64+ternary2_g64:every_8_rows",
                                     "int4_g32+ternary5_g32:rows_4_of_8"};

er::any_matrix packed(std::string_view name, std::size_t rows, std::size_t cols,
                      std::mt19937& random) {
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
  return er::any_matrix::pack(er::matrix_format::parse(name).value(),
                              er::matrix_view<const float>{w.data(), rows, cols});
}

/// Products of one matrix: `multiply(y, kernel)` whole, `share(executor, y, kernel)` on executors.
template <class Whole, class Shared>
std::size_t count_wrong(std::size_t size, const Whole& whole, const Shared& share) {
  std::size_t wrong = 0;
  for (const er::kernel& k : er::available_kernels()) {
    std::vector<float> expected(size);
    whole(expected, k);
    const auto check = [&](auto&& executor) {
      std::vector<float> y(size, -12345.0f);
      share(executor, y, k);
      wrong += samples::count_differences(y, expected);
    };
    check(executors::backwards);
    check(executors::threads{3});
    check(executors::counting{});
  }
  return wrong;
}

/// Every row is in one grain, and grains end where tiles do.
template <class W>
void check_cut(const W& w, std::size_t tokens, std::size_t unit) {
  const er::row_grains grains(w, tokens);
  std::size_t next = 0;
  for (std::size_t i = 0; i < grains.count(); ++i) {
    const er::row_range range = grains[i];
    CHECK(range.begin == next);
    CHECK(range.begin < range.end);
    next = range.end;
    CHECK((range.end == w.rows() || range.end % unit == 0));
  }
  CHECK(next == w.rows());
}

}  // namespace

TEST_CASE("executor: any of them, any matrix, any tokens: the bits of the whole product") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const char* name : all_names) {
    CAPTURE(name);
    for (const std::size_t rows : sizes{1, 40, 1500}) {
      const std::size_t cols = 192;
      const er::any_matrix w = packed(name, rows, cols, random);
      for (const std::size_t tokens : sizes{1, 7}) {
        const std::vector<float> x = samples::draw(samples::kind::uniform, tokens * cols, random);
        const er::matrix_view<const float> reals{x.data(), tokens, cols};
        const auto out = [&](std::vector<float>& y) {
          return er::matrix_view<float>{y.data(), tokens, rows};
        };
        CHECK(count_wrong(
                  tokens * rows,
                  [&](auto& y, const er::kernel& k) {
                    er::gemm(w, er::unquantized{reals}, out(y), {.kernel = &k});
                  },
                  [&](auto& executor, auto& y, const er::kernel& k) {
                    er::gemm(w, er::unquantized{reals}, out(y),
                             {.kernel = &k, .executor = executor});
                  }) == 0);
        if (w.is_dense()) continue;
        er::packed_activations memory(cols, w.group_cols(), tokens);
        const er::activation_view x8 = er::quantize_activations(reals, memory);
        CHECK(count_wrong(
                  tokens * rows,
                  [&](auto& y, const er::kernel& k) { er::gemm(w, x8, out(y), {.kernel = &k}); },
                  [&](auto& executor, auto& y, const er::kernel& k) {
                    er::gemm(w, x8, out(y), {.kernel = &k, .executor = executor});
                  }) == 0);
      }
      const std::vector<float> x = samples::draw(samples::kind::normal, cols, random);
      CHECK(count_wrong(
                rows,
                [&](auto& y, const er::kernel& k) {
                  er::gemv(w, std::span<const float>{x}, std::span{y}, {.kernel = &k});
                },
                [&](auto& executor, auto& y, const er::kernel& k) {
                  er::gemv(w, std::span<const float>{x}, std::span{y},
                           {.kernel = &k, .executor = executor});
                }) == 0);
    }
  }
}

TEST_CASE("executor: grains are of whole tiles, of both parts of a mixed matrix too") {
  std::mt19937 random(1);
  for (const std::size_t rows : sizes{1, 100, 1000, 3000}) {
    for (const std::size_t tokens : sizes{1, 16, 500}) {
      check_cut(packed("ternary2_g64", rows, 256, random), tokens, 16);
      check_cut(packed("f16", rows, 256, random), tokens, 32);
      check_cut(packed("int4_g64+ternary2_g64:every_2_rows", rows, 256, random), tokens,
                rows > 32 ? 32 : 16);
      check_cut(packed("int4_g64+ternary2_g64:every_8_rows", rows, 256, random), tokens,
                rows > 128 ? 128 : 16);
    }
  }
  // 200 tiles, 125 times 32 KiB: 31 of four times that, or 24, a multiple of eight. More tokens
  // make smaller grains, and a matrix of any size at most 256.
  const er::any_matrix w = packed("int8_row_f32", 3200, 1280, random);
  REQUIRE(w.bytes().size() / 32768 == 125);
  CHECK(er::row_grains(w, 1).count() == 24);
  CHECK(er::row_grains(w, 2).count() == 56);
  CHECK(er::row_grains(w, 100).count() == 200);
  CHECK(er::row_grains(packed("int8_row_f32", 9600, 1280, random), 100).count() == 256);
  CHECK(er::row_grains(packed("int8_row_f32", 160, 64, random), 1).count() == 1);
  CHECK(er::row_grains(1600, 16, 7 * 32768, 1).count() == 4);
  CHECK(er::row_grains(1600, 16, 15 * 32768, 1).count() == 8);
  CHECK(er::row_grains(96, 16, 15 * 32768, 1).count() == 4);  // six tiles
  // Nine tiles are two grains of 4 and 5: none of a single tile.
  const er::row_grains even(144, 16, 65536, 1);
  CHECK(even.count() == 2);
  CHECK(even[0] == er::row_range{0, 64});
  CHECK(even[1] == er::row_range{64, 144});
}

TEST_CASE("executor: a job is handed out once, a product that does not fit never") {
  std::mt19937 random(2);
  const er::any_matrix w = packed("int4_g32", 1000, 512, random),
                       dense = packed("f32", 1000, 512, random);
  const std::vector<float> x(512, 1.0f);
  std::vector<float> y(1000);
  executors::counting executor;
  er::gemv(w, er::unquantized{x}, std::span{y}, {.executor = executor});
  CHECK(executor.jobs == 1);
  CHECK(executor.grains == er::row_grains(w, 1).count());
  CHECK(executor.grains > 1);

  using error = std::invalid_argument;
  er::packed_activations memory(512, 64);
  const er::activation_view x8 = er::quantize_activations({x.data(), 1, 512}, memory);
  CHECK_THROWS_AS(er::gemv(w, er::unquantized{x}, std::span{y}.first(999), {.executor = executor}),
                  error);
  CHECK_THROWS_AS(
      er::gemv(w, std::span<const float>{x}.first(511), std::span{y}, {.executor = executor}),
      error);
  CHECK_THROWS_WITH_AS(er::gemv(w, x8, std::span{y}, {.executor = executor}),
                       "product: weights in groups of 32 columns and activations in groups of 64",
                       error);
  CHECK_THROWS_AS(er::gemv(dense, x8, std::span{y}, {.executor = executor}), error);
  CHECK(executor.jobs == 1);
}

TEST_CASE("executor: activations are quantized by tokens, a few of them on the calling thread") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t tokens : sizes{0, 1, 16, 17, 100}) {
    const std::size_t cols = 1000;
    const std::vector<float> x = samples::draw(samples::kind::outliers, tokens * cols, random);
    const er::matrix_view<const float> reals{x.data(), tokens, cols};
    for (const er::activation_scales scales :
         {er::activation_scales::of_groups, er::activation_scales::of_token}) {
      er::packed_activations memory(cols, 64, 100), shared(cols, 64, 100);
      const er::activation_view expected =
          er::quantize_activations(reals, memory, {.scales = scales});
      executors::counting counted;
      const auto check = [&](auto&& executor) {
        const er::activation_view got =
            er::quantize_activations(reals, shared, {.scales = scales, .executor = executor});
        CHECK(got.tokens == tokens);
        std::size_t wrong = 0;
        for (std::size_t t = 0; t < tokens; ++t) {
          wrong += std::memcmp(shared.codes(t), memory.codes(t), cols) != 0;
          for (std::size_t g = 0; g < expected.groups(); ++g) {
            wrong += shared.scales(t)[g] != memory.scales(t)[g] ||
                     shared.sums(t)[g] != memory.sums(t)[g];
            shared.scales(t)[g] = 0;  // so that the next executor has to write it
          }
        }
        CHECK(wrong == 0);
      };
      check(executors::threads{3});
      check(executors::backwards);
      check(counted);
      CHECK(counted.jobs == (tokens > 16 ? 1 : 0));  // 16 tokens of 1000 columns are a grain
    }
  }
  er::packed_activations room(64, 64, 2);
  const std::vector<float> x(3 * 64);
  CHECK_THROWS_AS(
      er::quantize_activations({x.data(), 3, 64}, room, {.executor = executors::backwards}),
      std::invalid_argument);
  CHECK_THROWS_AS(
      er::quantize_activations({x.data(), 2, 63}, room, {.executor = executors::backwards}),
      std::invalid_argument);
}

TEST_CASE("executor: what one throws reaches the caller") {
  std::mt19937 random(3);
  const er::any_matrix w = packed("int4_g32", 64, 64, random);
  const std::vector<float> x(64, 1.0f);
  std::vector<float> y(64);
  const auto broken = [](std::size_t, er::grain_work) { throw std::runtime_error("no threads"); };
  CHECK_THROWS_WITH_AS(er::gemv(w, er::unquantized{x}, std::span{y}, {.executor = broken}),
                       "no threads", std::runtime_error);
}

TEST_CASE(
    "split_rows: parts follow each other, begin at whole tiles and differ by at most one tile") {
  for (const std::size_t rows : std::initializer_list<std::size_t>{0, 1, 15, 16, 17, 31, 32, 33,
                                                                   160, 161, 576, 1000, 4097}) {
    for (const std::size_t parts : std::initializer_list<std::size_t>{1, 2, 3, 4, 7, 8, 64, 100}) {
      CAPTURE(rows);
      CAPTURE(parts);
      const std::size_t tiles = (rows + er::tile_rows - 1) / er::tile_rows;
      std::size_t next = 0, fewest = tiles, most = 0;
      for (std::size_t i = 0; i < parts; ++i) {
        const er::row_range part = er::split_rows(rows, parts, i);
        CHECK(part.begin == next);
        CHECK(part.begin <= part.end);
        CHECK((part.begin % er::tile_rows == 0 || part.begin == rows));
        next = part.end;
        const std::size_t size = (part.size() + er::tile_rows - 1) / er::tile_rows;
        fewest = std::min(fewest, size);
        most = std::max(most, size);
      }
      CHECK(next == rows);
      CHECK(most - fewest <= 1);
    }
  }
}

TEST_CASE("split_rows: no parts, or a part that there is not, is refused") {
  CHECK_THROWS_WITH_AS((void)er::split_rows(100, 0, 0),
                       "split_rows: part 0 of 0, expected a part below the number of parts",
                       std::invalid_argument);
  CHECK_THROWS_AS((void)er::split_rows(100, 3, 3), std::invalid_argument);
}

TEST_CASE("split_rows: rows and parts whose product wraps are cut like others") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  for (const std::size_t rows : {most, most - 15, most / 16, std::size_t{1} << 60}) {
    for (const std::size_t parts : {std::size_t{1}, std::size_t{3}, std::size_t{1000}}) {
      std::size_t next = 0;
      for (std::size_t i = 0; i < parts; ++i) {
        const er::row_range part = er::split_rows(rows, parts, i);
        CHECK(part.begin == next);
        CHECK(part.begin <= part.end);
        next = part.end;
      }
      CHECK(next == rows);
    }
  }
  CHECK_THROWS_WITH_AS((void)er::split_rows(100, most, 3),
                       "split_rows: 18446744073709551615 parts, expected at most 4294967295",
                       std::invalid_argument);
}

TEST_SUITE_END();
