// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/hf_model.hpp>
#include <edgerazor/io/safetensors_writer.hpp>

namespace er = edgerazor;
namespace fs = std::filesystem;
using er::hf_role;

namespace {

const fs::path folders = fs::path{EDGERAZOR_TEST_DATA} / "hf";

void write_text(const fs::path& path, std::string_view text) {
  write_bytes(path, std::as_bytes(std::span{text}));
}

/// What is said of a copy of llama_tied with its configuration and its tensors changed. `change`
/// gives false for a tensor to leave out.
std::string refusal(const nlohmann::json& changes,
                    const std::function<bool(er::safetensors_tensor&)>& change,
                    const std::function<void(er::safetensors_writer&)>& more = {}) {
  const temporary_folder folder;
  nlohmann::json config = er::detail::io::read_json(folders / "llama_tied" / "config.json");
  if (!changes.is_null()) config.update(changes);
  write_text(folder / "config.json", config.dump());
  const er::safetensors_files files = er::safetensors_files::open(folders / "llama_tied");
  er::safetensors_writer writer;
  std::vector<er::safetensors_tensor> kept(files.tensors().begin(), files.tensors().end());
  for (er::safetensors_tensor& tensor : kept) {
    if (change(tensor)) writer.add(tensor);
  }
  if (more) more(writer);
  writer.write_folder(folder.path);
  try {
    (void)er::hf_model::open(folder.path);
  } catch (const er::io_error& error) {
    const std::string sentence = error.what();
    const std::string file = (folder / "model.safetensors").string();
    return sentence.starts_with(file) ? sentence.substr(file.size()) : sentence;
  }
  return "";
}
bool all(er::safetensors_tensor&) { return true; }

}  // namespace

TEST_SUITE_BEGIN("io/hf_model");

TEST_CASE("three folders of transformers") {
  const er::hf_model qwen3 = er::hf_model::open(folders / "qwen3_sharded");
  CHECK(qwen3.config().layers == 2);
  CHECK(qwen3.get(hf_role::query, 1).find("weight")->shape == std::vector<std::uint64_t>{64, 32});
  CHECK(qwen3.get(hf_role::query_norm, 1).find("weight")->shape == std::vector<std::uint64_t>{16});
  CHECK(qwen3.get(hf_role::query, 1).name == "model.layers.1.self_attn.q_proj");
  CHECK(qwen3.get(hf_role::head).name == "lm_head");
  CHECK(qwen3.find(hf_role::query, 2) == nullptr);
  CHECK_FALSE(qwen3.get(hf_role::up).is_packed());
  CHECK(qwen3.quantization().method == er::hf_quant_method::none);
  const std::vector<std::uint32_t> stops{2, 3};
  CHECK(std::vector<std::uint32_t>(qwen3.end_tokens().begin(), qwen3.end_tokens().end()) == stops);

  const er::hf_model llama = er::hf_model::open(folders / "llama_tied");
  CHECK(llama.get(hf_role::head).name == "model.embed_tokens");
  CHECK_THROWS_WITH_AS((void)llama.get(hf_role::query_norm, 0),
                       doctest::Contains("has no tensor 'model.layers.0.self_attn.q_norm.weight'"),
                       er::io_error);

  // Tied although a head is stored.
  er::hf_model first = er::hf_model::open(folders / "qwen2_bias_f16");
  const er::hf_model qwen2 = std::move(first);
  CHECK(qwen2.modules().count({hf_role::head, 0}) == 1);
  CHECK(qwen2.get(hf_role::head).name == "model.embed_tokens");
  CHECK(qwen2.get(hf_role::key, 0).find("bias")->shape == std::vector<std::uint64_t>{16});
  CHECK(qwen2.get(hf_role::attention_output, 0).find("bias") == nullptr);
}

