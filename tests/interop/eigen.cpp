// SPDX-License-Identifier: Apache-2.0
/// Eigen objects as views and views as Eigen maps: the same memory, the same elements.
#include <concepts>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/interop/eigen.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using fixed = Eigen::Matrix<float, 3, 4, Eigen::RowMajor>;
using row_major_array = Eigen::Array<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Where these are false the compiler says why: tests/compile_fail/interop_*.cpp.
template <class M>
concept viewable = er::row_major_matrix<M>;
template <class M>
concept spannable = er::eigen_vector<M>;

template <class M>
using view_type = decltype(er::view_of(std::declval<M>()));

row_major numbered(Eigen::Index rows, Eigen::Index cols) {
  row_major m(rows, cols);
  for (Eigen::Index i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(i);
  return m;
}

}  // namespace

static_assert(viewable<row_major&> && viewable<const row_major&> && viewable<fixed&> &&
              viewable<row_major_array&>);
static_assert(viewable<Eigen::Map<row_major>> && viewable<Eigen::Ref<const row_major>&>);
static_assert(viewable<decltype(std::declval<row_major&>().middleRows(1, 2))>);
static_assert(viewable<decltype(std::declval<Eigen::MatrixXf&>().transpose())>);
static_assert(viewable<Eigen::VectorXf&> && viewable<Eigen::RowVectorXf&>);
static_assert(!viewable<Eigen::MatrixXf&>, "column-major");
static_assert(!viewable<row_major> && !viewable<const row_major>, "a temporary's memory is gone");
static_assert(!viewable<decltype(std::declval<row_major&>() + std::declval<row_major&>())>,
              "a sum has no memory");
static_assert(!viewable<std::vector<float>&> && !viewable<int>);
static_assert(spannable<Eigen::VectorXf&> && spannable<const Eigen::RowVectorXf&> &&
              spannable<Eigen::Map<Eigen::VectorXf>>);
static_assert(!spannable<row_major&> && !spannable<Eigen::VectorXf>);
static_assert(std::same_as<view_type<row_major&>, er::matrix_view<float>>);
static_assert(std::same_as<view_type<const row_major&>, er::matrix_view<const float>>);
static_assert(std::same_as<view_type<Eigen::Map<const row_major>>, er::matrix_view<const float>>);
static_assert(std::same_as<view_type<row_major_array&>, er::matrix_view<double>>);

TEST_SUITE_BEGIN("interop/eigen");

TEST_CASE("eigen: views of matrices, maps, blocks and references") {
  row_major m = numbered(5, 7);
  const er::matrix_view<float> whole = er::view_of(m);
  CHECK(whole.data == m.data());
  CHECK(whole.rows == 5);
  CHECK(whole.cols == 7);
  CHECK(whole.stride == 7);

  const auto block = er::view_of(m.block(1, 2, 3, 4));
  CHECK(block.rows == 3);
  CHECK(block.cols == 4);
  CHECK(block.stride == 7);
  CHECK(block.row(2)[3] == m(3, 5));

  const Eigen::Map<row_major, 0, Eigen::OuterStride<>> map(m.data(), 2, 5,
                                                           Eigen::OuterStride<>(14));
  CHECK(er::view_of(map).stride == 14);
  CHECK(er::view_of(map).row(1)[4] == m(2, 4));

  const Eigen::Ref<const row_major> reference = m.middleRows(2, 2);
  CHECK(er::view_of(reference).data == m.data() + 14);

  fixed small = fixed::Constant(2.0f);
  er::view_of(small).row(2)[3] = 9.0f;
  CHECK(small(2, 3) == 9.0f);

  Eigen::MatrixXf column_major = m;
  const auto transposed = er::view_of(column_major.transpose());
  CHECK(transposed.rows == 7);
  CHECK(transposed.row(6)[4] == m(4, 6));

  Eigen::VectorXf column = Eigen::VectorXf::LinSpaced(4, 0, 3);
  CHECK(er::view_of(column).rows == 4);
  CHECK(er::view_of(column).cols == 1);
  CHECK(er::view_of(column).row(3)[0] == 3.0f);
  row_major none;
  CHECK(er::view_of(none).rows == 0);
}

