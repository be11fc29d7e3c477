// SPDX-License-Identifier: Apache-2.0
/// Quantize and pack, unpack and dequantize: what comes out is what the policy says, for every
/// codec, group and shape.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include "support/shapes.hpp"
#include "support/tile_places.hpp"
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/lloyd_max.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/pack");

namespace {

using sizes = std::initializer_list<std::size_t>;

using error = std::invalid_argument;

/// Level and scale of one weight by the default rule of a code.
struct expectation {
  std::vector<int> levels;
  std::vector<float> scales;  ///< before they are rounded for storage
};

template <class Rule>
void expect_row(std::span<const float> row, std::size_t group_cols, expectation& result) {
  for (std::size_t begin = 0; begin < row.size(); begin += group_cols) {
    const std::span<const float> group =
        row.subspan(begin, std::min(group_cols, row.size() - begin));
    if constexpr (er::table_quantizer<Rule>) {
      const er::table_fit fit = Rule{}.fit(group);
      result.scales.push_back(fit.scale);
      for (const float w : group) {
        int best = fit.levels[0];
        for (const int level : fit.levels)  // double holds both sides exactly
          if (2.0 * static_cast<double>(w) > static_cast<double>(fit.scale) * (best + level))
            best = std::max(best, level);
        result.levels.push_back(best);
      }
    } else {
      const float scale = Rule{}.scale(group);
      result.scales.push_back(scale);
      for (const float w : group) result.levels.push_back(Rule::level(w, scale));
    }
  }
}

expectation expect(const er::format& fmt, const er::matrix_view<const float>& weights) {
  expectation result;
  const std::size_t group_cols = fmt.group == 0 ? weights.cols : fmt.group;
  const auto by = [&]<class Rule>(const Rule&) {
    for (std::size_t r = 0; r < weights.rows; ++r)
      expect_row<Rule>(weights.row(r), group_cols, result);
  };
  switch (fmt.code) {
    case er::code_type::ternary2:
    case er::code_type::ternary3:
    case er::code_type::ternary5:
      by(er::ternary<er::per_channel>{});
      break;
    case er::code_type::int2:
      by(er::int2<er::per_channel>{});
      break;
    case er::code_type::int3:
      by(er::int3<er::per_channel>{});
      break;
    case er::code_type::int4:
      by(er::int4<er::per_channel>{});
      break;
    case er::code_type::int5:
      by(er::int5<er::per_channel>{});
      break;
    case er::code_type::int6:
      by(er::int6<er::per_channel>{});
      break;
    case er::code_type::int8:
      by(er::int8<er::per_channel>{});
      break;
    case er::code_type::binary:
      by(er::binary<er::per_channel>{});
      break;
    case er::code_type::table2:
      by(er::lloyd_max<er::per_channel>{});
      break;
  }
  return result;
}

float stored(float scale, er::scale_kind kind) {
  if (kind == er::scale_kind::float16) return er::float16{scale};
  if (kind == er::scale_kind::bfloat16) return er::bfloat16{scale};
  return scale;
}

std::size_t count_wrong(const er::format& fmt, const er::matrix_view<const float>& weights) {
  const er::any_matrix packed = er::any_matrix::pack(fmt, weights);
  REQUIRE(packed.packed());
  const er::packed_view& view = *packed.packed();
  const expectation expected = expect(fmt, weights);
  const tile_places::matrix walked(fmt, weights.rows, weights.cols, packed.bytes());
  std::size_t wrong = walked.padding_is_zero ? 0 : 1;

  std::vector<std::int8_t> levels(weights.rows * weights.cols, 99);
  er::unpack(view, er::matrix_view<std::int8_t>{levels.data(), weights.rows, weights.cols});
  std::vector<float> values(levels.size());
  er::dequantize(view, er::matrix_view<float>{values.data(), weights.rows, weights.cols});
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const std::size_t r = i / weights.cols, g = i % weights.cols / walked.group_cols;
    const float scale = stored(expected.scales[r * walked.groups + g], fmt.scale);
    wrong += levels[i] != expected.levels[i] || walked.levels[i] != expected.levels[i];
    wrong += !samples::same(er::scale_at(view, r, g), scale) ||
             !samples::same(walked.scale(r, g), scale);
    wrong += !samples::same(values[i], static_cast<float>(expected.levels[i]) * scale);
  }
  return wrong;
}

