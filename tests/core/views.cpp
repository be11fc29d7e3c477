// SPDX-License-Identifier: Apache-2.0
/// Views address the caller's memory as they say, and take extents of every integral type.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/core/views.hpp>

namespace er = edgerazor;

static_assert(std::is_convertible_v<er::matrix_view<float>, er::matrix_view<const float>>);
static_assert(!std::is_convertible_v<er::matrix_view<const float>, er::matrix_view<float>>);
static_assert(std::is_trivially_copyable_v<er::matrix_view<float>> &&
              std::is_trivially_copyable_v<er::row_range>);
static_assert(er::row_range{3, 3}.empty() && er::row_range{3, 7}.size() == 4 &&
              er::row_range{} == er::row_range{0, 0});

static_assert(std::is_same_v<decltype(er::matrix_view{static_cast<float*>(nullptr), 3, 4}),
                             er::matrix_view<float>> &&
              std::is_same_v<decltype(er::matrix_view{static_cast<const float*>(nullptr), 3u,
                                                      std::size_t{4}, 5L}),
                             er::matrix_view<const float>>);
// What the library makes of its own sizes cannot fail.
static_assert(std::is_nothrow_constructible_v<er::matrix_view<float>, float*, std::size_t,
                                              std::size_t, std::size_t> &&
              std::is_nothrow_constructible_v<er::row_range, std::size_t, std::size_t>);

TEST_SUITE_BEGIN("core/views");

namespace {

template <class Function>
std::string sentence_of(Function&& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

template <class Integer>
void check_extents() {
  std::vector<float> memory(5 * 7);
  const Integer rows = 5, cols = 4, stride = 7, one = 1, three = 3;
  const er::matrix_view<const float> view{memory.data(), rows, cols, stride};
  CHECK(view.rows == 5);
  CHECK(view.cols == 4);
  CHECK(view.stride == 7);
  CHECK(view.row(three).data() == memory.data() + 21);
  CHECK(view.rows_between(one, three).rows == 2);
  CHECK(view.rows_between(one, three).data == memory.data() + 7);
  const er::matrix_view dense{memory.data(), rows, std::size_t{7}};
  CHECK(dense.stride == 7);
  CHECK(er::row_range{one, three} == er::row_range{std::size_t{1}, std::size_t{3}});
  CHECK(er::row_range{0, three}.size() == 3);
  if constexpr (std::is_signed_v<Integer>) {
    const Integer negative = -3;
    CHECK(sentence_of([&] { er::matrix_view<float>{memory.data(), negative, cols}; }) ==
          "matrix_view: rows is -3, expected at least 0");
    CHECK(sentence_of([&] { er::matrix_view<float>{memory.data(), rows, negative}; }) ==
          "matrix_view: cols is -3, expected at least 0");
    CHECK(sentence_of([&] { er::matrix_view<float>{memory.data(), rows, cols, negative}; }) ==
          "matrix_view: stride is -3, expected at least 0");
    CHECK(sentence_of([&] { er::row_range{negative, three}; }) ==
          "row_range: begin is -3, expected at least 0");
    CHECK(sentence_of([&] { er::row_range{three, negative}; }) ==
          "row_range: end is -3, expected at least 0");
  }
}

}  // namespace

TEST_CASE("views: extents of every integral type; a negative one is named") {
  check_extents<int>();
  check_extents<short>();
  check_extents<signed char>();
  check_extents<long>();
  check_extents<long long>();
  check_extents<unsigned>();
  check_extents<std::uint16_t>();
  check_extents<std::uint64_t>();
  CHECK(sentence_of([] { er::row_range{0, std::numeric_limits<long long>::min()}; }) ==
        "row_range: end is -9223372036854775808, expected at least 0");
}

TEST_CASE("matrix_view: rows begin `stride` elements apart and have `cols` elements") {
  std::vector<int> memory(5 * 7);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<int>(i);
  const er::matrix_view<int> view{memory.data(), 5, 4, 7};
  for (std::size_t r = 0; r < 5; ++r) {
    CHECK(view.row(r).data() == memory.data() + 7 * r);
    CHECK(view.row(r).size() == 4);
  }
  const er::matrix_view<const int> part = view.rows_between(2, 4);
  CHECK(part.rows == 2);
  CHECK(part.cols == 4);
  CHECK(part.row(1)[3] == 7 * 3 + 3);
  CHECK(view.rows_between(5, 5).rows == 0);
  const er::matrix_view<int> dense{memory.data(), 5, 7};
  CHECK(dense.stride == 7);
  CHECK(er::matrix_view<int>{}.rows == 0);
}

TEST_CASE("matrix_view: a run of elements is one row") {
  std::vector<float> memory(7);
  const std::span<float> run{memory};
  for (const er::matrix_view<const float>& view :
       {er::matrix_view<const float>{memory}, er::matrix_view<const float>{run}}) {
    CHECK(view.data == memory.data());
    CHECK(view.rows == 1);
    CHECK(view.cols == 7);
    CHECK(view.row(0).size() == 7);
  }
  static_assert(!std::is_convertible_v<const std::vector<float>&, er::matrix_view<float>>);
}

TEST_SUITE_END();
