// SPDX-License-Identifier: Apache-2.0
/// Learned step size: the quantized value, both gradients against their definitions, the first
/// scales, and what is refused.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

struct sample {
  std::size_t rows, cols, stride;
  std::vector<float> values;

  [[nodiscard]] er::matrix_view<const float> in() const {
    return {values.data(), rows, cols, stride};
  }
  [[nodiscard]] er::matrix_view<float> out() { return {values.data(), rows, cols, stride}; }
};

sample random_sample(std::size_t rows, std::size_t cols, unsigned seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  sample result{rows, cols, cols + 3, std::vector<float>(rows * (cols + 3))};
  for (float& x : result.values) x = normal(random);
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

template <class Policy>
struct one_case {
  using policy = Policy;
  sample weights, grad_out;
  std::size_t groups, columns;
  std::vector<float> scales;

  /// Scales of half to twice the first one; with that of the first group at least one weight lies
  /// outside the levels.
  one_case(std::size_t rows, std::size_t cols, unsigned seed)
      : weights(random_sample(rows, cols, seed, 0.02f)),
        grad_out(random_sample(rows, cols, seed + 1, 1.0f)),
        groups(er::groups_per_row<typename Policy::granularity>(cols)),
        columns(er::group_columns<typename Policy::granularity>(cols)),
        scales(rows * groups) {
    er::initial_scales<Policy>(weights.in(), scales);
    std::mt19937 random(seed + 2);
    std::uniform_real_distribution<float> factor(0.5f, 2.0f);
    for (float& s : scales) s *= factor(random);
    const std::span<const float> group = weights.in().row(0).first(std::min(columns, cols));
    scales[0] = er::max_magnitude(group) / (2 * Policy::max_level);
  }
  [[nodiscard]] std::size_t scale_of(std::size_t r, std::size_t c) const {
    return r * groups + c / columns;
  }
};

}  // namespace

#define LEARNED_POLICIES                                                                           \
  er::learned_step<er::ternary<er::per_group<64>>>, er::learned_step<er::int4<er::per_group<64>>>, \
      er::learned_step<er::int2<er::per_channel>>,                                                 \
      er::learned_step<er::int4_asymmetric<er::per_group<100>>>,                                   \
      er::learned_step<er::int8<er::per_group<32>>>

TEST_SUITE_BEGIN("policy/learned_step");

TEST_CASE_TEMPLATE("learned step: value and gradients are the paper's, in place and by rows too",
                   Policy, LEARNED_POLICIES) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  one_case<Policy> k(7, 201, seed);
  const std::size_t rows = k.weights.rows, cols = k.weights.cols, stride = k.weights.stride;

  sample value = k.grad_out, grad_in = k.grad_out;
  std::fill(grad_in.values.begin(), grad_in.values.end(), 7.0f);
  std::vector<float> grad_scales(k.scales.size(), 7.0f);
  er::fake_quantize<Policy>(k.weights.in(), k.scales, value.out());
  er::learned_step_backward<Policy>(k.weights.in(), k.scales, k.grad_out.in(), grad_in.out(),
                                    grad_scales);

  std::vector<double> sums(k.scales.size()), magnitudes(k.scales.size());
  std::vector<std::size_t> counts(k.scales.size());
  std::size_t outside = 0;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t s = k.scale_of(r, c), i = r * stride + c;
      const float w = k.weights.values[i], scale = k.scales[s], g = k.grad_out.values[i],
                  v = w / scale;
      const int level = Policy::level(w, scale);
      CHECK(value.values[i] == static_cast<float>(level) * scale);
      double d = static_cast<double>(level) - static_cast<double>(v);
      bool inside = true;
      if (v <= Policy::min_level) inside = false, d = Policy::min_level;
      if (v >= Policy::max_level) inside = false, d = Policy::max_level;
      CHECK(grad_in.values[i] == (inside ? g : 0.0f));
      outside += !inside;
      sums[s] += g * d;
      magnitudes[s] += std::fabs(g) * (std::fabs(d) + std::fabs(v));
      ++counts[s];
    }
  CHECK(outside > 0);
  for (std::size_t s = 0; s < sums.size(); ++s) {
    const double r = 1 / std::sqrt(static_cast<double>(counts[s]) * Policy::max_level);
    // Float rounding: one of each level - v, of each product, of each addition, and three of the
    // factor.
    const double bound = 0x1p-24 * static_cast<double>(counts[s] + 6) * magnitudes[s] * r;
    CHECK(std::fabs(grad_scales[s] - sums[s] * r) <= bound);
  }

  sample in_place = k.grad_out;
  std::vector<float> in_place_scales(grad_scales.size());
  er::learned_step_backward<Policy>(k.weights.in(), k.scales, in_place.in(), in_place.out(),
                                    in_place_scales);
  sample parts = value, part_grads = k.grad_out;
  std::fill(parts.values.begin(), parts.values.end(), 5.0f);
  std::vector<float> part_scales(grad_scales.size(), 5.0f);
  for (const er::row_range range :
       {er::row_range{2, 5}, er::row_range{5, rows}, er::row_range{0, 2}}) {
    er::fake_quantize<Policy>(k.weights.in(), k.scales, parts.out(), {}, {.rows = range});
    er::learned_step_backward<Policy>(k.weights.in(), k.scales, k.grad_out.in(), part_grads.out(),
                                      part_scales, {}, {.rows = range});
    if (range.begin == 2) CHECK(part_scales[1] == 5.0f);
    if (range.begin == 2) CHECK(parts.values[5 * stride] == 5.0f);
  }
  CHECK(in_place_scales == grad_scales);
  CHECK(part_scales == grad_scales);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t i = r * stride + c;
      CHECK(in_place.values[i] == grad_in.values[i]);
      CHECK(part_grads.values[i] == grad_in.values[i]);
      CHECK(parts.values[i] == value.values[i]);
    }
}

