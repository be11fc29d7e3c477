// SPDX-License-Identifier: Apache-2.0
// The one entry: golden layers of every method, found by their model's configuration.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/find_packed_linear.hpp>

namespace er = edgerazor;
using nlohmann::json;
using packed_layers::tensor;
using enum er::safetensors_dtype;

TEST_SUITE_BEGIN("io/find_packed_linear");

namespace {

constexpr const char* base = "model.layers.0.mlp.up_proj";

er::hf_quantization read(const std::string& settings) {
  return er::read_hf_quantization(json{{"quantization_config", json::parse(settings)}}, "c", {});
}

/// The tensors `<name>.<part>` of a golden file as those of the layer `base`.
class layer_files {
 public:
  layer_files(const er::safetensors_reader& file, const std::string& name,
              const std::map<std::string, std::string>& renamed = {}) {
    for (const er::safetensors_tensor& t : file.tensors()) {
      if (!t.name.starts_with(name + '.')) continue;
      std::string part = t.name.substr(name.size() + 1);
      if (part == "weight") continue;
      if (const auto at = renamed.find(part); at != renamed.end()) part = at->second;
      put(part, t);
    }
  }
  void put(const std::string& part, const tensor& t) {
    tensor& place = tensors_[std::string{base} + '.' + part] = t;
    place.name = std::string{base} + '.' + part;
    refresh();
  }
  void erase(const std::string& part) {
    tensors_.erase(std::string{base} + '.' + part);
    refresh();
  }
  [[nodiscard]] const er::safetensors_tensor* find(std::string_view name) const {
    const auto at = views_.find(name);
    return at == views_.end() ? nullptr : &at->second;
  }

