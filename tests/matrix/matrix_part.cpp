// SPDX-License-Identifier: Apache-2.0
/// One matrix of any kind, by reference.
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/matrix_part.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/matrix_part");

TEST_CASE("matrix_part: shape, bytes and group of whatever it refers to") {
  constexpr std::size_t rows = 20, cols = 96;
  const std::vector<float> w(rows * cols, 1.0f);
  const er::matrix_view<const float> view{w.data(), rows, cols};
  const auto packed = er::pack<er::int4<er::per_group<32>>>(view);
  const auto by_row = er::pack<er::int8<er::per_channel>>(view);
  const auto mixed = er::pack_mixed<er::int4<er::per_group<64>>, er::ternary<er::per_group<64>>>(
      view, er::every_nth_row{2});
  const er::sparse_matrix sparse = er::sparse_matrix::above(view, 0);
  const er::dense_view dense{w.data(), er::scale_kind::float32, rows, cols};
  const auto check = [&](const er::matrix_part& part, std::size_t group,
                         std::span<const std::byte> bytes) {
    CHECK(part.rows() == rows);
    CHECK(part.cols() == cols);
    CHECK(part.code_group() == group);
    CHECK(part.bytes().data() == bytes.data());
    CHECK(part.bytes().size() == bytes.size());
    CHECK((part.packed() != nullptr) + (part.mixed() != nullptr) + (part.sparse() != nullptr) +
              (part.dense() != nullptr) ==
          1);
  };
  check(packed.view(), 32, packed.bytes());
  check(by_row.view(), cols, by_row.bytes());
  check(mixed, 64, mixed.bytes());
  check(sparse.view(), 0, sparse.bytes());
  check(dense, 0, std::as_bytes(std::span{w}));
  const er::matrix_part none;
  CHECK(none.rows() == 0);
  CHECK(none.cols() == 0);
  CHECK(none.bytes().empty());
}

TEST_CASE("matrix_part: visit calls with the matrix itself") {
  const er::dense_view dense{nullptr, er::scale_kind::bfloat16, 0, 7};
  const std::size_t cols = er::matrix_part{dense}.visit([](const auto& m) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m)>, er::dense_view>) {
      return m.cols;
    } else {
      return std::size_t{0};
    }
  });
  CHECK(cols == 7);
}

TEST_SUITE_END();
