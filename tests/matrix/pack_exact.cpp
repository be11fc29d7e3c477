// SPDX-License-Identifier: Apache-2.0
/// Values that lie on a grid are packed without loss; others are refused, by row and column.
#include <cmath>
#include <initializer_list>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_exact.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/pack_exact");

namespace {

using sizes = std::initializer_list<std::size_t>;

template <class Matrix>
std::vector<float> dequantized(const Matrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.cols());
  er::dequantize(matrix, er::matrix_view<float>{values.data(), matrix.rows(), matrix.cols()});
  return values;
}

/// Level times stored scale is on a grid of that scale type: it comes back bit for bit.
template <class Policy, class Codec = er::default_codec<Policy>>
void check_recovers(std::mt19937& random) {
  CAPTURE((er::packed_matrix<Policy, Codec>::fmt.name()));
  std::size_t wrong = 0;
  for (const samples::kind kind : samples::all_kinds) {
    for (const std::size_t cols : sizes{5, 64, 131}) {
      const std::vector<float> w = samples::draw(kind, 9 * cols, random);
      const auto packed = er::pack<Policy, Codec>(er::matrix_view<const float>{w.data(), 9, cols});
      const std::vector<float> values = dequantized(packed);
      const auto exact =
          er::pack_exact<Policy, Codec>(er::matrix_view<const float>{values.data(), 9, cols});
      wrong += samples::count_differences(dequantized(exact), values);
    }
  }
  CHECK(wrong == 0);
}

/// What a trainer in float32 leaves: level times unrounded scale, rounded once.
template <class Policy>
void check_recovers_fake_quantized(std::mt19937& random) {
  std::size_t wrong = 0;
  for (const samples::kind kind : samples::all_kinds) {
    const std::vector<float> w = samples::draw(kind, 7 * 150, random);
    std::vector<float> values(w.size());
    er::fake_quantize<Policy>(er::matrix_view<const float>{w.data(), 7, 150},
                              er::matrix_view<float>{values.data(), 7, 150});
    const auto exact = er::pack_exact<Policy>(er::matrix_view<const float>{values.data(), 7, 150});
    wrong += samples::count_differences(dequantized(exact), values);
  }
  CAPTURE(er::packed_matrix<Policy>::fmt.name());
  CHECK(wrong == 0);
}

template <class Granularity, class Scale>
void check_all_policies(std::mt19937& random) {
  check_recovers<er::ternary<Granularity, Scale>>(random);
  check_recovers<er::ternary<Granularity, Scale>, er::codecs::ternary5>(random);
  check_recovers<er::ternary_absmax<Granularity, Scale>>(random);
  check_recovers<er::int2<Granularity, Scale>>(random);
  check_recovers<er::int4<Granularity, Scale>>(random);
  check_recovers<er::int4_asymmetric<Granularity, Scale>>(random);
  check_recovers<er::int3<Granularity, Scale>>(random);
  check_recovers<er::int5<Granularity, Scale>>(random);
  check_recovers<er::int6<Granularity, Scale>>(random);
  check_recovers<er::binary<Granularity, Scale>>(random);
  check_recovers<er::int8<Granularity, Scale>>(random);
}

}  // namespace

TEST_CASE("pack_exact: what was packed comes back bit for bit, all policies and scale types") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  check_all_policies<er::per_group<32>, er::float16>(random);
  check_all_policies<er::per_group<20>, er::bfloat16>(random);
  check_all_policies<er::per_channel, float>(random);
}

TEST_CASE("pack_exact: a float32 trainer's fake-quantized matrix, with float scales") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  check_recovers_fake_quantized<er::ternary<er::per_group<64>, float>>(random);
  check_recovers_fake_quantized<er::int4<er::per_group<64>, float>>(random);
  check_recovers_fake_quantized<er::int4_asymmetric<er::per_group<64>, float>>(random);
  check_recovers_fake_quantized<er::int5<er::per_group<64>, float>>(random);
  check_recovers_fake_quantized<er::int8<er::per_group<64>, float>>(random);
}

