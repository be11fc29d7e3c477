// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <doctest/doctest.h>

#include "support/tile_places.hpp"
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/packed_matrix");

TEST_CASE("packed_matrix: empty, then of zeros") {
  const er::packed_matrix<er::int4<er::per_channel>> none;
  CHECK(none.rows() == 0);
  CHECK(none.bytes().empty());
  const er::packed_matrix<er::ternary<er::per_group<32>>, er::codecs::ternary5> zeros(17, 33);
  const tile_places::matrix walked(zeros.fmt, 17, 33, zeros.bytes());
  CHECK(walked.padding_is_zero);
  CHECK(std::count(walked.levels.begin(), walked.levels.end(), 0) == 17 * 33);
  CHECK(std::count(walked.scales.begin(), walked.scales.end(), 0.0f) == 17 * 2);
}

TEST_CASE("packed_matrix: moved from, it has no rows") {
  er::packed_matrix<er::int4<er::per_group<4>>> matrix(20, 8), other(4, 8);
  const auto taken{std::move(matrix)};
  CHECK(taken.rows() == 20);
  CHECK(matrix.rows() == 0);  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(matrix.cols() == 0);
  CHECK(matrix.bytes().empty());
  matrix = std::move(other);
  CHECK(matrix.rows() == 4);
  CHECK(other.view().rows() == 0);
  er::packed_storage storage(er::tile_layout(er::format{}, 3, 3));
  const er::byte_storage bytes = std::move(storage).release();
  CHECK(bytes.size() > 0);
  CHECK(storage.view().rows() == 0);
}

TEST_SUITE_END();