/// Straight-through means: rounding adds a constant e = round(v) - v. With e held, sum of g * s *
/// clamp(w / s + e) is a smooth function of s between its kinks, and its derivative must be the
/// gradient without the factor r.
TEST_CASE_TEMPLATE("learned step: the scale's gradient is the derivative with rounding held",
                   Policy, LEARNED_POLICIES) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  one_case<Policy> k(3, 201, seed);
  sample grad_in = k.grad_out;
  std::vector<float> grad_scales(k.scales.size());
  er::learned_step_backward<Policy>(k.weights.in(), k.scales, k.grad_out.in(), grad_in.out(),
                                    grad_scales);

  for (std::size_t s = 0; s < k.scales.size(); ++s) {
    const std::size_t row = s / k.groups, begin = s % k.groups * k.columns;
    const std::size_t count = std::min(k.columns, k.weights.cols - begin);
    const double scale = k.scales[s];
    double magnitude = 0;
    const auto value = [&](double moved) {
      double sum = 0;
      magnitude = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = row * k.weights.stride + begin + i;
        const double w = k.weights.values[at], v = w / scale, g = k.grad_out.values[at];
        const int low = Policy::min_level, high = Policy::max_level;
        double q;  // of s * clamp(v + e): inside w + s * e, outside s * bound
        if (v <= low) {
          q = moved * low;
        } else if (v >= high) {
          q = moved * high;
        } else {
          const double e = Policy::level(k.weights.values[at], k.scales[s]) - v;
          q = w + moved * e;
        }
        sum += g * q;
        magnitude += std::fabs(g * q);
      }
      return sum;
    };
    // Linear in the scale, so that the step leaves rounding alone: 2^-53 of the terms over the
    // step, and float's in the gradient.
    const double step = 0.25 * scale,
                 slope = (value(scale + step) - value(scale - step)) / (2 * step);
    const double r = Policy::gradient_scale(count);
    const double terms = magnitude / scale * static_cast<double>(count + 6);
    CHECK(std::fabs(grad_scales[s] - slope * r) <= 0x1p-22 * terms * r);
  }
}

TEST_CASE(
    "learned step: the first scale is 2 mean|w| / sqrt(max_level), for ternary the clip rule's") {
  const std::vector<float> w{1, -2, 3, -6, 0.5f, 0.5f, -0.5f, -0.5f};
  const er::matrix_view<const float> in{w.data(), 1, 8};
  std::vector<float> scales(2);
  er::initial_scales<er::learned_step<er::int4<er::per_group<4>>>>(in, scales);
  CHECK(scales[0] == doctest::Approx(2 * 3 / std::sqrt(7.0)));
  CHECK(scales[1] == doctest::Approx(2 * 0.5 / std::sqrt(7.0)));
  er::initial_scales<er::learned_step<er::ternary<er::per_group<4>>>>(in, scales);
  CHECK(scales[0] == er::ternary<>{}.scale(std::span{w}.first(4)));
  CHECK(scales[1] == er::ternary<>{}.scale(std::span{w}.last(4)));

  // With the first scales, the two forms of fake_quantize are one.
  using policy = er::learned_step<er::int4<er::per_group<4>>>;
  er::initial_scales<policy>(in, scales);
  std::vector<float> learned(8), ruled(8);
  er::fake_quantize<policy>(in, scales, er::matrix_view<float>{learned.data(), 1, 8});
  er::fake_quantize<policy>(in, er::matrix_view<float>{ruled.data(), 1, 8});
  CHECK(learned == ruled);
}

