// SPDX-License-Identifier: Apache-2.0
/// The published recipes make the losses they name.
#include <doctest/doctest.h>

#include <edgerazor/distill/published_objectives.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/published_objectives");

TEST_CASE("published_objectives: a recipe's loss and selection have its parameters") {
  constexpr er::distillation_recipe recipe{
      .confidence_k = 32, .metric = er::layer_metric::variance, .layers = 5};
  CHECK(recipe.logit_loss().confidence_k == 32);
  CHECK(recipe.logit_loss().temperature == 1);
  CHECK(recipe.layer_selection().metric == er::layer_metric::variance);
  CHECK(recipe.layer_selection().count == 5);
  CHECK(er::published::qwen3_w1_88.logits == 2);
  CHECK(er::published::mobilellm_w1_58.logits == 4);
}

TEST_SUITE_END();
