// SPDX-License-Identifier: Apache-2.0
#include "llm/sampler.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

TEST_CASE("greedy takes the largest logit, the lowest id of equals") {
  llm::sampler choose({});
  CHECK(choose(std::vector<float>{0, 3, 1, 3}) == 1);
  CHECK(choose(std::vector<float>{-5}) == 0);
}

TEST_CASE("greedy finds the largest logit wherever it is, and what is not finite") {
  for (std::size_t size = 1; size < 70; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      std::vector<float> logits(size);
      for (std::size_t i = 0; i < size; ++i) logits[i] = -1.0f - static_cast<float>((i * 37) % 11);
      logits[at] = -0.5f;
      CHECK(llm::sampler({})(logits) == static_cast<llm::token_id>(at));
      logits.push_back(-0.5f);  // equal, and later
      CHECK(llm::likeliest(logits) == static_cast<llm::token_id>(at));
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        logits[at] = bad;
        const std::string sentence =
            "sampler: the model gave a logit that is not finite, for token " + std::to_string(at);
        CHECK_THROWS_WITH_AS(llm::sampler({})(logits), sentence.c_str(), std::invalid_argument);
      }
    }
  }
}

TEST_CASE("a seed fixes the draws on every machine") {
  // The 10,000th number of std::mt19937_64 by default is in the standard (rand.predef); the draws
  // follow from its numbers.
  std::mt19937_64 random;
  random.discard(9999);
  CHECK(random() == 9981545732273789042u);

  // Eight tokens of equal weight: a token is the top three bits of a number.
  const std::vector<float> logits(8, 0.0f);
  llm::sampler choose({1.0f, 0, 1.0f, 42});
  std::mt19937_64 same(42);
  for (int i = 0; i < 100; ++i) CHECK(choose(logits) == static_cast<llm::token_id>(same() >> 61));
}

TEST_CASE("draws follow softmax at a temperature") {
  const std::vector<float> logits{2, 0, 1, -1};
  constexpr double temperature = 2;
  constexpr int draws = 40'000;
  llm::sampler choose({temperature, 0, 1.0f, 7});
  std::array<int, 4> counts{};
  for (int i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(choose(logits))];
  double total = 0;
  for (const float x : logits) total += std::exp(static_cast<double>(x) / temperature);
  for (std::size_t i = 0; i < 4; ++i) {
    const double p = std::exp(static_cast<double>(logits[i]) / temperature) / total;
    // The seed is fixed; five standard deviations of a binomial would fail once in 1.7 million
    // seeds.
    CHECK(std::fabs(counts[i] - draws * p) < 5 * std::sqrt(draws * p * (1 - p)));
  }
}

TEST_CASE("top-k and top-p keep the likeliest tokens only") {
  const std::vector<float> logits{0.0f, std::log(4.0f), std::log(2.0f),
                                  std::log(3.0f)};  // 1, 4, 2, 3 tenths
  const auto drawn = [&](const llm::sampling& how) {
    llm::sampler choose(how);
    std::array<bool, 4> seen{};
    for (int i = 0; i < 2000; ++i) seen[static_cast<std::size_t>(choose(logits))] = true;
    return seen;
  };
  CHECK(drawn({1, 0, 1, 1}) == std::array<bool, 4>{true, true, true, true});
  CHECK(drawn({1, 2, 1, 1}) == std::array<bool, 4>{false, true, false, true});
  CHECK(drawn({1, 9, 1, 1}) == std::array<bool, 4>{true, true, true, true});
  CHECK(drawn({1, 0, 0.69f, 1}) == std::array<bool, 4>{false, true, false, true});
  CHECK(drawn({1, 0, 0.71f, 1}) == std::array<bool, 4>{false, true, true, true});
  CHECK(drawn({1, 0, 1e-6f, 1}) == std::array<bool, 4>{false, true, false, false});
  // Top-p of what top-k has left: 4 and 3 of 7 are 0.57 and 0.43.
  CHECK(drawn({1, 2, 0.5f, 1}) == std::array<bool, 4>{false, true, false, false});
}

