// SPDX-License-Identifier: Apache-2.0
/// Policies that choose a zero for each group: what is stored is what they say, and what as_stored
/// gives.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include "support/tile_places.hpp"
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/pack");

using sizes = std::initializer_list<std::size_t>;

using error = std::invalid_argument;

namespace {
/// Stored scales and zeros are rounded; so are those of as_stored. By the name too, where the
/// policy is the format's default.
template <class Policy>
void check_against_stored(bool is_default, std::mt19937& random) {
  std::size_t wrong = 0, i = 0;
  for (const std::size_t rows : sizes{1, 17, 33}) {
    for (const std::size_t cols : sizes{1, 3, 20, 63, 64, 65, 129, 577}) {
      const std::vector<float> w = samples::draw(samples::nth_kind(i++), rows * cols, random);
      const er::matrix_view<const float> weights{w.data(), rows, cols};
      std::vector<float> expected(w.size()), values(w.size());
      er::fake_quantize<er::as_stored<Policy>>(weights,
                                               er::matrix_view{expected.data(), rows, cols});
      const auto packed = er::pack<Policy>(weights);
      er::dequantize(packed, er::matrix_view{values.data(), rows, cols});
      wrong += samples::count_differences(values, expected);
      const tile_places::matrix walked(packed.fmt, rows, cols, packed.bytes());
      wrong += walked.padding_is_zero ? 0 : 1;
      for (std::size_t c = 0; c < rows * cols; ++c) {
        const std::size_t r = c / cols, g = c % cols / walked.group_cols,
                          begin = g * walked.group_cols;
        const er::group_fit fit =
            Policy{}.fit(std::span{w}.subspan(r * cols + begin, walked.group_end(g) - begin));
        wrong += walked.levels[c] != Policy::code(w[c], fit);
        wrong += !samples::same(walked.scale(r, g),
                                er::detail::matrix::round_scale(fit.scale, packed.fmt.scale));
        wrong += !samples::same(walked.zeros[r * walked.groups + g],
                                er::detail::matrix::round_scale(fit.zero, packed.fmt.scale));
      }
      if (is_default)
        wrong +=
            !std::ranges::equal(packed.bytes(), er::any_matrix::pack(packed.fmt, weights).bytes());
    }
  }
  CAPTURE((er::packed_matrix<Policy>::fmt.name()));
  CHECK(wrong == 0);
}
}  // namespace

TEST_CASE("pack: asymmetric policies give formats with zeros, and as_stored their values") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  using rule = er::zero_rule;
  check_against_stored<er::asymmetric<2, er::per_group<16>>>(true, random);
  check_against_stored<er::asymmetric<3, er::per_group<64>>>(true, random);
  check_against_stored<er::asymmetric<4, er::per_group<64>>>(true, random);
  check_against_stored<er::asymmetric<5, er::per_group<32>, er::bfloat16>>(true, random);
  check_against_stored<er::asymmetric<6, er::per_channel>>(true, random);
  check_against_stored<er::asymmetric<8, er::per_group<20>>>(true, random);
  check_against_stored<er::asymmetric<4, er::per_group<64>, er::float16, rule::integer>>(false,
                                                                                         random);
  check_against_stored<er::asymmetric<7, er::per_group<64>, er::float16, rule::integer>>(false,
                                                                                         random);
  check_against_stored<er::asymmetric<4, er::per_group<32>, er::float16, rule::minimum>>(true,
                                                                                         random);
  check_against_stored<er::asymmetric<2, er::per_group<32>, float, rule::minimum>>(true, random);
  CHECK(er::packed_matrix<er::asymmetric<4, er::per_group<64>>>::fmt.name() == "int4z_g64");
  CHECK(er::packed_matrix<er::asymmetric<2>>::fmt.name() == "int2z_g256");
  CHECK(er::packed_matrix<er::asymmetric<7>>::fmt.name() == "int8z_g256");
  CHECK(er::packed_matrix<er::asymmetric<3, er::per_channel, er::bfloat16, rule::minimum>>::fmt
            .name() == "int3m_row_bf16");
}

