// SPDX-License-Identifier: Apache-2.0
// The packed layouts of EdgeRazor (Python): its golden bytes, and copies that lose nothing.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include "support/samples.hpp"
#include <edgerazor/io/edgerazor_checkpoint.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

using sizes = std::initializer_list<std::size_t>;

template <std::size_t N>
using w4 = er::int4<er::per_group<N>>;
template <std::size_t N>
using w158 = er::ternary<er::per_group<N>>;

struct packing_case {
  nlohmann::json data;
  std::size_t rows, cols, train_block, scale_block;
  std::vector<float> input, dequantized;

  explicit packing_case(const nlohmann::json& item)
      : data(item),
        rows(item.at("shape").at(0)),
        cols(item.at("shape").at(1)),
        train_block(item.at("train_block")),
        scale_block(item.at("scale_block")),
        input(golden::floats(item.at("input"))),
        dequantized(golden::floats(item.at("dequant"))) {}

  [[nodiscard]] er::matrix_view<const float> weights() const { return {input.data(), rows, cols}; }
  [[nodiscard]] std::vector<std::uint8_t> bytes(const char* name) const {
    return data.at(name).get<std::vector<std::uint8_t>>();
  }
  /// Scales are printed as the float that the bfloat16 is.
  [[nodiscard]] std::vector<float> scales(const char* name) const {
    return golden::floats(data.at(name));
  }
};

std::vector<float> widened(const std::vector<er::bfloat16>& scales) {
  return {scales.begin(), scales.end()};
}

template <class Matrix>
std::vector<float> dequantized(const Matrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.cols());
  er::dequantize(matrix, er::matrix_view<float>{values.data(), matrix.rows(), matrix.cols()});
  return values;
}

/// Wrong bytes and scales, and wrong numbers after reading them back.
template <class Policy>
void check_plain(const packing_case& item) {
  const er::checkpoint_matrix made =
      er::quantize_to_checkpoint<Policy>(item.weights(), item.scale_block);
  CHECK(made.qweight == item.bytes("qweight"));
  CHECK(widened(made.scales) == item.scales("scale_bf16"));

  // Read with the scale's block as the group, and with the larger training block: one scale for
  // each.
  const er::code_type code = er::default_codec<Policy>::type;
  for (const std::size_t group : {item.scale_block, item.train_block, std::size_t{32}}) {
    CAPTURE(group);
    for (const er::scale_kind kind :
         {er::scale_kind::bfloat16, er::scale_kind::float32, er::scale_kind::float16}) {
      const er::packed_storage read =
          er::from_checkpoint_layout(made, {code, static_cast<std::uint32_t>(group), kind});
      CHECK(dequantized(read.view()) == item.dequantized);
      if (group % item.scale_block != 0) continue;
      const er::checkpoint_matrix again = er::to_checkpoint_layout(read.view(), item.scale_block);
      CHECK(again.qweight == made.qweight);
      CHECK(widened(again.scales) == widened(made.scales));
    }
  }
  const auto typed = er::from_checkpoint_layout<Policy>(made);
  CHECK(dequantized(typed.view()) == item.dequantized);
}

void check_mixed(const packing_case& item) {
  const bool sparse = item.data.at("bits") == 1.88;
  REQUIRE((sparse || item.data.at("bits") == 2.79));
  const er::checkpoint_mixed_matrix made = er::quantize_to_checkpoint_mixed<w4<256>, w158<256>>(
      item.weights(), sparse ? er::checkpoint_rows_1_88 : er::checkpoint_rows_2_79,
      item.scale_block);
  CHECK(made.int4.qweight == item.bytes("qweight_int4"));
  CHECK(made.int2.qweight == item.bytes("qweight_int2"));
  CHECK(widened(made.int4.scales) == item.scales("scale_int4"));
  CHECK(widened(made.int2.scales) == item.scales("scale_int2"));
  CHECK(made.inverse_perm == item.data.at("inverse_perm").get<std::vector<std::int64_t>>());

  for (const er::code_type low : {er::code_type::ternary2, er::code_type::ternary5}) {
    const er::mixed_matrix read = er::from_checkpoint_layout(made, {er::code_type::int4, 256},
                                                             {low, 256, er::scale_kind::bfloat16});
    CHECK(dequantized(read) == item.dequantized);
    const er::checkpoint_mixed_matrix again = er::to_checkpoint_layout(read, item.scale_block);
    CHECK(again.int4.qweight == made.int4.qweight);
    CHECK(again.int2.qweight == made.int2.qweight);
    CHECK(widened(again.int4.scales) == widened(made.int4.scales));
    CHECK(widened(again.int2.scales) == widened(made.int2.scales));
    CHECK(again.inverse_perm == made.inverse_perm);
  }
}

}  // namespace

