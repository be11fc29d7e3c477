// SPDX-License-Identifier: Apache-2.0
// What is written is read again as the same.
#include <filesystem>
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/hf_config_document.hpp>
#include <edgerazor/io/hf_quantization.hpp>

namespace er = edgerazor;
using nlohmann::json;

namespace {

er::hf_config golden(const char* name) {
  return er::read_hf_config(std::filesystem::path{EDGERAZOR_TEST_DATA} / "hf" / name /
                            "config.json");
}

void check_same(const er::hf_config& config) {
  const er::hf_config again = er::read_hf_config(er::hf_config_document(config, "bfloat16"), "c");
  CHECK(again.architecture == config.architecture);
  CHECK(again.layers == config.layers);
  CHECK(again.hidden == config.hidden);
  CHECK(again.feed_forward == config.feed_forward);
  CHECK(again.heads == config.heads);
  CHECK(again.kv_heads == config.kv_heads);
  CHECK(again.head_size == config.head_size);
  CHECK(again.vocabulary == config.vocabulary);
  CHECK(again.context == config.context);
  CHECK(again.epsilon == config.epsilon);
  CHECK(again.rope.base == config.rope.base);
  CHECK(again.rope.scaling == config.rope.scaling);
  CHECK(again.rope.frequency(3, 64) == config.rope.frequency(3, 64));
  CHECK(again.rope.frequency(20, 64) == config.rope.frequency(20, 64));
  CHECK(again.tied_head == config.tied_head);
  CHECK(again.query_key_value_bias == config.query_key_value_bias);
  CHECK(again.output_bias == config.output_bias);
  CHECK(again.head_norms == config.head_norms);
  CHECK(again.begin_tokens == config.begin_tokens);
  CHECK(again.end_tokens == config.end_tokens);
  CHECK(again.padding_token == config.padding_token);
  CHECK(again.dtype == "bfloat16");
  CHECK(again.is_plain());
}

}  // namespace

TEST_SUITE_BEGIN("io/hf_config_document");

TEST_CASE("configurations of three architectures, and scaled positions") {
  for (const char* const name : {"llama_tied", "qwen2_bias_f16", "qwen3_sharded"}) {
    CAPTURE(std::string{name});
    er::hf_config config = golden(name);
    check_same(config);
    config.end_tokens = {2, 3};
    config.padding_token = 5;
    config.rope.scaling = er::hf_rope_scaling::linear;
    config.rope.factor = 4;
    check_same(config);
    config.rope.scaling = er::hf_rope_scaling::llama3;
    check_same(config);
  }
}

TEST_CASE("what no configuration says is refused") {
  er::hf_config config = golden("llama_tied");
  CHECK_THROWS_WITH_AS((void)er::hf_config_document(config, "int8"),
                       "hf_config_document: the dtype is 'int8', expected float32, float16 or "
                       "bfloat16",
                       std::invalid_argument);
  config.query_key_value_bias = true;
  CHECK_THROWS_WITH_AS((void)er::hf_config_document(config, "float32"),
                       "hf_config_document: no configuration has these biases of attention",
                       std::invalid_argument);
  config.output_bias = true;
  check_same(config);
  config.norms_plus_one = true;
  CHECK_THROWS_AS((void)er::hf_config_document(config, "float32"), std::invalid_argument);
}

TEST_CASE("generation, through a file") {
  const temporary_folder folder;
  er::hf_generation generation;
  generation.end_tokens = {2, 3};
  generation.temperature = 0.7;
  generation.top_k = 20;
  generation.sample = true;
  generation.stop_strings = {"a \"quote\"\n"};
  er::write_json(folder / "g.json", er::hf_generation_document(generation));
  const er::hf_generation again = er::read_hf_generation(folder / "g.json");
  CHECK(again.end_tokens == generation.end_tokens);
  CHECK(again.temperature == generation.temperature);
  CHECK(again.top_k == generation.top_k);
  CHECK(again.sample == generation.sample);
  CHECK(again.stop_strings == generation.stop_strings);
  CHECK_FALSE(again.top_p.has_value());
}

TEST_CASE("what is said of packed layers") {
  const auto read = [](const json& settings) {
    return er::read_hf_quantization(json{{"quantization_config", settings}}, "c", {});
  };
  const char* const up = "model.layers.0.mlp.up_proj";
  const er::hf_quantization compressed = read(er::compressed_tensors_document(64, {"lm_head"}));
  CHECK(compressed.of(up).value().group == 64);
  CHECK(compressed.of(up).value().format == "pack-quantized");
  CHECK(compressed.of(up).value().strategy == "group");
  CHECK_FALSE(compressed.of("lm_head").has_value());
  CHECK(read(er::compressed_tensors_document(0, {})).of(up).value().strategy == "channel");
  CHECK(read(er::gptq_document(32)).of(up).value().group == 32);
  CHECK(read(er::gptq_document(0)).of(up).value().group == 0);
  CHECK(read(er::gptq_document(0)).of(up).value().format == "gptq");
  CHECK(read(er::bitnet_document({"lm_head"})).settings.format == "autobitlinear");
  CHECK(read(er::edgerazor_document("w1_58a8kv8", 256)).mode == "w1_58a8kv8");
}

TEST_CASE("a context that is no whole number comes back") {
  const auto config = er::read_hf_config(
      nlohmann::json::parse(R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
    "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 10,
    "max_position_embeddings": 100, "rms_norm_eps": 1e-5, "rope_scaling": {"rope_type": "llama3",
    "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
    "original_max_position_embeddings": 8192.5}})"),
      "c");
  CHECK(er::read_hf_config(er::hf_config_document(config, "float32"), "d").rope.original_context ==
        8192.5);
}

TEST_CASE("sliding layers with positions of their own are in no such configuration") {
  auto config = er::read_hf_config(json::parse(R"({"architectures": ["LlamaForCausalLM"],
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "vocab_size": 10, "max_position_embeddings": 100, "rms_norm_eps": 1e-5})"),
                                   "c");
  CHECK_NOTHROW((void)er::hf_config_document(config, "float32"));
  config.sliding_rope.emplace();
  CHECK_THROWS_WITH_AS((void)er::hf_config_document(config, "float32"),
                       doctest::Contains("expected a plain llama, qwen2 or qwen3"),
                       std::invalid_argument);
}

TEST_SUITE_END();