 private:
  void refresh() {
    views_.clear();
    for (const auto& entry : tensors_)
      views_.emplace(entry.first, static_cast<er::safetensors_tensor>(entry.second));
  }
  std::map<std::string, tensor> tensors_;
  std::map<std::string, er::safetensors_tensor, std::less<>> views_;
};

struct found_case {
  const char* file;
  const char* name;
  const char* settings;
  const char* format;  ///< empty: decoded
  std::map<std::string, std::string> renamed = {};
};

const std::vector<found_case>& found_cases() {
  static const std::vector<found_case> cases{
      {"gptq", "gptq_v1_4bit_sym",
       R"({"quant_method":"gptq","bits":4,"group_size":32,"sym":true,"desc_act":false})",
       "int4_g32"},
      {"gptq", "gptq_v1_4bit_asym_zero",
       R"({"quant_method":"gptq","bits":4,"group_size":32,"sym":false,"checkpoint_format":"gptq"})",
       "int4z_g32"},
      {"gptq", "gptq_v2_4bit_sym_desc_act",
       R"({"quant_method":"gptq","bits":4,"group_size":32,"sym":true,"desc_act":true,
           "checkpoint_format":"gptq_v2"})",
       "permuted(int4_g32)"},
      {"gptq", "gptq_v2_4bit_channel",
       R"({"quant_method":"gptq","bits":4,"group_size":-1,"sym":true,"format":"gptq_v2"})",
       "int4_row"},
      {"gptq", "gptq_p_3bit",
       R"({"quant_method":"gptq","bits":3,"group_size":32,"sym":false,"format":"gptq_p"})",
       "int3z_g32"},
      {"gptq", "gptq_v1_4bit_sym",
       R"({"quant_method":"auto-round","bits":4,"group_size":32,"sym":true,
           "packing_format":"auto_round:auto_gptq"})",
       "int4_g32"},
      {"gptq", "gptq_v2_4bit",
       R"({"quant_method":"auto-round","bits":8,"group_size":64,"sym":true,
           "packing_format":"auto_round","extra_config":{"model.layers.0.mlp.up_proj":
           {"bits":4,"group_size":32,"sym":false}}})",
       "int4z_g32"},
      {"awq", "awq_gemm_4bit",
       R"({"quant_method":"auto-round","bits":4,"group_size":32,
           "packing_format":"auto_round:auto_awq"})",
       "int4z_g32"},
      {"awq", "awq_gemm_4bit",
       R"({"quant_method":"awq","bits":4,"group_size":32,"version":"gemm","zero_point":true})",
       "int4z_g32"},
      {"compressed_tensors", "ct_3bit_padded",
       R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{
           "group_0":{"targets":["Linear"],"weights":{"num_bits":3,"type":"int",
           "symmetric":true,"strategy":"group","group_size":64}}},"ignore":["lm_head"]})",
       "int3_g64_bf16"},
      {"compressed_tensors", "ct_4bit_channel_tail",
       R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{
           "group_0":{"targets":["re:.*up_proj"],"weights":{"num_bits":4,"type":"int",
           "symmetric":true,"strategy":"channel"}}}})",
       "int4_row_bf16"},
      {"float4_float8", "nvfp4_ct",
       R"({"quant_method":"compressed-tensors","format":"nvfp4-pack-quantized","config_groups":{
           "group_0":{"targets":["Linear"],"weights":{"num_bits":4,"type":"float",
           "strategy":"tensor_group","group_size":16}}}})",
       "int5_g16_f32"},
      {"float4_float8", "mxfp4_ct",
       R"({"quant_method":"compressed-tensors","format":"mxfp4-pack-quantized","config_groups":{
           "group_0":{"targets":["Linear"],"weights":{"num_bits":4,"type":"float",
           "strategy":"group","group_size":32}}}})",
       "int5_g32_bf16"},
      {"float4_float8",
       "nvfp4_modelopt",
       R"({"quant_method":"modelopt","quant_algo":"NVFP4"})",
       "int5_g16_f32",
       {{"weight_packed", "weight"}}},
      {"float4_float8",
       "mxfp4_ct",
       R"({"quant_method":"mxfp4"})",
       "int5_g32_bf16",
       {{"weight_packed", "weight"}}},
      {"float4_float8",
       "fp8_block",
       R"({"quant_method":"fp8","weight_block_size":[16,16]})",
       "",
       {{"weight_f8", "weight"}}},
      {"bitnet",
       "bitnet_bitlinear",
       R"({"quant_method":"bitnet"})",
       "ternary2_row_f32",
       {{"weight_packed", "weight"}}},
      {"bitnet",
       "bitnet_autobitlinear",
       R"({"quant_method":"bitnet","linear_class":"autobitlinear"})",
       "ternary2_row_bf16",
       {{"weight_packed", "weight"}}},
      {"gemma",
       "gemma_int4",
       R"({"quant_method":"gemma"})",
       "int4_row_f32",
       {{"weight_packed", "weight"}}},
      {"gemma",
       "gemma_int2",
       R"({"quant_method":"gemma"})",
       "int2_row_f32",
       {{"weight_packed", "embedding_quantized"}, {"weight_scale", "embedding_scale"}}},
      {"hqq", "hqq_3bit_axis1",
       R"({"quant_method":"hqq","quant_config":{"weight_quant_params":{"nbits":3,
           "group_size":64,"axis":1}}})",
       "int3z_g64"},
      {"hqq", "hqq_4bit_axis0",
       R"({"quant_method":"hqq","quant_config":{"weight_quant_params":{"nbits":4,
           "group_size":64,"axis":0}}})",
       ""},
      {"edgerazor_packed", "edgerazor_w4", R"({"quant_method":"edgerazor","quant_mode":"w4a8kv8"})",
       "int4_g256_bf16"},
      {"edgerazor_packed", "edgerazor_w1_58",
       R"({"quant_method":"edgerazor","quant_mode":"w1_58a8kv8"})", "ternary2_g256_bf16"},
      {"edgerazor_packed", "edgerazor_w1_88",
       R"({"quant_method":"edgerazor","quant_mode":"w1_88a8kv8"})",
       "int4_g256_bf16+ternary2_g256_bf16:every_8_rows"},
  };
  return cases;
}

}  // namespace