TEST_CASE("a model that is complete loads, one that is not does not") {
  CHECK(refusal({}, all) == "");
  CHECK(refusal({}, [](er::safetensors_tensor& tensor) {
          return tensor.name != "model.layers.1.mlp.up_proj.weight";
        }) == " has no tensor 'model.layers.1.mlp.up_proj.weight'");
  CHECK(refusal({}, [](er::safetensors_tensor& tensor) {
          return tensor.name != "model.norm.weight";
        }) == " has no tensor 'model.norm.weight'");
  CHECK(refusal({{"tie_word_embeddings", false}}, all) ==
        " has no tensor 'lm_head.weight', and 'tie_word_embeddings' is not true");
  CHECK(refusal({{"num_hidden_layers", 3}}, all) ==
        " has no tensor 'model.layers.2.input_layernorm.weight'");
  CHECK(refusal({{"num_hidden_layers", 1}}, all).starts_with(": tensor 'model.layers.1."));
  CHECK(refusal({{"attention_bias", true}}, all) ==
        " has no tensor 'model.layers.0.self_attn.q_proj.bias'");
}

TEST_CASE("tied, and stored under the head's name alone") {
  CHECK(refusal({}, [](er::safetensors_tensor& tensor) {
          if (tensor.name == "model.embed_tokens.weight") tensor.name = "lm_head.weight";
          return true;
        }) == "");
}

TEST_CASE("shapes are the configuration's") {
  CHECK(refusal({{"intermediate_size", 64}}, all)
            .find(".weight' has shape [48, 32], by the configuration [64, 32]") !=
        std::string::npos);
  CHECK(refusal({{"vocab_size", 65}}, all) ==
        ": tensor 'model.embed_tokens.weight' has shape [64, 32], by the configuration [65, 32]");
}

TEST_CASE("tensors that nobody knows") {
  const std::array<std::byte, 16> bytes{};
  const auto with = [&](const char* name, std::initializer_list<std::uint64_t> shape) {
    return refusal({}, all, [&](er::safetensors_writer& writer) {
      writer.add(name, er::safetensors_dtype::u8, shape, bytes);
    });
  };
  CHECK(with("model.layers.0.mlp.router.weight", {16}) ==
        ": tensor 'model.layers.0.mlp.router.weight' is none that LlamaForCausalLM has");
  CHECK(with("model.layers.0.self_attn.q_norm.weight", {16}) ==
        ": tensor 'model.layers.0.self_attn.q_norm.weight' is none that LlamaForCausalLM has");
  CHECK(with("model.layers.0.mlp.up_proj.qweight", {16}) ==
        ": tensor 'model.layers.0.mlp.up_proj.qweight' is none that LlamaForCausalLM has by its "
        "configuration");
  CHECK(with("model.layers.0.self_attn.q_proj.bias", {16}) ==
        ": tensor 'model.layers.0.self_attn.q_proj.bias' is none that LlamaForCausalLM has by its "
        "configuration");
  CHECK(with("layers.0.mlp.up_proj.weight", {16}).find("is there under another name too") !=
        std::string::npos);
  CHECK(with("model.layers.0.self_attn.rotary_emb.inv_freq", {16}) == "");
}

TEST_CASE("bytes that no configuration explains are refused") {
  const std::vector<std::byte> bytes(48 * 32);
  const auto change = [&](er::safetensors_tensor& tensor) {
    if (tensor.name == "model.layers.0.mlp.up_proj.weight") {
      tensor.dtype = er::safetensors_dtype::u8;
      tensor.bytes = bytes;
    }
    return true;
  };
  CHECK(refusal({}, change) ==
        ": tensor 'model.layers.0.mlp.up_proj.weight' has dtype U8, but the configuration says "
        "nothing of quantization");
  CHECK(refusal({{"quantization_config", {{"quant_method", "bitnet"}}}}, change) == "");
}

TEST_CASE("a config.json that leads out of a stranger's folder is refused") {
  const temporary_folder folder, outside;
  std::ofstream(outside / "secret") << "root:x:0:0";
  std::filesystem::create_symlink(outside / "secret", folder / "config.json");
  CHECK_THROWS_WITH_AS(
      (void)er::hf_model::open(folder.path, er::file_access::map, er::safetensors_links::in_folder),
      doctest::Contains("config.json is a link out of its folder"), er::io_error);
}

TEST_SUITE_END();
