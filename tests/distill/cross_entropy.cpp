// SPDX-License-Identifier: Apache-2.0
/// Cross-entropy against its definition in long double, and against finite differences.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "distill/oracle.hpp"
#include <edgerazor/distill/cross_entropy.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/cross_entropy");

TEST_CASE("cross-entropy and its gradient agree with long double") {
  for (const std::size_t size : {2, 5, 100, 8192, 20000}) {
    for (const float scale : {1e-3f, 1.0f, 30.0f, 1000.0f}) {
      for (const float smoothing : {0.0f, 0.1f}) {
        const auto seed = static_cast<std::uint32_t>(size) + static_cast<std::uint32_t>(scale);
        INFO("seed " << seed << ", " << size << " columns, scale " << scale << ", smoothing "
                     << smoothing);
        std::mt19937 random{seed};
        std::normal_distribution<float> draw(0, scale);
        std::vector<float> logits(size), gradient(size, 7);
        for (float& x : logits) x = draw(random);
        const auto log_q = oracle::log_softmax(logits, size, 1);
        // The likeliest token as label, and any other: losses near 0 and large ones.
        const auto top = static_cast<std::int64_t>(std::max_element(logits.begin(), logits.end()) -
                                                   logits.begin());
        for (const std::int64_t label : {top, static_cast<std::int64_t>(size / 2)}) {
          const std::vector<std::int64_t> labels{label};
          const er::loss_result r = er::cross_entropy{.label_smoothing = smoothing}(
              er::matrix_view<const float>{logits.data(), 1, size}, labels, er::reduction::sum,
              er::matrix_view<float>{gradient.data(), 1, size});
          const oracle::real e = static_cast<oracle::real>(smoothing),
                             n = static_cast<oracle::real>(size);
          oracle::real value = -(1 - e) * log_q[static_cast<std::size_t>(label)], largest = 0,
                       error = 0;
          for (const oracle::real l : log_q) value -= e / n * l;
          for (std::size_t i = 0; i < size; ++i) {
            const oracle::real at_label = static_cast<std::int64_t>(i) == label ? 1 - e : 0;
            const oracle::real expected = std::exp(log_q[i]) - at_label - e / n;
            largest = std::max(largest, std::fabs(expected));
            error = std::max(error, std::fabs(static_cast<oracle::real>(gradient[i]) - expected));
          }
          // ln of a sum near 1: double's rounding, times the size of the logits.
          const oracle::real rounding =
              oracle::real{0x1p-52} * (1 + 4 * static_cast<oracle::real>(scale));
          CHECK(std::fabs(static_cast<oracle::real>(r.value) - value) <=
                oracle::real{1e-6} * value + rounding);
          CHECK(error <= oracle::real{1e-6} * largest + rounding);
        }
      }
    }
  }
}

TEST_CASE("cross-entropy: what it refuses, and what is infinite") {
  std::vector<float> logits{1, 2, 3, 4};
  const er::matrix_view<const float> view{logits.data(), 2, 2};
  const auto run = [&](std::vector<std::int64_t> labels) {
    return er::cross_entropy{}(view, std::span<const std::int64_t>{labels}, er::reduction::mean)
        .value;
  };
  CHECK_THROWS_WITH(run({0, 2}), "cross_entropy: the label of token 1 is 2, the vocabulary has 2");
  CHECK_THROWS_WITH(run({0, -1}),
                    "cross_entropy: the label of token 1 is -1, the vocabulary has 2");
  CHECK_THROWS_WITH(run({0}), "cross_entropy: 1 labels for 2 tokens");
  CHECK(run({-100, -100}) == 0);
  logits[1] = -std::numeric_limits<float>::infinity();
  CHECK(run({1, 0}) == std::numeric_limits<double>::infinity());
  CHECK(run({0, -100}) == 0);
}

TEST_CASE("cross-entropy: NaN in any column, not the label's alone, is NaN in value and gradient") {
  for (const std::size_t size : {7, 700, 9000}) {
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        std::vector<float> logits(size, 0.5f), gradient(size);
        logits[at] = bad;
        const std::vector<std::int64_t> label{1};
        const double value =
            er::cross_entropy{}(er::matrix_view<const float>{logits.data(), 1, size},
                                er::token_batch{.labels = label},
                                er::matrix_view<float>{gradient.data(), 1, size})
                .value;
        CHECK(std::isnan(value));
        CHECK(std::all_of(gradient.begin(), gradient.end(), [](float g) { return std::isnan(g); }));
      }
    }
  }
}

TEST_CASE("a smoothed cross-entropy that overwrites its logits has the same value") {
  for (const std::size_t size : {9, 9000}) {
    std::vector<float> logits(size);
    for (std::size_t i = 0; i < size; ++i) logits[i] = 0.001f * static_cast<float>(i % 7);
    const std::vector<std::int64_t> labels{4};
    const er::token_batch batch{.labels = labels};
    const er::matrix_view<float> view{logits.data(), 1, size};
    const er::cross_entropy loss{.label_smoothing = 0.1f};
    const double value = loss(view, batch).value;
    CHECK(loss(view, batch, view).value == value);
  }
}

TEST_CASE("cross-entropy adds to a gradient, scales it, and may overwrite the logits") {
  std::mt19937 random{3};
  std::normal_distribution<float> draw(0, 2);
  std::vector<float> logits(3 * 9);
  for (float& x : logits) x = draw(random);
  const std::vector<std::int64_t> labels{4, -100, 0};
  std::vector<float> plain(logits.size(), 7), added(logits.size(), 1), in_place = logits;
  const er::matrix_view<const float> view{logits.data(), 3, 9};
  er::token_batch batch{.labels = labels, .how = er::reduction::mean};
  er::cross_entropy{}(view, batch, er::matrix_view<float>{plain.data(), 3, 9});
  er::cross_entropy{}(er::matrix_view<float>{in_place.data(), 3, 9}, batch,
                      er::matrix_view<float>{in_place.data(), 3, 9});
  CHECK(in_place == plain);
  CHECK(std::all_of(plain.begin() + 9, plain.begin() + 18, [](float x) { return x == 0; }));
  batch.accumulate = true;
  batch.upstream = 3;
  er::cross_entropy{}(view, batch, er::matrix_view<float>{added.data(), 3, 9});
  for (std::size_t i = 0; i < plain.size(); ++i)
    CHECK(added[i] == doctest::Approx(1 + 3 * plain[i]).epsilon(1e-6));
}

TEST_SUITE_END();