TEST_CASE("find_packed_linear: golden layers of every method, with the shape and without") {
  std::map<std::string, er::safetensors_reader> files;
  std::vector<er::hf_quant_method> methods;
  for (const found_case& item : found_cases()) {
    const std::string name = item.name, settings = item.settings;
    CAPTURE(name);
    CAPTURE(settings);
    if (!files.contains(item.file)) files.emplace(item.file, packed_layers::open(item.file));
    const er::safetensors_reader& file = files.at(item.file);
    const layer_files layer(file, name, item.renamed);
    const er::hf_quantization quantization = read(settings);
    methods.push_back(quantization.method);
    const er::safetensors_tensor& weight = file.get(name + ".weight");
    const er::linear_shape shape{weight.rows(), weight.cols()};
    const auto linear = er::find_packed_linear(layer, base, quantization, shape);
    REQUIRE(linear);
    CHECK(linear->name() == base);
    packed_layers::check(*linear, weight, item.format);
    // What tells its shape needs none; where one is given it must be the layer's.
    const bool tells = !name.starts_with("gemma") && !name.starts_with("hqq");
    if (tells) {
      const auto again = er::find_packed_linear(layer, base, quantization);
      REQUIRE(again);
      packed_layers::check(*again, weight, item.format);
    }
    CHECK_THROWS_AS(static_cast<void>(er::find_packed_linear(layer, base, quantization,
                                                             {shape.rows + 40, shape.cols})),
                    er::io_error);
    CHECK_THROWS_AS(static_cast<void>(er::find_packed_linear(layer, base, quantization,
                                                             {shape.rows, shape.cols + 40})),
                    er::io_error);
  }
  for (const er::detail::io::packed_family& family : er::detail::io::packed_families) {
    CAPTURE(static_cast<int>(family.method));
    CHECK(std::find(methods.begin(), methods.end(), family.method) != methods.end());
  }
}

TEST_CASE("find_packed_linear: what is not packed is none, whatever the method") {
  for (const found_case& item : found_cases()) {
    const std::string settings = item.settings;
    CAPTURE(settings);
    const er::hf_quantization quantization = read(settings);
    layer_files plain(packed_layers::open("gptq"), "no such layer");
    CHECK_FALSE(er::find_packed_linear(plain, base, quantization));
    tensor weight("", bf16, {8, 64});
    std::mt19937 random(1);
    weight.fill(random);
    plain.put("weight", weight);
    CHECK_FALSE(er::find_packed_linear(plain, base, quantization, {8, 64}));
  }
  CHECK_FALSE(er::find_packed_linear(layer_files(packed_layers::open("awq"), "awq_gemm_4bit"), base,
                                     er::hf_quantization{}));
  CHECK_FALSE(er::find_packed_linear(
      layer_files(packed_layers::open("awq"), "awq_gemm_4bit"), base,
      read(R"({"quant_method":"awq","bits":4,"modules_to_not_convert":["mlp"]})")));
}

TEST_CASE("find_packed_linear: EdgeRazor's fake-quantized weights, of each generation of config") {
  const er::safetensors_reader file = packed_layers::open("edgerazor_fake_quantized");
  layer_files layer(file, "none");
  layer.put("weight", file.get("edgerazor_fake.w1_88"));
  for (const char* const config :
       {R"({"quantization_config":{"quant_method":"edgerazor","quant_mode":"w1_88a8kv8"}})",
        R"({"quantization_config":{"quant_method":"edgerazor","er_block_size":256}})",
        R"({"quantization_config":{"quant_method":"edgerazor","er_block_size":32}})",
        R"({"edgerazor_qconfig":"w1_88a8kv8_qwen3"})",
        R"({"quant_mode":"w1_88a8kv8","is_w_quantized":true})"}) {
    CAPTURE(std::string{config});
    const auto linear = er::find_packed_linear(
        layer, base, er::read_hf_quantization(json::parse(config), "c", {}), {16, 512});
    REQUIRE(linear);
    // Scales of 32 columns are those of 256 eight times.
    CHECK(linear->exact_format()->name() == "int4_g256_bf16+ternary2_g256_bf16:every_8_rows");
  }
}

