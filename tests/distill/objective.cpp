// SPDX-License-Identifier: Apache-2.0
/// Composed objectives: that of EdgeRazor (Python), of cross-entropy, EAKLD and adaptive features,
/// and any other.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/hidden_loss.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/layer_selection.hpp>
#include <edgerazor/distill/objective.hpp>
#include <edgerazor/distill/published_objectives.hpp>

namespace er = edgerazor;

using view = er::matrix_view<const float>;

TEST_SUITE_BEGIN("distill/objective");

TEST_CASE(
    "objective: total, parts and gradients of EdgeRazor (Python), with the weights of published "
    "configurations") {
  const nlohmann::json file = golden::load("objective.json");
  // The three cases hold the weights of these.
  const er::distillation_recipe recipes[]{er::published::qwen3_w1_88, er::published::qwen3_w4,
                                          er::published::mobilellm_w1_58};
  REQUIRE(file["cases"].size() == 3);
  for (std::size_t which = 0; which < 3; ++which) {
    const auto& golden_case = file["cases"][which];
    const er::distillation_recipe& recipe = recipes[which];
    CHECK(recipe.task == golden_case["loss_task_alpha"].get<double>());
    CHECK(recipe.logits == golden_case["alpha_logits"].get<double>());
    CHECK(recipe.features == golden_case["alpha_features"].get<double>());
    CHECK(recipe.confidence_k == golden_case["confidence_k"].get<std::size_t>());
    CHECK(recipe.layers == golden_case["topk"].get<std::size_t>());
    REQUIRE(golden_case["metric"] == "cosine_similarity");

    const auto logits_shape = golden_case["logits_shape"].get<std::vector<std::size_t>>();
    const auto hidden_shape = golden_case["hidden_shape"].get<std::vector<std::size_t>>();
    const std::size_t tokens = logits_shape[1], vocabulary = logits_shape[2],
                      width = hidden_shape[2];
    const auto labels = golden_case["labels"].get<std::vector<std::int64_t>>();
    const std::vector<float> student = golden::floats(golden_case["student_logits"]);
    const std::vector<float> teacher = golden::floats(golden_case["teacher_logits"]);
    const std::size_t layers = golden_case["student_hidden"].size();
    std::vector<std::vector<float>> hidden, teacher_hidden;
    for (const auto& state : golden_case["student_hidden"]) hidden.push_back(golden::floats(state));
    for (const auto& state : golden_case["teacher_hidden"])
      teacher_hidden.push_back(golden::floats(state));
    std::vector<view> hidden_views, teacher_views;
    for (const auto& state : hidden) hidden_views.push_back({state.data(), tokens, width});
    for (const auto& state : teacher_hidden) teacher_views.push_back({state.data(), tokens, width});

    for (const er::loss_mode mode : {er::loss_mode::parity, er::loss_mode::stable}) {
      std::vector<float> gradient(student.size(), 0.0f);
      std::vector<std::vector<float>> hidden_gradients(layers,
                                                       std::vector<float>(tokens * width, 0.0f));
      std::vector<double> scores(layers);
      std::vector<std::size_t> room(recipe.layers);
      const auto selected =
          recipe.layer_selection()(std::span<const view>(teacher_views), scores, room);

      const view s{student.data(), tokens, vocabulary}, t{teacher.data(), tokens, vocabulary};
      const er::matrix_view<float> to_logits{gradient.data(), tokens, vocabulary};
      er::objective total{er::token_batch{.labels = labels, .sample_tokens = tokens}};
      total.add("task", recipe.task, [&](const er::token_batch& batch) {
        return er::cross_entropy{}(s, batch, to_logits);
      });
      total.add("logits", recipe.logits, [&](const er::token_batch& batch) {
        er::entropy_aware_kl loss = recipe.logit_loss();
        loss.mode = mode;
        return loss(s, t, batch, to_logits);
      });
      total.add_layers("features", recipe.features, selected,
                       [&](std::size_t layer, const er::token_batch& batch) {
                         return er::hidden_mse{}(
                             hidden_views[layer], teacher_views[layer], batch,
                             er::matrix_view<float>{hidden_gradients[layer].data(), tokens, width});
                       });

      // EdgeRazor (Python) works in float32: sums of 5 x 23 terms, within a few 2^-23 of values of
      // a few units.
      const auto near = [](const nlohmann::json& x) {
        return doctest::Approx(x.get<double>()).epsilon(2e-6);
      };
      CHECK(total["task"].value == near(golden_case["task_loss"][0]));
      CHECK(total["logits"].value == near(golden_case["details"]["loss_1"]));
      CHECK(total["features"].value == near(golden_case["details"]["loss_2"]));
      CHECK(total.value() == near(golden_case["total"][0]));
      const std::vector<float> published = golden::floats(golden_case["grad_logits"]);
      // Gradients of at most 1; a part of EAKLD's is a difference of float32 logarithms of up to
      // 20.
      for (std::size_t i = 0; i < published.size(); ++i)
        CHECK(std::fabs(gradient[i] - published[i]) < 3e-6);
      for (std::size_t l = 0; l < layers; ++l) {
        const auto& expected = golden_case["grad_hidden"][l];
        CHECK(expected.is_null() == (std::ranges::find(selected, l) == selected.end()));
        const std::vector<float> values =
            expected.is_null() ? std::vector<float>(tokens * width) : golden::floats(expected);
        for (std::size_t i = 0; i < values.size(); ++i)
          CHECK(std::fabs(hidden_gradients[l][i] - values[i]) < 1e-7);
      }
    }
  }
}

