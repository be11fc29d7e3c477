// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/io/hf_config.hpp>

namespace er = edgerazor;
using er::hf_architecture;
using er::hf_rope_scaling;
using nlohmann::json;

namespace {

er::hf_config golden(const char* name) {
  return er::read_hf_config(std::filesystem::path{EDGERAZOR_TEST_DATA} / "hf" / name /
                            "config.json");
}

/// A small model of the architecture, with changes.
json config_of(const char* architecture, const json& changes = json::object()) {
  json config = json::parse(R"({"hidden_size": 64, "num_hidden_layers": 6,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
    "vocab_size": 128, "max_position_embeddings": 256, "rms_norm_eps": 1e-6})");
  config["architectures"] = {architecture};
  config.update(changes);
  return config;
}
er::hf_config read(const char* architecture, const json& changes = json::object()) {
  return er::read_hf_config(config_of(architecture, changes), "c");
}
std::string refusal(const char* architecture, const json& changes) {
  try {
    (void)read(architecture, changes);
  } catch (const er::io_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_SUITE_BEGIN("io/hf_config");

TEST_CASE("a configuration of transformers 5") {
  const er::hf_config config = golden("qwen3_sharded");
  CHECK(config.architecture == hf_architecture::qwen3);
  CHECK(config.architecture_name == "Qwen3ForCausalLM");
  CHECK(config.layers == 2);
  CHECK(config.hidden == 32);
  CHECK(config.feed_forward == 48);
  CHECK(config.heads == 4);
  CHECK(config.kv_heads == 2);
  CHECK(config.head_size == 16);
  CHECK(config.query_size() == 64);
  CHECK(config.kv_size() == 32);
  CHECK(config.vocabulary == 64);
  CHECK(config.context == 128);
  CHECK(config.epsilon == 1e-6);
  CHECK(config.rope.base == 1e6);
  CHECK(config.rope.scaling == hf_rope_scaling::none);
  CHECK_FALSE(config.tied_head);
  CHECK(config.dtype == "bfloat16");
  CHECK(config.head_norms);
  CHECK_FALSE(config.query_key_value_bias);
  CHECK(config.sliding_layers.empty());
  CHECK(config.is_plain());
  CHECK(config.end_tokens == std::vector<std::uint32_t>{2});
  CHECK_FALSE(config.padding_token.has_value());
}

TEST_CASE("older configurations") {
  const er::hf_config llama = golden("llama_tied"), qwen2 = golden("qwen2_bias_f16");
  CHECK(llama.head_size == 8);
  CHECK(llama.rope.base == 1e5);
  CHECK(llama.tied_head);
  CHECK(llama.dtype == "float32");
  CHECK(llama.is_plain());
  CHECK(qwen2.architecture == hf_architecture::qwen2);
  CHECK(qwen2.query_key_value_bias);
  CHECK_FALSE(qwen2.output_bias);
  CHECK(qwen2.rope.base == 1e6);
  CHECK(qwen2.sliding_window == 0);  // "use_sliding_window": false
  CHECK(qwen2.is_plain());
}

TEST_CASE("defaults are the architecture's") {
  CHECK(read("LlamaForCausalLM").rope.base == 1e4);
  CHECK_FALSE(read("LlamaForCausalLM").tied_head);
  CHECK(read("Qwen3ForCausalLM").head_size == 128);  // not hidden / heads
  CHECK(read("Qwen2ForCausalLM", {{"head_dim", nullptr}}).head_size == 16);
  CHECK(read("LlamaForCausalLM", {{"num_key_value_heads", nullptr}}).kv_heads == 4);
  CHECK(read("Qwen3Model").architecture == hf_architecture::qwen3);
  json nameless = config_of("");
  nameless.erase("architectures");
  nameless["model_type"] = "qwen2";
  CHECK(er::read_hf_config(nameless, "c").architecture == hf_architecture::qwen2);
}

TEST_CASE("scaled positions, of both generations") {
  const json llama3{{"rope_type", "llama3"},
                    {"factor", 8.0},
                    {"low_freq_factor", 1.0},
                    {"high_freq_factor", 4.0},
                    {"original_max_position_embeddings", 8192}};
  json with_base = llama3;
  with_base["rope_theta"] = 500000.0;
  const er::hf_rope old =
      read("LlamaForCausalLM", {{"rope_theta", 500000}, {"rope_scaling", llama3}}).rope;
  const er::hf_rope recent = read("LlamaForCausalLM", {{"rope_parameters", with_base}}).rope;
  for (const er::hf_rope& rope : {old, recent}) {
    CHECK(rope.base == 500000);
    CHECK(rope.scaling == hf_rope_scaling::llama3);
    // 2 pi / f: 6.28 below 8192 / 4; 2.0e6 above 8192; f of pair 33 of 128 elements between.
    CHECK(rope.frequency(0, 128) == 1);
    const double last = std::pow(500000.0, -126.0 / 128);
    CHECK(rope.frequency(63, 128) == doctest::Approx(last / 8).epsilon(1e-12));
    const double f = std::pow(500000.0, -66.0 / 128), wavelength = 2 * std::numbers::pi / f;
    const double s = (8192 / wavelength - 1) / 3;
    REQUIRE(s > 0);
    REQUIRE(s < 1);
    CHECK(rope.frequency(33, 128) == doctest::Approx(f * ((1 - s) / 8 + s)).epsilon(1e-12));
  }
  const er::hf_rope linear =
      read("LlamaForCausalLM", {{"rope_scaling", {{"type", "linear"}, {"factor", 4}}}}).rope;
  CHECK(linear.frequency(1, 2) == 1e-4 / 4);
  CHECK(read("LlamaForCausalLM", {{"rope_scaling", {{"rope_type", "default"}}}}).rope.factor == 1);
  CHECK(refusal("LlamaForCausalLM", {{"rope_scaling", {{"type", "yarn"}, {"factor", 4}}}}) ==
        "c: 'rope_scaling': positions are scaled by 'yarn', expected default, linear or llama3");
  CHECK(refusal("LlamaForCausalLM", {{"rope_scaling", {{"type", "linear"}}}}) ==
        "c: 'rope_scaling': it has no 'factor'");
  CHECK(refusal("LlamaForCausalLM",
                {{"rope_theta", 10000}, {"rope_parameters", {{"rope_theta", 500000}}}}) ==
        "c: 'rope_theta' and 'rope_parameters' differ");
  CHECK(refusal("LlamaForCausalLM", {{"partial_rotary_factor", 0.5}}) ==
        "c: a part of each head rotates ('partial_rotary_factor'), expected all of it");
}

TEST_CASE("what is not read is refused by name") {
  CHECK(refusal("MistralForCausalLM", json::object())
            .starts_with("c: the architecture 'MistralForCausalLM' is none of those that are "
                         "read: LlamaForCausalLM, Qwen2ForCausalLM"));
  CHECK(refusal("LlamaForCausalLM", {{"hidden_act", "gelu"}}) ==
        "c: 'hidden_act' is 'gelu', expected silu");
  CHECK(refusal("LlamaForCausalLM", {{"layer_sharing", true}}) ==
        "c: 'layer_sharing' is true, expected layers with weights of their own");
  CHECK(refusal("LlamaForCausalLM", {{"num_hidden_layers", 0}}) ==
        "c: 'num_hidden_layers' is 0, expected an integer from 1 to 4096");
  CHECK(refusal("LlamaForCausalLM", {{"vocab_size", 1e6}}) ==
        "c: 'vocab_size' is 1000000.0, expected an integer from 1 to 16777216");
  CHECK(refusal("LlamaForCausalLM", {{"hidden_size", 18446744073709551615u}}) ==
        "c: 'hidden_size' is 18446744073709551615, expected an integer from 1 to 16777216");
  CHECK(refusal("LlamaForCausalLM", {{"hidden_size", 65}}) ==
        "c: 'hidden_size' 65 is no multiple of 4 heads, and there is no 'head_dim'");
  CHECK(refusal("LlamaForCausalLM", {{"num_key_value_heads", 3}}) ==
        "c: 'num_key_value_heads' 3 does not divide 4 heads");
  CHECK(refusal("LlamaForCausalLM", {{"head_dim", 15}}) ==
        "c: 4 heads of 15 elements, expected an even number of elements, at most 16777216 "
        "together");
  CHECK(refusal("LlamaForCausalLM", {{"rms_norm_eps", nullptr}}) == "c: it has no 'rms_norm_eps'");
  CHECK(er::read_hf_config(config_of("LlamaForCausalLM"), "c").layers == 6);
}

TEST_CASE("sliding windows") {
  const er::hf_config qwen2 =
      read("Qwen2ForCausalLM",
           {{"use_sliding_window", true}, {"sliding_window", 32}, {"max_window_layers", 4}});
  CHECK(qwen2.sliding_window == 32);
  CHECK(qwen2.sliding_layers == std::vector<bool>{false, false, false, false, true, true});
  CHECK_FALSE(qwen2.is_plain());
  const er::hf_config none =
      read("Qwen3ForCausalLM", {{"use_sliding_window", true}, {"sliding_window", 32}});
  CHECK(none.sliding_layers.empty());  // the first 28 layers do not slide
  CHECK(refusal("Qwen3ForCausalLM", {{"use_sliding_window", true},
                                     {"sliding_window", 32},
                                     {"layer_types", {"full_attention"}}}) ==
        "c: 'layer_types' has 1 entries, expected one for each of 6 layers");
}

TEST_CASE("others say what differs") {
  const er::hf_config gemma =
      read("Gemma3ForCausalLM",
           {{"sliding_window", 512}, {"head_dim", 256}, {"query_pre_attn_scalar", 256}});
  CHECK(gemma.sliding_layers == std::vector<bool>{true, true, true, true, true, false});
  CHECK(gemma.rope.base == 1e6);
  CHECK(gemma.sliding_rope.value().base == 1e4);
  CHECK(gemma.norms_plus_one);
  CHECK(gemma.query_scale == 1.0 / 16);
  CHECK(gemma.tied_head);
  CHECK_FALSE(gemma.is_plain());
  const er::hf_config recent =
      read("Gemma3ForCausalLM",
           {{"rope_parameters",
             {{"full_attention", {{"rope_theta", 2e6}, {"rope_type", "default"}}},
              {"sliding_attention", {{"rope_theta", 3e4}, {"rope_type", "default"}}}}}});
  CHECK(recent.rope.base == 2e6);
  CHECK(recent.sliding_rope.value().base == 3e4);
  const er::hf_config bitnet = read("BitNetForCausalLM");
  CHECK(bitnet.sub_norms);
  CHECK(bitnet.activation == "relu2");
  CHECK(bitnet.rope.base == 5e5);
  CHECK_FALSE(bitnet.is_plain());
  const er::hf_config smollm3 =
      read("SmolLM3ForCausalLM", {{"no_rope_layers", {1, 1, 1, 0, 1, 1}}});
  CHECK(smollm3.layers_without_rope == std::vector<bool>{false, false, false, true, false, false});
  CHECK_FALSE(smollm3.is_plain());
}

TEST_CASE("the decoder of a model of several") {
  json text = config_of("");
  text.erase("architectures");
  text["rope_scaling"] = {{"mrope_section", {16, 24, 24}}, {"rope_type", "default"}};
  text["rope_theta"] = 1e6;
  const json config{{"architectures", {"Qwen2_5OmniForConditionalGeneration"}},
                    {"thinker_config", {{"text_config", text}}}};
  const er::hf_config read_config = er::read_hf_config(config, "c");
  CHECK(read_config.architecture == hf_architecture::qwen2);
  CHECK(read_config.prefix == "thinker.");
  CHECK(read_config.rope.base == 1e6);
}

TEST_CASE("rope_scaling beside rope_parameters that says something else is refused") {
  auto config = nlohmann::json::parse(R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
    "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 10,
    "max_position_embeddings": 100, "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
    "rope_scaling": {"rope_type": "yarn", "factor": 8}})");
  CHECK_THROWS_AS((void)er::read_hf_config(config, "c"), er::io_error);
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8}};
  CHECK_THROWS_AS((void)er::read_hf_config(config, "c"), er::io_error);
}

TEST_SUITE_END();
