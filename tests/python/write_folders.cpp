// SPDX-License-Identifier: Apache-2.0
// write_folders FOLDER [MODEL]: small models, or that one, as folders for check_transformers.py to
// load with Hugging Face's transformers. Of each model
//
//     <model>.<kind>      a folder of that kind
//     <model>.<kind>.f32  the numbers that its matrices stand for
//     <model>.<kind>.json what examples/llm makes of those numbers: the tokens of a text, the
//                         logits behind each of them (a file of float32 of that name) and the
//                         tokens that follow it, the likeliest each time
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "llm/convert.hpp"
#include "llm/decoder.hpp"
#include "llm/demo_model.hpp"
#include "llm/options.hpp"
#include "llm/tokenizer_gguf.hpp"
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace er = edgerazor;

namespace {

using path = std::filesystem::path;

/// Ternary with one scale for all rows.
er::any_matrix tensorwise(er::matrix_view<const float> weights) {
  er::packed_storage storage(er::tile_layout({er::code_type::ternary2, 0, er::scale_kind::bfloat16},
                                             weights.rows, weights.cols));
  const er::any_matrix matrix =
      er::any_matrix::pack(*er::matrix_format::parse("ternary2_row_bf16"), weights);
  std::memcpy(storage.data(), matrix.bytes().data(), matrix.bytes().size());
  const er::bfloat16 scale{0.0734f};
  for (std::size_t r = 0; r < weights.rows; ++r)
    std::memcpy(storage.data() + storage.layout().scale_offset(r, 0), &scale, sizeof scale);
  return er::any_matrix::owner_of(std::move(storage));
}

/// A random model of two layers, with everything that its architecture has; `words` is some
/// model's vocabulary. With `ternary`, linear layers are ternary, one scale a matrix.
void write_random_model(const path& output, const llm::vocabulary& words, llm::architecture arch,
                        bool tied, bool ternary) {
  const llm::geometry shape{arch, 2,   128,   256, 4, 2, 32, 32, words.tokens.size(),
                            256,  1e4, 1e-5f, tied};
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  er::gguf_writer writer;
  llm::add_geometry(writer, shape);
  llm::write_vocabulary(writer, words);
  const auto values = [&](std::size_t count, float size, float mean) {
    std::vector<float> result(count);
    for (float& value : result) value = mean + size * normal(random);
    return result;
  };
  const auto keep = [&](const std::string& name, std::vector<std::uint64_t> extents,
                        std::vector<float> numbers) {
    writer.add_tensor(name, er::ggml_type::f32, std::move(extents),
                      [numbers = std::move(numbers)](er::tensor_sink& sink) {
                        sink.write(std::as_bytes(std::span{numbers}));
                      });
  };
  const auto vector = [&](const std::string& name, std::size_t count, float mean) {
    keep(name, {count}, values(count, 0.2f, mean));
  };
  std::deque<er::any_matrix> packed;  // the writer refers to them
  const auto matrix = [&](const std::string& name, std::size_t rows, std::size_t cols) {
    std::vector<float> numbers = values(rows * cols, 0.09f, 0);
    if (!ternary || !name.starts_with("blk.")) return keep(name, {cols, rows}, std::move(numbers));
    packed.push_back(tensorwise({numbers.data(), rows, cols}));
    er::add_matrix(writer, name, packed.back());
  };
  matrix("token_embd.weight", shape.vocabulary, shape.hidden);
  vector("output_norm.weight", shape.hidden, 1);
  if (!tied) matrix("output.weight", shape.vocabulary, shape.hidden);
  for (std::size_t i = 0; i < shape.layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    vector(block + "attn_norm.weight", shape.hidden, 1);
    vector(block + "ffn_norm.weight", shape.hidden, 1);
    const std::pair<const char*, std::size_t> inputs[] = {
        {"attn_q", shape.query_size()}, {"attn_k", shape.kv_size()}, {"attn_v", shape.kv_size()}};
    for (const auto& [name, rows] : inputs) {
      matrix(block + name + ".weight", rows, shape.hidden);
      if (arch == llm::architecture::qwen2) vector(block + name + ".bias", rows, 0);
    }
    if (arch == llm::architecture::qwen3) {
      vector(block + "attn_q_norm.weight", shape.head_size, 1);
      vector(block + "attn_k_norm.weight", shape.head_size, 1);
    }
    matrix(block + "attn_output.weight", shape.hidden, shape.query_size());
    matrix(block + "ffn_gate.weight", shape.feed_forward, shape.hidden);
    matrix(block + "ffn_up.weight", shape.feed_forward, shape.hidden);
    matrix(block + "ffn_down.weight", shape.hidden, shape.feed_forward);
  }
  writer.write(output);
}

/// What the model of a folder says to a text, with activations as they are.
void write_answers(const path& folder, const path& base, llm::thread_pool& threads) {
  const llm::model_file file(folder);
  const llm::model weights = file.load(er::recipe{}, threads);
  const llm::tokenizer words = file.read_tokenizer();
  const std::string text = "The lighthouse keeper has one task: every evening the lamp is lit.";
  const std::vector<llm::token_id> tokens = words.encode(text, llm::tokenizer::markup::plain);
  constexpr std::size_t following = 16;
  llm::decoder runs(weights, threads, tokens.size() + following);
  runs.forward(tokens);
  const er::matrix_view<const float> logits = runs.logits(0, tokens.size());
  std::ofstream numbers(base.string() + ".logits", std::ios::binary);
  const std::span<const std::byte> bytes =
      std::as_bytes(std::span{logits.data, tokens.size() * weights.shape.vocabulary});
  numbers.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
  std::vector<llm::token_id> likeliest;
  std::span<const float> last = logits.row(tokens.size() - 1);
  while (likeliest.size() < following) {
    const auto best = std::max_element(last.begin(), last.end()) - last.begin();
    likeliest.push_back(static_cast<llm::token_id>(best));
    last = runs.next(std::span{likeliest}.last(1));
  }
  std::ofstream(base.string() + ".json")
      << nlohmann::json{{"text", text}, {"tokens", tokens}, {"following", likeliest}}.dump();
}

void write(const path& model, const std::string& recipe, const std::string& kind,
           const path& folder, llm::thread_pool& threads) {
  const llm::model_file file(model);
  const auto named = [&](const std::string& name) { return llm::recipe_for(name, {}, file.shape); };
  const path out = folder / (model.stem().string() + "." + kind), numbers = out.string() + ".f32";
  llm::write_folder(file, named(recipe), llm::find_folder_kind(kind).value(), out, threads);
  llm::write_folder(llm::model_file(out), named("none"), llm::folder_kind::f32, numbers, threads);
  write_answers(numbers, out, threads);
}

void write_all(const path& folder) {
  llm::thread_pool threads(2);
  const path llama = folder / "llama.gguf", qwen2 = folder / "qwen2.gguf",
             qwen3 = folder / "qwen3.gguf", ternary = folder / "ternary.gguf";
  llm::make_demo_model(llama);
  const llm::vocabulary words = llm::model_file(llama).read_tokenizer().data();
  write_random_model(qwen2, words, llm::architecture::qwen2, true, false);
  write_random_model(qwen3, words, llm::architecture::qwen3, false, false);
  write_random_model(ternary, words, llm::architecture::llama, false, true);
  for (const path& model : {llama, qwen2, qwen3}) {
    for (const char* kind : {"hf-bf16", "hf-f16"}) write(model, "none", kind, folder, threads);
    for (const char* kind : {"compressed-tensors", "gptq"})
      write(model, "w4", kind, folder, threads);
  }
  write(ternary, "none", "bitnet", folder, threads);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2 && count != 3) {
    std::fprintf(stderr, "usage: write_folders FOLDER [MODEL]\n");
    return 2;
  }
  try {
    if (count == 3) {
      llm::thread_pool threads(2);
      write(arguments[2], "none", "hf-bf16", arguments[1], threads);
    } else {
      write_all(arguments[1]);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_folders: %s\n", error.what());
    return 1;
  }
}
