// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/hf_quantization.hpp>

namespace er = edgerazor;
using er::hf_quant_method;
using nlohmann::json;

namespace {

er::hf_quantization read(const char* settings) {
  return er::read_hf_quantization(json{{"quantization_config", json::parse(settings)}}, "c", {});
}
std::string refusal(const char* settings) {
  try {
    (void)read(settings);
  } catch (const er::io_error& error) {
    return error.what();
  }
  return "";
}

constexpr const char* up = "model.layers.3.mlp.up_proj";

}  // namespace

TEST_SUITE_BEGIN("io/hf_quantization");

TEST_CASE("a model that is not quantized") {
  const er::hf_quantization none = er::read_hf_quantization(json::object(), "c", {});
  CHECK(none.method == hf_quant_method::none);
  CHECK_FALSE(none.of(up).has_value());
}

TEST_CASE("methods that are not read are refused by name") {
  for (const char* const method :
       {"bitsandbytes", "aqlm", "vptq", "quanto", "eetq", "higgs", "fbgemm_fp8", "torchao", "spqr",
        "quark", "fp_quant", "mxfp8", "metal", "fouroversix", "sinq", "humming", "nobody's"}) {
    const std::string settings = "{\"quant_method\": \"" + std::string{method} + "\"}";
    CHECK(refusal(settings.c_str())
              .starts_with("c: 'quantization_config': the weights are quantized by '" +
                           std::string{method} + "', which is not read; these are: edgerazor"));
  }
  CHECK(refusal("{}") == "c: 'quantization_config': it has no 'quant_method'");
  CHECK_THROWS_WITH_AS((void)er::read_hf_quantization(
                           json{{"quantization", {{"bits", 4}, {"group_size", 64}}}}, "c", {}),
                       "c: the weights are quantized by MLX ('quantization'), which is not read",
                       er::io_error);
}

TEST_CASE("GPTQ, with layers of their own") {
  const er::hf_quantization gptq = read(R"({"quant_method": "gptq", "bits": 4, "group_size": 128,
    "desc_act": true, "sym": true, "checkpoint_format": "gptq_v2", "lm_head": false,
    "dynamic": {"-:.*\\.layers\\.[01]\\..*": {}, "+:.*\\.mlp\\.down_proj": {"bits": 8,
                "group_size": -1}}})");
  CHECK(gptq.method == hf_quant_method::gptq);
  const er::hf_layer_quantization layer = gptq.of(up).value();
  CHECK(layer.bits == 4);
  CHECK(layer.group == 128);
  CHECK(layer.reordered);
  CHECK(layer.symmetric == true);
  CHECK(layer.format == "gptq_v2");
  CHECK_FALSE(gptq.of("model.layers.1.mlp.up_proj").has_value());
  CHECK(gptq.of("model.layers.2.mlp.down_proj").value().bits == 8);
  CHECK(gptq.of("model.layers.2.mlp.down_proj").value().group == 0);
  CHECK(gptq.of("model.layers.2.mlp.down_proj").value().format == "gptq_v2");
  CHECK(read(R"({"quant_method": "gptq", "bits": 4})").settings.format == "gptq");
  CHECK(refusal(R"({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"})") ==
        "c: 'quantization_config': the weights are packed as 'marlin', expected gptq, gptq_v2, "
        "gptq_p");
  CHECK(refusal(R"({"quant_method": "gptq", "bits": 4, "is_marlin_format": true})")
            .find("packed as 'marlin'") != std::string::npos);
  CHECK(refusal(R"({"quant_method": "gptq", "bits": 4, "pack_dtype": "int64"})") ==
        "c: 'quantization_config': 'pack_dtype' is 'int64', expected int32");
  CHECK(refusal(R"({"quant_method": "gptq", "bits": 99})") ==
        "c: 'quantization_config': 'bits' is 99, expected an integer from 1 to 16");
  CHECK(refusal(R"({"quant_method": "gptq", "bits": 4, "dynamic": {"(?!a)b": {}}})") ==
        "c: 'quantization_config': the pattern '(?!a)b' of layers' names is not read");
}

