// SPDX-License-Identifier: Apache-2.0
// Models written as folders, and read again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "llm/config_json.hpp"
#include "llm/convert.hpp"
#include "llm/decoder.hpp"
#include "llm/demo_model.hpp"
#include "llm/options.hpp"
#include "llm/temporary_folder.hpp"
#include "llm/tokenizer_gguf.hpp"
#include <edgerazor/core/float16.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("llm/folder_output");

namespace {

/// The demo model, a llama of GGUF, made once.
const std::filesystem::path& demo_model() {
  static const llm::temporary_folder folder{{}};
  static const std::filesystem::path path = [] {
    llm::make_demo_model(folder.path() / "demo.gguf");
    return folder.path() / "demo.gguf";
  }();
  return path;
}

std::vector<float> last_logits(const std::filesystem::path& path, const er::recipe& how = {}) {
  llm::thread_pool threads(2);
  const llm::model model = llm::model_file(path).load(how, threads);
  const std::vector<llm::token_id> tokens{5, 17, 60, 9, 9, 41, 100, 3};
  llm::decoder runs(model, threads, tokens.size());
  const std::span<const float> logits = runs.next(tokens);
  return {logits.begin(), logits.end()};
}

er::recipe recipe_named(const std::string& name) {
  return llm::recipe_for(name, {}, llm::model_file(demo_model()).shape);
}

llm::conversion write(const std::string& recipe, llm::folder_kind kind,
                      const std::filesystem::path& to) {
  llm::thread_pool threads(2);
  return llm::write_folder(llm::model_file(demo_model()),
                           recipe.empty() ? er::recipe{} : recipe_named(recipe), kind, to, threads);
}

std::size_t files_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

std::vector<float> row_of(const llm::model_file& file, const std::string& name, std::size_t row) {
  const llm::stored_tensor& tensor = file.source->get(name);
  std::vector<float> values(tensor.cols);
  file.source->read_rows(tensor, {row, row + 1}, {values.data(), 1, values.size()});
  return values;
}

/// A model of one layer whose matrices have the types of a Q4_K_M file, in random blocks.
void write_mixed_model(const std::filesystem::path& path, llm::architecture arch) {
  llm::vocabulary words = llm::model_file(demo_model()).read_tokenizer().data();
  const llm::geometry shape{arch, 1, 256, 512, 4, 2, 64, 64, words.tokens.size(), 128, 1e4, 1e-5f};
  er::gguf_writer writer;
  llm::add_geometry(writer, shape);
  llm::write_vocabulary(writer, words);
  std::mt19937 random(4);
  std::deque<std::vector<std::byte>> blocks;
  const auto matrix = [&](const std::string& name, er::ggml_type type, std::size_t rows,
                          std::size_t cols) {
    const er::ggml_type_info& info = er::info_of(type);
    std::vector<std::byte>& bytes =
        blocks.emplace_back(rows * cols / info.block * info.block_bytes);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 255u);
    // The scales of a block: two at its beginning, or of Q6_K one at its end.
    const std::uint16_t scale = er::float16{0.01f}.bits;
    const std::size_t at = type == er::ggml_type::q6_k ? 208 : 0;
    const std::size_t size = type == er::ggml_type::q4_k ? 4 : 2;
    for (std::size_t block = 0; block < bytes.size(); block += info.block_bytes) {
      for (std::size_t i = 0; i < size; i += 2)
        std::memcpy(bytes.data() + block + at + i, &scale, sizeof scale);
    }
    writer.add_tensor(name + ".weight", type, {cols, rows}, bytes);
  };
  std::deque<std::vector<float>> vectors;
  const auto vector = [&](const std::string& name, std::size_t size) {
    std::vector<float>& values = vectors.emplace_back(size);
    for (float& value : values) value = static_cast<float>(random() % 1000) / 999;
    writer.add_tensor(name, er::ggml_type::f32, {size}, std::as_bytes(std::span{values}));
  };
  using enum er::ggml_type;
  matrix("token_embd", q8_0, shape.vocabulary, shape.hidden);
  matrix("blk.0.attn_q", q4_k, shape.query_size(), shape.hidden);
  matrix("blk.0.attn_k", q5_0, shape.kv_size(), shape.hidden);
  matrix("blk.0.attn_v", q6_k, shape.kv_size(), shape.hidden);
  matrix("blk.0.attn_output", q4_k, shape.hidden, shape.query_size());
  matrix("blk.0.ffn_gate", q4_k, shape.feed_forward, shape.hidden);
  matrix("blk.0.ffn_up", q4_k, shape.feed_forward, shape.hidden);
  matrix("blk.0.ffn_down", q6_k, shape.hidden, shape.feed_forward);
  for (const char* norm : {"blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"})
    vector(norm, shape.hidden);
  if (arch == llm::architecture::qwen2) {
    vector("blk.0.attn_q.bias", shape.query_size());
    vector("blk.0.attn_k.bias", shape.kv_size());
    vector("blk.0.attn_v.bias", shape.kv_size());
  }
  writer.write(path);
}

}  // namespace

