// SPDX-License-Identifier: Apache-2.0
/// Gradients without a backward pass: the published steps, directions by counter, and how near the
/// grid's step eps has to be.
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/distill/spsa.hpp>
#include <edgerazor/policy/clipped.hpp>
#include <edgerazor/policy/fake_quantize.hpp>

namespace er = edgerazor;

namespace {
/// mean (x Q(w)^T - target)^2 of a layer of 4 bits a row, ranges clipped to 0.953.
struct layer {
  nlohmann::json data = golden::load("zeroth_order.json")["zeroth_order"];
  std::size_t rows = data["shape"][0], cols = data["shape"][1], tokens = data["tokens"];
  std::vector<double> x = data["x_f64"].get<std::vector<double>>(),
                      target = data["target_f64"].get<std::vector<double>>();
  std::vector<float> start = floats("w_f64"), quantized = start;

  using grid = er::asymmetric<4, er::per_channel, float, er::zero_rule::integer>;
  er::clipped<grid> policy{1 / (1 + std::exp(-3.0f)), 1 / (1 + std::exp(-3.0f)), grid{1e-4f}};

  [[nodiscard]] std::vector<float> floats(const char* key) const {
    std::vector<float> result;
    for (const double v : data[key].get<std::vector<double>>())
      result.push_back(static_cast<float>(v));
    return result;
  }
  /// The loss, and its gradient for Q(w) where there is room for it.
  double operator()(const std::vector<float>& w, std::vector<double>* gradient = nullptr) {
    er::fake_quantize(er::matrix_view<const float>{w.data(), rows, cols},
                      er::matrix_view<float>{quantized.data(), rows, cols}, policy);
    if (gradient != nullptr) gradient->assign(w.size(), 0.0);
    double sum = 0;
    const auto count = static_cast<double>(tokens * rows);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t r = 0; r < rows; ++r) {
        double y = -target[t * rows + r];
        for (std::size_t c = 0; c < cols; ++c)
          y += x[t * cols + c] * static_cast<double>(quantized[r * cols + c]);
        sum += y * y / count;
        if (gradient == nullptr) continue;
        for (std::size_t c = 0; c < cols; ++c)
          (*gradient)[r * cols + c] += 2 * y * x[t * cols + c] / count;
      }
    }
    return sum;
  }
};
}  // namespace

TEST_SUITE_BEGIN("distill/spsa");

TEST_CASE("golden: losses, slopes and weights of three steps with given directions") {
  layer loss;
  const double eps = loss.data["eps"], rate = loss.data["lr"];
  std::vector<float> w = loss.start;
  for (const auto& step : loss.data["steps"]) {
    const auto z = step["z_f64"].get<std::vector<double>>();
    const auto moved = [&](double amount) {
      std::vector<float> result = w;
      for (std::size_t i = 0; i < w.size(); ++i)
        result[i] = static_cast<float>(static_cast<double>(w[i]) + amount * z[i]);
      return result;
    };
    const double plus = loss(moved(eps)), minus = loss(moved(-eps));
    // Weights and grids are floats here: 2^-24 of some hundred sums.
    CHECK(plus == doctest::Approx(step["loss_plus"].get<double>()).epsilon(1e-5));
    CHECK(minus == doctest::Approx(step["loss_minus"].get<double>()).epsilon(1e-5));
    const double slope = er::spsa_slope(plus, minus, eps);
    CHECK(slope == doctest::Approx(step["projected_gradient"].get<double>()).epsilon(1e-4));
    w = moved(-rate * slope);
    for (std::size_t i = 0; i < w.size(); ++i)
      CHECK(std::fabs(static_cast<double>(w[i]) - step["w_f64"][i].get<double>()) <= 1e-6);
  }
}

TEST_CASE("spsa: elements of mean 0 and variance 1, none like its neighbours; known numbers") {
  for (const auto kind : {er::spsa_direction::signs, er::spsa_direction::normals}) {
    const er::spsa random{7, kind};
    const int n = 1 << 16;
    double mean = 0, square = 0, fourth = 0, next = 0, step = 0, seed = 0;
    for (int i = 0; i < n; ++i) {
      const auto at = static_cast<std::uint64_t>(i);
      const auto z = static_cast<double>(random.element(3, at));
      mean += z / n;
      square += z * z / n;
      fourth += z * z * z * z / n;
      next += z * static_cast<double>(random.element(3, at + 1)) / n;
      step += z * static_cast<double>(random.element(4, at)) / n;
      seed += z * static_cast<double>(er::spsa{8, kind}.element(3, at)) / n;
    }
    // Means of 65536 numbers of variance 1 deviate by 1/256; the seed is given, so this is no
    // matter of luck. Fourth moments: 1 of signs, 3 - 2/64 of counts of 64 bits.
    for (const double value : {mean, next, step, seed}) CHECK(std::fabs(value) < 5.0 / 256);
    CHECK(std::fabs(square - 1) < 5 * 1.5 / 256);
    CHECK(std::fabs(fourth - (kind == er::spsa_direction::signs ? 1 : 2.97)) < 0.2);
  }
  // The same on every machine.
  std::vector<float> signs, normals;
  for (std::uint64_t i = 0; i < 8; ++i) {
    signs.push_back(er::spsa{1}.element(0, i));
    normals.push_back(er::spsa{1, er::spsa_direction::normals}.element(0, i));
  }
  CHECK(signs == std::vector<float>{1, 1, -1, -1, -1, -1, 1, 1});
  CHECK(normals == std::vector<float>{-0.75f, 0.5f, -0.25f, 0.0f, -0.25f, -0.25f, 1.75f, 0.25f});
}

