// SPDX-License-Identifier: Apache-2.0
/// The order of additions of a mean, against a second account of it that stores every partial sum
/// it can.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/mean.hpp>

namespace er = edgerazor;

namespace {

/// One lane of one interleaved row: a cascade of four running sums. After every 2^p terms level 0
/// moves to level 1, after every 4^p level 1 to level 2, and so on.
float cascade(const std::vector<float>& terms) {
  std::size_t power = 0;
  while ((std::size_t{1} << power) < terms.size()) ++power;
  power = std::max<std::size_t>(4, power / 4);
  float level[4] = {};
  for (std::size_t i = 0; i < terms.size(); ++i) {
    level[0] += terms[i];
    for (std::size_t k = 1; k < 4 && (i + 1) % (std::size_t{1} << (k * power)) == 0; ++k) {
      level[k] += level[k - 1];
      level[k - 1] = 0;
    }
  }
  return level[0] + level[1] + level[2] + level[3];
}

float plain_mean(const std::vector<float>& w) {
  const std::size_t lanes = w.size() < 8 ? 1 : 8, vectors = w.size() / lanes,
                    whole = vectors / 4 * 4;
  float sum = 0;
  for (std::size_t i = vectors * lanes; i < w.size(); ++i) sum += std::fabs(w[i]);
  std::vector<float> lane_sums;
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    float rows[4];
    for (std::size_t row = 0; row < 4; ++row) {
      std::vector<float> terms;
      for (std::size_t v = row; v < whole; v += 4) terms.push_back(std::fabs(w[v * lanes + lane]));
      rows[row] = cascade(terms);
    }
    for (std::size_t v = whole; v < vectors; ++v) rows[0] += std::fabs(w[v * lanes + lane]);
    lane_sums.push_back(((rows[0] + rows[1]) + rows[2]) + rows[3]);
  }
  for (const float lane : lane_sums) sum += lane;
  return sum / static_cast<float>(w.size());
}

std::vector<std::size_t> sizes() {
  std::vector<std::size_t> result;
  for (std::size_t n = 1; n <= 80; ++n) result.push_back(n);
  for (std::size_t n = 128; n <= (std::size_t{1} << 16); n *= 2)
    result.insert(result.end(), {n - 1, n, n + 1});
  for (const std::size_t n : {576u, 1536u, 3072u, 151'936u}) result.push_back(n);
  // The cascade's levels: 16, 16^2 and 16^3 vectors a row, and one more than 2^19, the first for
  // which p is 5.
  for (const std::size_t n : {16u, 17u, 256u, 4096u, 4113u, (1u << 19) + 1})
    result.push_back(32 * n + 13);
  return result;
}

}  // namespace

TEST_SUITE_BEGIN("policy/mean");

TEST_CASE("mean: the same bits as the plain account of the order, for every size") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t size : sizes()) {
    CAPTURE(size);
    std::vector<float> w(size);
    for (float& x : w) x = static_cast<float>(random()) * 0x1p-32f - 0.5f;
    CHECK(er::mean_magnitude(w) == plain_mean(w));
  }
}

TEST_CASE("mean: where the levels of the cascade end, for data whose sum shows it") {
  // In a run that begins with 2^24 every 1 that follows is absorbed (a tie, and 2^24 is even); in a
  // run without it the ones add up. One 2^24 in every 32 vectors of a row thus tells runs of 16
  // from runs of 32.
  for (const std::size_t per_row :
       {std::size_t{64}, std::size_t{4096}, std::size_t{1} << 19, (std::size_t{1} << 19) + 1}) {
    CAPTURE(per_row);
    std::vector<float> w(per_row * 32, 1.0f);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = i / 32 % 32 == 0 ? 0x1p24f : 1.0f;
    CHECK(er::mean_magnitude(w) == plain_mean(w));
  }
}

TEST_CASE("mean: the same bits for zeros, subnormals and extremes") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  constexpr float smallest = std::numeric_limits<float>::denorm_min();
  const float extremes[] = {0.0f, -0.0f, smallest, -smallest, 0x1p-130f, 1e30f, -1e30f, 1.0f};
  for (const std::size_t size : sizes()) {
    CAPTURE(size);
    std::vector<float> w(size);
    for (const bool every : {false, true}) {
      for (std::size_t i = 0; i < size; ++i)
        w[i] = every || i % 3 == 0 ? extremes[random() % (every ? 5 : 8)] : normal(random);
      CHECK(std::bit_cast<std::uint32_t>(er::mean_magnitude(w)) ==
            std::bit_cast<std::uint32_t>(plain_mean(w)));
    }
  }
}

TEST_CASE("mean: NaN where a weight is NaN, wherever it stands") {
  for (std::size_t size = 1; size < 150; ++size) {
    std::vector<float> w(size, 1.0f);
    for (std::size_t i = 0; i < size; ++i) {
      w[i] = std::nanf("");
      CHECK(std::isnan(er::mean_magnitude(w)));
      w[i] = 1.0f;
    }
  }
}

TEST_CASE("mean: every element counts once") {
  // Powers of two add up exactly in any order.
  for (std::size_t size = 1; size < 700; ++size) {
    std::vector<float> w(size, 0.0f);
    for (std::size_t i = 0; i < size; i += 13) {
      w[i] = -static_cast<float>(size);
      CHECK(er::mean_magnitude(w) == 1.0f);
      w[i] = 0;
    }
  }
}

TEST_SUITE_END();