TEST_CASE(
    "objective: terms receive the batch with their weight in its upstream, adding to gradients") {
  const std::vector<std::int64_t> labels{1, 2};
  std::vector<float> values(2);
  er::objective total{
      er::token_batch{.labels = labels, .denominator = 7, .upstream = 3, .token_values = values}};
  CHECK(total.value() == 0);
  CHECK(total.parts().empty());
  const auto seen = [&](double upstream) {
    return [&labels, upstream](const er::token_batch& batch) {
      CHECK(batch.upstream == upstream);
      CHECK(batch.accumulate);
      CHECK(batch.denominator == 7);
      CHECK(batch.labels.data() == labels.data());
      CHECK(batch.token_values.empty());
      return er::loss_result{.value = 5, .tokens = 2};
    };
  };
  CHECK(total.add("one", 0.5, seen(1.5)) == 5);
  CHECK(total.add("two", 2, seen(6)) == 5);
  CHECK(total.add("number", 10, [](const er::token_batch&) { return 0.25; }) == 0.25);
  const std::vector<std::size_t> layers{4, 1};
  const auto by_layer = [](std::size_t layer, const er::token_batch& batch) {
    CHECK(batch.upstream == 6);
    return static_cast<double>(layer);
  };
  CHECK(total.add_layers("layers", 4, layers, by_layer) == 2.5);
  CHECK(total.add_layers("no layers", 4, {}, by_layer) == 0);
  CHECK(total.value() == 0.5 * 5 + 2 * 5 + 10 * 0.25 + 4 * 2.5);
  CHECK(total.parts().size() == 5);
  CHECK(total.parts()[1].name == "two");
  CHECK(total["two"].weight == 2);
  CHECK(total["layers"].value == 2.5);
  // Weight 0 reports a part and adds nothing, be it infinite.
  total.add("watched", 0,
            [](const er::token_batch&) { return std::numeric_limits<double>::infinity(); });
  CHECK(std::isinf(total["watched"].value));
  CHECK(total.value() == 25);
}

TEST_CASE("objective: names are taken once, and there is room for so many") {
  const auto one = [](const er::token_batch&) { return 1.0; };
  er::objective<2> total{er::token_batch{}};
  total.add("a", 1, one);
  CHECK_THROWS_WITH_AS(total.add("a", 1, one), "objective: the term \"a\" was added before",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(static_cast<void>(total["b"]), "objective: no term \"b\"",
                       std::invalid_argument);
  total.add("b", 1, one);
  CHECK_THROWS_WITH_AS(total.add("c", 1, one), "objective: no room for the term \"c\" beside 2",
                       std::invalid_argument);
  CHECK(total.value() == 2);
}

static_assert(er::published::qwen3_w1_58.task == 0.1 && er::published::mobilellm_w2_79.task == 0.5);
static_assert(er::published::qwen3_w4.logit_loss().confidence_k == 16);

TEST_CASE("objective: weights without meaning are refused before the term is computed") {
  er::objective total{er::token_batch{}};
  bool computed = false;
  const auto term = [&](const er::token_batch&) {
    computed = true;
    return 1.0;
  };
  CHECK_THROWS_WITH(total.add("a", -1, term),
                    "objective: the weight of \"a\" is -1.000000, expected a finite one, not "
                    "negative");
  CHECK_THROWS(total.add("a", std::nan(""), term));
  CHECK_THROWS(total.add("a", std::numeric_limits<double>::infinity(), term));
  CHECK(!computed);
  CHECK(total.parts().empty());
}

TEST_SUITE_END();
