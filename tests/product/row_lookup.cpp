// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/row_lookup");

namespace {

constexpr std::size_t rows = 33, cols = 192;
using policy = er::int4<er::per_group<64>>;

std::vector<float> numbers(std::size_t count) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i)
    result[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) / 64.0f;
  return result;
}

}  // namespace

TEST_CASE("look_up_row: what dequantize gives, and no row that there is not") {
  const std::vector<float> w = numbers(rows * cols);
  const auto packed = er::pack<policy>(er::matrix_view<const float>{w.data(), rows, cols});
  std::vector<float> whole(rows * cols), row(cols);
  er::dequantize(packed, er::matrix_view<float>{whole.data(), rows, cols});
  for (std::size_t r = 0; r < rows; ++r) {
    er::look_up_row(packed, r, row);
    CHECK(row == std::vector<float>(whole.begin() + static_cast<std::ptrdiff_t>(r * cols),
                                    whole.begin() + static_cast<std::ptrdiff_t>((r + 1) * cols)));
  }
  CHECK_THROWS_AS(er::look_up_row(packed, rows, row), std::invalid_argument);
  CHECK_THROWS_AS(er::look_up_row(packed, 0, std::span{row}.first(cols - 1)),
                  std::invalid_argument);
}

TEST_SUITE_END();