TEST_CASE("a folder of numbers is the model that it was made from, and makes it again") {
  const llm::temporary_folder folder{{}};
  llm::thread_pool threads(2);
  struct kind {
    llm::folder_kind folder;
    const char* recipe;
  };
  for (const kind& k : {kind{llm::folder_kind::f32, "f32"}, kind{llm::folder_kind::f16, "f16"},
                        kind{llm::folder_kind::bf16, "bf16"}}) {
    CAPTURE(k.recipe);
    const std::filesystem::path made = folder.path() / k.recipe;
    const llm::conversion done = write("", k.folder, made);
    CHECK(last_logits(made) == last_logits(demo_model(), recipe_named(k.recipe)));
    // The demo's numbers are float16: bfloat16 holds few of them.
    CHECK(done.losses.empty() == (k.folder != llm::folder_kind::bf16));
    for (const llm::conversion::loss& one : done.losses) {
      CHECK(one.relative > 0);
      CHECK(one.relative < 0x1p-18);  // of each number at most 2^-9, squared
    }

    const std::filesystem::path again = folder.path() / "again.gguf";
    llm::write_quantized(llm::model_file(made), er::recipe{}, again, threads);
    CHECK(last_logits(again) == last_logits(made));
    const er::gguf_reader first = er::gguf_reader::open(demo_model()),
                          second = er::gguf_reader::open(again);
    for (const er::tensor_info& tensor : first.tensors()) {
      CAPTURE(tensor.name);
      if (k.folder == llm::folder_kind::f16)
        CHECK(std::ranges::equal(tensor.bytes, second.get(tensor.name).bytes));
    }
    const llm::tokenizer before = llm::model_file(demo_model()).read_tokenizer(),
                         after = llm::model_file(again).read_tokenizer();
    CHECK(before.data().tokens == after.data().tokens);
    CHECK(before.data().merges == after.data().merges);
  }
}

TEST_CASE("a Q4_K_M file as a folder, and that as GGUF again, is the same numbers") {
  const llm::temporary_folder folder{{}};
  llm::thread_pool threads(2);
  for (const auto arch : {llm::architecture::llama, llm::architecture::qwen2}) {
    CAPTURE(llm::name_of(arch));
    const std::filesystem::path mixed = folder.path() / "mixed.gguf",
                                made = folder.path() / llm::name_of(arch),
                                again = folder.path() / "again.gguf";
    write_mixed_model(mixed, arch);
    const llm::model_file before(mixed);
    before.require_complete();
    CHECK(llm::write_folder(before, {}, llm::folder_kind::f32, made, threads).losses.empty());
    CHECK(llm::write_quantized(llm::model_file(made), {}, again, threads).losses.empty());
    const llm::model_file after(again);
    after.require_complete();
    CHECK(before.source->tensors().size() == after.source->tensors().size());
    for (const llm::stored_tensor& tensor : before.source->tensors()) {
      CAPTURE(tensor.name);
      for (std::size_t row = 0; row < tensor.rows; row += 7)
        CHECK(row_of(before, tensor.name, row) == row_of(after, tensor.name, row));
    }
  }
}

