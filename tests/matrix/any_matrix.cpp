// SPDX-License-Identifier: Apache-2.0
/// Matrices whose format is a name: packed at once, piecewise, by threads, or found in memory.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/counting_resource.hpp"
#include "support/samples.hpp"
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/matrix/validate.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/any_matrix");

namespace {

using error = std::invalid_argument;

er::matrix_format named(std::string_view name) {
  const auto fmt = er::matrix_format::parse(name);
  REQUIRE(fmt);
  return *fmt;
}

std::vector<std::byte> bytes_of(const er::any_matrix& matrix) {
  return {matrix.bytes().begin(), matrix.bytes().end()};
}

constexpr const char* all_names[] = {"f32",
                                     "f16",
                                     "bf16",
                                     "ternary2_g64",
                                     "ternary5_g32_bf16",
                                     "int4_row",
                                     "int8_g20_f32",
                                     "int4_g64+ternary2_g64:every_8_rows",
                                     "int4_row+ternary5_row:rows_4_of_8",
                                     "int8_g32_f32+int4_g32:every_3_rows",
                                     "int3_g32",
                                     "int5_row",
                                     "int6_g20_bf16",
                                     "binary_g64",
                                     "int6_g32+int3_g32:every_3_rows",
                                     "int5_g64+binary_g64:every_4_rows"};

}  // namespace

TEST_CASE("any_matrix: the default rules are the typed policies'") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::vector<float> w = samples::draw(samples::kind::normal, 18 * 100, random);
  const er::matrix_view<const float> weights{w.data(), 18, 100};
  const auto equal = [&](const char* name, std::span<const std::byte> bytes) {
    const er::any_matrix any = er::any_matrix::pack(named(name), weights);
    CAPTURE(name);
    CHECK(any.fmt().name() == name);
    CHECK(any.rows() == 18);
    CHECK(any.cols() == 100);
    CHECK(std::equal(bytes.begin(), bytes.end(), any.bytes().begin(), any.bytes().end()));
    CHECK(any.bits_per_weight() == 8.0 * static_cast<double>(bytes.size()) / 1800);
  };
  equal("ternary2_g64", er::pack<er::ternary<er::per_group<64>>>(weights).bytes());
  equal("ternary5_g32_bf16",
        er::pack<er::ternary<er::per_group<32>, er::bfloat16>, er::codecs::ternary5>(weights)
            .bytes());
  equal("int4_row", er::pack<er::int4<er::per_channel>>(weights).bytes());
  equal("int3_g64", er::pack<er::int3<er::per_group<64>>>(weights).bytes());
  equal("int5_g32", er::pack<er::int5<er::per_group<32>>>(weights).bytes());
  equal("int6_row_f32", er::pack<er::int6<er::per_channel, float>>(weights).bytes());
  equal("binary_g20", er::pack<er::binary<er::per_group<20>>>(weights).bytes());
  equal("int6_g64+binary_g64:every_8_rows",
        er::pack_mixed<er::int6<er::per_group<64>>, er::binary<er::per_group<64>>>(
            weights, er::every_nth_row{8})
            .bytes());
  equal("int8_g20_f32", er::pack<er::int8<er::per_group<20>, float>>(weights).bytes());
  equal("int4_g64+ternary2_g64:every_8_rows",
        er::pack_mixed<er::int4<er::per_group<64>>, er::ternary<er::per_group<64>>>(
            weights, er::every_nth_row{8})
            .bytes());
  equal("int4_g64+ternary2_g64:rows_4_of_8",
        er::pack_mixed<er::int4<er::per_group<64>>, er::ternary<er::per_group<64>>>(
            weights, er::rows_modulo{8, 4})
            .bytes());
}