TEST_CASE("AWQ") {
  const er::hf_quantization awq = read(R"({"quant_method": "awq", "bits": 4, "group_size": 64,
    "version": "GEMM", "zero_point": true, "modules_to_not_convert": ["mlp.up", "lm_head"]})");
  CHECK(awq.of("model.layers.3.mlp.gate_proj").value().group == 64);
  CHECK_FALSE(awq.of(up).has_value());
  CHECK(refusal(R"({"quant_method": "awq", "bits": 4, "version": "gemv"})") ==
        "c: 'quantization_config': the weights are packed as 'gemv', expected gemm");
}

TEST_CASE("compressed-tensors") {
  const er::hf_quantization mixed = read(R"({"quant_method": "compressed-tensors",
    "format": "mixed-precision", "quantization_status": "compressed", "ignore": ["lm_head",
    "re:.*layers\\.0\\..*"],
    "config_groups": {
      "group_0": {"targets": ["Linear"], "format": "pack-quantized",
        "weights": {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group",
                    "group_size": 32, "actorder": "static"}},
      "group_1": {"targets": ["re:.*down_proj$"], "format": "float-quantized",
        "weights": {"num_bits": 8, "type": "float", "strategy": "channel",
                    "block_structure": [16, 32], "actorder": "group"}}}})");
  const er::hf_layer_quantization layer = mixed.of(up).value();
  CHECK(layer.bits == 4);
  CHECK(layer.group == 32);
  CHECK(layer.format == "pack-quantized");
  CHECK(layer.symmetric == true);
  CHECK_FALSE(layer.reordered);
  const er::hf_layer_quantization down = mixed.of("model.layers.3.mlp.down_proj").value();
  CHECK(down.bits == 8);
  CHECK(down.is_float);
  CHECK(down.strategy == "channel");
  CHECK(down.reordered);
  CHECK(down.block_rows == 0);
  CHECK(down.block_cols == 0);
  CHECK_FALSE(mixed.of("lm_head").has_value());
  CHECK_FALSE(mixed.of("model.layers.0.mlp.up_proj").has_value());
  CHECK(refusal(R"({"quant_method": "compressed-tensors", "format": "marlin-24",
      "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4}}}})") ==
        "c: 'quantization_config': 'config_groups': 'g': the weights are packed as 'marlin-24', "
        "which is not read");
  CHECK_THROWS_WITH_AS(
      (void)read(R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
      "config_groups": {"a": {"targets": ["re:.*"], "weights": {"num_bits": 4}},
                        "b": {"targets": ["re:model.*"], "weights": {"num_bits": 8}}}})")
          .of(up),
      "c: 'quantization_config': two rules give layer 'model.layers.3.mlp.up_proj' different "
      "settings",
      er::io_error);
}

