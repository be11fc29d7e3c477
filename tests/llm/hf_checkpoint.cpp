// SPDX-License-Identifier: Apache-2.0
// Models from Hugging Face folders: the numbers they are, and the folders that are no models.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "llm/checkpoint.hpp"
#include "llm/decoder.hpp"
#include "llm/inspection.hpp"
#include "llm/model.hpp"
#include "llm/temporary_folder.hpp"
#include "support/golden.hpp"
#include <edgerazor/io/safetensors.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("llm/hf_checkpoint");

namespace {

const std::filesystem::path golden_folder = std::filesystem::path(EDGERAZOR_TEST_DATA) / "hf";

/// The logits after each token, position by position.
std::vector<std::vector<float>> logits_of(const std::filesystem::path& path,
                                          const std::vector<llm::token_id>& tokens) {
  llm::thread_pool threads(2);
  const llm::model_file file(path);
  file.require_complete();
  const llm::model model = file.load(er::recipe{}, threads);
  llm::decoder runs(model, threads, tokens.size());
  runs.forward(tokens);
  const er::matrix_view<const float> logits = runs.logits(0, tokens.size());
  std::vector<std::vector<float>> result;
  for (std::size_t t = 0; t < logits.rows; ++t)
    result.emplace_back(logits.row(t).begin(), logits.row(t).end());
  return result;
}

/// A copy of a golden folder whose config.json is changed.
std::filesystem::path changed(const llm::temporary_folder& folder, const char* name,
                              const std::function<void(nlohmann::json&)>& change) {
  const std::filesystem::path copy = folder.path() / "changed";
  std::filesystem::remove_all(copy);
  std::filesystem::copy(golden_folder / name, copy);
  nlohmann::json config = nlohmann::json::parse(std::ifstream(copy / "config.json"));
  change(config);
  std::filesystem::remove(copy / "config.json");
  std::ofstream(copy / "config.json") << config;
  return copy;
}

/// The sentence with which a model is refused; empty where it is not.
std::string refusal(const std::filesystem::path& path) {
  try {
    llm::model_file(path).require_complete();
    return {};
  } catch (const er::io_error& error) {
    return error.what();
  }
}

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE("'" << text << "' has no '" << part << "'");
  return found;
}

}  // namespace

TEST_CASE("folders of three architectures give the logits that their weights say") {
  for (const char* name : {"qwen3_sharded", "llama_tied", "qwen2_bias_f16"}) {
    CAPTURE(name);
    const nlohmann::json expected =
        nlohmann::json::parse(std::ifstream(golden_folder / name / "expected.json"));
    const auto tokens = expected["input_ids"].get<std::vector<llm::token_id>>();
    const auto got = logits_of(golden_folder / name, tokens);
    double largest = 0, worst = 0;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      REQUIRE(got[t].size() == expected["logits"][t].size());
      for (std::size_t i = 0; i < got[t].size(); ++i) {
        const double value = expected["logits"][t][i];
        largest = std::max(largest, std::fabs(value));
        worst = std::max(worst, std::fabs(value - static_cast<double>(got[t][i])));
      }
    }
    // Each of 2 layers rounds sums of up to 64 products, and softmax turns an error e of a score
    // into a relative error e of its weight; scores are below 30. 30 * 64 * 2^-24 = 1.2e-4 of the
    // largest logit; rows in a wrong order, a missing bias or norm change logits by their own size.
    CHECK(worst < 1.2e-4 * largest);
  }
}

TEST_CASE("what is stored and is no weight of the model is passed over") {
  const auto tied = llm::checkpoint::open(golden_folder / "qwen2_bias_f16");
  CHECK(tied->find("output.weight") == nullptr);
  CHECK(tied->find("token_embd.weight") != nullptr);
  CHECK(tied->find("blk.1.attn_k.bias")->cols == 16);
  const auto sharded = llm::checkpoint::open(golden_folder / "qwen3_sharded");
  CHECK(sharded->find("output.weight")->type == "BF16");
  CHECK(sharded->container() == "Hugging Face folder, 3 safetensors files");
  CHECK(sharded->own_name("blk.1.ffn_up.weight") == "model.layers.1.mlp.up_proj.weight");
}