TEST_SUITE_BEGIN("io/edgerazor_checkpoint");

TEST_CASE("checkpoint layout: the golden cases, byte for byte, and back to the same numbers") {
  const nlohmann::json all = golden::load("packing.json").at("cases");
  CHECK(all.size() == 10);
  for (const nlohmann::json& data : all) {
    const packing_case item(data);
    const std::string name = data.at("format");
    CAPTURE(name);
    CAPTURE(item.train_block);
    CAPTURE(item.scale_block);
    REQUIRE((item.train_block == 256 || item.train_block == 64));
    if (name == "mixed") {
      check_mixed(item);
    } else if (name == "int4") {
      item.train_block == 256 ? check_plain<w4<256>>(item) : check_plain<w4<64>>(item);
    } else {
      REQUIRE(name == "ternary2");
      item.train_block == 256 ? check_plain<w158<256>>(item) : check_plain<w158<64>>(item);
    }
  }
}

TEST_CASE("checkpoint layout: where each level lies") {
  // By hand from quant_ops.py: the even column of int4 in the high nibble; ternary + 2 from the
  // lowest bits up.
  er::checkpoint_matrix nibbles(er::checkpoint_code::int4, 1, 4, 4),
      pairs(er::checkpoint_code::int2, 1, 4, 4);
  const int levels[] = {-7, 7, 0, 1}, ternary[] = {-1, 0, 1, -1};
  for (std::size_t c = 0; c < 4; ++c) {
    nibbles.put_level(0, c, levels[c]);
    pairs.put_level(0, c, ternary[c]);
  }
  CHECK(nibbles.qweight == std::vector<std::uint8_t>{0x1f, 0x89});
  CHECK(pairs.qweight == std::vector<std::uint8_t>{1 | 2 << 2 | 3 << 4 | 1 << 6});
  for (std::size_t c = 0; c < 4; ++c) {
    CHECK(er::checkpoint_view(nibbles).level(0, c) == levels[c]);
    CHECK(er::checkpoint_view(pairs).level(0, c) == ternary[c]);
  }
}

TEST_CASE("checkpoint layout: ours to theirs copies codes, it does not quantize again") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::vector<float> w = samples::draw(samples::kind::normal, 17 * 512, random);
  const er::matrix_view<const float> weights{w.data(), 17, 512};
  const auto packed = er::pack<er::ternary<er::per_group<128>, er::bfloat16>>(weights);
  // The density of nonzeros is far from 1/2, so a second quantization would change every scale.
  for (const std::size_t block : sizes{32, 64, 128}) {
    const er::checkpoint_matrix theirs = er::to_checkpoint_layout(packed, block);
    const auto back =
        er::from_checkpoint_layout<er::ternary<er::per_group<128>, er::bfloat16>>(theirs);
    CHECK(std::memcmp(back.bytes().data(), packed.bytes().data(), packed.bytes().size()) == 0);
  }
  const auto base3 =
      er::pack<er::ternary<er::per_group<128>, er::bfloat16>, er::codecs::ternary5>(weights);
  CHECK(er::to_checkpoint_layout(base3, 64).qweight ==
        er::to_checkpoint_layout(packed, 64).qweight);
}