/// Bit for bit what the policy's fake quantization gives, where the scale is stored as it is.
template <class Policy, class Codec = er::default_codec<Policy>>
void check_against_fake_quantize(std::mt19937& random) {
  static_assert(std::is_same_v<typename Policy::scale_type, float>);
  std::size_t wrong = 0, i = 0;
  for (const std::size_t rows : sizes{1, 17}) {
    for (const std::size_t cols : sizes{1, 3, 20, 63, 64, 65, 129, 256, 257, 576}) {
      const std::vector<float> w = samples::draw(samples::nth_kind(i++), rows * cols, random);
      const er::matrix_view<const float> weights{w.data(), rows, cols};
      std::vector<float> expected(w.size()), values(w.size());
      er::fake_quantize<Policy>(weights, er::matrix_view<float>{expected.data(), rows, cols});
      const auto packed = er::pack<Policy, Codec>(weights);
      er::dequantize(packed, er::matrix_view<float>{values.data(), rows, cols});
      wrong += samples::count_differences(values, expected);
    }
  }
  CAPTURE((er::packed_matrix<Policy, Codec>::fmt.name()));
  CHECK(wrong == 0);
}

template <class Granularity>
void check_policies(std::mt19937& random) {
  check_against_fake_quantize<er::ternary<Granularity, float>>(random);
  check_against_fake_quantize<er::ternary<Granularity, float>, er::codecs::ternary5>(random);
  check_against_fake_quantize<er::int4<Granularity, float>>(random);
  check_against_fake_quantize<er::int8<Granularity, float>>(random);
  check_against_fake_quantize<er::lloyd_max<Granularity, float>>(random);
  check_against_fake_quantize<er::asymmetric<4, Granularity, float>>(random);
  check_against_fake_quantize<er::asymmetric<3, Granularity, float, er::zero_rule::integer>>(
      random);
  check_against_fake_quantize<er::asymmetric<2, Granularity, float, er::zero_rule::minimum>>(
      random);
  check_against_fake_quantize<er::asymmetric<8, Granularity, float>>(random);
  check_against_fake_quantize<er::asymmetric<5, Granularity, float>>(random);
}

template <class Policy, class Codec = er::default_codec<Policy>>
std::string name_of() {
  return er::packed_matrix<Policy, Codec>::fmt.name();
}

}  // namespace

