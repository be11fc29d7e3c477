// SPDX-License-Identifier: Apache-2.0
#include "llm/attention.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/product/kernels.hpp>

TEST_SUITE_BEGIN("llm/attention");

namespace {
namespace er = edgerazor;

struct heads {
  std::size_t head_size, positions;
  llm::layer_cache cache;
  std::vector<float> keys, values;  // two heads: [head][position][head_size]

  heads(std::size_t size, std::size_t count, std::mt19937& random)
      : head_size(size),
        positions(count),
        cache(std::in_place_type<llm::float_cache>, 2, size, count + 3),
        keys(2 * size * count),
        values(keys.size()) {
    std::normal_distribution<float> normal;
    for (std::size_t p = 0; p < count; ++p) {
      std::vector<float> key(2 * size), value(2 * size);
      std::ranges::generate(key, [&] { return normal(random); });
      std::ranges::generate(value, [&] { return normal(random); });
      std::get<llm::float_cache>(cache).append(key, value);
      for (std::size_t i = 0; i < 2 * size; ++i) {
        keys[(i / size * count + p) * size + i % size] = key[i];
        values[(i / size * count + p) * size + i % size] = value[i];
      }
    }
  }

  [[nodiscard]] std::vector<float> attend(std::size_t head, const std::vector<float>& queries,
                                          const std::vector<std::size_t>& lengths,
                                          const er::kernel& k) const {
    const std::size_t count = lengths.size(), longest = std::ranges::max(lengths);
    std::vector<float> scores(count * longest), out(count * head_size);
    llm::attend(cache, head, {queries.data(), count, head_size}, lengths,
                {scores.data(), count, longest}, {out.data(), count, head_size}, k);
    return out;
  }
  [[nodiscard]] std::vector<double> expected(std::size_t head, const float* query,
                                             std::size_t length) const {
    std::vector<double> result(head_size);
    double sum = 0;
    for (std::size_t p = 0; p < length; ++p) {
      const std::size_t at = (head * positions + p) * head_size;
      double score = 0;
      for (std::size_t i = 0; i < head_size; ++i)
        score += static_cast<double>(query[i]) * static_cast<double>(keys[at + i]);
      const double weight = std::exp(score / std::sqrt(static_cast<double>(head_size)));
      sum += weight;
      for (std::size_t i = 0; i < head_size; ++i)
        result[i] += weight * static_cast<double>(values[at + i]);
    }
    for (double& one : result) one /= sum;
    return result;
  }
};
}  // namespace

// Scores are below 40 in magnitude and right to 1e-5, weights therefore to 1e-5 of themselves, and
// a mean of values below 5 to 5e-5.
TEST_CASE("attention over a cache of floats is softmax of q k over v") {
  std::mt19937 random(7);
  for (const std::size_t head_size : std::vector<std::size_t>{2, 10, 16, 24, 64}) {
    const heads all(head_size, 40, random);
    std::normal_distribution<float> normal;
    const std::vector<std::size_t> lengths{1, 2, 17, 39, 40};
    std::vector<float> queries(lengths.size() * head_size);
    std::ranges::generate(queries, [&] { return normal(random); });
    for (std::size_t head = 0; head < 2; ++head) {
      const std::vector<float> together =
          all.attend(head, queries, lengths, er::available_kernels().front());
      for (std::size_t q = 0; q < lengths.size(); ++q) {
        const std::vector<double> expected =
            all.expected(head, queries.data() + q * head_size, lengths[q]);
        for (std::size_t i = 0; i < head_size; ++i) {
          CAPTURE(head_size);
          CAPTURE(lengths[q]);
          CHECK(std::fabs(static_cast<double>(together[q * head_size + i]) - expected[i]) < 1e-4);
        }
      }
    }
  }
}

TEST_CASE("a query's result depends neither on those beside it nor on the kernel") {
  std::mt19937 random(8);
  const heads all(24, 37, random);
  std::normal_distribution<float> normal;
  const std::vector<std::size_t> lengths{30, 31, 32, 33, 34, 35, 36, 37};
  std::vector<float> queries(lengths.size() * all.head_size);
  std::ranges::generate(queries, [&] { return normal(random); });
  const std::vector<float> together =
      all.attend(1, queries, lengths, er::available_kernels().front());
  for (const er::kernel& k : er::available_kernels()) {
    CAPTURE(k.name);
    CHECK(all.attend(1, queries, lengths, k) == together);
    for (std::size_t q = 0; q < lengths.size(); ++q) {
      const auto own = queries.begin() + static_cast<std::ptrdiff_t>(q * all.head_size);
      const std::vector<float> query(own, own + static_cast<std::ptrdiff_t>(all.head_size));
      const std::vector<float> alone = all.attend(1, query, {lengths[q]}, k);
      CHECK(std::ranges::equal(alone, std::span{together}.subspan(q * all.head_size, 24)));
    }
  }
}

TEST_SUITE_END();