TEST_CASE("checkpoint layout: a codec goes to the code that holds its levels") {
  std::mt19937 random(5);
  const std::vector<float> w = samples::draw(samples::kind::normal, 17 * 256, random);
  const er::matrix_view<const float> weights{w.data(), 17, 256};
  const auto check = [&](const auto& packed, er::checkpoint_code code) {
    const er::checkpoint_matrix theirs = er::to_checkpoint_layout(packed, 64);
    CHECK(theirs.code == code);
    const er::packed_storage back =
        er::from_checkpoint_layout(theirs, packed.view().layout().fmt());
    CHECK(dequantized(back.view()) == dequantized(packed.view()));
  };
  check(er::pack<er::binary<er::per_group<64>, er::bfloat16>>(weights), er::checkpoint_code::int2);
  check(er::pack<er::int3<er::per_group<64>, er::bfloat16>>(weights), er::checkpoint_code::int4);
  check(er::pack<er::int4<er::per_group<64>, er::bfloat16>>(weights), er::checkpoint_code::int4);
  CHECK_THROWS_WITH_AS(
      (void)er::to_checkpoint_layout(er::pack<er::int5<er::per_group<64>>>(weights), 64),
      doctest::Contains("is out of its range"), std::invalid_argument);
}

TEST_CASE("checkpoint layout: any permutation of rows is read, not only the plugin's order") {
  er::checkpoint_mixed_matrix matrix{
      {er::checkpoint_code::int4, 2, 8, 8}, {er::checkpoint_code::int2, 3, 8, 8}, {}};
  for (std::size_t r = 0; r < 5; ++r) {
    er::checkpoint_matrix& part = r < 2 ? matrix.int4 : matrix.int2;
    const std::size_t row = r < 2 ? r : r - 2;
    for (std::size_t c = 0; c < 8; ++c) part.put_level(row, c, c % 2 == 0 ? 1 : -1);
    part.put_scale(row, 0, 8, static_cast<float>(r + 1));
  }
  matrix.inverse_perm = {4, 1, 3, 0, 2};
  const er::mixed_matrix read =
      er::from_checkpoint_layout(matrix, {er::code_type::int4, 8}, {er::code_type::ternary2, 8});
  const std::vector<float> values = dequantized(read);
  for (std::size_t r = 0; r < 5; ++r) {
    CHECK(values[8 * r] == static_cast<float>(matrix.inverse_perm[r] + 1));
    CHECK(values[8 * r + 1] == -static_cast<float>(matrix.inverse_perm[r] + 1));
  }
}

TEST_CASE("checkpoint layout: rows all of one precision") {
  const std::vector<float> w(4 * 64, 0.5f);
  const er::matrix_view<const float> weights{w.data(), 4, 64};
  for (const er::rows_modulo map : {er::rows_modulo{1, 1}, er::rows_modulo{8, 0}}) {
    const auto made =
        er::quantize_to_checkpoint_mixed<er::int4<er::per_channel>, er::ternary<er::per_channel>>(
            weights, map, 32, {}, {.factor = 1.0f});
    CHECK(made.int4.rows == (map.below == 1 ? 4 : 0));
    const auto read =
        er::from_checkpoint_layout(made, {er::code_type::int4, 0, er::scale_kind::bfloat16},
                                   {er::code_type::ternary2, 0, er::scale_kind::bfloat16});
    // 0.5 / 7 is no bfloat16: its rounding moves level 7 by at most 2^-9 of 0.5. The ternary scale
    // 0.5 is exact.
    const float bound = map.below == 1 ? 0x1p-10f : 0.0f;
    std::size_t wrong = 0;
    for (const float value : dequantized(read)) wrong += !(std::fabs(value - 0.5f) <= bound);
    CHECK(wrong == 0);
    const auto again = er::to_checkpoint_layout(read, 32);
    CHECK(again.inverse_perm == made.inverse_perm);
    CHECK(again.int2.qweight == made.int2.qweight);
    CHECK(again.int4.qweight == made.int4.qweight);
  }
}