TEST_CASE("pack: every codec, group and shape gives the policy's levels and scales back") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const er::code_type code : shapes::codes) {
    for (const std::uint32_t group : shapes::groups) {
      for (const std::size_t rows : shapes::rows) {
        std::size_t wrong = 0;
        const bool is_slow = er::codec_of(code).of_table();  // groups are sorted
        for (const std::size_t cols : shapes::cols(is_slow ? 20 : 70)) {
          if (is_slow && cols > 257) break;
          const std::vector<float> w = samples::draw(samples::nth_kind(i), rows * cols, random);
          wrong += count_wrong({code, group, shapes::kinds[i / 2 % 3]}, {w.data(), rows, cols});
          ++i;
        }
        CAPTURE((er::format{code, group}.name()));
        CAPTURE(rows);
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("pack: rows of more chunks than are written at once") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::size_t rows = 18;
  for (const er::code_type code : shapes::codes) {
    if (er::codec_of(code).of_table()) continue;  // rows are written whole
    for (const std::uint32_t group : {0u, 20u, 256u}) {
      const er::format fmt{code, group, er::scale_kind::float32};
      const std::size_t chunk_cols = er::codec_of(code).chunk_slots() * er::slot_cols;
      for (const std::size_t cols : {1024 * chunk_cols + 1, 1025 * chunk_cols, 2048 * chunk_cols}) {
        const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
        const std::vector<er::bfloat16> bfloats(w.begin(), w.end());
        const std::vector<float> rounded(bfloats.begin(), bfloats.end());
        CAPTURE(fmt.name());
        CAPTURE(cols);
        CHECK(count_wrong(fmt, {rounded.data(), rows, cols}) == 0);
        const er::any_matrix of_floats =
            er::any_matrix::pack(fmt, er::matrix_view{rounded.data(), rows, cols});
        const er::any_matrix of_bfloats =
            er::any_matrix::pack(fmt, er::matrix_view{bfloats.data(), rows, cols});
        CHECK(std::ranges::equal(of_floats.bytes(), of_bfloats.bytes()));
      }
    }
  }
}

TEST_CASE("pack: with float scales, dequantize is fake_quantize bit for bit") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  check_policies<er::per_group<32>>(random);
  check_policies<er::per_group<64>>(random);
  check_policies<er::per_group<128>>(random);
  check_policies<er::per_group<256>>(random);
  check_policies<er::per_channel>(random);
  check_policies<er::per_group<4>>(random);
  check_policies<er::per_group<20>>(random);
  check_against_fake_quantize<er::ternary_absmax<er::per_group<64>, float>>(random);
  check_against_fake_quantize<er::int2<er::per_group<64>, float>>(random);
  check_against_fake_quantize<er::int2<er::per_group<64>, float>, er::codecs::int8>(random);
  check_against_fake_quantize<er::int3<er::per_group<64>, float>>(random);
  check_against_fake_quantize<er::int5<er::per_group<64>, float>>(random);
  check_against_fake_quantize<er::int6<er::per_group<64>, float>>(random);
  check_against_fake_quantize<er::binary<er::per_group<64>, float>>(random);
  check_against_fake_quantize<er::binary<er::per_group<64>, float>, er::codecs::ternary5>(random);
  check_against_fake_quantize<er::int4_asymmetric<er::per_group<64>, float>>(random);
  check_against_fake_quantize<er::ternary<er::per_group<64>, float>, er::codecs::table2>(random);
  check_against_fake_quantize<er::binary<er::per_group<64>, float>, er::codecs::table2>(random);
}

TEST_CASE("pack: a policy's default codec is the narrowest") {
  CHECK(name_of<er::ternary<>>() == "ternary2_g256");
  CHECK(name_of<er::ternary<>, er::codecs::ternary5>() == "ternary5_g256");
  CHECK(name_of<er::int2<er::per_group<32>>>() == "ternary2_g32");
  CHECK(name_of<er::int4<er::per_channel, er::bfloat16>>() == "int4_row_bf16");
  CHECK(name_of<er::int4_asymmetric<>>() == "int4_g256");
  CHECK(name_of<er::int3<>>() == "int3_g256");
  CHECK(name_of<er::int5<>>() == "int5_g256");
  CHECK(name_of<er::int6<>>() == "int6_g256");
  CHECK(name_of<er::lloyd_max<>>() == "table2_g128");
  CHECK(name_of<er::symmetric<7>>() == "int8_g256");
  CHECK(name_of<er::binary<>>() == "binary_g256");
  CHECK(name_of<er::int8<er::per_group<128>, float>>() == "int8_g128_f32");
}

TEST_CASE("pack: a policy's parameters count") {
  const std::vector<float> w{0.3f, -0.2f, 0.1f, 0.4f};
  const er::matrix_view<const float> weights{w.data(), 1, 4};
  const auto packed =
      er::pack<er::ternary<er::per_group<4>, float>>(weights, {.factor = 1.0f, .epsilon = 0.5f});
  CHECK(er::scale_at(packed, 0, 0) == 0.5f);
}

TEST_CASE("pack: 16-bit weights, strided views and views of mutable elements") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::size_t rows = 19, cols = 83, stride = 90;
  std::vector<float> w = samples::draw(samples::kind::normal, rows * stride, random);
  std::vector<er::float16> halves(w.begin(), w.end());
  std::vector<er::bfloat16> bfloats(w.begin(), w.end());
  const std::vector<float> of_halves(halves.begin(), halves.end()),
      of_bfloats(bfloats.begin(), bfloats.end());
  using policy = er::int4<er::per_group<32>>;
  const auto bytes_of = [&](const auto* data) {
    const auto packed = er::pack<policy>(er::matrix_view{data, rows, cols, stride});
    return std::vector<std::byte>(packed.bytes().begin(), packed.bytes().end());
  };
  CHECK(bytes_of(halves.data()) == bytes_of(of_halves.data()));
  CHECK(bytes_of(bfloats.data()) == bytes_of(of_bfloats.data()));
  CHECK(bytes_of(halves.data()) != bytes_of(of_bfloats.data()));

  std::vector<float> tight;
  for (std::size_t r = 0; r < rows; ++r)
    tight.insert(tight.end(), w.begin() + static_cast<std::ptrdiff_t>(r * stride),
                 w.begin() + static_cast<std::ptrdiff_t>(r * stride + cols));
  const auto packed = er::pack<policy>(er::matrix_view<float>{tight.data(), rows, cols});
  CHECK(bytes_of(w.data()) == std::vector<std::byte>(packed.bytes().begin(), packed.bytes().end()));

  // Out into strided views: what lies between the rows stays.
  std::vector<float> values(rows * stride, 7.0f);
  std::vector<std::int8_t> levels(rows * stride, 77);
  er::dequantize(packed, er::matrix_view<float>{values.data(), rows, cols, stride});
  er::unpack(packed, er::matrix_view<std::int8_t>{levels.data(), rows, cols, stride});
  std::size_t touched = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i % stride >= cols) touched += values[i] != 7.0f || levels[i] != 77;
  }
  CHECK(touched == 0);
}