TEST_CASE("learned step: a descent on the scale finds the one of least error") {
  // The gradient of 1/2 |q(w) - w|^2 for the quantized weight is q(w) - w; its minimum over s is
  // looked for on a grid.
  const sample w = random_sample(1, 256, 11, 0.02f);
  using policy = er::learned_step<er::int4<er::per_channel>>;
  const er::matrix_view<const float> in{w.values.data(), 1, 256};
  std::vector<float> scale(1), grad_scale(1), q(256), grad(256);
  const auto error = [&](float s) {
    scale[0] = s;
    er::fake_quantize<policy>(in, scale, er::matrix_view<float>{q.data(), 1, 256});
    double sum = 0;
    for (std::size_t i = 0; i < 256; ++i) sum += (q[i] - w.values[i]) * (q[i] - w.values[i]);
    return sum;
  };
  er::initial_scales<policy>(in, scale);
  const float first = scale[0];
  double least = std::numeric_limits<double>::infinity();
  for (int i = 1; i < 400; ++i) least = std::min(least, error(first * static_cast<float>(i) / 200));
  float s = first * 1.7f;
  for (int i = 0; i < 2000; ++i) {
    error(s);
    for (std::size_t j = 0; j < 256; ++j) grad[j] = q[j] - w.values[j];
    const er::matrix_view<float> grads{grad.data(), 1, 256};
    er::learned_step_backward<policy>(in, scale, grads, grads, grad_scale);
    s -= 0.01f * grad_scale[0];
  }
  // The straight-through gradient stops beside the true minimum, not on it; a scale of 1.7 first
  // scales has 4 times the least error.
  CHECK(error(first * 1.7f) > 2 * least);
  CHECK(error(s) < 1.1 * least);
}

TEST_CASE("learned step: a scale below epsilon counts as epsilon and can come back") {
  using policy = er::learned_step<er::int4<er::per_channel>>;
  const std::vector<float> w{1, -1, 1, -1}, g{1, -1, 1, -1};
  std::vector<float> scales{-3.0f}, out(4), grad(4), grad_scales(1);
  const er::matrix_view<const float> in{w.data(), 1, 4};
  er::fake_quantize<policy>(in, scales, er::matrix_view<float>{out.data(), 1, 4},
                            policy{.epsilon = 0.125f});
  CHECK(out == std::vector<float>{0.875f, -0.875f, 0.875f, -0.875f});
  er::learned_step_backward<policy>(in, scales, er::matrix_view<const float>{g.data(), 1, 4},
                                    er::matrix_view<float>{grad.data(), 1, 4}, grad_scales,
                                    policy{.epsilon = 0.125f});
  // All four are clamped to level 7: 4 * 7 / sqrt(4 * 7).
  CHECK(grad_scales[0] == doctest::Approx(std::sqrt(28.0)));
  CHECK(grad == std::vector<float>(4));
}

TEST_CASE("learned step: gradients of scales keep what floats would lose, in the same order") {
  // 2^24, then 62 ones, then -2^24: a sum in float loses every one of them.
  using policy = er::learned_step<er::int4<er::per_group<64>>>;
  std::vector<float> weights(64, 100.0f), gradients(64, 1.0f), in(64), one(1);
  gradients.front() = 0x1p24f, gradients.back() = -0x1p24f;
  const std::vector<float> scales{1.0f};
  er::learned_step_backward<policy>(er::matrix_view<const float>{weights.data(), 1, 64}, scales,
                                    er::matrix_view<const float>{gradients.data(), 1, 64},
                                    er::matrix_view<float>{in.data(), 1, 64}, one);
  // All are clamped at level 7.
  CHECK(one[0] == static_cast<float>(62.0 * 7 * static_cast<double>(policy::gradient_scale(64))));
}

