// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/io/hf_layer_rules.hpp>

namespace er = edgerazor;
using rule = er::hf_quantization_rule;

namespace {
bool matches(rule::kind kind, const char* text, const char* module) {
  return er::detail::io::rule_matches({kind, text, false, {}}, module);
}
er::hf_layer_quantization bits(std::size_t count) {
  er::hf_layer_quantization settings;
  settings.bits = count;
  return settings;
}
}  // namespace

TEST_SUITE_BEGIN("io/hf_layer_rules");

TEST_CASE("what a rule names") {
  CHECK(matches(rule::kind::name, "model.layers.1", "model.layers.1.mlp.up_proj"));
  CHECK_FALSE(matches(rule::kind::name, "model.layers.1", "model.layers.10.mlp.up_proj"));
  CHECK(matches(rule::kind::part, "mlp", "model.layers.1.mlp.up_proj"));
  CHECK(matches(rule::kind::pattern, ".*up", "model.layers.1.mlp.up_proj"));
  CHECK(matches(rule::kind::all, "", "lm_head"));
  CHECK(matches(rule::kind::glob, "model.layers.1*", "model.layers.10"));
  CHECK(matches(rule::kind::glob, "*a*b*", "xxaxxabx"));
  CHECK(matches(rule::kind::glob, "lm_head", "lm_head"));
  CHECK_FALSE(matches(rule::kind::glob, "lm_head", "lm_heads"));
  CHECK_FALSE(matches(rule::kind::glob, "*b", "ba"));
}

TEST_CASE("an exclusion, then a name, then all, then what holds otherwise") {
  const std::vector<rule> rules{{rule::kind::all, "", false, bits(4)},
                                {rule::kind::part, "down", false, bits(8)},
                                {rule::kind::name, "lm_head", true, {}}};
  const auto of = [&](const char* module) {
    return er::detail::io::settings_by_rules(rules, module, std::nullopt, "c");
  };
  CHECK(of("mlp.up").value().bits == 4);
  CHECK(of("mlp.down").value().bits == 8);
  CHECK_FALSE(of("lm_head").has_value());
  CHECK(er::detail::io::settings_by_rules({}, "mlp.up", bits(3), "c").value().bits == 3);
  std::vector<rule> two = rules;
  two.push_back({rule::kind::part, "mlp", false, bits(2)});
  CHECK_THROWS_WITH_AS((void)er::detail::io::settings_by_rules(two, "mlp.down", std::nullopt, "c"),
                       "c: two rules give layer 'mlp.down' different settings", er::io_error);
}

TEST_SUITE_END();