TEST_CASE("min-p drops what is less likely than a part of the likeliest") {
  // Probabilities in the ratio 8 : 4 : 2 : 1.
  const std::vector<float> logits{std::log(2.0f), std::log(8.0f), std::log(1.0f), std::log(4.0f)};
  const auto seen = [&](float min_p) {
    llm::sampler choose({.temperature = 1, .seed = 3, .min_p = min_p});
    std::vector<int> counts(4);
    for (int i = 0; i < 3000; ++i) ++counts[static_cast<std::size_t>(choose(logits))];
    return counts;
  };
  for (const int count : seen(0.1f)) CHECK(count > 100);
  CHECK(seen(0.2f)[2] == 0);
  CHECK(seen(0.2f)[0] > 300);
  CHECK((seen(0.3f)[0] == 0 && seen(0.3f)[3] > 800));
  CHECK(seen(1) == std::vector<int>{0, 3000, 0, 0});
  for (const float bad : {-0.1f, 1.1f, std::numeric_limits<float>::quiet_NaN()})
    CHECK_THROWS_AS(llm::sampler({.min_p = bad}), std::invalid_argument);
}

TEST_CASE("what can't be drawn from is refused") {
  llm::sampler choose({});
  CHECK_THROWS_AS((void)choose(std::vector<float>{}), std::invalid_argument);
  CHECK_THROWS_AS((void)choose(std::vector<float>{0, std::numeric_limits<float>::quiet_NaN()}),
                  std::invalid_argument);
  CHECK_THROWS_AS((void)choose(std::vector<float>{std::numeric_limits<float>::infinity()}),
                  std::invalid_argument);
  CHECK_THROWS_AS(llm::sampler({-1.0f, 0, 1.0f, 1}), std::invalid_argument);
  CHECK_THROWS_AS(llm::sampler({1.0f, 0, 0.0f, 1}), std::invalid_argument);
  CHECK_THROWS_AS(llm::sampler({1.0f, 0, 1.5f, 1}), std::invalid_argument);
}

TEST_CASE("temperatures and probabilities at the edges of what a float holds") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinite = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(llm::sampler({nan, 0, 1.0f, 1}), std::invalid_argument);
  CHECK_THROWS_AS(llm::sampler({-1e-45f, 0, 1.0f, 1}), std::invalid_argument);
  for (const float bad : {nan, 0.0f, -0.0f, -1.0f, 1.0000001f, infinite})
    CHECK_THROWS_AS(llm::sampler({1.0f, 0, bad, 1}), std::invalid_argument);

  const std::vector<float> logits{1, 3, 2, 3};
  const auto counts = [&](const llm::sampling& how, const std::vector<float>& of) {
    llm::sampler choose(how);
    std::vector<int> seen(of.size());
    for (int i = 0; i < 4000; ++i) ++seen[static_cast<std::size_t>(choose(of))];
    return seen;
  };
  CHECK(counts({0, 0, 1, 1}, logits) == std::vector<int>{0, 4000, 0, 0});
  CHECK(counts({-0.0f, 0, 1, 1}, logits) == std::vector<int>{0, 4000, 0, 0});
  // The least positive float: as cold as can be, but a tie is drawn.
  for (const float cold : {1e-45f, 1e-38f, 1e-6f}) {
    const std::vector<int> seen = counts({cold, 0, 1, 1}, logits);
    CHECK(seen[0] + seen[2] == 0);
    CHECK(seen[1] > 1700);
    CHECK(seen[3] > 1700);
  }
  // The largest, and infinity: all alike.
  for (const float hot : {3e38f, infinite}) {
    for (const int count : counts({hot, 0, 1, 1}, logits)) CHECK(count > 800);
  }
  // The least top-p keeps the likeliest token, of equals the first.
  for (const float least : {1e-9f, 1e-45f})
    CHECK(counts({1, 0, least, 1}, logits) == std::vector<int>{0, 4000, 0, 0});
}

TEST_CASE("logits as large as floats are") {
  const float most = 3e38f;
  for (const float temperature : {0.0f, 1e-45f, 1.0f, 3e38f}) {
    llm::sampler choose({temperature, 0, 1.0f, 1});
    std::array<int, 3> seen{};
    for (int i = 0; i < 300; ++i)
      ++seen[static_cast<std::size_t>(choose(std::vector<float>{-most, most, -most}))];
    CHECK(seen[1] >= (temperature < 2 ? 300 : 100));
  }
  llm::sampler choose({1.0f, 2, 0.5f, 1});
  CHECK(choose(std::vector<float>{most, -most, -1e-45f, 0}) == 0);
  CHECK(choose(std::vector<float>(1000, -most)) >= 0);
}
