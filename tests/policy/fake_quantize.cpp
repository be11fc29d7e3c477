// SPDX-License-Identifier: Apache-2.0
/// fake_quantize over granularities, element types, strides and ranges, and what it refuses.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

struct matrix_shape {
  std::size_t rows, cols;
};

std::vector<float> random_weights(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> w(count);
  for (float& x : w) x = normal(random);
  return w;
}

template <class T>
er::matrix_view<T> view(std::vector<T>& data, std::size_t rows, std::size_t cols) {
  return {data.data(), rows, cols};
}

/// The definition, group by group: `groups` are index lists, `padding` zeros complete the last.
template <class Policy>
std::vector<float> by_definition(const std::vector<float>& w,
                                 const std::vector<std::vector<std::size_t>>& groups,
                                 std::size_t padding = 0) {
  std::vector<float> result(w.size());
  for (const std::vector<std::size_t>& group : groups) {
    std::vector<float> values;
    for (const std::size_t i : group) values.push_back(w[i]);
    if (&group == &groups.back()) values.insert(values.end(), padding, 0.0f);
    const float scale = Policy{}.scale(values);
    for (const std::size_t i : group)
      result[i] = static_cast<float>(Policy::level(w[i], scale)) * scale;
  }
  return result;
}

/// Consecutive groups of n in each run of `row` elements.
std::vector<std::vector<std::size_t>> runs(std::size_t size, std::size_t row, std::size_t n) {
  std::vector<std::vector<std::size_t>> result;
  for (std::size_t r = 0; r < size; r += row)
    for (std::size_t c = r; c < std::min(r + row, size); c += n) {
      result.emplace_back();
      for (std::size_t i = c; i < std::min({c + n, r + row, size}); ++i) result.back().push_back(i);
    }
  return result;
}

template <class Policy>
std::vector<float> quantized(const std::vector<float>& w, std::size_t rows, std::size_t cols) {
  std::vector<float> result(w.size());
  er::fake_quantize<Policy>(er::matrix_view<const float>{w.data(), rows, cols},
                            view(result, rows, cols));
  return result;
}

template <class Function>
std::string sentence_of(Function&& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_SUITE_BEGIN("policy/fake_quantize");

TEST_CASE("fake_quantize: every granularity is its definition") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  for (const matrix_shape shape :
       {matrix_shape{1, 1}, {3, 63}, {3, 64}, {5, 65}, {33, 576}, {2, 7}, {4, 1000}}) {
    const std::size_t rows = shape.rows, cols = shape.cols;
    CAPTURE(rows);
    CAPTURE(cols);
    const std::vector<float> w = random_weights(rows * cols, seed);
    const std::size_t size = w.size();
    using ternary64 = er::ternary<er::per_group<64>>;
    CHECK(quantized<ternary64>(w, rows, cols) == by_definition<ternary64>(w, runs(size, cols, 64)));
    CHECK(quantized<er::int4<er::per_group<256>>>(w, rows, cols) ==
          by_definition<er::int4<>>(w, runs(size, cols, 256)));
    CHECK(quantized<er::int8<er::per_token>>(w, rows, cols) ==
          by_definition<er::int8<>>(w, runs(size, cols, cols)));
    CHECK(quantized<er::ternary<er::per_tensor>>(w, rows, cols) ==
          by_definition<ternary64>(w, runs(size, size, size)));
    CHECK(quantized<er::ternary<er::per_flat_group<64>>>(w, rows, cols) ==
          by_definition<ternary64>(w, runs(size, size, 64), (64 - size % 64) % 64));
  }
}

TEST_CASE_TEMPLATE(
    "fake_quantize: 16-bit elements are floats on the way in and rounded once on the way out", T,
    er::float16, er::bfloat16) {
  const std::size_t rows = 7, cols = 200;
  const std::vector<float> w = random_weights(rows * cols, 5);
  std::vector<T> narrow(w.begin(), w.end());
  const std::vector<float> wide(narrow.begin(), narrow.end());
  const auto check = [&]<class Policy>(Policy) {
    const std::vector<float> expected = quantized<Policy>(wide, rows, cols);
    std::vector<float> out(w.size());
    er::fake_quantize<Policy>(view(narrow, rows, cols), view(out, rows, cols));
    CHECK(out == expected);

    std::vector<T> narrow_out(w.size());
    er::fake_quantize<Policy>(view(narrow, rows, cols), view(narrow_out, rows, cols));
    std::vector<T> in_place = narrow;
    er::fake_quantize<Policy>(view(in_place, rows, cols), view(in_place, rows, cols));
    for (std::size_t i = 0; i < w.size(); ++i) {
      CHECK(narrow_out[i].bits == T{expected[i]}.bits);
      CHECK(in_place[i].bits == T{expected[i]}.bits);
    }
  };
  check(er::ternary<er::per_group<64>>{});
  check(er::int4<er::per_channel>{});
  check(er::int4<er::per_tensor>{});
  check(er::ternary<er::per_flat_group<64>>{});
}