TEST_CASE("checkpoint layout: what can't be copied is refused by name") {
  const std::vector<float> w(4 * 64, 0.5f);
  const er::matrix_view<const float> weights{w.data(), 4, 64};
  const auto made = er::quantize_to_checkpoint<w4<64>>(weights, 32);
  using error = std::invalid_argument;

  SUBCASE("sizes") {
    CHECK_THROWS_WITH_AS((void)er::quantize_to_checkpoint<w4<64>>(weights, 24),
                         "checkpoint layout: groups of 64 and scales of 24 columns do not divide "
                         "each other and 64 columns",
                         error);
    CHECK_THROWS_AS(
        (void)er::quantize_to_checkpoint<w4<64>>(er::matrix_view<const float>{w.data(), 1, 96}, 32),
        error);
    CHECK_THROWS_AS((void)er::quantize_to_checkpoint<w4<64>>(weights, 0), error);
    CHECK_THROWS_AS((void)er::to_checkpoint_layout(er::pack<w4<32>>(weights), 64), error);
    CHECK_THROWS_AS((void)er::to_checkpoint_layout(er::pack<w4<32>>(weights), 0), error);
    const std::vector<float> odd(3 * 33, 0.5f);
    CHECK_THROWS_AS((void)er::to_checkpoint_layout(
                        er::pack<w4<32>>(er::matrix_view<const float>{odd.data(), 3, 33}), 32),
                    error);
    er::checkpoint_matrix cut = made;
    cut.qweight.pop_back();
    CHECK_THROWS_WITH_AS((void)er::from_checkpoint_layout(cut, er::format{}),
                         "checkpoint layout: 127 bytes and 8 scales are no matrix of 4 x 64 with a "
                         "scale for 32 columns",
                         error);
    cut = made;
    cut.scales.pop_back();
    CHECK_THROWS_AS((void)er::from_checkpoint_layout(cut, er::format{}), error);
    er::checkpoint_view hostile = made;
    hostile.rows = SIZE_MAX / 32 + 1 + 4;  // rows * bytes a row wraps to the true size
    CHECK_THROWS_AS((void)er::from_checkpoint_layout(hostile, er::format{}), error);
    hostile = made;
    hostile.scale_block = 0;
    CHECK_THROWS_AS((void)er::from_checkpoint_layout(hostile, er::format{}), error);
  }
  SUBCASE("levels") {
    er::checkpoint_matrix pairs = er::quantize_to_checkpoint<w158<64>>(weights, 64);
    pairs.qweight[16 * 2 + 5] &= 0xf3;  // level -2 at row 2, column 21
    CHECK_THROWS_WITH_AS(
        (void)er::from_checkpoint_layout(pairs, {er::code_type::ternary2, 64}),
        "checkpoint layout: the level -2 at row 2, column 21 is none of ternary2_g64", error);
    CHECK(dequantized(
              er::from_checkpoint_layout(pairs, {er::code_type::int4, 64}).view())[2 * 64 + 21] ==
          -2.0f);
    const auto wide = er::pack<er::int8<er::per_group<64>>>(weights);
    CHECK_THROWS_WITH_AS((void)er::to_checkpoint_layout(wide, 64),
                         "checkpoint layout: the level 127 at row 0, column 0 is out of its range",
                         error);
  }
  SUBCASE("scales") {
    er::checkpoint_matrix changed = made;
    changed.scales[2 * 3 + 1] = er::bfloat16{0.25f};
    CHECK_THROWS_WITH_AS(
        (void)er::from_checkpoint_layout(changed, {er::code_type::int4, 64}),
        "checkpoint layout: the scale of row 3, columns 0 to 64 is not one: choose a smaller group",
        error);
    CHECK_NOTHROW((void)er::from_checkpoint_layout(changed, {er::code_type::int4, 32}));
    changed.scales[5] = er::bfloat16{INFINITY};
    CHECK_THROWS_WITH_AS((void)er::from_checkpoint_layout(changed, {er::code_type::int4, 32}),
                         "checkpoint layout: the scale of row 2, columns 32 to 64 is not finite",
                         error);
    for (const float scale :
         {0x1p-18f * 1.5078125f, 131072.0f}) {  // 8 bits below 2^-17; past 65504
      changed = made;
      changed.scales[4] = er::bfloat16{scale};
      CHECK_THROWS_WITH_AS(
          (void)er::from_checkpoint_layout(changed, {er::code_type::int4, 32}),
          "checkpoint layout: the scale of row 2, columns 0 to 32 is not exact in the stored type; "
          "choose another scale type",
          error);
      CHECK_NOTHROW((void)er::from_checkpoint_layout(
          changed, {er::code_type::int4, 32, er::scale_kind::bfloat16}));
      // Where no level needs the scale, it may go.
      std::fill_n(changed.qweight.begin() + 32 * 2, 16, std::uint8_t{0x88});
      const std::vector<float> values =
          dequantized(er::from_checkpoint_layout(changed, {er::code_type::int4, 32}).view());
      CHECK(std::count(values.begin() + 2 * 64, values.begin() + 2 * 64 + 32, 0.0f) == 32);
    }
  }
  SUBCASE("weights") {
    std::vector<float> bad = w;
    bad[64 + 3] = NAN;
    CHECK_THROWS_WITH_AS((void)er::quantize_to_checkpoint<w4<64>>(
                             er::matrix_view<const float>{bad.data(), 4, 64}, 64),
                         "weight at row 1, column 3 is NaN: expected finite values", error);
  }
  SUBCASE("permutations and parts") {
    er::checkpoint_mixed_matrix mixed =
        er::quantize_to_checkpoint_mixed<w4<64>, w158<64>>(weights, er::checkpoint_rows_2_79, 64);
    const er::format high{er::code_type::int4, 64, er::scale_kind::float32};
    const er::format low{er::code_type::ternary2, 64, er::scale_kind::float32};
    CHECK_NOTHROW((void)er::from_checkpoint_layout(mixed, high, low));
    mixed.inverse_perm[3] = 0;
    CHECK_THROWS_WITH_AS((void)er::from_checkpoint_layout(mixed, high, low),
                         "checkpoint layout: inverse_perm is no permutation of its rows", error);
    mixed.inverse_perm[3] = -1;
    CHECK_THROWS_AS((void)er::from_checkpoint_layout(mixed, high, low), error);
    mixed.inverse_perm[3] = 4;
    CHECK_THROWS_AS((void)er::from_checkpoint_layout(mixed, high, low), error);
    mixed.inverse_perm.pop_back();
    CHECK_THROWS_AS((void)er::from_checkpoint_layout(mixed, high, low), error);
    const auto columns = er::pack_mixed<w4<32>, w158<32>>(weights, er::leading_columns{0.5});
    CHECK_THROWS_WITH_AS((void)er::to_checkpoint_layout(columns, 32),
                         "checkpoint layout: a row of the mixed matrix has two precisions", error);
  }
}

TEST_CASE("checkpoint layout: sizes that wrap are refused, and a moved matrix is empty") {
  constexpr std::size_t huge = std::size_t{1} << 61;
  CHECK_THROWS_WITH_AS(er::checkpoint_matrix(er::checkpoint_code::int4, huge, 64, 32),
                       "checkpoint layout: 2305843009213693952 x 32 is too large",
                       std::invalid_argument);
  er::checkpoint_matrix matrix(er::checkpoint_code::int2, 3, 64, 32);
  const er::checkpoint_matrix copy{matrix}, taken{std::move(matrix)};
  CHECK(copy.rows == 3);
  CHECK(taken.qweight == copy.qweight);
  CHECK(taken.cols == 64);
  CHECK(matrix.rows == 0);  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(matrix.cols == 0);
  CHECK(matrix.qweight.empty());
}

TEST_CASE("a checkpoint_matrix moved onto itself stays as it was") {
  er::checkpoint_matrix m(er::checkpoint_code::int4, 3, 64, 32), &same = m;
  m = std::move(same);
  CHECK(m.qweight.size() == m.rows * m.cols / 2);
}

TEST_SUITE_END();
