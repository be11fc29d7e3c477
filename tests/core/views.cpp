/// Views address the caller's memory as they say.
#include <cstddef>
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
