// SPDX-License-Identifier: Apache-2.0
/// Compositions: their parts, stages, formats, and what can't be composed. What they multiply is
/// tested in product/linear_operator.
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/matrix_sum");

namespace {
constexpr std::size_t rows = 6, cols = 8;
struct matrices {
  std::vector<float> w = std::vector<float>(rows * cols, 1.0f), h = std::vector<float>(cols, 2.0f);
  std::vector<std::uint32_t> p{7, 6, 5, 4, 3, 2, 1, 0};
  er::packed_matrix<er::int4<er::per_group<4>>> four =
      er::pack<er::int4<er::per_group<4>>>(er::matrix_view<const float>{w.data(), rows, cols});
  er::packed_matrix<er::ternary<er::per_group<4>>> ternary =
      er::pack<er::ternary<er::per_group<4>>>(er::matrix_view<const float>{w.data(), rows, cols});
  er::sparse_matrix sparse = er::sparse_matrix::above({w.data(), rows, cols}, 0);
};
}  // namespace

TEST_CASE("matrix_sum: parts in the order written, stages from the outermost on") {
  const matrices m;
  const er::permuted_columns w{
      m.p, er::sum_of{m.four, er::scaled_columns{m.h, er::sum_of{m.ternary, m.sparse}}, m.four}};
  CHECK(w.rows() == rows);
  CHECK(w.cols() == cols);
  CHECK(w.name() == "permuted(int4_g4+scaled(ternary2_g4+sparse)+int4_g4)");
  REQUIRE(w.stages().size() == 2);
  CHECK(w.stages()[0].kind == er::input_stage::permuted);
  CHECK(w.stages()[0].from == 0);
  CHECK(w.stages()[0].columns.data() == m.p.data());
  CHECK(w.stages()[1].kind == er::input_stage::scaled);
  CHECK(w.stages()[1].from == 1);
  CHECK(w.stages()[1].factors.data() == m.h.data());
  REQUIRE(w.parts().size() == 4);
  CHECK(w.parts()[0].input == 1);
  CHECK(w.parts()[1].input == 2);
  CHECK(w.parts()[2].input == 2);
  CHECK(w.parts()[3].input == 1);
  CHECK(w.parts()[0].matrix.bytes().data() == m.four.bytes().data());
  CHECK(w.parts()[2].matrix.bytes().data() == m.sparse.bytes().data());
  CHECK(w.bytes() == 2 * m.four.bytes().size() + m.ternary.bytes().size() +
                         m.sparse.bytes().size() + 2 * 4 * cols);
}

TEST_CASE("matrix_sum: a low-rank part is an input of its own width") {
  const matrices m;
  const std::vector<float> w(rows * cols, 1.0f), h(3, 2.0f);
  using packed = er::packed_matrix<er::int4<er::per_group<4>>>;
  const packed u = er::pack<er::int4<er::per_group<4>>>(er::matrix_view{w.data(), rows, 3}),
               v = er::pack<er::int4<er::per_group<4>>>(er::matrix_view{w.data(), 3, cols});
  const er::any_matrix half =
      er::any_matrix::pack(*er::matrix_format::parse("f16"), er::matrix_view{w.data(), 3, cols});
  const er::sum_of sum{m.four, er::low_rank{er::scaled_columns{h, u}, v}, er::low_rank{u, half}};
  CHECK(sum.name() == "int4_g4+low_rank_3(scaled(int4_g4)*int4_g4)+low_rank_3(int4_g4*f16)");
  CHECK(sum.rows() == rows);
  CHECK(sum.cols() == cols);
  CHECK(sum.bytes() == m.four.bytes().size() + 2 * u.bytes().size() + v.bytes().size() +
                           half.bytes().size() + 4 * h.size());
  REQUIRE(sum.stages().size() == 3);
  CHECK(sum.stages()[0].kind == er::input_stage::projected);
  CHECK(sum.stages()[0].matrix.bytes().data() == v.bytes().data());
  constexpr std::size_t widths[] = {cols, 3, 3, 3};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(sum.cols_of(i) == widths[i]);
    CHECK(sum.fmt().cols_of(i, cols) == widths[i]);
  }

  CHECK_THROWS_WITH_AS((er::low_rank{u, u}), "low_rank: U of 6 x 3 and V of 6 x 3",
                       std::invalid_argument);
  const er::sparse_matrix sparse(3, cols, std::span<const er::sparse_entry>{});
  CHECK_THROWS_WITH_AS((er::low_rank{u, sparse}),
                       "low_rank: expected a V that is packed or of real numbers",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS((er::low_rank{u, er::sum_of{v, v}}),
                       "low_rank: expected a V that is one matrix, not a sum",
                       std::invalid_argument);
}