TEST_CASE_TEMPLATE("fake_quantize: in place, with strides, and in ranges of rows, the same values",
                   Policy, er::ternary<er::per_group<64>>, er::int4<er::per_channel>,
                   er::int8<er::per_tensor>, er::ternary<er::per_flat_group<64>>) {
  const std::size_t rows = 9, cols = 100, stride = 117;
  const std::vector<float> w = random_weights(rows * cols, 6);
  const std::vector<float> expected = quantized<Policy>(w, rows, cols);

  std::vector<float> in_place = w;
  er::fake_quantize<Policy>(view(in_place, rows, cols), view(in_place, rows, cols));
  CHECK(in_place == expected);

  std::vector<float> apart(rows * stride, -77.0f), out(rows * stride, -77.0f);
  const auto row = [](auto& data, std::size_t r, std::size_t from, std::size_t width,
                      std::size_t pitch) {
    return std::span(data).subspan(r * pitch + from, width);
  };
  for (std::size_t r = 0; r < rows; ++r)
    std::ranges::copy(row(w, r, 0, cols, cols), row(apart, r, 0, cols, stride).begin());
  er::fake_quantize<Policy>(er::matrix_view<float>{apart.data(), rows, cols, stride},
                            er::matrix_view<float>{out.data(), rows, cols, stride});
  for (std::size_t r = 0; r < rows; ++r) {
    CHECK(std::ranges::equal(row(expected, r, 0, cols, cols), row(out, r, 0, cols, stride)));
    CHECK(std::ranges::all_of(row(out, r, cols, stride - cols, stride),
                              [](float x) { return x == -77.0f; }));
  }

  if constexpr (er::row_quantizer<Policy>) {
    std::vector<float> parts(w.size(), -77.0f);
    for (const er::row_range part :
         {er::row_range{4, 9}, er::row_range{0, 1}, er::row_range{1, 1}, er::row_range{1, 3}})
      er::fake_quantize<Policy>(er::matrix_view<const float>{w.data(), rows, cols},
                                view(parts, rows, cols), {}, {.rows = part});
    for (std::size_t i = 0; i < w.size(); ++i)
      CHECK(parts[i] == (i / cols == 3 ? -77.0f : expected[i]));
  }
}

TEST_CASE("fake_quantize: no rows or no columns are nothing to do") {
  std::vector<float> none;
  er::fake_quantize<er::ternary<>>(view(none, 0, 5), view(none, 0, 5));
  er::fake_quantize<er::int4<er::per_tensor>>(view(none, 5, 0), view(none, 5, 0));
  er::fake_quantize<er::int4<er::per_flat_group<8>>>(view(none, 0, 0), view(none, 0, 0));
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(view(none, 5, 0), view(none, 5, 0),
                                                     er::largest_variance{0.5, 1});
}

TEST_CASE_TEMPLATE("fake_quantize: NaN and infinity are named, and nothing is written", T, float,
                   er::float16, er::bfloat16) {
  const std::size_t rows = 4, cols = 100;
  const float infinity = std::numeric_limits<float>::infinity();
  for (const auto& [bad, word] :
       {std::pair{std::nanf(""), "NaN"}, {infinity, "infinite"}, {-infinity, "infinite"}}) {
    for (const std::size_t col : {std::size_t{0}, std::size_t{17}, std::size_t{99}}) {
      std::vector<T> w(rows * cols, T{0.5f});
      w[2 * cols + col] = T{bad};
      std::vector<float> out(w.size(), -77.0f);
      const std::string expected = "row 2, column " + std::to_string(col) + " is " + word;
      const auto check = [&](auto&& function) {
        const std::string sentence = sentence_of(function);
        CHECK_MESSAGE(sentence.find(expected) != std::string::npos, sentence);
        CHECK(std::all_of(out.begin(), out.end(), [](float x) { return x == -77.0f; }));
      };
      const auto in = view(w, rows, cols);
      const auto to = view(out, rows, cols);
      check([&] { er::fake_quantize<er::ternary<>>(in, to); });
      check([&] { er::fake_quantize<er::int4<er::per_tensor>>(in, to); });
      check([&] { er::fake_quantize<er::int8<er::per_flat_group<64>>>(in, to); });
      check([&] { er::fake_quantize<er::ternary<>>(in, to, {}, {.rows = er::row_range{1, 3}}); });
      check([&] {
        er::fake_quantize_mixed<er::int4<>, er::ternary<>>(in, to, er::every_nth_row{8});
      });
      // Rows that aren't asked for aren't looked at.
      CHECK(sentence_of([&] {
              std::vector<float> other(w.size());
              er::fake_quantize<er::ternary<>>(in, view(other, rows, cols), {},
                                               {.rows = er::row_range{0, 2}});
            }) == "nothing was thrown");
    }
  }
}