TEST_CASE("pack_rows: rows in any order make the same matrix") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::size_t rows = 37, cols = 70;
  const std::vector<float> w = samples::draw(samples::kind::outliers, rows * cols, random);
  const er::matrix_view<const float> weights{w.data(), rows, cols};
  using policy = er::ternary<er::per_group<32>>;
  const auto whole = er::pack<policy, er::codecs::ternary5>(weights);
  er::packed_matrix<policy, er::codecs::ternary5> pieces(rows, cols);
  for (const er::row_range part :
       {er::row_range{20, 37}, er::row_range{0, 5}, er::row_range{5, 5}, er::row_range{5, 20}}) {
    er::pack_rows(pieces, part, weights.rows_between(part.begin, part.end));
  }
  CHECK(std::memcmp(whole.bytes().data(), pieces.bytes().data(), whole.bytes().size()) == 0);
}

TEST_CASE("pack: a NaN or an infinity is named, and nothing is written") {
  const std::size_t rows = 18, cols = 40;
  std::vector<float> w(rows * cols, 0.5f);
  using policy = er::int4<er::per_group<32>>;
  er::packed_matrix<policy> matrix =
      er::pack<policy>(er::matrix_view<const float>{w.data(), rows, cols});
  const std::vector<std::byte> before(matrix.bytes().begin(), matrix.bytes().end());

  std::fill(w.begin(), w.end(), -0.25f);
  w[16 * cols + 37] = std::numeric_limits<float>::quiet_NaN();
  const er::matrix_view<const float> weights{w.data(), rows, cols};
  CHECK_THROWS_WITH_AS((void)er::pack<policy>(weights),
                       "weight at row 16, column 37 is NaN: expected finite values", error);
  // A part names the row of the whole.
  CHECK_THROWS_WITH_AS(er::pack_rows(matrix, {2, 17}, weights.rows_between(2, 17)),
                       "weight at row 16, column 37 is NaN: expected finite values", error);
  w[16 * cols + 37] = -std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS((void)er::pack<policy>(weights),
                       "weight at row 16, column 37 is infinite: expected finite values", error);
  CHECK_THROWS_AS(er::pack_rows(matrix, {0, rows}, weights), error);
  CHECK(std::equal(before.begin(), before.end(), matrix.bytes().begin()));

  using table = er::lloyd_max<er::per_group<32>>;
  CHECK_THROWS_WITH_AS((void)er::pack<table>(weights),
                       "weight at row 16, column 37 is infinite: expected finite values", error);
  w[16 * cols + 37] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS((void)er::pack<table>(weights),
                       "weight at row 16, column 37 is NaN: expected finite values", error);
  w[16 * cols + 37] = 15 * 131072.0f;
  CHECK_THROWS_WITH_AS((void)er::pack<table>(weights),
                       doctest::Contains("of row 16, group 1 is out of the range"), error);

  std::vector<er::float16> halves(rows * cols, er::float16{1.0f});
  halves[cols] = er::float16::from_bits(0x7c00);
  CHECK_THROWS_WITH_AS(
      (void)er::pack<policy>(er::matrix_view<const er::float16>{halves.data(), rows, cols}),
      "weight at row 1, column 0 is infinite: expected finite values", error);
}

