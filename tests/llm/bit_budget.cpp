// SPDX-License-Identifier: Apache-2.0
#include "llm/bit_budget.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

using llm::format_option;

TEST_SUITE("bit_budget") {
  std::size_t bytes_of(const std::vector<std::vector<format_option>>& matrices,
                       const std::vector<std::size_t>& chosen) {
    std::size_t sum = 0;
    for (std::size_t m = 0; m < matrices.size(); ++m) sum += matrices[m][chosen[m]].bytes;
    return sum;
  }
  double cost_of(const std::vector<std::vector<format_option>>& matrices,
                 const std::vector<std::size_t>& chosen) {
    double sum = 0;
    for (std::size_t m = 0; m < matrices.size(); ++m) sum += matrices[m][chosen[m]].cost;
    return sum;
  }
  /// The least cost of all choices within the budget, by trying all; infinite where none fits.
  double least_cost(const std::vector<std::vector<format_option>>& matrices, std::size_t budget) {
    double least = std::numeric_limits<double>::infinity();
    std::vector<std::size_t> chosen(matrices.size());
    for (;;) {
      if (bytes_of(matrices, chosen) <= budget) least = std::min(least, cost_of(matrices, chosen));
      std::size_t m = 0;
      while (m < chosen.size() && ++chosen[m] == matrices[m].size()) chosen[m++] = 0;
      if (m == chosen.size()) return least;
    }
  }

  TEST_CASE("bytes go where they save most") {
    const std::vector<std::vector<format_option>> matrices{
        {{10, 8}, {20, 2}, {30, 0.5}},  // saves 0.6, then 0.15 a byte
        {{10, 1}, {20, 0.25}},          // saves 0.075
        {{100, 50}, {200, 10}}};        // saves 0.4
    CHECK(llm::spend_bits(matrices, 119).empty());
    CHECK(llm::spend_bits(matrices, 120) == std::vector<std::size_t>{0, 0, 0});
    CHECK(llm::spend_bits(matrices, 130) == std::vector<std::size_t>{1, 0, 0});
    CHECK(llm::spend_bits(matrices, 230) == std::vector<std::size_t>{1, 0, 1});
    CHECK(llm::spend_bits(matrices, 240) == std::vector<std::size_t>{2, 0, 1});
    CHECK(llm::spend_bits(matrices, 1000) == std::vector<std::size_t>{2, 1, 1});
  }

  TEST_CASE("an option that costs more for more bytes, or lies above the hull, is left out") {
    const std::vector<std::vector<format_option>> matrices{
        {{30, 1}, {10, 9}, {25, 8.9}, {40, 1.5}, {30, 2}}};
    CHECK(llm::spend_bits(matrices, 29) == std::vector<std::size_t>{1});
    CHECK(llm::spend_bits(matrices, 99) == std::vector<std::size_t>{0});
  }

  TEST_CASE("costs that are no numbers are avoided, and nothing else is disturbed") {
    const double nan = std::nan("");
    const std::vector<std::vector<format_option>> matrices{{{10, nan}, {20, 1}},
                                                           {{10, 1}, {20, 0}}};
    CHECK(llm::spend_bits(matrices, 30) == std::vector<std::size_t>{1, 0});
  }

  TEST_CASE("within the budget, and as good as one more step of the best") {
    const unsigned seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (int trial = 0; trial < 300; ++trial) {
      std::vector<std::vector<format_option>> matrices(1 + random() % 4);
      for (auto& options : matrices) {
        options.resize(1 + random() % 4);
        for (format_option& one : options)
          one = {1 + random() % 50, static_cast<double>(random() % 1000)};
      }
      const std::size_t budget = 1 + random() % 200;
      const auto chosen = llm::spend_bits(matrices, budget);
      const double least = least_cost(matrices, budget);
      CHECK(chosen.empty() == std::isinf(least));
      if (chosen.empty()) continue;
      CHECK(bytes_of(matrices, chosen) <= budget);
      // The greedy way passes the optimum of every budget it stops at, so it is no worse than the
      // optimum of what it has spent when the first step did not fit: at most the largest option's
      // bytes less.
      std::size_t largest = 0;
      for (const auto& options : matrices)
        for (const format_option& one : options) largest = std::max(largest, one.bytes);
      const double smaller = budget > largest ? least_cost(matrices, budget - largest)
                                              : std::numeric_limits<double>::infinity();
      CHECK(cost_of(matrices, chosen) <= smaller);
    }
  }
}