TEST_CASE("eigen: spans of vectors and rows") {
  row_major m = numbered(3, 6);
  CHECK(er::span_of(m.row(1)).data() == m.data() + 6);
  CHECK(er::span_of(m.row(1)).size() == 6);
  CHECK(er::span_of(m.row(1).segment(2, 3))[2] == 10.0f);
  Eigen::VectorXf v(4);
  er::span_of(v)[3] = 8.0f;
  CHECK(v(3) == 8.0f);
  static_assert(std::same_as<decltype(er::span_of(std::as_const(v))), std::span<const float>>);
  CHECK_THROWS_WITH_AS((void)er::span_of(m.col(1)), "span_of: the elements lie 6 apart, expected 1",
                       std::invalid_argument);
  CHECK(er::span_of(m.topRows(1).col(1)).size() == 1);  // one element has no gaps
}

TEST_CASE("eigen: gaps within a row are refused") {
  row_major m = numbered(4, 6);
  using strided = Eigen::Map<row_major, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
  const strided every_second(m.data(), 4, 3, {6, 2});
  CHECK_THROWS_WITH_AS((void)er::view_of(every_second),
                       "view_of: the elements of a row lie 2 apart, expected 1",
                       std::invalid_argument);
  const strided every(m.data(), 4, 3, {6, 1});
  CHECK(er::view_of(every).cols == 3);
}

TEST_CASE("eigen: maps of views and spans, and back") {
  std::vector<float> memory(4 * 10);
  const er::matrix_view<float> view{memory.data() + 1, 4, 6, 10};
  auto map = er::map_of(view);
  map.setConstant(3.0f);
  map(3, 5) = 5.0f;
  CHECK(memory[0] == 0.0f);
  CHECK(memory[7] == 0.0f);
  CHECK(memory[1 + 3 * 10 + 5] == 5.0f);
  const er::matrix_view<float> back = er::view_of(map);
  CHECK(back.data == view.data);
  CHECK(back.stride == view.stride);
  CHECK(er::map_of(er::matrix_view<const float>{view}).sum() == 23 * 3.0f + 5.0f);
  std::vector<std::int32_t> numbers{1, 2, 3};
  CHECK(er::map_of(std::span{numbers}).sum() == 6);
  CHECK(er::map_of(std::span<const std::int32_t>{numbers}).maxCoeff() == 3);
}

TEST_CASE(
    "eigen: a product through the packed matrix is the dequantized matrix's, to within rounding") {
  const Eigen::Index rows = 33, cols = 100;
  std::srand(7);  // what Eigen draws from
  row_major w = row_major::Random(rows, cols), back(rows, cols);
  Eigen::VectorXf x = Eigen::VectorXf::Random(cols), y(rows);
  const auto packed = er::pack<er::int4<er::per_group<32>>>(er::view_of(w));
  er::dequantize(packed, er::view_of(back));
  er::gemv(packed, er::unquantized{er::span_of(std::as_const(x))}, er::span_of(y));
  // Both sums pass at most `cols` roundings of partial sums below the sum of magnitudes.
  const Eigen::VectorXf bound = (back.cwiseAbs() * x.cwiseAbs()) * (2 * 100 * 0x1p-24f);
  CHECK(((y - back * x).cwiseAbs().array() <= bound.array()).all());
}

TEST_CASE("a sum of matrices times an Eigen vector") {
  const row_major w = row_major::Random(20, 64);
  Eigen::VectorXf x = Eigen::VectorXf::Random(64), y(20);
  const Eigen::VectorXf h = Eigen::VectorXf::Random(64).array() + 1.0f;
  const auto packed = er::pack<er::int8<er::per_group<64>>>(er::view_of(w));
  std::vector<float> row(64);
  row_major rest = w;
  for (Eigen::Index r = 0; r < w.rows(); ++r) {
    er::look_up_row(packed, static_cast<std::size_t>(r), row);
    rest.row(r) -= er::map_of(std::span<const float>{row}).transpose();
  }
  const er::sparse_matrix difference = er::sparse_matrix::above(er::view_of(rest), 0);
  const er::scaled_columns sum{er::span_of(h), er::sum_of{packed, difference}};
  er::gemv(sum, er::span_of(std::as_const(x)), er::span_of(y));
  // Int8 activations: half a step of 1/127 of the largest, in each of 64 columns.
  const Eigen::VectorXf scaled = h.cwiseProduct(x);
  const float bound = 64 * w.cwiseAbs().maxCoeff() * scaled.cwiseAbs().maxCoeff() / 127;
  CHECK((y - w * scaled).cwiseAbs().maxCoeff() <= bound);
}

TEST_SUITE_END();