TEST_CASE("any_matrix: a dense format is the numbers, rounded") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::vector<float> w = samples::draw(samples::kind::outliers, 5 * 12, random);
  const er::matrix_view<const float> weights{w.data(), 5, 11, 12};
  for (const char* name : {"f32", "f16", "bf16"}) {
    const er::any_matrix any = er::any_matrix::pack(named(name), weights);
    CAPTURE(name);
    REQUIRE(any.is_dense());
    CHECK(any.packed() == nullptr);
    CHECK(any.mixed() == nullptr);
    CHECK(any.group_cols() == 11);
    CHECK(any.bits_per_weight() == (std::string_view{name} == "f32" ? 32 : 16));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 55; ++i) {
      const float value = weights.row(i / 11)[i % 11];
      if (std::string_view{name} == "f32")
        wrong += static_cast<const float*>(any.dense().data)[i] != value;
      if (std::string_view{name} == "f16")
        wrong +=
            static_cast<const er::float16*>(any.dense().data)[i].bits != er::float16{value}.bits;
      if (std::string_view{name} == "bf16")
        wrong +=
            static_cast<const er::bfloat16*>(any.dense().data)[i].bits != er::bfloat16{value}.bits;
    }
    CHECK(wrong == 0);
  }
  std::vector<float> large(4, 1.0f);
  large[2] = 70000.0f;
  const er::matrix_view<const float> view{large.data(), 2, 2};
  CHECK_THROWS_WITH_AS((void)er::any_matrix::pack(named("f16"), view),
                       "any_matrix: a weight of magnitude 70000.000000 is out of the range of f16",
                       error);
  CHECK_NOTHROW((void)er::any_matrix::pack(named("bf16"), view));
  large[2] = NAN;
  CHECK_THROWS_WITH_AS((void)er::any_matrix::pack(named("f32"), view),
                       "weight at row 1, column 0 is NaN: expected finite values", error);
}

TEST_CASE(
    "any_matrix: the largest numbers of a dense format, and the first that are too large for it") {
  const std::size_t rows = 3, cols = 43;
  for (const auto& limit : {std::pair{"f16", 65520.0f}, {"bf16", 0x1.ffp127f}}) {
    const char* const name = limit.first;
    const float too_large = limit.second;
    CAPTURE(name);
    er::any_matrix matrix = er::any_matrix::empty(named(name), rows, cols);
    for (const std::size_t place : {std::size_t{0}, cols + 17, 3 * cols - 1}) {
      CAPTURE(place);
      std::vector<float> w(rows * cols, 0.25f);
      w[place] = -std::nextafter(too_large, 0.0f);
      const er::matrix_view<const float> weights{w.data(), rows, cols};
      CHECK_NOTHROW(matrix.pack_rows(0, weights));
      const std::vector<std::byte> before = bytes_of(matrix);
      w.assign(rows * cols, 0.5f);
      w[place] = too_large;
      CHECK_THROWS_AS(matrix.pack_rows(0, weights), error);
      CHECK(bytes_of(matrix) == before);
    }
  }
}

TEST_CASE("any_matrix: filled piecewise, out of order, by threads, from 16 bits: the same bytes") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::size_t rows = 53, cols = 70;
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
  const std::vector<er::bfloat16> half(w.begin(), w.end());
  const std::vector<float> rounded(half.begin(), half.end());
  const er::matrix_view<const float> weights{rounded.data(), rows, cols};
  for (const char* name : all_names) {
    CAPTURE(name);
    const er::matrix_format fmt = named(name);
    const std::vector<std::byte> whole = bytes_of(er::any_matrix::pack(fmt, weights));

    er::any_matrix pieces = er::any_matrix::empty(fmt, rows, cols);
    for (const er::row_range part :
         {er::row_range{30, 53}, er::row_range{0, 1}, er::row_range{1, 30}, er::row_range{7, 7}}) {
      pieces.pack_rows(part.begin, weights.rows_between(part.begin, part.end));
    }
    CHECK(bytes_of(pieces) == whole);

    er::any_matrix shared = er::any_matrix::empty(fmt, rows, cols);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t r = t; r < rows; r += 4)
          shared.pack_rows(r, weights.rows_between(r, r + 1));
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(bytes_of(shared) == whole);

    CHECK(bytes_of(er::any_matrix::pack(
              fmt, er::matrix_view<const er::bfloat16>{half.data(), rows, cols})) == whole);
    er::any_matrix moved = std::move(shared);
    CHECK(bytes_of(moved) == whole);
    er::any_matrix assigned;
    assigned = std::move(moved);
    CHECK(bytes_of(assigned) == whole);
  }
}

