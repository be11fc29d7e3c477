// SPDX-License-Identifier: Apache-2.0
/// Whose memory a matrix, activations or a cache live in: the library's, a caller's resource, or a
/// caller's bytes.
#include <algorithm>
#include <cstddef>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/counting_resource.hpp"
#include "support/samples.hpp"
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/product/attention.hpp>
#include <edgerazor/product/gemv.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemm");

namespace {

constexpr std::size_t rows = 70, cols = 160;
constexpr const char* formats[] = {"f16", "ternary5_g64", "int4_g32",
                                   "int4_g64+ternary2_g64:every_8_rows"};

std::vector<float> product(const er::any_matrix& w, const std::vector<float>& x) {
  std::vector<float> y(w.rows());
  er::gemv(w, std::span<const float>{x}, std::span{y});
  return y;
}

/// A cache of 20 positions, and what attention over it gives.
std::vector<float> attend(er::kv_cache& cache, const std::vector<float>& values) {
  for (std::size_t t = 0; t < 20; ++t) {
    cache.append(std::span{values}.subspan(64 * t, 64),
                 std::span{values}.subspan(64 * (t + 1), 64));
  }
  std::vector<float> scores(20), out(32);
  const std::size_t length = 20;
  er::attention(cache, 1, {values.data(), 1, 32}, {&length, 1}, 0.1f, {scores.data(), 1, 20},
                {out.data(), 1, 32});
  return out;
}

}  // namespace

TEST_CASE(
    "memory: a caller's resource holds matrices, activations and caches, and gets all of it back") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::vector<float> weights = samples::draw(samples::kind::normal, rows * cols, random),
                           x = samples::draw(samples::kind::normal, 2000, random);
  const er::matrix_view<const float> view{weights.data(), rows, cols};
  counting_resource memory;
  for (const char* name : formats) {
    CAPTURE(name);
    const er::matrix_format fmt = er::matrix_format::parse(name).value();
    const er::any_matrix own = er::any_matrix::pack(fmt, view);
    er::any_matrix theirs = er::any_matrix::pack(fmt, view, &memory);
    CHECK(memory.bytes == own.bytes().size());
    CHECK(std::equal(own.bytes().begin(), own.bytes().end(), theirs.bytes().begin(),
                     theirs.bytes().end()));
    const er::any_matrix moved = std::move(theirs);
    const std::vector<float> token(x.begin(), x.begin() + cols);
    CHECK(samples::count_differences(product(moved, token), product(own, token)) == 0);
  }
  CHECK(memory.blocks == 0);
  {
    er::packed_matrix<er::int4<er::per_group<32>>> typed(rows, cols, &memory);
    CHECK(memory.bytes == typed.bytes().size());
    er::packed_activations own(cols, 32, 3), theirs(cols, 32, 3, &memory);
    CHECK(memory.blocks == 2);
    const er::matrix_view<const float> tokens{x.data(), 3, cols};
    const er::activation_view a = er::quantize_activations(tokens, own),
                              b = er::quantize_activations(tokens, theirs);
    std::vector<float> y(3 * rows), z(3 * rows);
    const er::any_matrix w =
        er::any_matrix::pack(er::matrix_format::parse("int4_g32").value(), view);
    er::gemm(w, a, er::matrix_view<float>{y.data(), 3, rows});
    er::gemm(w, b, er::matrix_view<float>{z.data(), 3, rows});
    CHECK(samples::count_differences(y, z) == 0);
  }
  CHECK(memory.blocks == 0);
  {
    er::kv_cache own(2, 32, 24, 16), theirs(2, 32, 24, 16, &memory);
    CHECK(memory.bytes == theirs.bytes());
    CHECK(theirs.bytes() == own.bytes());
    CHECK(samples::count_differences(attend(theirs, x), attend(own, x)) == 0);
  }
  CHECK(memory.blocks == 0);
  CHECK(memory.bytes == 0);
}

TEST_CASE("memory: a resource that runs out, at whichever allocation, leaves nothing behind") {
  std::mt19937 random(1);
  const std::vector<float> weights = samples::draw(samples::kind::normal, rows * cols, random);
  const er::matrix_view<const float> view{weights.data(), rows, cols};
  const auto run_out = [](const auto& make) {
    std::size_t refused = 0;
    for (std::size_t allowed = 0;; ++allowed, ++refused) {
      counting_resource memory;
      memory.allowed = allowed;
      bool done = true;
      try {
        make(&memory);
      } catch (const std::bad_alloc&) {
        done = false;
      }
      CHECK(memory.blocks == 0);
      if (done) return refused;
    }
  };
  for (const char* name : formats) {
    const er::matrix_format fmt = er::matrix_format::parse(name).value();
    CHECK(run_out([&](auto* memory) { (void)er::any_matrix::pack(fmt, view, memory); }) == 1);
  }
  CHECK(run_out([](auto* memory) { (void)er::packed_activations(cols, 32, 3, memory); }) == 1);
  CHECK(run_out([](auto* memory) { (void)er::kv_cache(3, 32, 24, 0, memory); }) ==
        5);  // three heads' keys, values, scales
}

TEST_CASE("memory: bytes that a caller holds already are multiplied where they are") {
  std::mt19937 random(2);
  const std::vector<float> weights = samples::draw(samples::kind::normal, rows * cols, random),
                           x = samples::draw(samples::kind::normal, cols, random);
  const er::tile_layout layout({er::code_type::ternary2, 32}, rows, cols);
  const auto packed = er::pack<er::ternary<er::per_group<32>>>(
      er::matrix_view<const float>{weights.data(), rows, cols});
  // An arena that takes exactly the bytes that packed_bytes() promises, off any alignment.
  std::vector<std::byte> arena(er::packed_bytes(layout.fmt(), rows, cols) + 3);
  std::copy(packed.bytes().begin(), packed.bytes().end(), arena.begin() + 3);
  const er::packed_view view(layout, std::span<const std::byte>{arena}.subspan(3));
  CHECK(view.tile(0) == arena.data() + 3);
  std::vector<float> y(rows), z(rows);
  er::gemv(view, std::span<const float>{x}, std::span{y});
  er::gemv(packed, std::span<const float>{x}, std::span{z});
  CHECK(samples::count_differences(y, z) == 0);
}

TEST_SUITE_END();