TEST_CASE("learned step: 16-bit weights, and values as storage gives them back") {
  using policy = er::learned_step<er::int4<er::per_group<64>>>;
  one_case<policy> k(5, 130, 3);
  const std::vector<er::bfloat16> narrow(k.weights.values.begin(), k.weights.values.end());
  k.weights.values.assign(narrow.begin(), narrow.end());
  const er::matrix_view<const er::bfloat16> in{narrow.data(), 5, 130, k.weights.stride};
  sample wide = k.weights, from_narrow = k.weights, stored = k.weights;
  er::fake_quantize<policy>(k.weights.in(), k.scales, wide.out());
  er::fake_quantize<policy>(in, k.scales, from_narrow.out());
  er::fake_quantize<er::as_stored<policy>>(k.weights.in(), k.scales, stored.out());
  CHECK(wide.values == from_narrow.values);
  for (std::size_t r = 0; r < 5; ++r)
    for (std::size_t c = 0; c < 130; ++c) {
      const float s = k.scales[k.scale_of(r, c)];
      const int level = policy::level(k.weights.in().row(r)[c], s);
      CHECK(stored.in().row(r)[c] ==
            static_cast<float>(level) * static_cast<float>(er::float16{s}));
    }
}

TEST_CASE("learned step: what doesn't fit is named before anything is written") {
  using policy = er::learned_step<er::int4<er::per_group<4>>>;
  std::vector<float> w(16, 1.0f), g(16, 1.0f), out(16, -77.0f), scales(4, 0.5f),
      grad_scales(4, -77.0f);
  const er::matrix_view<float> in{w.data(), 2, 8}, to{out.data(), 2, 8};
  const er::matrix_view<const float> grad{g.data(), 2, 8};
  const std::span<const float> three = std::span<const float>{scales}.first(3);
  CHECK(sentence_of([&] { er::fake_quantize<policy>(in, three, to); }) ==
        "fake_quantize: 3 scales, expected one for each of 2 x 2 groups");
  CHECK(sentence_of([&] { er::initial_scales<policy>(in, std::span{grad_scales}.first(3)); }) ==
        "initial_scales: 3 scales, expected one for each of 2 x 2 groups");
  CHECK(sentence_of([&] { er::learned_step_backward<policy>(in, three, grad, to, grad_scales); }) ==
        "learned_step_backward: 3 scales, expected one for each of 2 x 2 groups");
  CHECK(sentence_of([&] {
          er::learned_step_backward<policy>(in, scales, grad, to, std::span{grad_scales}.first(3));
        }) == "learned_step_backward: 4 scales, 3 gradients of scales");
  CHECK(sentence_of([&] {
          er::learned_step_backward<policy>(in, scales, grad, to, grad_scales, {},
                                            {.rows = er::row_range{1, 3}});
        }) == "learned_step_backward: rows 1 to 3 of a matrix of 2 x 8");
  CHECK(sentence_of([&] {
          er::learned_step_backward<policy>(
              in, scales, er::matrix_view<const float>{g.data(), 2, 7}, to, grad_scales);
        }) == "learned_step_backward: weights are 2 x 8, gradients 2 x 7 and 2 x 8");
  scales[3] = std::numeric_limits<float>::quiet_NaN();
  CHECK(sentence_of([&] { er::fake_quantize<policy>(in, scales, to); }) ==
        "fake_quantize: the scale of row 1, group 1 is not finite");
  CHECK(sentence_of([&] {
          er::learned_step_backward<policy>(in, scales, grad, to, grad_scales);
        }) == "learned_step_backward: the scale of row 1, group 1 is not finite");
  scales[3] = 3e38f;
  CHECK(sentence_of([&] { er::fake_quantize<policy>(in, scales, to); }) ==
        "fake_quantize: the scale of row 1, group 1 is out of the output's range");
  scales[3] = 0.5f;
  w[13] = std::numeric_limits<float>::infinity();
  for (const std::string& sentence :
       {sentence_of([&] { er::fake_quantize<policy>(in, scales, to); }),
        sentence_of([&] { er::initial_scales<policy>(in, grad_scales); }),
        sentence_of([&] { er::learned_step_backward<policy>(in, scales, grad, to, grad_scales); })})
    CHECK(sentence == "weight at row 1, column 5 is infinite: expected finite values");
  CHECK(out == std::vector<float>(16, -77.0f));
  CHECK(grad_scales == std::vector<float>(4, -77.0f));
  // Rows outside the range are not looked at.
  er::fake_quantize<policy>(in, scales, to, {}, {.rows = er::row_range{0, 1}});
  CHECK(out[0] == 1.0f);
}

TEST_SUITE_END();