TEST_CASE("any_matrix: empty is zeros") {
  for (const char* name : all_names) {
    CAPTURE(name);
    const er::any_matrix any = er::any_matrix::empty(named(name), 17, 70);
    std::vector<float> values(17 * 70, 1.0f);
    const er::matrix_view<float> out{values.data(), 17, 70};
    if (any.packed()) er::dequantize(*any.packed(), out);
    if (any.mixed()) er::dequantize(*any.mixed(), out);
    if (any.is_dense()) {
      CHECK(std::count(any.bytes().begin(), any.bytes().end(), std::byte{0}) ==
            static_cast<std::ptrdiff_t>(any.bytes().size()));
    } else {
      CHECK(std::count(values.begin(), values.end(), 0.0f) == 17 * 70);
    }
  }
  const er::any_matrix none;
  CHECK(none.rows() == 0);
  CHECK(none.bytes().empty());
}

TEST_CASE("any_matrix: from_bytes refers to the memory it is given, if it fits") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::vector<float> w = samples::draw(samples::kind::normal, 17 * 70, random);
  const er::matrix_view<const float> weights{w.data(), 17, 70};
  for (const char* name : all_names) {
    CAPTURE(name);
    const er::matrix_format fmt = named(name);
    const std::vector<std::byte> bytes = bytes_of(er::any_matrix::pack(fmt, weights));
    er::any_matrix read = er::any_matrix::from_bytes(fmt, 17, 70, bytes);
    CHECK(read.bytes().data() == bytes.data());
    CHECK((read.packed() != nullptr) + (read.mixed() != nullptr) + read.is_dense() == 1);
    CHECK_THROWS_AS(read.pack_rows(0, weights), error);  // it owns nothing
    CHECK_THROWS_AS(
        (void)er::any_matrix::from_bytes(fmt, 17, 70, std::span{bytes}.first(bytes.size() - 1)),
        error);
    CHECK_THROWS_AS((void)er::any_matrix::from_bytes(fmt, 17, 70, {}), error);
    CHECK_THROWS_AS((void)er::any_matrix::from_bytes(fmt, 33, 70, bytes), error);
    CHECK_THROWS_AS((void)er::any_matrix::from_bytes(fmt, 17, 170, bytes), error);
    CHECK_THROWS_AS((void)er::any_matrix::from_bytes(fmt, 0, 70, bytes), error);
    CHECK_THROWS_AS((void)er::any_matrix::from_bytes(fmt, 17, 0, bytes), error);
    CHECK_THROWS_AS((void)er::any_matrix::from_bytes(fmt, SIZE_MAX, SIZE_MAX, bytes), error);
    CHECK_THROWS_AS(
        (void)er::any_matrix::from_bytes(fmt, SIZE_MAX / 2 + 2, 2, std::span{bytes}.first(4)),
        error);
  }
  // A mixed matrix whose rows no name describes: its bytes carry the mask.
  const auto columns = er::pack_mixed<er::int4<er::per_group<64>>, er::ternary<er::per_group<64>>>(
      weights, er::leading_columns{0.5});
  const auto read =
      er::any_matrix::from_bytes(named("int4_g64+ternary2_g64"), 17, 70, columns.bytes());
  REQUIRE(read.mixed());
  CHECK(read.mixed()->segments().size() == 2);
  // A dense matrix is multiplied in place, so its elements must be aligned.
  std::vector<std::byte> unaligned(4 * 8 + 4);
  const std::size_t off = reinterpret_cast<std::uintptr_t>(unaligned.data()) % 4 == 0 ? 2 : 0;
  CHECK_THROWS_WITH_AS(
      (void)er::any_matrix::from_bytes(named("f32"), 2, 4, std::span{unaligned}.subspan(off, 32)),
      "any_matrix: 32 bytes are no aligned f32 matrix of 2 x 4", error);
  CHECK_NOTHROW(
      (void)er::any_matrix::from_bytes(named("f16"), 4, 4, std::span{unaligned}.subspan(off, 32)));
}