TEST_CASE("the others") {
  const er::hf_quantization round = read(R"({"quant_method": "auto-round", "bits": 4,
    "group_size": 128, "sym": true, "packing_format": "auto_round:auto_gptq",
    "extra_config": {"model.layers.3.mlp.up_proj": {"bits": 16}, ".*down_proj": {"bits": 8}}})");
  CHECK(round.method == hf_quant_method::auto_round);
  CHECK_FALSE(round.of(up).has_value());
  CHECK(round.of("model.layers.3.mlp.down_proj").value().bits == 8);
  CHECK(refusal(R"({"quant_method": "auto-round", "bits": 4, "data_type": "mx_fp"})") ==
        "c: 'quantization_config': 'data_type' is 'mx_fp', expected int");
  const er::hf_quantization bitnet =
      read(R"({"quant_method": "bitnet", "linear_class": "autobitlinear",
               "quantization_mode": "offline", "modules_to_not_convert": ["lm_head"]})");
  CHECK(bitnet.settings.format == "autobitlinear");
  CHECK_FALSE(bitnet.of("lm_head").has_value());
  CHECK(bitnet.of(up).has_value());
  CHECK(read(R"({"quant_method": "bitnet"})").settings.format == "bitlinear");
  CHECK(refusal(R"({"quant_method": "bitnet", "use_rms_norm": true})").find("use_rms_norm") !=
        std::string::npos);
  const er::hf_quantization hqq = read(R"({"quant_method": "hqq", "quant_config":
    {"weight_quant_params": {"nbits": 2, "group_size": 16, "axis": 0}},
    "skip_modules": ["lm_head"]})");
  CHECK(hqq.settings.bits == 2);
  CHECK(hqq.settings.group == 16);
  CHECK(hqq.axis == 0);
  const er::hf_quantization fp8 =
      read(R"({"quant_method": "fp8", "weight_block_size": [128, 64]})");
  CHECK(fp8.settings.block_rows == 128);
  CHECK(fp8.settings.block_cols == 64);
  CHECK(refusal(R"({"quant_method": "fp8", "weight_block_size": [128]})") ==
        "c: 'quantization_config': 'weight_block_size' has 1 numbers, expected 2: rows and "
        "columns");
  const er::hf_quantization modelopt = read(R"({"quant_method": "modelopt", "quantization":
    {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head",
     "model.layers.0*"]}})");
  CHECK(modelopt.method == hf_quant_method::nvfp4);
  CHECK_FALSE(modelopt.of("model.layers.0.mlp.up_proj").has_value());
  CHECK(modelopt.of(up).value().group == 16);
  CHECK(refusal(R"({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"})") ==
        "c: 'quantization_config': 'quant_algo' is 'W4A8_AWQ', expected NVFP4 or FP8");
}

TEST_CASE("EdgeRazor's three generations") {
  const auto mode = [](const json& config) {
    const er::hf_quantization found = er::read_hf_quantization(config, "c", {});
    CHECK(found.method == hf_quant_method::edgerazor);
    return found.mode;
  };
  CHECK(mode({{"quant_mode", "w4a8kv8"}, {"is_w_quantized", true}}) == "w4a8kv8");
  CHECK(mode({{"edgerazor_qconfig", "w2_79a8kv8"}, {"quant_mode", "other"}}) == "w2_79a8kv8");
  CHECK(mode({{"quantization_config",
               {{"quant_method", "edgerazor"}, {"quant_mode", "w1_58a8"}, {"weight_bits", 4}}},
              {"edgerazor_qconfig", "other"}}) == "w1_58a8");
  CHECK(mode({{"edgerazor_config", {{"quant_mode", "w1_88a8kv8"}}},
              {"quantization_config", {{"quant_method", "edgerazor"}}}}) == "w1_88a8kv8");
}

TEST_CASE("files beside config.json") {
  const temporary_folder folder;
  const auto write = [&](const char* name, std::string_view text) {
    write_bytes(folder / name, std::as_bytes(std::span{text}));
  };
  write("quant_config.json", R"({"w_bit": 4, "q_group_size": 64, "zero_point": true})");
  const er::hf_quantization awq = er::read_hf_quantization(json::object(), "c", folder.path);
  CHECK(awq.method == hf_quant_method::awq);
  CHECK(awq.settings.bits == 4);
  CHECK(awq.settings.group == 64);
  write("quantize_config.json", R"({"bits": 3, "group_size": -1, "desc_act": false})");
  const er::hf_quantization gptq = er::read_hf_quantization(json::object(), "c", folder.path);
  CHECK(gptq.method == hf_quant_method::gptq);
  CHECK(gptq.settings.bits == 3);
  CHECK(gptq.settings.group == 0);
}

TEST_CASE("a group of 2^64 - 1 is not one of -1") {
  CHECK_THROWS_AS((void)er::read_hf_quantization(nlohmann::json::parse(R"({"quantization_config":
    {"quant_method": "gptq", "bits": 4, "group_size": 18446744073709551615}})"),
                                                 "c", ""),
                  er::io_error);
}

TEST_SUITE_END();
