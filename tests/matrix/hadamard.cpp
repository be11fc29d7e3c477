// SPDX-License-Identifier: Apache-2.0
/// Hadamard matrices: orthogonal to the last element, and QuaRot's; transforms by them.
/// are products with them.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/matrix/hadamard.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/hadamard");

namespace {
constexpr std::size_t orders[] = {1,  2,  4,  12, 20,  24,  28,  32,  36,  40, 48,
                                  52, 56, 60, 64, 104, 108, 128, 140, 156, 172};

std::vector<int> signs_of(const er::hadamard& h, bool transposed = false) {
  const std::size_t n = h.order();
  std::vector<int> result(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      result[i * n + j] = transposed ? h.sign(j, i) : h.sign(i, j);
  return result;
}
std::vector<float> draw(std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> result(count);
  for (float& x : result) x = normal(random);
  return result;
}
}  // namespace

TEST_CASE("hadamard: H H^T = n I for every core, alone and with powers of two") {
  for (const std::size_t n : orders) {
    CAPTURE(n);
    const std::vector<int> h = signs_of(er::hadamard{n});
    std::size_t wrong = 0;
    for (const int s : h) wrong += s != 1 && s != -1;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        int sum = 0;
        for (std::size_t k = 0; k < n; ++k) sum += h[i * n + k] * h[j * n + k];
        wrong += sum != (i == j ? static_cast<int>(n) : 0);
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("hadamard: which orders there are") {
  constexpr std::size_t cores[] = {12, 20, 28, 36, 40, 52, 60, 108, 140, 156, 172};
  for (std::size_t n = 0; n <= 1500; ++n) {
    std::size_t core = 0;
    for (std::size_t power = 1; power <= n; power *= 2) {
      if (power == n) core = 1;
      // Of several, n = 40 and its multiples alone, the larger.
      for (const std::size_t m : cores)
        if (m * power == n) core = std::max(core, m);
    }
    CAPTURE(n);
    CHECK(er::hadamard::has_order(n) == (core != 0));
    if (core != 0) CHECK(er::hadamard{n}.core_order() == core);
  }
  for (const std::size_t n : {11008u, 13824u, 14336u, 17920u, 28672u, 5120u, 6656u, 4608u, 576u})
    CHECK(er::hadamard::has_order(n));
  CHECK_THROWS_WITH_AS(er::hadamard{44},
                       doctest::Contains("hadamard: there is no transform of order 44, expected"),
                       std::invalid_argument);
  CHECK_THROWS_AS(er::hadamard{0}, std::invalid_argument);
}

TEST_CASE("hadamard: QuaRot's cores and transforms") {
  const nlohmann::json data = golden::load("hadamard.json");
  for (const auto& [name, signs] : data.at("cores").items()) {
    const std::size_t n = std::stoul(name);
    CAPTURE(n);
    CHECK(signs_of(er::hadamard{n}) == signs.get<std::vector<int>>());
  }
  for (const nlohmann::json& item : data.at("transforms")) {
    const std::size_t n = item.at("n");
    CAPTURE(n);
    std::vector<float> x = golden::floats(item.at("x"));
    const std::vector<float> y = golden::floats(item.at("y")), before = x;
    er::hadamard{n}.transform(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      double magnitude = 0;
      for (std::size_t c = 0; c < n; ++c) magnitude += std::fabs(before[i / n * n + c]);
      // At most n additions, the factor and its product, in both.
      CHECK(std::fabs(x[i] - y[i]) <=
            2 * 0x1p-24 * static_cast<double>(n + 2) * magnitude / std::sqrt(n));
    }
  }
}

TEST_CASE("hadamard: a transform adds in the order that it says, block after block, to the bit") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t n : orders) {
    const er::hadamard h{n};
    const std::size_t m = h.core_order(), power = n / m;
    const auto factor = static_cast<float>(1 / std::sqrt(static_cast<double>(n)));
    const std::vector<float> x = draw(3 * n, random);
    for (const bool back : {false, true}) {
      std::vector<float> made = x, expected = x;
      back ? h.transform_back(made) : h.transform(made);
      for (std::size_t block = 0; block < 3; ++block) {
        float* const v = expected.data() + block * n;
        for (std::size_t distance = 1; distance < power; distance *= 2) {
          for (std::size_t i = 0; i < n; ++i) {
            if ((i % power & distance) != 0) continue;
            const float a = v[i], b = v[i + distance];
            v[i] = a + b, v[i + distance] = a - b;
          }
        }
        const std::vector<float> in(v, v + n);
        for (std::size_t i = 0; i < n; ++i) {
          float sum = 0;
          for (std::size_t k = 0; k < m; ++k) {
            const float term = in[k * power + i % power];
            const int sign =
                back ? h.sign(k * power, i / power * power) : h.sign(i / power * power, k * power);
            sum += sign > 0 ? term : -term;
          }
          v[i] = (m == 1 ? in[i] : sum) * factor;
        }
      }
      CAPTURE(n);
      CAPTURE(back);
      CHECK(std::memcmp(made.data(), expected.data(), made.size() * sizeof(float)) == 0);
      for (const auto* loops : er::detail::matrix::available_hadamard_loops()) {
        CAPTURE(loops->name);
        made = x;
        er::detail::matrix::transform_blocks(*loops, n, m, factor, back, made);
        CHECK(std::memcmp(made.data(), expected.data(), made.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("hadamard: a transform is the product with H, and exact where its sums are") {
  std::mt19937 random(9);
  for (const std::size_t n : orders) {
    CAPTURE(n);
    const er::hadamard h{n};
    std::vector<float> x(n);
    for (float& value : x) value = static_cast<float>(static_cast<int>(random() % 2001) - 1000);
    std::vector<float> y = x, z = x;
    h.transform(y);
    h.transform_back(z);
    const auto factor = static_cast<float>(1 / std::sqrt(static_cast<double>(n)));
    // Sums of at most 172 integers within 1000 are exact: one rounding, of the factor's product.
    for (const bool back : {false, true}) {
      const std::vector<int> signs = signs_of(h, back);
      for (std::size_t i = 0; i < n; ++i) {
        int sum = 0;
        for (std::size_t j = 0; j < n; ++j) sum += signs[i * n + j] * static_cast<int>(x[j]);
        CHECK((back ? z : y)[i] == static_cast<float>(sum) * factor);
      }
    }
    if (n != 1 && n != 4 && n != 64) continue;
    // sqrt(n) is a power of two, and nothing is rounded.
    h.transform_back(y);
    CHECK(y == x);
  }
}

TEST_CASE("rotate_rows: rotated weights times a rotated input") {
  std::mt19937 random(10);
  for (const std::size_t n : {8u, 12u, 52u, 104u}) {
    constexpr std::size_t rows = 5, cols = 104;
    if (cols % n != 0) {
      std::vector<float> w(rows * cols);
      CHECK_THROWS_WITH_AS(er::rotate_rows({w.data(), rows, cols}, er::hadamard{n}),
                           "rotate_rows: weights of 104 columns are no multiple of the "
                           "transform's order 12",
                           std::invalid_argument);
      continue;
    }
    const std::vector<float> w = draw(rows * cols, random), x = draw(cols, random);
    std::vector<float> turned = w, input = x;
    er::rotate_rows({turned.data(), rows, cols}, er::hadamard{n});
    er::hadamard{n}.transform(input);
    for (std::size_t r = 0; r < rows; ++r) {
      double y = 0, z = 0, ww = 0, xx = 0;
      for (std::size_t c = 0; c < cols; ++c) {
        y += double{w[r * cols + c]} * x[c];
        z += double{turned[r * cols + c]} * input[c];
        ww += double{w[r * cols + c]} * w[r * cols + c];
        xx += double{x[c]} * x[c];
      }
      // Each side is off by at most n + 2 roundings of sums of its magnitudes, of which n are
      // sqrt(n) times the norm at most; the norms multiply.
      const double side = 0x1p-24 * static_cast<double>(n + 2) * std::sqrt(n);
      CHECK(std::fabs(y - z) <= 3 * side * std::sqrt(ww * xx));
    }
  }
}

TEST_SUITE_END();
