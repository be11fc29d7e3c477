// SPDX-License-Identifier: Apache-2.0
/// A dense head against plain loops.
#include <cmath>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/vocabulary_head.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/vocabulary_head");

TEST_CASE("vocabulary_head: logits of some columns, and their way back, are those of plain loops") {
  static_assert(er::vocabulary_head<er::dense_head>);
  constexpr std::size_t vocabulary = 11, hidden = 37, tokens = 3, first = 4, cols = 5;
  std::mt19937 random{4};
  std::normal_distribution<float> draw;
  std::vector<float> w(vocabulary * hidden), h(tokens * hidden), g(tokens * cols);
  for (auto* values : {&w, &h, &g})
    for (float& x : *values) x = draw(random);
  g[3] = 0;  // a logit without gradient costs nothing
  std::vector<float> logits(tokens * cols), to_w(w.size(), 1), to_h(h.size(), 1);
  const er::dense_head head{{w.data(), vocabulary, hidden}, {to_w.data(), vocabulary, hidden}};
  head.logits({h.data(), tokens, hidden}, first, {logits.data(), tokens, cols});
  head.backward({g.data(), tokens, cols}, first, {h.data(), tokens, hidden},
                {to_h.data(), tokens, hidden});
  // Sums of `hidden` products of a few units: 2^-24 * 37 * 16 at most.
  constexpr double bound = 4e-5;
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t v = 0; v < cols; ++v) {
      double sum = 0;
      for (std::size_t i = 0; i < hidden; ++i)
        sum += static_cast<double>(h[t * hidden + i]) *
               static_cast<double>(w[(first + v) * hidden + i]);
      CHECK(std::fabs(static_cast<double>(logits[t * cols + v]) - sum) <= bound);
    }
    for (std::size_t i = 0; i < hidden; ++i) {
      double sum = 1;
      for (std::size_t v = 0; v < cols; ++v)
        sum +=
            static_cast<double>(g[t * cols + v]) * static_cast<double>(w[(first + v) * hidden + i]);
      CHECK(std::fabs(static_cast<double>(to_h[t * hidden + i]) - sum) <= bound);
    }
  }
  for (std::size_t v = 0; v < vocabulary; ++v) {
    for (std::size_t i = 0; i < hidden; ++i) {
      double sum = 1;
      for (std::size_t t = 0; v >= first && v < first + cols && t < tokens; ++t)
        sum +=
            static_cast<double>(g[t * cols + v - first]) * static_cast<double>(h[t * hidden + i]);
      CHECK(std::fabs(static_cast<double>(to_w[v * hidden + i]) - sum) <= bound);
    }
  }
}

TEST_SUITE_END();