TEST_CASE("pack: NaN, infinity and what float16 does not hold are refused with a zero, too") {
  using policy = er::asymmetric<4, er::per_group<4>, er::float16, er::zero_rule::minimum>;
  std::vector<float> w(3 * 8, 0.5f);
  const er::matrix_view<const float> weights{w.data(), 3, 8};
  w[8 + 5] = NAN;
  CHECK_THROWS_WITH_AS(static_cast<void>(er::pack<policy>(weights)),
                       "weight at row 1, column 5 is NaN: expected finite values", error);
  w[8 + 5] = -INFINITY;
  CHECK_THROWS_AS(static_cast<void>(er::pack<policy>(weights)), error);
  w[8 + 5] = 1e6f;
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::pack<policy>(weights)),
      "pack: the scale 66666.632812 of row 1, group 1 is out of the range of its 16-bit type; "
      "choose another scale type",
      error);
  w[8 + 4] = w[8 + 5] = w[8 + 6] = w[8 + 7] = -1e6f;
  CHECK_THROWS_WITH_AS(static_cast<void>(er::pack<policy>(weights)),
                       "pack: the zero -1000000.000000 of row 1, group 1 is out of the range of "
                       "its type; choose another scale type",
                       error);
  std::vector<float> out(w.size());
  CHECK_THROWS_AS(
      er::fake_quantize<er::as_stored<policy>>(weights, er::matrix_view{out.data(), 3, 8}), error);
  CHECK_NOTHROW(er::fake_quantize<policy>(weights, er::matrix_view{out.data(), 3, 8}));
  CHECK_NOTHROW(static_cast<void>(
      er::pack<er::asymmetric<4, er::per_group<4>, float, er::zero_rule::minimum>>(weights)));
}

TEST_CASE("pack: a mixed matrix with zeros is its parts") {
  std::mt19937 random(7);
  const std::size_t rows = 37, cols = 130;
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
  const er::matrix_view<const float> weights{w.data(), rows, cols};
  const auto fmt = er::matrix_format::parse("int6m_g64+int3z_g64:every_4_rows");
  REQUIRE(fmt);
  const er::any_matrix mixed = er::any_matrix::pack(*fmt, weights);
  const er::any_matrix high = er::any_matrix::pack(fmt->first, weights),
                       low = er::any_matrix::pack(fmt->second, weights);
  std::vector<float> values(w.size()), of_high(w.size()), of_low(w.size());
  er::dequantize(*mixed.mixed(), er::matrix_view{values.data(), rows, cols});
  er::dequantize(*high.packed(), er::matrix_view{of_high.data(), rows, cols});
  er::dequantize(*low.packed(), er::matrix_view{of_low.data(), rows, cols});
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < w.size(); ++i)
    wrong += !samples::same(values[i], i / cols % 4 == 0 ? of_high[i] : of_low[i]);
  CHECK(wrong == 0);
  using high_policy = er::asymmetric<6, er::per_group<64>, er::float16, er::zero_rule::minimum>;
  using low_policy = er::asymmetric<3, er::per_group<64>>;
  const er::mixed_matrix by_policy =
      er::pack_mixed<high_policy, low_policy>(weights, er::every_nth_row{4});
  CHECK(std::ranges::equal(by_policy.bytes(), mixed.bytes()));
  std::vector<float> fake(w.size());
  er::fake_quantize_mixed<er::as_stored<high_policy>, er::as_stored<low_policy>>(
      weights, er::matrix_view{fake.data(), rows, cols}, er::every_nth_row{4});
  CHECK(samples::count_differences(fake, values) == 0);
  er::mixed_matrix other(fmt->first, fmt->second, rows, cols, std::vector<std::uint8_t>(rows * 3));
  using point = er::asymmetric<3, er::per_group<64>>;
  using minimum = er::asymmetric<6, er::per_group<64>, er::float16, er::zero_rule::minimum>;
  CHECK_NOTHROW(other.pack_rows(0, weights, minimum{}, point{}));
  CHECK_THROWS_WITH_AS(other.pack_rows(0, weights, minimum{}, minimum{}),
                       "mixed matrix: a policy of 6 bits with a zero of the group does not fit "
                       "int3z_g64",
                       error);
  CHECK_THROWS_WITH_AS(other.pack_rows(0, weights, minimum{}, er::int3<er::per_group<64>>{}),
                       "mixed matrix: levels -3 to 3 do not fit int3z_g64", error);
}

TEST_SUITE_END();