TEST_CASE("packed folders keep codes and scales") {
  const llm::temporary_folder folder{{}};
  llm::thread_pool threads(2);
  const std::filesystem::path mixed = folder.path() / "mixed.gguf";
  write_mixed_model(mixed, llm::architecture::llama);
  struct kind {
    llm::folder_kind folder;
    const char *recipe, *method;
  };
  for (const kind& k : {kind{llm::folder_kind::edgerazor, "w4", "edgerazor"},
                        kind{llm::folder_kind::edgerazor, "w1_58", "edgerazor"},
                        kind{llm::folder_kind::gptq, "w4", "gptq"},
                        kind{llm::folder_kind::compressed_tensors, "w4", "compressed-tensors"}}) {
    CAPTURE(k.method);
    CAPTURE(k.recipe);
    const std::filesystem::path made = folder.path() / (std::string{k.method} + k.recipe);
    const er::recipe how = llm::recipe_for(k.recipe, {}, llm::model_file(mixed).shape);
    llm::write_folder(llm::model_file(mixed), how, k.folder, made, threads);
    const nlohmann::json config = nlohmann::json::parse(std::ifstream(made / "config.json"));
    CHECK(config["quantization_config"]["quant_method"] == k.method);

    const llm::model_file file(made);
    file.require_complete();
    for (const llm::stored_tensor& tensor : file.source->tensors()) {
      CAPTURE(tensor.name);
      CHECK(tensor.refusal.empty());
      if (tensor.is_matrix && tensor.name.starts_with("blk.")) CHECK(tensor.is_packed());
    }
    // What the recipe makes of the model, before and after: formats differ in their scales' type
    // and groups, values do not.
    const std::filesystem::path direct = folder.path() / "direct.gguf";
    const std::filesystem::path gguf = folder.path() / "packed.gguf";
    CHECK(llm::write_quantized(file, er::recipe{}, gguf, threads).losses.empty());
    llm::write_quantized(llm::model_file(mixed), how, direct, threads);
    const llm::model_file stored(gguf), expected(direct);
    for (const llm::stored_tensor& tensor : file.source->tensors()) {
      CAPTURE(tensor.name);
      for (const std::size_t row : {std::size_t{0}, tensor.rows / 2, tensor.rows - 1}) {
        const std::vector<float> values = row_of(file, tensor.name, row);
        CHECK(values == row_of(stored, tensor.name, row));
        // EdgeRazor's scales are bfloat16, the recipe's float16.
        if (k.folder != llm::folder_kind::edgerazor && tensor.name.starts_with("blk."))
          CHECK(values == row_of(expected, tensor.name, row));
      }
    }
  }
}

TEST_CASE("a folder appears whole or not at all") {
  const llm::temporary_folder folder{{}};
  std::filesystem::create_directory(folder.path() / "full");
  std::ofstream(folder.path() / "full" / "mine") << "mine";
  CHECK_THROWS_AS(write("", llm::folder_kind::f16, folder.path() / "full"), er::io_error);
  CHECK(files_in(folder.path() / "full") == 1);
  // Codes are asked for, and there are none; layers that are int4 are no BitNet.
  CHECK_THROWS_AS(write("", llm::folder_kind::gptq, folder.path() / "none"), std::invalid_argument);
  CHECK_THROWS_AS(write("w4", llm::folder_kind::bitnet, folder.path() / "none"),
                  std::invalid_argument);
  CHECK(files_in(folder.path()) == 1);
  // An empty folder is taken.
  std::filesystem::create_directory(folder.path() / "empty");
  write("", llm::folder_kind::f16, folder.path() / "empty/");
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"})
    CHECK(std::filesystem::exists(folder.path() / "empty" / name));
  CHECK(files_in(folder.path()) == 2);
}

TEST_CASE("llama3's scaling is found in its divisors, and other divisors are not taken for it") {
  for (const double factor : {8.0, 32.0}) {
    CAPTURE(factor);
    std::vector<float> divisors = llm::divisors_of({factor, 1, 4, 8192}, 64, 500000);
    const auto found = llm::find_llama3_scaling(divisors, 500000);
    REQUIRE(found);
    CHECK(found->factor == factor);
    divisors[20] *= 1.5f;
    CHECK(!llm::find_llama3_scaling(divisors, 500000));
  }
}

TEST_SUITE_END();