TEST_CASE("fake_quantize: wrong shapes and ranges are named") {
  std::vector<float> w(33 * 576), out(33 * 576);
  const std::string shapes =
      sentence_of([&] { er::fake_quantize<er::int4<>>(view(w, 33, 576), view(out, 32, 576)); });
  CHECK_MESSAGE(shapes.find("33 x 576") != std::string::npos, shapes);
  CHECK_MESSAGE(shapes.find("32 x 576") != std::string::npos, shapes);
  CHECK(sentence_of([&] {
          er::fake_quantize_mixed<er::int4<>, er::ternary<>>(view(w, 33, 576), view(out, 33, 575),
                                                             er::every_nth_row{8});
        }).find("33 x 575") != std::string::npos);
  for (const er::row_range rows :
       {er::row_range{0, 34}, er::row_range{5, 4}, er::row_range{40, 41}})
    CHECK(sentence_of([&] {
            er::fake_quantize<er::int4<>>(view(w, 33, 576), view(out, 33, 576), {}, {.rows = rows});
          }).find("33 x 576") != std::string::npos);
}

TEST_CASE(
    "fake_quantize: values that leave the output's range are refused before anything is written") {
  const std::size_t rows = 2, cols = 64;
  std::vector<float> w(rows * cols, 0.01f);
  w[cols + 3] = 70000.0f;
  std::vector<er::float16> half(w.size(), er::float16{3.0f});
  const std::string sentence = sentence_of([&] {
    er::fake_quantize<er::int4<er::per_group<64>>>(view(w, rows, cols), view(half, rows, cols));
  });
  CHECK_MESSAGE(sentence.find("row 1, column 0") != std::string::npos, sentence);
  CHECK(std::all_of(half.begin(), half.end(), [](er::float16 x) { return x == 3.0f; }));
  // The mean is small: 70000 becomes one scale, which float16 holds.
  er::fake_quantize<er::ternary<er::per_group<64>>>(view(w, rows, cols), view(half, rows, cols));
  CHECK(half[cols + 3] ==
        er::float16{er::ternary<>{}.scale(std::span<const float>(w).subspan(cols))});

  // The sum of these overflows a float, though each weight is finite.
  std::vector<float> huge(rows * cols, 3e38f), out(rows * cols, -77.0f);
  CHECK(sentence_of([&] {
          er::fake_quantize<er::ternary<er::per_group<64>>>(view(huge, rows, cols),
                                                            view(out, rows, cols));
        }).find("row 0, column 0") != std::string::npos);
  CHECK(std::all_of(out.begin(), out.end(), [](float x) { return x == -77.0f; }));
  er::fake_quantize<er::int4<er::per_group<64>>>(view(huge, rows, cols), view(out, rows, cols));
  CHECK(out[0] == 3e38f / 7 * 7);
}

TEST_CASE("fake_quantize: what is quantized by its maximum stays as it is when quantized again") {
  const std::size_t rows = 3, cols = 576;
  const std::vector<float> w = random_weights(rows * cols, 8);
  const std::vector<float> once = quantized<er::ternary_absmax<er::per_group<64>>>(w, rows, cols);
  CHECK(quantized<er::ternary_absmax<er::per_group<64>>>(once, rows, cols) == once);
}

TEST_CASE("fake_quantize: a policy whose parameters are no numbers of the output is refused") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> w(8, 0.5f);
  std::vector<float> out(8, 9.0f);
  std::vector<er::float16> halves(8);
  const er::matrix_view<const float> in{w.data(), 1, 8};
  const er::matrix_view<float> to{out.data(), 1, 8};
  CHECK_THROWS_WITH_AS(er::fake_quantize(in, to, er::int4<>{.epsilon = infinity}),
                       "fake_quantize: the policy gives a zero the scale inf, expected a finite "
                       "one of at least 0 within the output's range",
                       std::invalid_argument);
  CHECK_THROWS_AS(er::fake_quantize(in, to, er::ternary<>{.factor = std::nanf("")}),
                  std::invalid_argument);
  CHECK_THROWS_AS(er::fake_quantize(in, to, er::ternary<>{.factor = infinity}),
                  std::invalid_argument);
  CHECK_THROWS_AS(er::fake_quantize(in, er::matrix_view<er::float16>{halves.data(), 1, 8},
                                    er::int4<>{.epsilon = 1e6f}),
                  std::invalid_argument);
  CHECK(out == std::vector<float>(8, 9.0f));
  er::fake_quantize(in, to, er::int4<>{.epsilon = 1e6f});
  CHECK(out == std::vector<float>(8, 0.0f));
}

TEST_SUITE_END();