TEST_CASE("matrices stay in the mapped file, but for rows that are in another order") {
  const auto file = llm::checkpoint::open(golden_folder / "llama_tied");
  for (const char* name : {"blk.0.attn_v.weight", "blk.0.attn_q.weight"}) {
    CAPTURE(name);
    const llm::stored_tensor& tensor = file->get(name);
    llm::thread_pool alone(1);
    const er::any_matrix matrix = file->matrix(tensor, alone);
    std::vector<float> row(tensor.cols);
    for (std::size_t r = 0; r < tensor.rows; ++r) {
      file->read_rows(tensor, {r, r + 1}, {row.data(), 1, row.size()});
      const auto* const stored = reinterpret_cast<const float*>(matrix.bytes().data());
      CHECK(std::equal(row.begin(), row.end(), stored + r * row.size()));
    }
  }
  // A head of 8 rows: GGUF's rows 0, 1, 2 are rows 0, 4, 1 of the folder.
  const er::safetensors_reader own =
      er::safetensors_reader::open(golden_folder / "llama_tied" / "model.safetensors");
  const er::safetensors_tensor& query = own.get("model.layers.0.self_attn.q_proj.weight");
  const std::size_t cols = query.cols();
  std::vector<float> expected(cols), got(cols);
  for (const auto& [row, from] : {std::pair<std::size_t, std::size_t>{1, 4}, {2, 1}, {8, 8}}) {
    er::decode_floats(query, from * cols, expected);
    file->read_rows(file->get("blk.0.attn_q.weight"), {row, row + 1}, {got.data(), 1, cols});
    CHECK(got == expected);
  }
}