TEST_CASE("any_matrix: what is refused") {
  const std::vector<float> w(17 * 70, 0.5f);
  const er::matrix_view<const float> weights{w.data(), 17, 70};
  CHECK_THROWS_WITH_AS(
      (void)er::any_matrix::pack(named("int4_g64+ternary2_g64"), weights),
      "any_matrix: int4_g64+ternary2_g64 does not say which rows have which format", error);
  for (const char* name : all_names) {
    CAPTURE(name);
    const er::matrix_format fmt = named(name);
    CHECK_THROWS_AS((void)er::any_matrix::empty(fmt, 0, 70), error);
    CHECK_THROWS_AS((void)er::any_matrix::empty(fmt, 17, 0), error);
    CHECK_THROWS_AS((void)er::any_matrix::empty(fmt, SIZE_MAX, 70), error);
    er::any_matrix any = er::any_matrix::empty(fmt, 17, 70);
    const std::vector<std::byte> before = bytes_of(any);
    CHECK_THROWS_AS(any.pack_rows(1, weights), error);
    CHECK_THROWS_AS(any.pack_rows(SIZE_MAX, weights.rows_between(0, 1)), error);
    CHECK_THROWS_AS(any.pack_rows(0, er::matrix_view<const float>{w.data(), 17, 69}), error);
    std::vector<float> bad = w;
    bad[16 * 70 + 3] = INFINITY;
    CHECK_THROWS_WITH_AS(any.pack_rows(0, er::matrix_view<const float>{bad.data(), 17, 70}),
                         "weight at row 16, column 3 is infinite: expected finite values", error);
    CHECK(bytes_of(any) == before);
  }
}

TEST_CASE("any_matrix: moved from, it is one of no rows, whatever it was") {
  for (const char* name : {"f16", "ternary2_g64", "int4_g4+ternary5_g4:every_2_rows"}) {
    CAPTURE(name);
    er::any_matrix matrix = er::any_matrix::empty(*er::matrix_format::parse(name), 3, 8);
    er::any_matrix taken{std::move(matrix)};
    CHECK(taken.rows() == 3);
    for (const er::any_matrix* left : {&matrix, &taken}) {
      if (left == &taken) matrix = std::move(taken);
      CHECK(left->rows() == 0);
      CHECK(left->cols() == 0);
      CHECK(left->bytes().empty());
      CHECK(left->packed() == nullptr);
      CHECK(left->mixed() == nullptr);
      CHECK(left->dense().data == nullptr);
      if (left == &taken) break;
    }
    const std::vector<float> weights(8);
    CHECK_THROWS_AS(taken.pack_rows(0, er::matrix_view{weights.data(), 1, 8}),
                    std::invalid_argument);
  }
}

namespace {
/// Parts of every kind and the stages of a sum of them.
struct composed {
  std::size_t rows, cols;
  std::vector<float> w, h;
  std::vector<std::uint32_t> p;
  er::any_matrix packed, mixed, half, u, v;
  er::sparse_matrix sparse;

