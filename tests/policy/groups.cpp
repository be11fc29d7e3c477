// SPDX-License-Identifier: Apache-2.0
/// The walk over the groups of a matrix: each element once, in order, whatever the granularity.
#include <cstddef>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/groups.hpp>

namespace er = edgerazor;

namespace {

template <class Granularity, class T>
std::vector<std::vector<float>> groups_of(const std::vector<T>& data, std::size_t rows,
                                          std::size_t cols, std::size_t stride) {
  std::vector<std::vector<float>> result;
  er::detail::policy::for_each_group<Granularity>(
      er::matrix_view<const T>{data.data(), rows, cols, stride}, er::row_range{0, rows},
      [&](er::detail::policy::group_place place, std::span<const float> values) {
        result.emplace_back(values.begin(), values.end());
        std::size_t pieces = 0;
        er::detail::policy::for_each_piece(
            place, cols, [&](std::size_t r, std::size_t c, std::size_t n, std::size_t i) {
              CHECK(i == pieces);
              for (std::size_t j = 0; j < n; ++j)
                CHECK(values[i + j] == static_cast<float>(data[r * stride + c + j]));
              pieces += n;
            });
        CHECK(pieces == place.count);
      });
  return result;
}

}  // namespace

TEST_SUITE_BEGIN("policy/groups");

TEST_CASE_TEMPLATE("groups: every granularity, dense and with a stride", T, float, er::float16) {
  for (const std::size_t stride : {std::size_t{5}, std::size_t{7}}) {
    const std::size_t rows = 3, cols = 5;
    std::vector<T> data(rows * stride, T{-1.0f});
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c)
        data[r * stride + c] = T{static_cast<float>(10 * r + c)};
    using table = std::vector<std::vector<float>>;
    CHECK(groups_of<er::per_channel>(data, rows, cols, stride) ==
          table{{0, 1, 2, 3, 4}, {10, 11, 12, 13, 14}, {20, 21, 22, 23, 24}});
    CHECK(groups_of<er::per_group<3>>(data, rows, cols, stride) ==
          table{{0, 1, 2}, {3, 4}, {10, 11, 12}, {13, 14}, {20, 21, 22}, {23, 24}});
    CHECK(groups_of<er::per_flat_group<4>>(data, rows, cols, stride) ==
          table{{0, 1, 2, 3}, {4, 10, 11, 12}, {13, 14, 20, 21}, {22, 23, 24, 0}});
    CHECK(groups_of<er::per_tensor>(data, rows, cols, stride) ==
          table{{0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24}});
  }
}

TEST_SUITE_END();
