// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/io/hf_names.hpp>

namespace er = edgerazor;
using er::hf_architecture;
using er::hf_role;

TEST_SUITE_BEGIN("io/hf_names");

TEST_CASE("names of both sides") {
  const std::pair<const char*, const char*> names[] = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight"},
      {"model.layers.12.self_attn.q_proj.bias", "blk.12.attn_q.bias"},
      {"model.layers.3.self_attn.k_norm.weight", "blk.3.attn_k_norm.weight"},
      {"model.layers.3.self_attn.o_proj.weight", "blk.3.attn_output.weight"},
      {"model.layers.3.post_attention_layernorm.weight", "blk.3.ffn_norm.weight"},
      {"model.layers.3.mlp.down_proj.weight", "blk.3.ffn_down.weight"},
      {"model.layers.3.mlp.ffn_sub_norm.weight", "blk.3.ffn_sub_norm.weight"},
  };
  for (const auto& name : names) {
    CAPTURE(std::string{name.first});
    const auto parsed = er::parse_hf_name(hf_architecture::llama, name.first);
    REQUIRE(parsed.has_value());
    CHECK(er::gguf_name(*parsed) == name.second);
    CHECK(er::parse_gguf_name(name.second) == parsed);
    CHECK(er::hf_name(hf_architecture::llama, *parsed) == name.first);
  }
}

TEST_CASE("gemma3 calls the norms otherwise") {
  const auto role = [](hf_architecture architecture, const char* name) {
    return er::parse_hf_name(architecture, name).value().role;
  };
  const char* const name = "model.layers.0.post_attention_layernorm.weight";
  CHECK(role(hf_architecture::gemma3, name) == hf_role::after_attention_norm);
  CHECK(role(hf_architecture::qwen3, name) == hf_role::feed_forward_norm);
  CHECK(role(hf_architecture::gemma3, "model.layers.0.pre_feedforward_layernorm.weight") ==
        hf_role::feed_forward_norm);
  CHECK(er::hf_name(hf_architecture::gemma3, {hf_role::after_feed_forward_norm, 7, "weight"}) ==
        "model.layers.7.post_feedforward_layernorm.weight");
  CHECK(er::gguf_name({hf_role::after_feed_forward_norm, 7, "weight"}) ==
        "blk.7.post_ffw_norm.weight");
}

TEST_CASE("parts of packed layers, base models, prefixes") {
  const auto packed =
      er::parse_hf_name(hf_architecture::qwen2, "model.layers.5.mlp.up_proj.weight_packed");
  CHECK(packed == er::hf_tensor_name{hf_role::up, 5, "weight_packed"});
  CHECK(er::parse_hf_name(hf_architecture::qwen3, "layers.1.mlp.up_proj.weight") ==
        er::hf_tensor_name{hf_role::up, 1, "weight"});
  CHECK(er::parse_hf_name(hf_architecture::qwen2, "thinker.model.layers.1.mlp.up_proj.weight",
                          "thinker.") == er::hf_tensor_name{hf_role::up, 1, "weight"});
  CHECK_FALSE(er::parse_hf_name(hf_architecture::qwen2, "model.norm.weight", "thinker."));
}

TEST_CASE("other names are none") {
  for (const char* const name :
       {"", "model", "model.norm", "model.norm.", "model.norms.weight", "model.layers.weight",
        "model.layers..mlp.up_proj.weight", "model.layers.01.mlp.up_proj.weight",
        "model.layers.-1.mlp.up_proj.weight", "model.layers.99999999.mlp.up_proj.weight",
        "model.layers.0.mlp.up_proj", "model.layers.0.mlp.experts.0.up_proj.weight",
        "transformer.h.0.attn.c_attn.weight"}) {
    CAPTURE(std::string{name});
    CHECK_FALSE(er::parse_hf_name(hf_architecture::llama, name).has_value());
  }
  for (const char* const name : {"", "blk", "blk.0.attn_q", "blk.x.attn_q.weight", "rope_freqs"})
    CHECK_FALSE(er::parse_gguf_name(name).has_value());
  CHECK(er::is_ignored_hf_tensor("model.layers.0.self_attn.rotary_emb.inv_freq"));
  CHECK(er::is_ignored_hf_tensor("thinker.visual.blocks.0.norm.weight"));
  CHECK_FALSE(er::is_ignored_hf_tensor("model.norm.weight"));
}

TEST_CASE("rows of query and key, for a llama alone") {
  CHECK(er::hf_rows_in_gguf_order(8, 8) == std::vector<std::uint32_t>{0, 4, 1, 5, 2, 6, 3, 7});
  CHECK(er::hf_rows_in_gguf_order(8, 4) == std::vector<std::uint32_t>{0, 2, 1, 3, 4, 6, 5, 7});
  const std::vector<std::uint32_t> there = er::hf_rows_in_gguf_order(192, 64),
                                   back = er::gguf_rows_in_hf_order(192, 64);
  for (std::size_t r = 0; r < there.size(); ++r) CHECK(back[there[r]] == r);
  CHECK_THROWS_AS((void)er::hf_rows_in_gguf_order(8, 3), std::invalid_argument);
  CHECK_THROWS_AS((void)er::hf_rows_in_gguf_order(9, 4), std::invalid_argument);
  CHECK(er::is_permuted(hf_architecture::llama, hf_role::key));
  CHECK_FALSE(er::is_permuted(hf_architecture::llama, hf_role::value));
  CHECK_FALSE(er::is_permuted(hf_architecture::qwen2, hf_role::key));
  CHECK(er::gguf_architecture(hf_architecture::qwen3) == "qwen3");
}

TEST_SUITE_END();