  composed(std::size_t row_count, std::size_t col_count, std::mt19937& random)
      : rows(row_count),
        cols(col_count),
        w(samples::draw(samples::kind::normal, rows * cols, random)) {
    const er::matrix_view<const float> view{w.data(), rows, cols};
    h = samples::draw(samples::kind::normal, cols, random);
    for (std::size_t c = 0; c < cols; ++c) p.push_back(static_cast<std::uint32_t>(cols - 1 - c));
    packed = er::any_matrix::pack(named("int4_g16"), view);
    mixed = er::any_matrix::pack(named("int4_g64+ternary2_g64:every_3_rows"), view);
    half = er::any_matrix::pack(named("f16"), view);
    u = er::any_matrix::pack(named("int4_g4"), er::matrix_view<const float>{w.data(), rows, 1});
    v = er::any_matrix::pack(named("int4_g64"), er::matrix_view<const float>{w.data(), 1, cols});
    std::vector<std::uint8_t> mask(w.size());
    for (std::size_t i = 0; i < mask.size(); i += 7) mask[i] = 1;
    sparse = er::sparse_matrix::marked(view, mask);
  }
  [[nodiscard]] std::vector<er::matrix_sum> all() const {
    return {er::sum_of{packed, sparse},
            er::sum_of{sparse},
            er::scaled_columns{h, half},
            er::permuted_columns{p, er::sum_of{packed, mixed, er::scaled_columns{h, sparse}}},
            er::sum_of{packed, er::scaled_columns{h, er::low_rank{u, v}}, mixed},
            er::sum_of{er::rotated{er::hadamard{4}, packed}, er::scaled_columns{h, sparse}}};
  }
};
std::string error_of(const er::matrix_format& fmt, std::size_t rows, std::size_t cols,
                     std::span<const std::byte> bytes) {
  std::string sentence;
  return er::any_matrix::try_from_bytes(fmt, rows, cols, bytes, sentence) ? "" : sentence;
}
}  // namespace

TEST_CASE("any_matrix: a sum is one block of bytes, which is read back as it was") {
  std::mt19937 random(1);
  for (const auto& [rows, cols] :
       {std::pair<std::size_t, std::size_t>{20, 100}, {1, 4}, {33, 64}}) {
    const composed c(rows, cols, random);
    for (const er::matrix_sum& sum : c.all()) {
      const std::string name = sum.name();
      CAPTURE(name);
      const er::any_matrix one = er::any_matrix::joined(sum);
      CHECK(one.fmt().name() == name);
      CHECK(one.rows() == rows);
      CHECK(one.cols() == cols);
      CHECK(one.group_cols() == cols);
      CHECK_FALSE(one.is_dense());
      CHECK(one.packed() == nullptr);
      CHECK(one.mixed() == nullptr);
      REQUIRE(one.sum());
      CHECK(one.sum()->name() == name);
      REQUIRE(one.sum()->parts().size() == sum.parts().size());
      for (std::size_t i = 0; i < sum.parts().size(); ++i) {
        const std::span<const std::byte> own = one.sum()->parts()[i].matrix.bytes(),
                                         from = sum.parts()[i].matrix.bytes();
        CHECK(own.data() >= one.bytes().data());
        CHECK((own.data() - one.bytes().data()) % 64 == 0);
        CHECK(std::equal(own.begin(), own.end(), from.begin(), from.end()));
      }
      const std::vector<std::byte> bytes = bytes_of(one);
      const er::any_matrix read = er::any_matrix::from_bytes(one.fmt(), rows, cols, bytes);
      CHECK(read.bytes().data() == bytes.data());
      CHECK(read.sum()->parts().back().matrix.bytes().data() > bytes.data());
      CHECK(bytes_of(er::any_matrix::joined(er::sum_of{read})) == bytes);
      CHECK_FALSE(er::find_fault(read).has_value());
    }
    // Of one matrix that is no sum, that matrix.
    for (const er::any_matrix* alone : {&c.packed, &c.mixed, &c.half}) {
      const er::any_matrix again = er::any_matrix::joined(er::sum_of{*alone});
      CHECK(again.fmt() == alone->fmt());
      CHECK(bytes_of(again) == bytes_of(*alone));
    }
  }
}

