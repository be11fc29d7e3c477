// SPDX-License-Identifier: Apache-2.0
/// The options of functions that quantize: what they say of rows and groups, and what is refused.
#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/policy_data.hpp"
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/quantize_options.hpp>
#include <edgerazor/policy/straight_through.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;
using policy_data::random_values;
using policy_data::view;

namespace {

constexpr int rows = 6, cols = 40;

struct operands {
  std::vector<float> w = std::vector<float>(rows * cols), out = std::vector<float>(rows * cols, 7),
                     by_type = out;
  operands() {
    for (std::size_t i = 0; i < w.size(); ++i)
      w[i] = 0.01f * static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
  }
  [[nodiscard]] er::matrix_view<const float> in() const { return {w.data(), rows, cols}; }
  [[nodiscard]] er::matrix_view<float> to() { return {out.data(), rows, cols}; }
  [[nodiscard]] er::matrix_view<float> to_by_type() { return {by_type.data(), rows, cols}; }
};

template <class Function>
std::string sentence_of(Function&& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

using int4_g16 = er::int4<er::per_group<16>>;
using ternary_g16 = er::ternary<er::per_group<16>>;

}  // namespace

TEST_SUITE_BEGIN("policy/quantize_options");

TEST_CASE("options: a group takes the place of the policy's, for every function of the family") {
  operands o;
  er::fake_quantize<er::int4<>>(o.in(), o.to(), {}, {.group = 16});
  er::fake_quantize<int4_g16>(o.in(), o.to_by_type());
  CHECK(o.out == o.by_type);

  const er::every_nth_row map{2};
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(o.in(), o.to(), map, {}, {}, {.group = 16});
  er::fake_quantize_mixed<int4_g16, ternary_g16>(o.in(), o.to_by_type(), map);
  CHECK(o.out == o.by_type);
  const er::largest_variance by_value{0.5};
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(o.in(), o.to(), by_value, {}, {},
                                                     {.group = 16});
  er::fake_quantize_mixed<int4_g16, ternary_g16>(o.in(), o.to_by_type(), by_value);
  CHECK(o.out == o.by_type);

  using any = er::learned_step<er::int4<>>;
  using known = er::learned_step<int4_g16>;
  std::vector<float> scales(rows * 3), known_scales(rows * 3), grads(rows * 3), known_grads = grads;
  er::initial_scales<any>(o.in(), scales, {}, {.group = 16});
  er::initial_scales<known>(o.in(), known_scales);
  CHECK(scales == known_scales);
  er::fake_quantize<any>(o.in(), scales, o.to(), {}, {.group = 16});
  er::fake_quantize<known>(o.in(), scales, o.to_by_type());
  CHECK(o.out == o.by_type);
  er::learned_step_backward<any>(o.in(), scales, o.in(), o.to(), grads, {}, {.group = 16});
  er::learned_step_backward<known>(o.in(), scales, o.in(), o.to_by_type(), known_grads);
  CHECK(o.out == o.by_type);
  CHECK(grads == known_grads);
}

TEST_CASE("options: rows alone keep the policy's groups and leave other rows as they are") {
  operands o;
  const int begin = 2, end = 5;
  er::fake_quantize_mixed<int4_g16, ternary_g16>(o.in(), o.to_by_type(), er::every_nth_row{2});
  er::fake_quantize_mixed<int4_g16, ternary_g16>(o.in(), o.to(), er::every_nth_row{2}, {}, {},
                                                 {.rows = er::row_range{begin, end}});
  for (std::size_t i = 0; i < o.out.size(); ++i)
    CHECK(o.out[i] == (i / cols >= 2 && i / cols < 5 ? o.by_type[i] : 7.0f));

  std::vector<float> scales(rows * 3, 7.0f), all(rows * 3);
  using policy = er::learned_step<int4_g16>;
  er::initial_scales<policy>(o.in(), all);
  er::initial_scales<policy>(o.in(), scales, {}, {.rows = er::row_range{begin, end}});
  for (std::size_t i = 0; i < scales.size(); ++i)
    CHECK(scales[i] == (i / 3 >= 2 && i / 3 < 5 ? all[i] : 7.0f));
}

TEST_CASE("options: rows that the matrix does not have are refused, whoever is asked") {
  operands o;
  const er::quantize_options options{.rows = er::row_range{3, 7}};
  std::vector<float> scales(rows * 3, 1.0f);
  using policy = er::learned_step<int4_g16>;
  CHECK(sentence_of([&] { er::fake_quantize<int4_g16>(o.in(), o.to(), {}, options); }) ==
        "fake_quantize: rows 3 to 7 of a matrix of 6 x 40");
  CHECK(sentence_of([&] {
          er::fake_quantize_mixed<int4_g16, ternary_g16>(o.in(), o.to(), er::every_nth_row{2}, {},
                                                         {}, options);
        }) == "fake_quantize_mixed: rows 3 to 7 of a matrix of 6 x 40");
  CHECK(sentence_of([&] {
          er::straight_through_clipped<int4_g16>(o.in(), o.in(), o.to(), {}, options);
        }) == "straight_through_clipped: rows 3 to 7 of a matrix of 6 x 40");
  CHECK(sentence_of([&] { er::initial_scales<policy>(o.in(), scales, {}, options); }) ==
        "initial_scales: rows 3 to 7 of a matrix of 6 x 40");
  CHECK(sentence_of([&] { er::fake_quantize<policy>(o.in(), scales, o.to(), {}, options); }) ==
        "fake_quantize: rows 3 to 7 of a matrix of 6 x 40");
  CHECK(o.out == std::vector<float>(rows * cols, 7.0f));
  CHECK(scales == std::vector<float>(rows * 3, 1.0f));
}

TEST_CASE("groups at run time are the policies' own groups") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t height = 9;
  for (const std::size_t width : std::initializer_list<std::size_t>{1, 63, 64, 65, 200}) {
    CAPTURE(width);
    const std::vector<float> w = random_values(height * width, seed);
    const er::matrix_view<const float> in = view(w, height, width);
    const auto check = [&]<class ByGroup, class ByRow>(ByGroup, ByRow) {
      std::vector<float> expected(w.size()), result(w.size()), grad(w.size(), 1.0f),
          expected_grad(w.size(), 1.0f);
      const er::matrix_view<float> to{result.data(), height, width},
          known{expected.data(), height, width};
      const er::matrix_view<float> grads{grad.data(), height, width},
          known_grads{expected_grad.data(), height, width};
      er::fake_quantize<ByGroup>(in, known);
      er::fake_quantize<ByRow>(in, to, {}, {.group = 64});
      CHECK(result == expected);
      er::straight_through_clipped<ByGroup>(in, known_grads, known_grads);
      er::straight_through_clipped<ByRow>(in, grads, grads, {}, {.group = er::column_group{64}});
      CHECK(grad == expected_grad);

      er::fake_quantize<ByRow>(in, known);
      er::fake_quantize<ByGroup>(in, to, {}, {.group = 0, .rows = er::row_range{0, 4}});
      er::fake_quantize<ByGroup>(in, to, {},
                                 {.group = width + 5, .rows = er::row_range{4, height}});
      CHECK(result == expected);
      std::fill(grad.begin(), grad.end(), 1.0f);
      std::fill(expected_grad.begin(), expected_grad.end(), 1.0f);
      er::straight_through_clipped<ByRow>(in, known_grads, known_grads, {},
                                          {.rows = er::row_range{3, 7}});
      er::straight_through_clipped<ByGroup>(in, grads, grads, {},
                                            {.group = 0, .rows = er::row_range{3, 7}});
      CHECK(grad == expected_grad);
    };
    check(er::ternary<er::per_group<64>>{}, er::ternary<er::per_channel>{});
    check(er::int4<er::per_group<64>>{}, er::int4<er::per_channel>{});
    check(er::int4_asymmetric<er::per_group<64>>{}, er::int4_asymmetric<er::per_channel>{});
  }
}

TEST_SUITE_END();
