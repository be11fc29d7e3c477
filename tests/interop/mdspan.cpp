// SPDX-License-Identifier: Apache-2.0
/// std::mdspan and our views: the same memory. Empty where the standard library has no mdspan.
#include <edgerazor/interop/mdspan.hpp>

#if defined(__cpp_lib_mdspan)

#include <concepts>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

namespace er = edgerazor;

namespace {
template <class Span>
concept viewable = er::strided_mdspan<Span>;
using matrix = std::mdspan<float, std::dextents<std::size_t, 2>>;
}  // namespace

static_assert(viewable<matrix> && viewable<std::mdspan<const double, std::extents<int, 3, 4>>>);
static_assert(viewable<std::mdspan<float, std::dextents<int, 2>, std::layout_stride>>);
static_assert(!viewable<std::mdspan<float, std::dextents<int, 1>>> &&
              !viewable<std::mdspan<float, std::dextents<int, 3>>>);
static_assert(!requires(const std::vector<float>& v) { er::view_of(v); });

TEST_SUITE_BEGIN("interop/mdspan");

TEST_CASE("mdspan: row-major and strided spans as views, and back") {
  std::vector<float> memory(5 * 8);
  const matrix whole(memory.data(), 5, 8);
  const er::matrix_view<float> view = er::view_of(whole);
  CHECK(view.data == memory.data());
  CHECK(view.rows == 5);
  CHECK(view.cols == 8);
  CHECK(view.stride == 8);
  const std::mdspan<const float, std::extents<int, 5, 8>> fixed(memory.data());
  static_assert(std::same_as<decltype(er::view_of(fixed)), er::matrix_view<const float>>);
  CHECK(er::view_of(fixed).rows == 5);

  const er::matrix_view<float> part{memory.data() + 9, 3, 4, 8};
  const auto span = er::mdspan_of(part);
  CHECK(span.mapping()(2, 3) == 2 * 8 + 3);
  CHECK(er::view_of(span).stride == 8);
  CHECK(er::view_of(span).data == part.data);
}

TEST_CASE("mdspan: rows with gaps are refused") {
  std::vector<float> memory(12);
  const std::mdspan<float, std::dextents<int, 2>, std::layout_left> columns(memory.data(), 3, 4);
  CHECK_THROWS_WITH_AS((void)er::view_of(columns),
                       "view_of: the elements of a row lie 3 apart, expected 1",
                       std::invalid_argument);
  const std::mdspan<float, std::dextents<int, 2>, std::layout_left> one_column(memory.data(), 3, 1);
  CHECK(er::view_of(one_column).stride == 1);
  CHECK(er::view_of(matrix(memory.data(), 0, 4)).rows == 0);
}

TEST_SUITE_END();

#endif