TEST_CASE("any_matrix: where the parts of a sum lie") {
  const std::vector<float> w(64, 1.0f), h(4, 0.5f);
  const er::any_matrix packed =
      er::any_matrix::pack(named("int4_g4"), er::matrix_view{w.data(), 16, 4});
  const er::sparse_matrix sparse = er::sparse_matrix::above({w.data(), 16, 4}, 0);
  const er::any_matrix one =
      er::any_matrix::joined(er::sum_of{er::scaled_columns{h, packed}, sparse});
  // 3 entries of 16 bytes: the factors, the packed matrix, the sparse one.
  const std::uint64_t table[] = {
      64, 16, 128, packed.bytes().size(), 128 + packed.bytes().size(), sparse.bytes().size()};
  CHECK(std::memcmp(one.bytes().data(), table, sizeof table) == 0);
  CHECK(std::memcmp(one.bytes().data() + 64, h.data(), 16) == 0);
  CHECK(one.bytes().size() == table[4] + table[5]);
}

TEST_CASE("any_matrix: a sum is neither emptied nor filled, and lives in a caller's memory") {
  std::mt19937 random(2);
  const composed c(20, 64, random);
  counting_resource memory;
  {
    er::any_matrix one = er::any_matrix::joined(er::sum_of{c.packed, c.sparse}, &memory);
    CHECK(memory.blocks == 1);
    CHECK_THROWS_WITH_AS(one.pack_rows(0, er::matrix_view<const float>{c.w.data(), 20, 64}),
                         "any_matrix: int4_g16+sparse is joined of its parts, not filled", error);
    CHECK_THROWS_WITH_AS((void)er::any_matrix::empty(one.fmt(), 20, 64),
                         "any_matrix: int4_g16+sparse is joined of its parts, not filled", error);
    const er::matrix_sum* const at = one.sum();
    const er::any_matrix moved = std::move(one);
    CHECK(moved.sum() == at);
    CHECK(one.sum() == nullptr);
    CHECK(one.rows() == 0);
  }
  CHECK(memory.blocks == 0);
  CHECK_THROWS_WITH_AS((void)er::any_matrix::joined(er::matrix_sum{}),
                       "any_matrix: a sum of no parts", error);
}

