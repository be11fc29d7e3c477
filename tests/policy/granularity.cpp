// SPDX-License-Identifier: Apache-2.0
/// Groups of a row, counted, from integers of every type.
#include <cstddef>
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

#include <edgerazor/policy/granularity.hpp>

namespace er = edgerazor;

static_assert(er::groups_per_row<er::per_group<64>>(576) == 9 &&
              er::groups_per_row<er::per_group<256>>(576) == 3 &&
              er::groups_per_row<er::per_channel>(576) == 1 &&
              er::groups_per_row<er::per_group<64>>(0) == 0 &&
              er::groups_per_row<er::per_group<64>>(1) == 1 &&
              er::groups_per_row<er::per_channel>(0) == 0);
static_assert(er::row_granularity<er::per_group<1>> && er::row_granularity<er::per_token> &&
              !er::row_granularity<er::per_tensor> && !er::row_granularity<er::per_flat_group<8>> &&
              er::granularity_policy<er::per_tensor> && !er::granularity_policy<int>);

TEST_SUITE_BEGIN("policy/granularity");

TEST_CASE("groups of a row: ceil(cols / group), of a group that the row may be shorter than") {
  for (std::size_t group = 0; group < 20; ++group)
    for (std::size_t cols = 0; cols < 70; ++cols) {
      CAPTURE(group);
      CAPTURE(cols);
      std::size_t groups = 0;
      for (std::size_t c = 0; c < cols; c += group == 0 ? cols : group) ++groups;
      CHECK(er::groups_per_row(er::column_group{group}, cols) == groups);
      CHECK(er::group_columns(group, cols) == (group == 0 || group > cols ? cols : group));
    }
}

TEST_CASE("column groups: from integers of every type, a negative one is named") {
  const int group = 64;
  const short cols = 200;
  CHECK(er::groups_per_row(er::column_group{group}, cols) == 4);
  CHECK(er::groups_per_row<er::per_group<64>>(cols) == 4);
  CHECK(er::group_columns(64u, 200L) == 64);
  const auto sentence_of = [](auto&& function) -> std::string {
    try {
      function();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  CHECK(sentence_of([&] { (void)er::column_group{-group}; }) ==
        "column_group: columns is -64, expected at least 0");
  CHECK(sentence_of([&] { (void)er::groups_per_row(group, -1); }) ==
        "groups_per_row: cols is -1, expected at least 0");
}

TEST_SUITE_END();
