// SPDX-License-Identifier: Apache-2.0
#include "llm/math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

TEST_CASE("rms_norm") {
  const std::vector<float> weight{1, 2, 3, 4};
  std::vector<float> x{1, -1, 3, 5}, out(4);
  llm::rms_norm(x, weight, 0.0f, out);  // mean of squares 9
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(out[i] == doctest::Approx(x[i] / 3 * weight[i]).epsilon(1e-6));
  llm::rms_norm(x, weight, 0.0f, x);
  CHECK(x == out);
  // Lengths that are no multiple of eight: 1, -2, 3, ... have the mean square (n + 1)(2n + 1) / 6.
  for (std::size_t size = 1; size < 20; ++size) {
    std::vector<float> row(size), ones(size, 1.0f);
    for (std::size_t i = 0; i < size; ++i)
      row[i] = static_cast<float>(i + 1) * (i % 2 == 0 ? 1.0f : -1.0f);
    const double n = static_cast<double>(size), root = std::sqrt((n + 1) * (2 * n + 1) / 6);
    std::vector<float> result(size);
    llm::rms_norm(row, ones, 0.0f, result);
    for (std::size_t i = 0; i < size; ++i)
      CHECK(static_cast<double>(result[i]) ==
            doctest::Approx(static_cast<double>(row[i]) / root).epsilon(1e-6));
  }
  std::vector<float> zero(4);
  llm::rms_norm(zero, weight, 1e-5f, zero);
  CHECK(zero == std::vector<float>(4));
}

TEST_CASE("rope turns neighbours or halves") {
  constexpr std::size_t size = 8, position = 5;
  constexpr double base = 10000;
  const std::vector<float> head{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};  // the last two do not turn
  for (const auto pairs : {llm::rope_pairs::neighbours, llm::rope_pairs::halves}) {
    const llm::rope positions(pairs, size, base, {});
    std::vector<float> table(positions.table_size());
    positions.fill_table(position, table);
    std::vector<float> turned = head;
    positions.turn(turned, table);
    for (std::size_t i = 0; i < size / 2; ++i) {
      const std::size_t a = pairs == llm::rope_pairs::halves ? i : 2 * i,
                        b = pairs == llm::rope_pairs::halves ? i + 4 : a + 1;
      const double angle = position * std::pow(base, -2.0 * static_cast<double>(i) / size);
      const double x = static_cast<double>(head[a]), y = static_cast<double>(head[b]);
      CHECK(turned[a] == doctest::Approx(x * std::cos(angle) - y * std::sin(angle)).epsilon(1e-5));
      CHECK(turned[b] == doctest::Approx(x * std::sin(angle) + y * std::cos(angle)).epsilon(1e-5));
    }
    CHECK(turned[8] == 9);
    CHECK(turned[9] == 10);
  }
  const std::vector<float> divisors{1, 2, 4, 8};
  const llm::rope stretched(llm::rope_pairs::halves, size, base, divisors);
  std::vector<float> table(stretched.table_size());
  stretched.fill_table(position, table);
  CHECK(table[1] == doctest::Approx(std::cos(position * std::pow(base, -0.25) / 2)).epsilon(1e-6));
}