TEST_CASE("scaled positions, linear and llama3") {
  const llm::temporary_folder folder{{}};
  const auto linear = llm::model_file(changed(folder, "llama_tied", [](nlohmann::json& c) {
    c["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  }));
  CHECK(linear.shape.rope_factor == 4);
  const std::filesystem::path path = changed(folder, "llama_tied", [](nlohmann::json& c) {
    c["rope_theta"] = 10000.0;
    c["rope_scaling"] = {{"rope_type", "llama3"},
                         {"factor", 8.0},
                         {"low_freq_factor", 1.0},
                         {"high_freq_factor", 4.0},
                         {"original_max_position_embeddings", 256}};
  });
  const llm::model_file llama3(path);
  CHECK(llama3.shape.rope_factor == 1);
  const llm::stored_tensor& divisors = llama3.source->get("rope_freqs.weight");
  REQUIRE(divisors.cols == 4);
  std::vector<float> values(4);
  llama3.source->read_rows(divisors, {0, 1}, {values.data(), 1, 4});
  // Wave lengths 2 pi 10^i: 6.3 and 62.8 are below 256 / 4 = 64, the others above 256 / 1.
  CHECK(values == std::vector<float>{1, 1, 8, 8});
  // They are used: the logits after several tokens change.
  const std::vector<llm::token_id> tokens{3, 17, 60, 9, 9, 41};
  const auto scaled = logits_of(path, tokens);
  const auto plain = logits_of(
      changed(folder, "llama_tied", [](nlohmann::json& c) { c["rope_theta"] = 10000.0; }), tokens);
  CHECK(scaled[0] == plain[0]);
  CHECK(scaled[5] != plain[5]);
}

TEST_CASE("folders that are no models are refused in one sentence") {
  const llm::temporary_folder folder{{}};
  const auto refused = [&](const char* name, const std::function<void(nlohmann::json&)>& change) {
    return refusal(changed(folder, name, change));
  };
  struct wrong {
    const char *name, *sentence;
    std::function<void(nlohmann::json&)> change;
  };
  for (const wrong& w : std::vector<wrong>{
           {"llama_tied", "no tensor 'lm_head.weight'",
            [](nlohmann::json& j) { j["tie_word_embeddings"] = false; }},
           {"llama_tied", "MambaForCausalLM",
            [](nlohmann::json& j) { j["architectures"] = {"MambaForCausalLM"}; }},
           {"llama_tied", "'model.layers.2.",
            [](nlohmann::json& j) { j["num_hidden_layers"] = 3; }},
           {"llama_tied", "'model.layers.1.",
            [](nlohmann::json& j) { j["num_hidden_layers"] = 1; }},
           {"llama_tied", "[64, 32]", [](nlohmann::json& j) { j["intermediate_size"] = 64; }},
           {"llama_tied", ".bias'", [](nlohmann::json& j) { j["attention_bias"] = true; }},
           {"qwen2_bias_f16", ".bias'",
            [](nlohmann::json& j) {
              j["architectures"] = {"LlamaForCausalLM"};
              j["model_type"] = "llama";
            }},
           {"llama_tied", "yarn",
            [](nlohmann::json& j) { j["rope_scaling"] = {{"type", "yarn"}, {"factor", 2.0}}; }},
           {"qwen2_bias_f16", "windows that slide", [](nlohmann::json& j) {
              j["use_sliding_window"] = true;
              j["max_window_layers"] = 0;
            }}}) {
    CAPTURE(w.sentence);
    CHECK(contains(refused(w.name, w.change), w.sentence));
  }
  CHECK(refused("llama_tied", [](nlohmann::json&) {}).empty());
  // One file of the folder, by a name that says nothing of the others.
  const auto alone = folder.path() / "tensors.safetensors";
  CHECK(contains(refusal(alone), "tensors.safetensors"));
  CHECK(!contains(refusal(alone), "with config.json"));
  std::filesystem::copy_file(folder.path() / "changed" / "model.safetensors", alone);
  CHECK(contains(refusal(alone), "give the folder it is in, with config.json"));
  std::filesystem::remove(folder.path() / "changed" / "config.json");
  CHECK(contains(refusal(folder.path() / "changed"), "config.json"));
  std::filesystem::remove(folder.path() / "changed" / "model.safetensors");
  CHECK(contains(refusal(folder.path() / "changed"), "model.safetensors"));
}

TEST_CASE("a folder that is refused is inspected all the same") {
  const llm::temporary_folder folder{{}};
  const llm::inspection found = llm::inspect_checkpoint(changed(
      folder, "llama_tied", [](nlohmann::json& c) { c["architectures"] = {"MambaForCausalLM"}; }));
  CHECK(contains(found.why_not_run, "MambaForCausalLM"));
  CHECK(!found.why_no_tokenizer.empty());
  REQUIRE(found.roles.size() >= 4);
  CHECK(found.roles[0].role == "embedding");
  CHECK(found.roles[0].types.at("F32") == 1);
  CHECK(found.roles[0].bits_per_weight() == 32);

  const llm::inspection good = llm::inspect_checkpoint(golden_folder / "qwen3_sharded");
  CHECK(good.why_not_run.empty());
  CHECK(good.architecture == "Qwen3ForCausalLM");
  CHECK(good.shape->head_size == 16);
  CHECK(good.inexact.empty());
  CHECK(good.refused.empty());
  CHECK(good.tools.empty());

  // With a tokenizer and the chat templates of others.
  const std::filesystem::path data{EDGERAZOR_TEST_DATA};
  const auto talks = changed(folder, "qwen3_sharded", [](nlohmann::json&) {});
  nlohmann::json words;
  std::ifstream(data / "tokenizers" / "qwen.json") >> words;
  words["model"]["vocab"] = {{"a", 0}};
  words["model"]["merges"] = nlohmann::json::array();
  words["added_tokens"] = {words["added_tokens"][0], words["added_tokens"][0]};
  for (const std::size_t i : {0U, 1U}) {
    words["added_tokens"][i]["content"] = i == 0 ? "<|im_start|>" : "<|im_end|>";
    words["added_tokens"][i]["special"] = true;
    words["added_tokens"][i]["id"] = i + 1;
  }
  std::ofstream(talks / "tokenizer.json") << words;
  nlohmann::json templates;
  std::ifstream(data / "chat_templates.json") >> templates;
  const auto with = [&](const char* name, const char* from, const char* to) {
    std::string jinja = templates["templates"][name];
    if (const std::size_t at = jinja.find(from); at != std::string::npos)
      jinja.replace(at, std::string(from).size(), to);
    std::ofstream(talks / "chat_template.jinja") << jinja;
    const llm::inspection one = llm::inspect_checkpoint(talks);
    CHECK(one.why_no_tokenizer == "");
    CHECK(one.chat == "chatml");
    return one.tools;
  };
  CHECK(with("qwen3", "", "") == "yes");
  CHECK(with("qwen3", "tool | tojson", "tool | tojson(indent=2)") == "refused");
  CHECK(with("smollm2", "", "") == "no");
}

TEST_SUITE_END();
