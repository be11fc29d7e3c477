// SPDX-License-Identifier: Apache-2.0
/// Binary weights against brute force: signs, the scale, fake quantization and its gradients.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/quantize_group.hpp>
#include <edgerazor/policy/straight_through.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

namespace {

constexpr float smallest = std::numeric_limits<float>::denorm_min();

std::vector<float> random_weights(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> result(count);
  for (float& x : result) x = normal(random);
  return result;
}

float mean_in_double(std::span<const float> group) {
  double sum = 0;
  for (const float x : group) sum += std::fabs(x);
  return static_cast<float>(sum / static_cast<double>(group.size()));
}

}  // namespace

static_assert(er::row_quantizer<er::binary<>> && er::row_quantizer<er::as_stored<er::binary<>>> &&
              er::quantizer<er::binary<er::per_tensor, float>>);
static_assert(er::detail::policy::level_step<er::binary<>> == 2 &&
              er::detail::policy::level_step<er::as_stored<er::binary<>>> == 2 &&
              er::detail::policy::level_step<er::learned_step<er::binary<>>> == 2 &&
              er::detail::policy::level_step<er::int4<>> == 1);

TEST_SUITE_BEGIN("policy/binary");

TEST_CASE("binary: below zero is -1, all else is 1, at every place of a vector") {
  using policy = er::binary<>;
  for (const float x : {0.0f, -0.0f, smallest, 1e-30f, 0.5f, 1e38f})
    CHECK(policy::level(x, 1.0f) == 1);
  for (const float x : {-smallest, -1e-30f, -0.5f, -1e38f}) CHECK(policy::level(x, 1.0f) == -1);

  const std::vector<float> special{0.0f, -0.0f, smallest, -smallest, 3e38f, -3e38f, 1.0f, -1.0f};
  for (std::size_t size = 1; size < 70; ++size) {
    std::vector<float> w = random_weights(size, static_cast<unsigned>(size));
    for (std::size_t i = 0; i < size; i += 3) w[i] = special[(i / 3 + size) % special.size()];
    std::vector<std::int8_t> levels(size + 1, 99);
    er::quantize_levels<policy>(w, 0.01f, levels);
    CHECK(levels[size] == 99);
    for (std::size_t i = 0; i < size; ++i) {
      CAPTURE(w[i]);
      CHECK(int{levels[i]} == (std::signbit(w[i]) && w[i] != 0.0f ? -1 : 1));
    }
  }
}

TEST_CASE("binary: the scale is the mean magnitude, at least epsilon, in ternary's order") {
  CHECK(er::binary<>{}.scale(std::vector<float>{1, -1, 0.5f, -0.5f, 2, -1, 0, 0}) == 0.75f);
  CHECK(er::binary<>{}.scale(std::vector<float>(64, 0.0f)) == 1e-5f);
  CHECK(er::binary<>{.epsilon = 2.0f}.scale(std::vector<float>{1, -1}) == 2.0f);
  for (std::size_t size = 1; size < 600; size += 7) {
    CAPTURE(size);
    const std::vector<float> w = random_weights(size, 3);
    const float scale = er::binary<>{}.scale(w);
    CHECK(scale == er::mean_magnitude(w));
    CHECK(scale == doctest::Approx(mean_in_double(w)).epsilon(1e-6));
    // The least squares of one scale: neither neighbour is better.
    const auto error = [&](double s) {
      double sum = 0;
      for (const float x : w) sum += (std::fabs(x) - s) * (std::fabs(x) - s);
      return sum;
    };
    CHECK(error(scale) <= error(scale * 1.001));
    CHECK(error(scale) <= error(scale * 0.999));
  }
}

TEST_CASE("binary: fake quantization by brute force, with runs of every kind") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  for (const std::size_t cols :
       {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}, std::size_t{200}}) {
    const std::size_t rows = 5;
    std::vector<float> w = random_weights(rows * cols, seed), out(w.size()), stored(w.size());
    w[0] = 0.0f;
    w[w.size() - 1] = -0.0f;
    const er::matrix_view<const float> in{w.data(), rows, cols};
    using policy = er::binary<er::per_group<64>>;
    er::fake_quantize<policy>(in, er::matrix_view<float>{out.data(), rows, cols});
    er::fake_quantize<er::as_stored<policy>>(in, er::matrix_view<float>{stored.data(), rows, cols});
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; c += 64) {
        const std::span<const float> group =
            in.row(r).subspan(c, std::min<std::size_t>(64, cols - c));
        const float scale = std::max(mean_in_double(group), 1e-5f);
        for (std::size_t i = 0; i < group.size(); ++i) {
          const float value = out[r * cols + c + i];
          CHECK((value < 0) == (group[i] < 0));
          CHECK(std::fabs(value) == doctest::Approx(scale).epsilon(1e-6));
          CHECK(std::fabs(stored[r * cols + c + i]) == float{er::float16{std::fabs(value)}});
        }
      }
  }
}

TEST_CASE("binary: NaN and infinity are refused, and nothing is written") {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    std::vector<float> w(12, 1.0f), out(12, -77.0f);
    w[7] = bad;
    CHECK_THROWS_AS(er::fake_quantize<er::binary<>>(er::matrix_view<const float>{w.data(), 3, 4},
                                                    er::matrix_view<float>{out.data(), 3, 4}),
                    std::invalid_argument);
    CHECK(out == std::vector<float>(12, -77.0f));
  }
}

TEST_CASE("binary: the clipped estimator passes where |w| <= 2 scale") {
  using policy = er::binary<er::per_group<4>>;
  const std::vector<float> w{1, -1, 5, -1, 2, 2, 2, -10}, grad{1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> out(8);  // mean magnitudes 2 and 4: 5 > 4, 10 > 8
  er::straight_through_clipped<policy>(er::matrix_view<const float>{w.data(), 1, 8},
                                       er::matrix_view<const float>{grad.data(), 1, 8},
                                       er::matrix_view<float>{out.data(), 1, 8});
  CHECK(out == std::vector<float>{1, 2, 0, 4, 5, 6, 7, 0});
  CHECK(er::within_levels<policy>(2.0f, 1.0f));
  CHECK(!er::within_levels<policy>(std::nextafter(2.0f, 3.0f), 1.0f));
  CHECK(er::within_levels<policy>(-2.0f, 1.0f));
  CHECK(!er::within_levels<policy>(std::nanf(""), 1.0f));
}

TEST_CASE("binary: as the lower of two precisions") {
  using high = er::int4<er::per_group<4>>;
  using low = er::binary<er::per_group<4>>;
  const std::vector<float> w{7, 1, 0, -7, 1, -1, 0, 2};
  std::vector<float> out(8);
  er::fake_quantize_mixed<high, low>(er::matrix_view<const float>{w.data(), 2, 4},
                                     er::matrix_view<float>{out.data(), 2, 4},
                                     er::every_nth_row{2});
  CHECK(out == std::vector<float>{7, 1, 0, -7, 1, -1, 1, 1});
}

TEST_SUITE_END();