TEST_CASE("find_packed_linear: what a layer lacks is named") {
  const auto refused = [](const layer_files& files, const char* settings,
                          const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(er::find_packed_linear(files, base, read(settings))),
                         doctest::Contains(sentence.c_str()), er::io_error);
  };
  const er::safetensors_reader gptq = packed_layers::open("gptq"), hqq = packed_layers::open("hqq");
  layer_files layer(gptq, "gptq_v1_4bit_sym");
  layer.erase("qzeros");
  refused(layer, R"({"quant_method":"gptq","bits":4})",
          "layer 'model.layers.0.mlp.up_proj' of gptq weights has no tensor "
          "'model.layers.0.mlp.up_proj.qzeros'");
  refused(layer_files(gptq, "gptq_v1_4bit_sym"), R"({"quant_method":"awq","bits":8})",
          "of AWQ weights has codes of 8 bits, expected 4");

  layer_files masters(gptq, "none");
  masters.put("weight", tensor("", bf16, {8, 64}));
  refused(masters, R"({"quant_method":"bitnet","quantization_mode":"online"})",
          "of BitNet weights is quantized when it runs ('online'), expected packed weights");

  // HQQ's own tensors say more than the configuration.
  layer_files half(hqq, "hqq_4bit_axis1");
  half.put("nbits", tensor("", i32, {}, std::vector<std::int32_t>{4}));
  half.put("axis", tensor("", i64, {1}, std::vector<std::int64_t>{1}));
  half.put("shape", tensor("", i64, {2}, std::vector<std::int64_t>{32, 128}));
  const auto linear = er::find_packed_linear(
      half, base, read(R"({"quant_method":"hqq","quant_config":{"nbits":2,"axis":0}})"));
  REQUIRE(linear);
  packed_layers::check(*linear, hqq.get("hqq_4bit_axis1.weight"), "int4z_g64");
  half.put("quant_zero", tensor("", u8, {}, std::vector<std::uint8_t>{1}));
  refused(half, R"({"quant_method":"hqq"})", "of HQQ weights sets 'quant_zero', which is not read");
  half.erase("quant_zero");
  half.put("nbits", tensor("", i64, {}, std::vector<std::int64_t>{-1}));
  refused(half, R"({"quant_method":"hqq"})", "has codes of 64 bits on axis 1");
}

TEST_CASE("find_packed_linear: a model's matrices by their roles") {
  const er::hf_model model =
      er::hf_model::open(std::filesystem::path(EDGERAZOR_TEST_DATA) / "hf" / "llama_tied");
  CHECK_FALSE(er::find_packed_linear(model, er::hf_role::up, 0));
  CHECK_FALSE(er::find_packed_linear(model, er::hf_role::final_norm));
}

TEST_CASE("compressed-tensors: blocks are those of the layer's own group") {
  const auto quantization =
      er::read_hf_quantization(nlohmann::json::parse(R"({"quantization_config":
    {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {
      "group_0": {"targets": ["re:.*q_proj"], "weights": {"num_bits": 8, "type": "float",
        "strategy": "block", "block_structure": [64, 128]}},
      "group_1": {"targets": ["re:.*k_proj"], "weights": {"num_bits": 8, "type": "float",
        "strategy": "channel"}},
      "group_2": {"targets": ["re:.*up_proj"], "weights": {"num_bits": 8, "type": "float",
        "strategy": "block", "block_structure": [48, 128]}}}}})"),
                               "c", "");
  const tensor weight("x.weight", f8_e4m3, {90, 128}, std::vector<std::uint8_t>(90 * 128, 0x38));
  const tensor blocks("x.weight_scale", f32, {2, 1}, std::vector<float>{1, 2});
  const tensor rows("x.weight_scale", f32, {90, 1}, std::vector<float>(90, 3.0f));
  const auto row_50 = [&](const char* layer, const tensor& scale) {
    const er::safetensors_tensor w = weight, s = scale;
    const auto linear = er::find_packed_linear(
        er::tensor_lookup{[&](std::string_view name) {
          return name.ends_with(".weight") ? &w : name.ends_with("_scale") ? &s : nullptr;
        }},
        layer, quantization);
    std::vector<float> values(128);
    linear.value().decode_rows({50, 51}, {values.data(), 1, 128});
    return values[0];
  };
  CHECK(row_50("q_proj", blocks) == 1);   // blocks of 64 rows
  CHECK(row_50("up_proj", blocks) == 2);  // of 48
  CHECK(row_50("k_proj", rows) == 3);
}

TEST_SUITE_END();