TEST_CASE("matrix_sum: a rotation names its block, and fits whole blocks alone") {
  const matrices m;
  const er::rotated w{er::hadamard{4}, er::sum_of{m.four, er::rotated{er::hadamard{8}, m.sparse}}};
  CHECK(w.name() == "rotated_4(int4_g4+rotated_8(sparse))");
  CHECK(w.stages()[0].block == 4);
  CHECK(w.stages()[1].block == 8);
  CHECK(w.bytes() == m.four.bytes().size() + m.sparse.bytes().size());
  CHECK_THROWS_WITH_AS((er::rotated{er::hadamard{16}, m.four}),
                       "rotated: blocks of 16 columns for a part of 6 x 8", std::invalid_argument);
  er::matrix_sum one = er::sum_of{m.four};
  CHECK_THROWS_WITH_AS(one.precede({er::input_stage::rotated, 0, {}, {}, {}, 0}),
                       "rotated: blocks of 0 columns for a part of 6 x 8", std::invalid_argument);
}

TEST_CASE("matrix_sum: the format of one matrix is its own") {
  const matrices m;
  CHECK(er::sum_of{m.four}.name() == "int4_g4");
  CHECK(er::sum_of{m.sparse}.name() == "sparse");
  CHECK(er::sum_of{m.four, m.ternary}.name() == "sum(int4_g4+ternary2_g4)");
  CHECK(er::scaled_columns{m.h, m.four}.name() == "scaled(int4_g4)");
  const er::any_matrix mixed =
      er::any_matrix::pack(*er::matrix_format::parse("int4_g4+ternary2_g4:every_2_rows"),
                           er::matrix_view<const float>{m.w.data(), rows, cols});
  const er::any_matrix half = er::any_matrix::pack(
      *er::matrix_format::parse("bf16"), er::matrix_view<const float>{m.w.data(), rows, cols});
  CHECK(er::sum_of{mixed}.name() == "int4_g4+ternary2_g4:every_2_rows");
  CHECK(er::sum_of{mixed, half}.name() == "mixed(int4_g4+ternary2_g4:every_2_rows)+bf16");
  er::sum_of twice{m.four, m.sparse};
  twice.append(twice);
  CHECK(twice.name() == "int4_g4+sparse+int4_g4+sparse");
}

TEST_CASE("matrix_sum: what does not fit together is refused in a sentence") {
  const matrices m;
  const er::sparse_matrix other(rows, cols + 1, std::span<const er::sparse_entry>{});
  CHECK_THROWS_WITH_AS((er::sum_of{m.four, other}), "sum_of: a part of 6 x 9 and one of 6 x 8",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS((er::scaled_columns{m.h, other}),
                       "scaled_columns: 8 factors for a part of 6 x 9", std::invalid_argument);
  CHECK_THROWS_WITH_AS((er::permuted_columns{m.p, other}),
                       "permuted_columns: 8 indices for a part of 6 x 9", std::invalid_argument);
  for (const std::uint32_t wrong : {0u, 6u, 8u, 0xffffffffu}) {
    std::vector<std::uint32_t> p = m.p;
    p[0] = wrong;
    CHECK_THROWS_WITH_AS((er::permuted_columns{p, m.four}),
                         "permuted_columns: expected each column from 0 to 7 once",
                         std::invalid_argument);
  }
  er::matrix_sum many = er::sum_of{m.four};
  for (std::size_t i = 1; i < er::matrix_format::most; ++i) many.append(er::sum_of{m.four});
  CHECK_THROWS_WITH_AS(many.append(er::sum_of{m.four}),
                       "sum_of: more than 16 matrices or input stages", std::invalid_argument);
  er::matrix_sum deep = er::sum_of{m.four};
  for (std::size_t i = 0; i < er::matrix_format::most; ++i) deep = er::scaled_columns{m.h, deep};
  CHECK_THROWS_WITH_AS((er::scaled_columns{m.h, deep}), "scaled_columns: more than 16 input stages",
                       std::invalid_argument);
}

TEST_CASE("precede: a stage of another sum, or of this one, is made of x") {
  const std::vector<float> w(16, 1.0f), h(4, 1.0f);
  const er::dense_view d{w.data(), er::scale_kind::float32, 4, 4};
  const er::scaled_columns twice{std::span<const float>{h},
                                 er::scaled_columns{std::span<const float>{h}, d}};
  er::matrix_sum one = er::sum_of{d};
  one.precede(twice.stages()[1]);
  REQUIRE(one.stages()[0].from == 0);
  CHECK(one.name() == "scaled(f32)");
  one.precede(one.stages()[0]);
  REQUIRE(one.stages()[0].from == 0);
  CHECK(one.name() == "scaled(scaled(f32))");
}

TEST_CASE("a sum moved onto itself stays as it was, and one moved from is empty") {
  const std::vector<float> w(16, 1.0f);
  const er::dense_view d{w.data(), er::scale_kind::float32, 4, 4};
  er::matrix_sum sum = er::sum_of{d, d};
  auto& again = sum;
  sum = std::move(again);
  CHECK(sum.rows() == 4);
  CHECK(sum.parts().size() == 2);
  const er::matrix_sum other = std::move(sum);
  CHECK(other.parts().size() == 2);
  CHECK(sum.rows() == 0);
  CHECK(sum.cols() == 0);
  CHECK(sum.parts().empty());
}

TEST_SUITE_END();
