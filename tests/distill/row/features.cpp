// SPDX-License-Identifier: Apache-2.0
/// Rows of features against plain loops, sizes around every vector's and block's length.
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/features.hpp>

namespace er = edgerazor;
namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/features");

TEST_CASE("features: products, multiples and variances are those of plain loops") {
  std::mt19937 random{2};
  std::normal_distribution<float> draw;
  for (const std::size_t size : {1, 2, 7, 8, 17, 511, 512, 513, 1030}) {
    std::vector<float> a(size), b(size), floats(size, 1.0f);
    std::vector<er::bfloat16> c;
    for (float& x : a) x = draw(random);
    for (float& x : b) x = draw(random);
    for (std::size_t i = 0; i < size; ++i) c.push_back(er::bfloat16{draw(random)});
    // A few roundings of double a column.
    const double bound = 1e-15 * 4 * static_cast<double>(size + 4);
    double ab = 0, ac = 0;
    for (std::size_t i = 0; i < size; ++i) {
      ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
      ac += static_cast<double>(a[i]) * static_cast<double>(static_cast<float>(c[i]));
    }
    CHECK(std::fabs(row::dot({a.data(), size}, {b.data(), size}) - ab) <= 4 * bound);
    CHECK(std::fabs(row::dot({a.data(), size}, {c.data(), size}) - ac) <= 4 * bound);
    CHECK(std::fabs(static_cast<double>(row::float_dot(a.data(), b.data(), size)) - ab) <=
          1e-6 * static_cast<double>(size + 4));
    std::vector<double> sums(size, 0.5);
    row::add_multiple(-2, {c.data(), size}, sums.data());
    row::float_add_multiple(3, a.data(), size, floats.data());
    std::vector<float> both(size, 1.0f);
    const std::vector<double> factors{2, -1};
    const std::vector<er::input_row> rows{{a.data(), size}, {b.data(), size}};
    row::add_multiples(factors, rows, {both.data(), size, true});
    for (std::size_t i = 0; i < size; ++i) {
      CHECK(sums[i] == 0.5 - 2 * static_cast<double>(static_cast<float>(c[i])));
      CHECK(floats[i] == doctest::Approx(1 + 3 * a[i]).epsilon(1e-5));
      CHECK(both[i] == doctest::Approx(1 + 2 * a[i] - b[i]).epsilon(1e-5));
    }
  }
}

TEST_CASE("features: the variance of rows that count") {
  // Columns 1 3 5 and 0 0 3 in rows 0, 2 and 3 of stride 3.
  const std::vector<float> x{1, 0, 9, 77, 77, 9, 3, 0, 9, 5, 3, 9};
  const std::vector<std::uint8_t> mask{1, 0, 1, 1}, one{0, 0, 1, 0};
  CHECK(row::summed_variance({x.data(), 2}, 4, 3, mask) == doctest::Approx(4.0 + 3.0));
  CHECK(row::summed_variance({x.data(), 2}, 4, 3, one) == 0);
}

TEST_SUITE_END();