TEST_CASE(
    "pack_exact: any scale, though the quotient of an element and its level may be one ulp off") {
  // float(3 * s) / 3 differs from s for one s in six.
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> scales(0.01f, 0.02f);
  std::size_t wrong = 0;
  for (int k = 1; k <= 127; ++k) {
    for (int repeat = 0; repeat < 20; ++repeat) {
      const float scale = scales(random);
      std::vector<float> w(32);
      for (float& value : w)
        value = static_cast<float>(
                    static_cast<int>(random() % (2u * static_cast<unsigned>(k) + 1)) - k) *
                scale;
      w[random() % 32] = static_cast<float>(k) * scale;
      const er::matrix_view<const float> values{w.data(), 1, 32};
      using policy8 = er::int8<er::per_group<32>, float>;
      using policy4 = er::int4<er::per_group<32>, float>;
      wrong += samples::count_differences(dequantized(er::pack_exact<policy8>(values)), w);
      if (k <= 7)
        wrong += samples::count_differences(dequantized(er::pack_exact<policy4>(values)), w);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE(
    "pack_exact: the scale stays, where quantizing again would shrink it by twice the density of "
    "nonzeros") {
  std::vector<float> w(64, 0.0f);
  for (std::size_t i = 0; i < 16; ++i) w[4 * i] = i % 2 == 0 ? 0.75f : -0.75f;
  const er::matrix_view<const float> values{w.data(), 1, 64};
  using policy = er::ternary<er::per_group<64>>;
  CHECK(er::scale_at(er::pack_exact<policy>(values), 0, 0) == 0.75f);
  CHECK(er::scale_at(er::pack<policy>(values), 0, 0) == 0.375f);  // 2 * 1/4 * 0.75
}

TEST_CASE("pack_exact: values of 16 bits, zeros of both signs") {
  const std::vector<er::bfloat16> w{er::bfloat16{0.5f}, er::bfloat16{-0.5f}, er::bfloat16{-0.0f},
                                    er::bfloat16{1.0f}};
  const auto exact = er::pack_exact<er::int4<er::per_group<4>>>(
      er::matrix_view<const er::bfloat16>{w.data(), 1, 4});
  CHECK(dequantized(exact) == std::vector<float>{0.5f, -0.5f, 0.0f, 1.0f});
  const std::vector<float> zeros(8, -0.0f);
  CHECK(dequantized(er::pack_exact<er::int4<er::per_group<4>>>(
            er::matrix_view<const float>{zeros.data(), 1, 8})) == std::vector<float>(8, 0.0f));
}

TEST_CASE("pack_exact: an element off the grid is named") {
  using policy = er::int4<er::per_group<32>>;
  using error = std::invalid_argument;
  std::vector<float> w(5 * 70);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = (static_cast<float>(i % 15) - 7.0f) * 0.125f;
  const er::matrix_view<const float> values{w.data(), 5, 70};
  CHECK_NOTHROW((void)er::pack_exact<policy>(values));

  // The smallest change there is: one ulp of one element.
  for (const std::size_t at : sizes{0, 69, 3 * 70 + 50, 5 * 70 - 1}) {
    const float before = w[at];
    w[at] = std::nextafter(before == 0 ? 0.25f : before, 10.0f);
    CHECK_THROWS_AS((void)er::pack_exact<policy>(values), error);
    w[at] = before;
  }
  // Half a level: no int4 grid has 7, 6, ..., -7 and this.
  w[3 * 70 + 50] = 0.0625f;
  CHECK_THROWS_WITH_AS(
      (void)er::pack_exact<policy>(values),
      "pack_exact: the element at row 3, column 50 lies on no int4_g32 grid of its group", error);
  w[3 * 70 + 50] = NAN;
  CHECK_THROWS_WITH_AS((void)er::pack_exact<policy>(values),
                       "pack_exact at row 3, column 50 is NaN: expected finite values", error);
}

TEST_CASE("pack_exact: a grid that the scale type can't hold is refused, not rounded") {
  const float scale = 1.0f + 0x1p-12f;  // 13 significant bits: one more than float16 has room for
  const std::vector<float> w{scale, -scale, 0.0f, scale};
  const er::matrix_view<const float> values{w.data(), 1, 4};
  using of_half = er::ternary<er::per_group<4>>;
  using of_bfloat = er::ternary<er::per_group<4>, er::bfloat16>;
  using of_float = er::ternary<er::per_group<4>, float>;
  CHECK_THROWS_AS((void)er::pack_exact<of_half>(values), std::invalid_argument);
  CHECK_THROWS_AS((void)er::pack_exact<of_bfloat>(values), std::invalid_argument);
  CHECK(dequantized(er::pack_exact<of_float>(values)) == w);
  const std::vector<float> large{131072.0f, 0.0f, 0.0f, -131072.0f};
  const er::matrix_view<const float> large_values{large.data(), 1, 4};
  CHECK_THROWS_AS((void)er::pack_exact<of_half>(large_values), std::invalid_argument);
}

namespace {
/// Levels -3, 0 and 3.
struct threes {
  using granularity = er::per_group<16>;
  using scale_type = float;
  static constexpr int min_level = -3, max_level = 3, level_step = 3;
  static float scale(std::span<const float> group) noexcept { return er::max_magnitude(group) / 3; }
  static int level(float w, float s) noexcept { return w / s > 1.5f ? 3 : w / s < -1.5f ? -3 : 0; }
};
}  // namespace

TEST_CASE("pack_exact: levels between those of a policy three apart are refused") {
  std::vector<float> w(16, -3.0f);
  w[2] = 3;
  CHECK_NOTHROW((void)er::pack_exact<threes>(er::matrix_view<const float>{w.data(), 1, 16}));
  w[1] = -2;
  CHECK_THROWS_AS((void)er::pack_exact<threes>(er::matrix_view<const float>{w.data(), 1, 16}),
                  std::invalid_argument);
}

TEST_SUITE_END();
