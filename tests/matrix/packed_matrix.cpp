// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

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

TEST_SUITE_END();
