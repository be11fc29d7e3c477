// SPDX-License-Identifier: Apache-2.0
/// Fixed and adaptive choices of layers.
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/distill/layer_selection.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/layer_selection");

namespace {

using indices = std::vector<std::size_t>;
using view = er::matrix_view<const float>;

er::layer_metric metric_named(const std::string& name) {
  if (name == "cosine_similarity") return er::layer_metric::cosine_similarity;
  if (name == "l2") return er::layer_metric::norm;
  REQUIRE(name == "variance");
  return er::layer_metric::variance;
}

indices select(const er::adaptive_layers& policy, const std::vector<view>& layers,
               std::span<const std::uint8_t> mask = {}) {
  std::vector<double> scores(layers.size(), -77);
  indices result(policy.count, 77);
  const auto selected = policy(std::span<const view>(layers), scores, result, mask);
  for (std::size_t l = 1; l < layers.size(); ++l) {
    const double score = policy.score(std::span<const view>(layers), l, mask);
    CHECK((scores[l] == score || (std::isnan(scores[l]) && std::isnan(score))));
  }
  return {selected.begin(), selected.end()};
}

indices fixed(const std::vector<er::layer_choice>& choices, std::size_t count) {
  indices result(choices.size(), 77);
  er::select_layers(choices, count, result);
  return result;
}

}  // namespace

TEST_CASE("adaptive_layers: the layers that EdgeRazor (Python) selects, best first") {
  const nlohmann::json file = golden::load("layer_selection.json");
  CHECK(file["cases"].size() == 9);
  for (const auto& golden_case : file["cases"]) {
    const auto shape = golden_case["shape"].get<std::vector<std::size_t>>();
    std::vector<std::vector<float>> states;
    std::vector<view> layers;
    for (const auto& state : golden_case["hidden_states"]) states.push_back(golden::floats(state));
    for (const auto& state : states)
      layers.push_back({state.data(), shape[0] * shape[1], shape[2]});
    const er::adaptive_layers policy{.metric = metric_named(golden_case["metric"]),
                                     .count = golden_case["topk"]};
    CAPTURE(golden_case["metric"].get<std::string>());
    CHECK(select(policy, layers) == golden_case["selected"].get<indices>());
  }
}

TEST_CASE(
    "adaptive_layers: the metrics are those of their definitions, any element type, width and "
    "stride") {
  const unsigned seed = 4;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0.5f);
  for (const std::size_t width : {1, 2, 3, 8, 17, 64}) {
    const std::size_t tokens = 6, stride = width + 3;
    std::vector<er::bfloat16> before(tokens * stride), layer(tokens * stride);
    for (auto& x : before) x = er::bfloat16(draw(random));
    for (auto& x : layer) x = er::bfloat16(draw(random));
    const std::vector<std::uint8_t> mask{1, 1, 0, 1, 0, 1};
    const auto at = [&](const auto& state, std::size_t i, std::size_t c) -> double {
      return static_cast<double>(state[i * stride + c]);
    };
    double cosine = 0, norm = 0, variance = 0;
    for (std::size_t i = 0; i < tokens; ++i) {
      if (mask[i] == 0) continue;
      double ab = 0, aa = 0, bb = 0;
      for (std::size_t c = 0; c < width; ++c) {
        ab += at(layer, i, c) * at(before, i, c), aa += at(layer, i, c) * at(layer, i, c);
        bb += at(before, i, c) * at(before, i, c);
      }
      cosine += ab / std::sqrt(aa * bb) / 4, norm += std::sqrt(aa) / 4;
    }
    for (std::size_t c = 0; c < width; ++c) {
      const double mean =
          (at(layer, 0, c) + at(layer, 1, c) + at(layer, 3, c) + at(layer, 5, c)) / 4;
      for (std::size_t i = 0; i < tokens; ++i) {
        if (mask[i] != 0)
          variance += std::pow(at(layer, i, c) - mean, 2) / 3 / static_cast<double>(width);
      }
    }
    using half_view = er::matrix_view<const er::bfloat16>;
    const std::vector<half_view> layers{{before.data(), tokens, width, stride},
                                        {layer.data(), tokens, width, stride}};
    const auto score = [&](er::layer_metric metric) {
      return er::adaptive_layers{.metric = metric}.score(std::span<const half_view>(layers), 1,
                                                         mask);
    };
    // Sums in double of at most 4 * 64 terms of about 1, in another order.
    CHECK(score(er::layer_metric::cosine_similarity) == doctest::Approx(cosine).epsilon(1e-13));
    CHECK(score(er::layer_metric::norm) == doctest::Approx(norm).epsilon(1e-13));
    CHECK(score(er::layer_metric::variance) == doctest::Approx(variance).epsilon(1e-13));
  }
}

