// SPDX-License-Identifier: Apache-2.0
/// Recipes: the formats they give to the names that checkpoints and GGUF files use.
#include <cstddef>
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

#include <edgerazor/policy/recipe.hpp>

namespace er = edgerazor;

static_assert(er::detail::policy::matches_pattern("", "") &&
              !er::detail::policy::matches_pattern("", "a") &&
              er::detail::policy::matches_pattern("*", ""));
static_assert(er::detail::policy::matches_pattern("a*c", "abbc") &&
              er::detail::policy::matches_pattern("a*c", "ac") &&
              !er::detail::policy::matches_pattern("a*c", "acb"));
static_assert(er::detail::policy::matches_pattern("*ab*ab", "abcabab") &&
              !er::detail::policy::matches_pattern("*ab*abc", "abcab"));
static_assert(er::detail::policy::matches_pattern("**x**", "x") &&
              !er::detail::policy::matches_pattern("output", "output.weight"));

TEST_SUITE_BEGIN("policy/recipe");

TEST_CASE("recipes: every name is found, others are not") {
  for (const std::string_view name : er::recipe_names) {
    const auto found = er::find_recipe(name);
    REQUIRE(found.has_value());
    CHECK(found->name == name);
  }
  for (const std::string_view name : {"", "w4", "w4_a8_kv8 ", "W4_A8_KV8"})
    CHECK_FALSE(er::find_recipe(name));
}

TEST_CASE("recipes: linear layers, in the words of the grammar") {
  const auto linear = [](std::string_view name, const er::recipe_options& options = {}) {
    const er::recipe found = er::find_recipe(name, options).value();
    const std::string format{found.weight_format("blk.11.ffn_down.weight")};
    CHECK(format == found.weight_format("blk.0.attn_output.weight"));
    CHECK(format == found.weight_format("model.layers.3.self_attn.o_proj.weight"));
    return format;
  };
  CHECK(linear("w4_a8_kv8") == "int4_g256");
  CHECK(linear("w2_79_a8_kv8") == "int4_g256+ternary2_g256:every_2_rows");
  CHECK(linear("w1_88_a8_kv8", {.group = 64}) == "int4_g64+ternary2_g64:every_8_rows");
  CHECK(linear("w1_58_a8_kv8", {.group = 64}) == "ternary2_g64");
  CHECK(linear("w1_58_a8_kv8", {.ternary = "ternary5"}) == "ternary5_g256");
  CHECK(linear("w1_88_a8_kv8", {.group = 64, .ternary = "ternary5"}) ==
        "int4_g64+ternary5_g64:every_8_rows");
  CHECK(linear("w16") == "f16");
  CHECK(linear("w16", {.dense = "bf16"}) == "bf16");
  CHECK(linear("none").empty());
}

TEST_CASE("recipes: embeddings and head are int4, norms and biases keep their type") {
  for (const std::string_view name :
       {"w4_a8_kv8", "w2_79_a8_kv8", "w1_88_a8_kv8", "w1_58_a8_kv8"}) {
    const er::recipe found = er::find_recipe(name, {.group = 64, .kv_group = 64}).value();
    for (const std::string_view layer : {"model.embed_tokens.weight", "lm_head.weight", "lm_head",
                                         "token_embd.weight", "output.weight", "output"})
      CHECK(found.weight_format(layer) == "int4_g64");
    for (const std::string_view layer :
         {"output_norm.weight", "blk.3.attn_norm.weight", "blk.3.attn_q_norm.weight",
          "model.norm.weight", "blk.3.attn_q.bias"})
      CHECK(found.weight_format(layer).empty());
    CHECK(found.activation_bits == 8);
    CHECK(found.activation_group == 64);
    CHECK(found.kv_bits == 8);
    CHECK(found.kv_group == 64);
  }
  for (const std::string_view name : {"w16", "none"}) {
    const er::recipe found = er::find_recipe(name).value();
    CHECK(found.weight_format("lm_head.weight") == found.weight_format("blk.0.ffn_up.weight"));
    CHECK(found.weight_format("output_norm.weight").empty());
    CHECK(found.activation_bits == 0);
    CHECK(found.kv_bits == 0);
  }
}

TEST_CASE("recipes: the last override that matches wins") {
  er::recipe found = er::find_recipe("w1_58_a8_kv8").value();
  found.set("*ffn_down*", "int4_g64").set("blk.0.*", "int8_g32").set("*lm_head*", "f16");
  CHECK(found.weight_format("blk.7.ffn_down.weight") == "int4_g64");
  CHECK(found.weight_format("blk.0.ffn_down.weight") == "int8_g32");
  CHECK(found.weight_format("blk.7.ffn_up.weight") == "ternary2_g256");
  CHECK(found.weight_format("lm_head.weight") == "f16");
  CHECK(er::recipe{}.weight_format("blk.0.ffn_up.weight").empty());
}

TEST_CASE("recipes: options without a meaning are refused") {
  CHECK_THROWS_AS((void)er::find_recipe("w4_a8_kv8", {.group = 0}), std::invalid_argument);
  CHECK_THROWS_WITH(
      (void)er::find_recipe("w4_a8_kv8", {.ternary = "ternary4"}),
      "recipe: ternary storage \"ternary4\", expected ternary2, ternary3 or ternary5");
  CHECK_THROWS_AS((void)er::find_recipe("w16", {.dense = "f32"}), std::invalid_argument);
}

TEST_CASE("groups that no format has are refused") {
  for (const std::size_t group : {std::size_t{3}, std::size_t{65540}}) {
    CHECK_THROWS_AS((void)er::find_recipe("w4_a8_kv8", {.group = group}), std::invalid_argument);
  }
  CHECK_NOTHROW((void)er::find_recipe("w4_a8_kv8", {.group = 65536, .kv_group = 10}));
}

TEST_SUITE_END();
