#include "llm/math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

TEST_CASE("exponentials are right to two units in the last place") {
  // Steps of a prime number of representable values across [-87, 88].
  std::vector<float> x;
  for (float v = -87.0f; v < 88.0f; v += std::max(std::fabs(v) * 1e-5f, 1e-6f)) x.push_back(v);
  std::vector<float> y = x;
  llm::exponentials(y);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    worst = std::max(worst, std::fabs(static_cast<double>(y[i]) - exact) / exact);
  }
  // Rounding of the last three operations (2^-24 each, the first of them on a sum that is a third of the result) and of
  // the argument's reduction (r is right to 2^-25 * ln 2 / 2): below two units, each at most 2^-23 of the value.
  CHECK(worst < 2 * 0x1p-23);
  CHECK(worst > 0x1p-26);
}

TEST_CASE("exponentials end where floats do") {
  std::vector<float> x{-1000, -std::numeric_limits<float>::infinity(), 0, 1000,
                       std::numeric_limits<float>::quiet_NaN()};
  llm::exponentials(x);
  CHECK(x[0] > 0);
  CHECK(x[0] < 1.7e-38f);
  CHECK(x[1] == x[0]);
  CHECK(x[2] == 1.0f);
  CHECK(x[3] > 1.6e38f);
  CHECK(std::isfinite(x[3]));
  CHECK(x[4] == x[0]);
}

TEST_CASE("rms_norm") {
  const std::vector<float> weight{1, 2, 3, 4};
  std::vector<float> x{1, -1, 3, 5}, out(4);
  llm::rms_norm(x, weight, 0.0f, out);  // mean of squares 9
  for (std::size_t i = 0; i < 4; ++i) CHECK(out[i] == doctest::Approx(x[i] / 3 * weight[i]).epsilon(1e-6));
  llm::rms_norm(x, weight, 0.0f, x);
  CHECK(x == out);
  std::vector<float> zero(4);
  llm::rms_norm(zero, weight, 1e-5f, zero);
  CHECK(zero == std::vector<float>(4));
}

TEST_CASE("swiglu, across its blocks") {
  std::vector<float> gate(600), up(600);
  for (std::size_t i = 0; i < gate.size(); ++i) {
    gate[i] = 0.05f * (static_cast<float>(i) - 300.0f);
    up[i] = 1.0f + static_cast<float>(i % 7);
  }
  std::vector<float> out = gate;
  llm::swiglu(out, up);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double g = static_cast<double>(gate[i]), expected = g / (1 + std::exp(-g)) * static_cast<double>(up[i]);
    // Four roundings after an exponential of two units.
    CHECK(std::fabs(static_cast<double>(out[i]) - expected) <= 8 * 0x1p-24 * std::fabs(expected));
  }
}

TEST_CASE("softmax adds up to one, and survives large scores") {
  std::vector<float> scores{1000, 999, -1000, 998};
  llm::softmax(scores, 0.5f);
  CHECK(std::accumulate(scores.begin(), scores.end(), 0.0) == doctest::Approx(1.0).epsilon(1e-6));
  CHECK(scores[0] / scores[1] == doctest::Approx(std::exp(0.5)).epsilon(1e-6));
  CHECK(scores[2] < 1e-37f);
}

TEST_CASE("dot") {
  for (std::size_t size = 0; size < 40; ++size) {
    std::vector<float> x(size), y(size);
    float expected = 0;
    for (std::size_t i = 0; i < size; ++i) {
      x[i] = static_cast<float>(i + 1);
      y[i] = static_cast<float>(2 * i) - 7;
      expected += x[i] * y[i];  // integers below 2^24: exact in any order
    }
    CHECK(llm::dot(x.data(), y.data(), size) == expected);
  }
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