TEST_CASE(
    "adaptive_layers: equal scores keep their order, NaN comes last, and no more layers than there "
    "are") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // Norms 0 (the embedding), 2, 3, NaN, 3, 2, 1.
  const std::array<float, 7> states{0, 2, -3, nan, 3, 2, 1};
  std::vector<view> layers;
  for (const float& x : states) layers.push_back({&x, 1, 1});
  const auto by_norm = [](std::size_t count) {
    return er::adaptive_layers{.metric = er::layer_metric::norm, .count = count};
  };
  CHECK(select(by_norm(1), layers) == indices{2});
  CHECK(select(by_norm(3), layers) == indices{2, 4, 1});
  CHECK(select(by_norm(6), layers) == indices{2, 4, 1, 5, 6, 3});
  CHECK(select(by_norm(9), layers) == indices{2, 4, 1, 5, 6, 3});
  CHECK(select(by_norm(0), layers).empty());
  // Cosines of numbers are their signs: -1 for layer 2 alone once NaN is gone, lowest first; 0
  // against the embedding.
  layers.erase(layers.begin() + 3);
  CHECK(select({.metric = er::layer_metric::cosine_similarity, .count = 4}, layers) ==
        indices{2, 3, 1, 4});
  // One token has no variance.
  CHECK(select({.metric = er::layer_metric::variance, .count = 2}, layers) == indices{1, 2});
  CHECK(select(by_norm(3), {layers[0]}).empty());
  CHECK(select(by_norm(3), {}).empty());
}

TEST_CASE("adaptive_layers: what the mask leaves out has no say") {
  const std::array<float, 3> none{0, 0, 0}, early{1, 1, 9}, late{2, 2, 0};
  const std::vector<view> layers{{none.data(), 3, 1}, {early.data(), 3, 1}, {late.data(), 3, 1}};
  const std::vector<std::uint8_t> mask{1, 1, 0}, nobody{0, 0, 0};
  const er::adaptive_layers best{.metric = er::layer_metric::norm, .count = 1};
  CHECK(select(best, layers) == indices{1});
  CHECK(select(best, layers, mask) == indices{2});
  CHECK(select(best, layers, nobody) == indices{1});
}

TEST_CASE("select_layers: names, indices and negative indices") {
  using er::layer_choice;
  CHECK(fixed({layer_choice("low"), layer_choice("mid"), layer_choice("high")}, 7) ==
        indices{1, 3, 6});
  CHECK(fixed({layer_choice("low"), layer_choice("mid"), layer_choice("high")}, 1) ==
        indices{0, 0, 0});
  CHECK(fixed({0, 3, 6, -1, -7}, 7) == indices{0, 3, 6, 6, 0});
  CHECK_THROWS_WITH_AS(fixed({7}, 7), "layer_choice: layer 7 of 7 layers", std::invalid_argument);
  CHECK_THROWS_WITH_AS(fixed({-8}, 7), "layer_choice: layer -8 of 7 layers", std::invalid_argument);
  CHECK_THROWS_AS(fixed({layer_choice("high")}, 0), std::invalid_argument);
  CHECK_THROWS_WITH_AS(layer_choice("top"), "layer_choice: \"top\", expected low, mid or high",
                       std::invalid_argument);
  indices small(1);
  CHECK_THROWS_WITH_AS(er::select_layers(std::vector<layer_choice>{0, 1}, 7, small),
                       "select_layers: 2 choices, room for 1", std::invalid_argument);
}

TEST_CASE("adaptive_layers: shapes that don't fit are refused") {
  const std::array<float, 4> x{};
  const std::vector<view> layers{{x.data(), 2, 2}, {x.data(), 1, 4}},
      fine{{x.data(), 2, 2}, {x.data(), 2, 2}};
  const std::vector<std::uint8_t> mask(3);
  CHECK_THROWS_WITH_AS(select({}, layers),
                       "adaptive_layers: hidden state 1 is 1 x 4, hidden state 0 2 x 2",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(select({}, fine, mask), "adaptive_layers: 3 mask entries for 2 tokens",
                       std::invalid_argument);
  std::vector<double> scores(1);
  indices result(3);
  CHECK_THROWS_WITH_AS(er::adaptive_layers{}(std::span<const view>(fine), scores, result),
                       "adaptive_layers: room for 1 scores and 3 indices, expected 2 and 1",
                       std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(er::adaptive_layers{}.score(std::span<const view>(fine), 0)),
                  std::invalid_argument);
}

TEST_SUITE_END();