TEST_CASE("spsa: rows by themselves are the whole; descend goes where perturb points") {
  const er::spsa random{5};
  std::vector<float> w(200, 1.0f), whole(200), parts(200);
  random.perturb(w, 2, 0, 0.25f, whole);
  for (std::size_t i = 0; i < 200; i += 50)
    random.perturb(std::span{w}.subspan(i, 50), 2, i, 0.25f, std::span{parts}.subspan(i, 50));
  CHECK(whole == parts);
  CHECK(w == std::vector<float>(200, 1.0f));  // the weights stay
  random.descend(w, 2, 0, -0.25f);
  CHECK(w == whole);
}

TEST_CASE("spsa: a quadratic is descended to its minimum; a step of rate 0 moves nothing") {
  const er::spsa random{11, er::spsa_direction::normals};
  std::vector<float> w(16), plus(16), minus(16);
  const auto loss = [](const std::vector<float>& at) {
    double sum = 0;
    for (std::size_t i = 0; i < at.size(); ++i) {
      const double apart = static_cast<double>(at[i]) - 0.1 * static_cast<double>(i);
      sum += (1 + 0.1 * static_cast<double>(i)) * apart * apart;
    }
    return sum;
  };
  const double start = loss(w);
  for (std::uint64_t step = 0; step < 1500; ++step) {
    random.perturb(w, step, 0, 0.01f, plus);
    random.perturb(w, step, 0, -0.01f, minus);
    const double slope = er::spsa_slope(loss(plus), loss(minus), 0.01);
    random.descend(w, step, 0, static_cast<float>(0.01 * slope));
  }
  CHECK(loss(w) < 1e-4 * start);
  const std::vector<float> before = w;
  random.descend(w, 1, 0, 0);
  CHECK(w == before);
}

TEST_CASE(
    "spsa: the mean of 4000 directions is the straight-through gradient where eps is of the "
    "size of the grid's step, and is not far below it") {
  layer loss;
  std::vector<double> straight;
  loss(loss.start, &straight);
  std::vector<float> steps;
  for (std::size_t r = 0; r < loss.rows; ++r)
    steps.push_back(loss.policy.fit(std::span{loss.start}.subspan(r * loss.cols, loss.cols)).scale);
  CHECK(er::spsa_epsilon(steps, 1) ==
        doctest::Approx(loss.data["mean_grid_step"].get<double>()).epsilon(1e-3));
  const auto cosine = [&](er::spsa_direction kind, float eps) {
    const er::spsa random{3, kind};
    std::vector<float> plus(loss.start.size()), minus(plus.size());
    std::vector<double> mean(plus.size());
    for (std::uint64_t step = 0; step < 4000; ++step) {
      random.perturb(loss.start, step, 0, eps, plus);
      random.perturb(loss.start, step, 0, -eps, minus);
      const double slope = er::spsa_slope(loss(plus), loss(minus), static_cast<double>(eps));
      for (std::size_t i = 0; i < mean.size(); ++i)
        mean[i] += slope * static_cast<double>(random.element(step, i));
    }
    double dot = 0, a = 0, b = 0;
    for (std::size_t i = 0; i < mean.size(); ++i) {
      dot += mean[i] * straight[i];
      a += mean[i] * mean[i];
      b += straight[i] * straight[i];
    }
    return dot / std::sqrt(a * b);
  };
  // The golden cosines of other directions: 0.19 at 1e-4, 0.97 at 1e-2. 128 elements of 4000
  // directions leave 1 / sqrt(1 + 128 / 4000) = 0.984 of a perfect one.
  const float eps = er::spsa_epsilon(steps);
  CHECK(cosine(er::spsa_direction::normals, eps) > 0.93);
  CHECK(cosine(er::spsa_direction::signs, eps) > 0.9);
  CHECK(cosine(er::spsa_direction::normals, 1e-4f) < 0.5);
}

TEST_CASE("spsa: what does not fit is refused by name") {
  const std::vector<float> three(3);
  std::vector<float> two(2);
  CHECK_THROWS_WITH_AS(er::spsa{}.perturb(three, 0, 0, 1, two), "spsa: 3 weights, room for 2",
                       std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::spsa_slope(1, 2, 0)),
                    "spsa_slope: eps is 0.000000, expected a finite number above 0");
  CHECK_THROWS_WITH(
      static_cast<void>(er::spsa_slope(1, 2, std::numeric_limits<double>::infinity())),
      "spsa_slope: eps is inf, expected a finite number above 0");
  two[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(static_cast<void>(er::spsa_epsilon(two)), "spsa_epsilon: step 1 is not finite");
  CHECK(er::spsa_epsilon({}) == 0);
}

TEST_SUITE_END();
