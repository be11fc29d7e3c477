// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/reorder_rows.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/reorder_rows");

namespace {

constexpr std::size_t rows = 37, cols = 40;

std::vector<std::uint32_t> some_order() {
  std::vector<std::uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937(5));
  return order;
}

std::vector<float> some_weights() {
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  std::vector<float> weights(rows * cols);
  for (float& w : weights) w = normal(random);
  return weights;
}

std::vector<std::byte> bytes_of(const er::any_matrix& matrix) {
  return {matrix.bytes().begin(), matrix.bytes().end()};
}

}  // namespace

TEST_CASE("rows reordered and then packed, or packed and then reordered, are the same bytes") {
  const std::vector<float> weights = some_weights();
  const std::vector<std::uint32_t> order = some_order();
  std::vector<float> moved(weights.size());
  for (std::size_t r = 0; r < rows; ++r)
    std::copy_n(weights.data() + order[r] * cols, cols, moved.data() + r * cols);
  for (const char* name : {"f32", "f16", "bf16", "ternary2_g8", "ternary5_g8_bf16", "int4_row",
                           "int8_g8_f32", "int3_g20", "int4z_g8", "int4m_g20", "int2z_g8_f32"}) {
    CAPTURE(name);
    const er::matrix_format fmt = *er::matrix_format::parse(name);
    const er::any_matrix packed =
        er::any_matrix::pack(fmt, er::matrix_view<const float>{weights.data(), rows, cols});
    const er::any_matrix expected =
        er::any_matrix::pack(fmt, er::matrix_view<const float>{moved.data(), rows, cols});
    const er::any_matrix got = er::reordered_rows(packed, order);
    CHECK(got.fmt() == fmt);
    CHECK(bytes_of(got) == bytes_of(expected));
  }
}

TEST_CASE("rows of two precisions take theirs along, and find back") {
  const std::vector<float> weights = some_weights();
  const std::vector<std::uint32_t> order = some_order();
  std::vector<std::uint32_t> back(rows);
  for (std::uint32_t r = 0; r < rows; ++r) back[order[r]] = r;
  const er::matrix_format fmt = *er::matrix_format::parse("int4_g8+ternary2_g8:every_3_rows");
  const er::any_matrix packed =
      er::any_matrix::pack(fmt, er::matrix_view<const float>{weights.data(), rows, cols});
  const er::any_matrix moved = er::reordered_rows(packed, order);
  CHECK(moved.fmt().name() == "int4_g8+ternary2_g8");
  const er::mixed_matrix& mixed = *moved.mixed();
  for (const er::mixed_matrix::segment& part : mixed.segments()) {
    for (const std::uint32_t row : part.rows) CHECK(part.high == (order[row] % 3 == 0));
  }
  CHECK(bytes_of(moved) != bytes_of(packed));
  CHECK(bytes_of(er::reordered_rows(moved, back)) == bytes_of(packed));
}

TEST_CASE("parts of a sum are reordered, and its stages stay") {
  const std::vector<float> weights = some_weights();
  const std::vector<std::uint32_t> order = some_order();
  std::vector<std::uint32_t> columns(cols);
  std::iota(columns.rbegin(), columns.rend(), 0u);
  const er::any_matrix packed =
      er::any_matrix::pack(*er::matrix_format::parse("int4_g8"),
                           er::matrix_view<const float>{weights.data(), rows, cols});
  const er::any_matrix sum =
      er::any_matrix::joined(er::permuted_columns{std::span<const std::uint32_t>{columns}, packed});
  const er::any_matrix moved = er::reordered_rows(sum, order);
  const er::any_matrix moved_part = er::reordered_rows(packed, order);
  CHECK(bytes_of(moved) == bytes_of(er::any_matrix::joined(er::permuted_columns{
                               std::span<const std::uint32_t>{columns}, moved_part})));
}

TEST_CASE("of a low-rank part U's rows are reordered, and V stays") {
  const std::vector<float> weights = some_weights();
  const std::vector<std::uint32_t> order = some_order();
  const auto pack = [&](const char* name, std::size_t count, std::size_t width) {
    return er::any_matrix::pack(*er::matrix_format::parse(name),
                                er::matrix_view<const float>{weights.data(), count, width});
  };
  const er::any_matrix packed = pack("int4_g8", rows, cols), u = pack("int4_g4", rows, 5),
                       v = pack("f16", 5, cols);
  const auto composed = [&](const er::any_matrix& a, const er::any_matrix& b) {
    return er::any_matrix::joined(er::sum_of{er::rotated{er::hadamard{4}, a}, er::low_rank{b, v}});
  };
  const er::any_matrix moved = er::reordered_rows(composed(packed, u), order);
  CHECK(moved.fmt().name() == "rotated_4(int4_g8)+low_rank_5(int4_g4*f16)");
  CHECK(bytes_of(moved) ==
        bytes_of(composed(er::reordered_rows(packed, order), er::reordered_rows(u, order))));
}

TEST_CASE("what is no order of the rows is refused, and rows that share their scales") {
  const std::vector<float> weights = some_weights();
  const er::matrix_view<const float> view{weights.data(), rows, cols};
  const er::any_matrix packed = er::any_matrix::pack(*er::matrix_format::parse("int4_g8"), view);
  std::vector<std::uint32_t> order = some_order();
  order[3] = order[4];
  CHECK_THROWS_AS((void)er::reordered_rows(packed, order), std::invalid_argument);
  order = some_order();
  order.pop_back();
  CHECK_THROWS_AS((void)er::reordered_rows(packed, order), std::invalid_argument);
  const er::any_matrix shared =
      er::any_matrix::empty(*er::matrix_format::parse("int3z_g8_q3"), rows, cols);
  CHECK_THROWS_WITH_AS((void)er::reordered_rows(shared, some_order()),
                       "reordered_rows: rows of int3z_g8_q3 share their scales",
                       std::invalid_argument);
}

TEST_CASE("stages that parts of a sum share stay shared") {
  const std::vector<float> w(16, 1.0f), h(4, 1.0f);
  const std::vector<std::uint32_t> p{3, 2, 1, 0}, order{1, 0, 2, 3};
  const er::dense_view d{w.data(), er::scale_kind::float32, 4, 4};
  const auto moved = [&](const er::matrix_sum& sum) {
    return er::reordered_rows(
        er::any_matrix::joined(er::permuted_columns{
            std::span<const std::uint32_t>{p}, er::scaled_columns{std::span<const float>{h}, sum}}),
        order);
  };
  CHECK(moved(er::sum_of{d, d}).fmt().name() == "permuted(scaled(sum(f32+f32)))");
  CHECK_NOTHROW((void)moved(er::sum_of{d, d, d, d, d, d, d, d, d}));
}

TEST_SUITE_END();