TEST_CASE("pack: a scale that its type can't hold is named, and nothing is written") {
  const std::size_t rows = 3, cols = 64;
  std::vector<float> w(rows * cols, 0.5f);
  using policy = er::int4<er::per_group<32>>;
  er::packed_matrix<policy> matrix =
      er::pack<policy>(er::matrix_view<const float>{w.data(), rows, cols});
  const std::vector<std::byte> before(matrix.bytes().begin(), matrix.bytes().end());
  std::fill(w.begin(), w.end(), 0.25f);
  w[2 * cols + 40] = 1e6f;  // 1e6 / 7 > 65504
  const er::matrix_view<const float> weights{w.data(), rows, cols};
  constexpr const char* sentence =
      "pack: the scale 142857.140625 of row 2, group 1 is out of the range of its 16-bit type; "
      "choose another scale "
      "type";
  CHECK_THROWS_WITH_AS((void)er::pack<policy>(weights), sentence, error);
  CHECK_THROWS_WITH_AS(er::pack_rows(matrix, {0, rows}, weights), sentence, error);
  CHECK(std::equal(before.begin(), before.end(), matrix.bytes().begin()));
  CHECK_NOTHROW((void)er::pack<er::int4<er::per_group<32>, er::bfloat16>>(weights));
  CHECK_NOTHROW((void)er::pack<er::int4<er::per_group<32>, float>>(weights));
  w.assign(rows * cols, 1e6f);  // twice the mean
  CHECK_THROWS_AS((void)er::pack<er::ternary<er::per_group<32>>>(weights), error);

  // A weight that is not finite is named first, wherever it is.
  w[2 * cols + 3] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS((void)er::pack<er::ternary<er::per_group<32>>>(weights),
                       "weight at row 2, column 3 is NaN: expected finite values", error);

  // The largest scale that rounds to a finite float16, and the first that doesn't.
  w.assign(rows * cols, 0.0f);
  for (const auto& [largest, fits] : {std::pair{65519.0f, true}, std::pair{65520.0f, false}}) {
    w[0] = largest;
    if (fits) {
      CHECK(er::scale_at(er::pack<er::ternary_absmax<er::per_group<32>>>(weights), 0, 0) ==
            65504.0f);
    } else {
      CHECK_THROWS_AS((void)er::pack<er::ternary_absmax<er::per_group<32>>>(weights), error);
    }
  }
  using ternary_f32 = er::ternary<er::per_group<32>, float>;
  using ternary_bf16 = er::ternary<er::per_group<32>, er::bfloat16>;
  // A sum of magnitudes past float's range is no scale in any type; a scale that rounds to zero is
  // none either.
  w.assign(rows * cols, 3e38f);
  CHECK_THROWS_AS((void)er::pack<ternary_f32>(weights), error);
  w.assign(rows * cols, 1e-9f);
  CHECK_THROWS_AS((void)er::pack<er::ternary<er::per_group<32>>>(
                      weights, er::ternary<er::per_group<32>>{.epsilon = 1e-9f}),
                  error);
  CHECK_NOTHROW((void)er::pack<ternary_bf16>(weights, {.epsilon = 1e-9f}));
}

TEST_CASE("pack, unpack, dequantize: shapes that do not fit are named") {
  const std::vector<float> w(4 * 64, 0.5f);
  using policy = er::int4<er::per_group<32>>;
  const er::matrix_view<const float> weights{w.data(), 4, 64};
  er::packed_matrix<policy> matrix = er::pack<policy>(weights);
  CHECK_THROWS_WITH_AS((void)er::pack<policy>(er::matrix_view<const float>{w.data(), 0, 64}),
                       "packed matrix: expected at least one row and column, got 0 x 64", error);
  CHECK_THROWS_AS((void)er::pack<policy>(er::matrix_view<const float>{w.data(), 4, 0}), error);
  CHECK_THROWS_WITH_AS(er::pack_rows(matrix, {0, 3}, weights),
                       "pack_rows: a range of 3 rows was given 4", error);
  CHECK_THROWS_WITH_AS(er::pack_rows(matrix, {1, 5}, weights),
                       "pack: 4 x 64 weights from row 1 on do not fit a matrix of 4 x 64", error);
  CHECK_THROWS_AS(er::pack_rows(matrix, {0, 4}, er::matrix_view<const float>{w.data(), 4, 63}),
                  error);
  // begin + rows wraps to 0.
  CHECK_THROWS_AS(er::pack_rows(matrix, {SIZE_MAX - 3, 0}, weights), error);

  std::vector<std::int8_t> levels(4 * 64);
  std::vector<float> values(4 * 64);
  CHECK_THROWS_WITH_AS(er::unpack(matrix, er::matrix_view<std::int8_t>{levels.data(), 4, 63}),
                       "unpack: a matrix of 4 x 64 does not fit an output of 4 x 63", error);
  CHECK_THROWS_WITH_AS(er::dequantize(matrix, er::matrix_view<float>{values.data(), 3, 64}),
                       "dequantize: a matrix of 4 x 64 does not fit an output of 3 x 64", error);
  const std::span<const std::byte> bytes = matrix.bytes();
  CHECK_NOTHROW(er::packed_view(matrix.view().layout(), bytes));
  CHECK_THROWS_WITH_AS(er::packed_view(matrix.view().layout(), bytes.first(bytes.size() - 1)),
                       "packed matrix int4_g32 of 4 x 64: expected 576 bytes, got 575", error);
}

TEST_SUITE_END();