TEST_CASE("any_matrix: bytes that are no sum are refused before they are used") {
  std::mt19937 random(3);
  constexpr std::size_t rows = 20, cols = 64;
  const composed c(rows, cols, random);
  const er::any_matrix one = er::any_matrix::joined(
      er::permuted_columns{c.p, er::sum_of{er::scaled_columns{c.h, c.mixed}, c.sparse}});
  const er::matrix_format fmt = one.fmt();
  const std::vector<std::byte> good = bytes_of(one);
  CHECK(error_of(fmt, rows, cols, good).empty());
  const std::string begins = "sum " + fmt.name() + " of 20 x 64: ";
  // Every length but the right one, every bit of the table, every shape near it.
  for (std::size_t size = 0; size < good.size(); size += size < 200 ? 1 : 61)
    CHECK(error_of(fmt, rows, cols, std::span{good}.first(size)).starts_with(begins));
  std::vector<std::byte> bad = good;
  bad.resize(good.size() + 1);
  CHECK(error_of(fmt, rows, cols, bad) == begins + "expected " + std::to_string(good.size()) +
                                              " bytes, got " + std::to_string(bad.size()));
  for (std::size_t bit = 0; bit < 8 * 64; ++bit) {
    bad = good;
    bad[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK(error_of(fmt, rows, cols, bad).starts_with(begins));
  }
  CHECK_FALSE(error_of(fmt, rows, cols - 1, good).empty());
  CHECK_FALSE(error_of(fmt, rows, cols + 1, good).empty());
  CHECK_FALSE(error_of(fmt, rows + 16, cols, good).empty());
  const auto with = [&](std::size_t at, std::uint32_t value) {
    bad = good;
    std::memcpy(bad.data() + at, &value, sizeof value);
    return error_of(fmt, rows, cols, bad);
  };
  const std::size_t permutation = 64, sparse = good.size() - c.sparse.bytes().size();
  CHECK(with(permutation, 64) == begins + "its permutation has not each column once");
  CHECK(with(permutation + 4, 63) == begins + "its permutation has not each column once");
  CHECK(with(sparse, 1) ==
        begins + "sparse matrix of 20 x 64: its first tile does not begin at step 0");
  CHECK(with(sparse + 64, 64).ends_with("an entry is in column 64"));
  // What is of the right form and holds no numbers is for find_fault to say.
  const auto fault = [&](std::size_t at, std::uint32_t value) {
    CHECK(with(at, value).empty());
    return er::find_fault(er::any_matrix::from_bytes(fmt, rows, cols, bad)).value_or("");
  };
  CHECK(fault(permutation + 4 * cols + 4 * 7, 0x7fc00000) ==
        "the factor of column 7 is NaN: expected finite factors");
  CHECK(fault(sparse + 64 + 32, 0x7c007c00)
            .starts_with("in part 1 of the sum, the entry at row 0, column "));
  // A low-rank part, whose rank the format says.
  const er::any_matrix adapted =
      er::any_matrix::joined(er::sum_of{c.packed, er::low_rank{c.u, c.v}});
  const std::vector<std::byte> bytes = bytes_of(adapted);
  for (const char* rank : {"9", "17", "65536"}) {
    const auto other = named("int4_g16+low_rank_" + std::string{rank} + "(int4_g4*int4_g64)");
    CHECK(error_of(other, rows, cols, bytes).starts_with("sum int4_g16+low_rank_"));
  }
  const er::any_matrix turned =
      er::any_matrix::joined(er::sum_of{er::rotated{er::hadamard{4}, c.packed}, c.sparse});
  CHECK(error_of(named("rotated_128(int4_g16)+sparse"), rows, cols, bytes_of(turned)) ==
        "sum rotated_128(int4_g16)+sparse of 20 x 64: its 64 columns have no rotation in blocks "
        "of 128");
  std::vector<std::byte> nan = bytes;
  const std::uint16_t value = 0x7e00;  // the scale of V's only row and group
  std::memcpy(nan.data() + 64, &value, sizeof value);
  CHECK(er::find_fault(er::any_matrix::from_bytes(adapted.fmt(), rows, cols, nan))
            .value_or("")
            .starts_with("in V of a low-rank part, "));
  const std::vector<std::byte> at_odd = [&] {
    std::vector<std::byte> moved(good.size() + 8);
    std::memcpy(moved.data() + 2, good.data(), good.size());
    return moved;
  }();
  CHECK(error_of(fmt, rows, cols, std::span{at_odd}.subspan(2, good.size()))
            .ends_with("no multiple of 4"));
}

TEST_CASE("a mixed matrix whose rows are not those of its name is refused") {
  const std::vector<float> w(16 * 8, 1.0f);
  const auto format = [](const char* name) { return er::matrix_format::parse(name).value(); };
  const er::matrix_view<const float> view{w.data(), 16, 8};
  const auto eight = er::any_matrix::pack(format("int4_g8+ternary2_g8:rows_8_of_16"), view);
  const auto read = [&](const char* name) {
    return er::any_matrix::from_bytes(format(name), 16, 8, eight.bytes()).fmt().name();
  };
  CHECK_THROWS_WITH_AS((void)read("int4_g8+ternary2_g8:every_2_rows"),
                       "mixed matrix int4_g8+ternary2_g8:every_2_rows of 16 x 8: its rows are not "
                       "those of its name",
                       error);
  for (const char* const name : {"int4_g8+ternary2_g8:rows_8_of_16", "int4_g8+ternary2_g8"}) {
    CHECK(read(name) == name);
  }
}

TEST_SUITE_END();
