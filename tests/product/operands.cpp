// SPDX-License-Identifier: Apache-2.0
/// What stands for weights and activations in a product's signature.
#include <cstddef>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/operands.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/operands");

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

TEST_CASE("weight_ref: shape and unit of rows of whatever it refers to") {
  const std::vector<float> w = numbers(rows * cols);
  const er::matrix_view<const float> view{w.data(), rows, cols};
  const auto packed = er::pack<policy>(view);
  const er::weight_ref typed{packed.view()};
  CHECK(typed.rows() == rows);
  CHECK(typed.cols() == cols);
  CHECK(typed.row_unit() == er::tile_rows);

  const er::any_matrix any = er::any_matrix::pack(*er::matrix_format::parse("int8_g64"), view);
  const er::weight_ref by_name{any};
  CHECK(by_name.rows() == rows);
  CHECK(by_name.cols() == cols);
  CHECK(by_name.row_unit() == er::tile_rows);
}

TEST_CASE("product_input: numbers only where they are called unquantized") {
  static_assert(std::is_convertible_v<er::activation_view, er::product_input>);
  static_assert(std::is_convertible_v<er::unquantized, er::product_input>);
  static_assert(!std::is_convertible_v<er::matrix_view<const float>, er::product_input>);
  const std::vector<float> x = numbers(cols);
  const er::product_input input{er::unquantized{er::matrix_view<const float>{x.data(), 1, cols}}};
  input.visit([&](const auto& tokens) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(tokens)>,
                                 er::matrix_view<const float>>) {
      CHECK(tokens.data == x.data());
      CHECK(tokens.cols == cols);
    } else {
      CHECK(false);
    }
  });
}

TEST_SUITE_END();
