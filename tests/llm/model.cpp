// SPDX-License-Identifier: Apache-2.0
#include "llm/model.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "llm/command_line.hpp"
#include "llm/convert.hpp"
#include "llm/decoder.hpp"
#include "llm/default_text.hpp"
#include "llm/demo_model.hpp"
#include "llm/options.hpp"
#include "llm/quality.hpp"
#include "llm/temporary_folder.hpp"
#include "llm/worker_process.hpp"
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

namespace {

/// The demo model, made once.
const std::filesystem::path& demo_model() {
  static const llm::temporary_folder folder{{}};
  static const std::filesystem::path path = [] {
    llm::make_demo_model(folder.path() / "demo.gguf");
    return folder.path() / "demo.gguf";
  }();
  return path;
}

er::recipe recipe_named(const std::string& name) {
  return llm::recipe_for(name, {}, llm::model_file(demo_model()).shape);
}

std::vector<float> last_logits(const llm::model& model, const std::vector<llm::token_id>& tokens) {
  llm::thread_pool threads(1);
  llm::decoder runs(model, threads, tokens.size());
  const std::span<const float> logits = runs.next(tokens);
  return {logits.begin(), logits.end()};
}

std::vector<llm::token_id> some_text() {
  return llm::model_file(demo_model())
      .read_tokenizer()
      .encode("A lighthouse has one task", llm::tokenizer::markup::plain);
}

/// Copies the demo model but for one thing that `change` adds; a key set before wins over the copy.
template <class Change>
std::filesystem::path changed_model(const llm::temporary_folder& folder, Change change) {
  const er::gguf_reader reader = er::gguf_reader::open(demo_model());
  er::gguf_writer writer;
  change(writer);
  writer.copy_metadata(reader);
  for (const er::tensor_info& tensor : reader.tensors()) writer.copy_tensor(tensor);
  writer.write(folder.path() / "changed.gguf");
  return folder.path() / "changed.gguf";
}

/// The sentence with which a file is refused; empty where it is not.
std::string refusal(const std::filesystem::path& path) {
  try {
    llm::thread_pool threads(1);
    const llm::model_file file(path);
    (void)file.read_tokenizer();
    (void)file.load(er::recipe{}, threads);
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("the demo model follows the text it was made from") {
  const llm::model_file file(demo_model());
  const llm::tokenizer words = file.read_tokenizer();
  llm::thread_pool threads(1);
  const llm::model model = file.load(er::recipe{}, threads);
  CHECK(model.shape.vocabulary == words.size());
  // Nearly always the likeliest token is one that does follow somewhere in the text.
  const std::vector<llm::token_id> text =
      words.encode(llm::default_text, llm::tokenizer::markup::plain);
  std::set<std::pair<llm::token_id, llm::token_id>> pairs;
  for (std::size_t i = 1; i < text.size(); ++i) pairs.insert({text[i - 1], text[i]});
  int follows = 0;
  constexpr int tried = 100;
  for (std::size_t i = 0; i < tried; ++i) {
    const std::vector<float> logits = last_logits(model, {text[i]});
    const auto likeliest = std::max_element(logits.begin(), logits.end()) - logits.begin();
    follows += pairs.contains({text[i], static_cast<llm::token_id>(likeliest)}) ? 1 : 0;
  }
  CHECK(follows > 0.9 * tried);
}

TEST_CASE("a converted model is the model quantized at load, to the bit") {
  const llm::temporary_folder folder{{}};
  llm::thread_pool threads(2);
  const llm::model_file file(demo_model());
  for (const char* name : {"w4", "w2_79_a8_kv8", "w1_88", "w1_58", "f32", "bf16"}) {
    CAPTURE(name);
    const er::recipe how = recipe_named(name);
    const std::filesystem::path path = folder.path() / "converted.gguf";
    const llm::conversion done = llm::write_quantized(file, how, path, threads);
    CHECK(done.bytes_after == std::filesystem::file_size(path));
    const llm::model_file converted(path);
    CHECK(converted.source->recipe_name() == how.name);
    const llm::model stored = converted.load(er::recipe{}, threads),
                     quantized = file.load(how, threads);
    CHECK(stored.linear_layers().bits_per_weight() == quantized.linear_layers().bits_per_weight());
    CHECK(last_logits(stored, some_text()) == last_logits(quantized, some_text()));
    CHECK(converted.read_tokenizer().data().merges == file.read_tokenizer().data().merges);
  }
}

TEST_CASE("quantized models are not quantized again") {
  const llm::temporary_folder folder{{}};
  llm::thread_pool threads(1);
  llm::write_quantized(llm::model_file(demo_model()), recipe_named("w4"), folder.path() / "w4.gguf",
                       threads);
  const llm::model_file packed(folder.path() / "w4.gguf");
  CHECK_THROWS_AS(
      llm::write_quantized(packed, recipe_named("w1_58"), folder.path() / "x.gguf", threads),
      std::invalid_argument);
  CHECK_THROWS_AS((void)packed.load(recipe_named("w1_58"), threads), std::invalid_argument);
  CHECK_THROWS_AS(llm::write_exported(packed, recipe_named("w1_58"), er::ggml_type::f32,
                                      folder.path() / "x.gguf", threads),
                  std::invalid_argument);
  CHECK(!std::filesystem::exists(folder.path() / "x.gguf"));
}

TEST_CASE("a table has rows for recipes, and one for a model that is packed already") {
  const std::vector<std::string> names{"f16", "w4", "w1_58"};
  const llm::model_file plain(demo_model());
  CHECK(!plain.is_packed());
  CHECK(llm::recipes_for(names, true, {}, plain).size() == 3);

  const llm::temporary_folder folder{{}};
  llm::thread_pool threads(1);
  llm::write_quantized(plain, recipe_named("w4"), folder.path() / "w4.gguf", threads);
  const llm::model_file packed(folder.path() / "w4.gguf");
  CHECK(packed.is_packed());
  const std::vector<er::recipe> rows = llm::recipes_for(names, false, {}, packed);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].name == "w4_a8_kv8");
  CHECK(last_logits(packed.load(rows[0], threads), some_text()) ==
        last_logits(plain.load(recipe_named("w4"), threads), some_text()));
  CHECK_THROWS_AS((void)llm::recipes_for(names, true, {}, packed), std::invalid_argument);
  llm::quantize_options options;
  options.overrides = {"token_embd*=int8_g64"};
  CHECK_THROWS_AS((void)llm::recipes_for(names, false, options, packed), std::invalid_argument);
}

TEST_CASE("prompts leave room in the context for what is decoded") {
  llm::geometry shape;
  shape.context = 128;
  CHECK(llm::prompt_room(256, 32, shape) == 96);
  CHECK(llm::prompt_room(96, 32, shape) == 96);
  CHECK(llm::prompt_room(95, 32, shape) == 95);
  CHECK(llm::prompt_room(256, 127, shape) == 1);
  CHECK_THROWS_AS((void)llm::prompt_room(1, 128, shape), std::invalid_argument);
}

TEST_CASE("exported models hold the same numbers") {
  const llm::temporary_folder folder{{}};
  llm::thread_pool threads(1);
  const llm::model_file file(demo_model());
  const std::filesystem::path path = folder.path() / "exported.gguf";

  llm::write_exported(file, er::recipe{}, er::ggml_type::f32, path, threads);
  CHECK(last_logits(llm::model_file(path).load(er::recipe{}, threads), some_text()) ==
        last_logits(file.load(recipe_named("f32"), threads), some_text()));

  // Codes are copied: each type decodes to level * scale, as the packed matrix does.
  struct expectation {
    const char* recipe;
    er::ggml_type type, linear, embedding;
  };
  for (const expectation& e :
       {expectation{"w4", er::ggml_type::q4_0, er::ggml_type::q4_0, er::ggml_type::q4_0},
        expectation{"w1_58", er::ggml_type::tq1_0, er::ggml_type::tq1_0, er::ggml_type::q4_0},
        expectation{"w1_58", er::ggml_type::tq2_0, er::ggml_type::tq2_0, er::ggml_type::q4_0},
        expectation{"w1_88", er::ggml_type::q4_0, er::ggml_type::q4_0, er::ggml_type::q4_0}}) {
    CAPTURE(e.recipe);
    const er::recipe how = recipe_named(e.recipe);
    llm::write_exported(file, how, e.type, path, threads);
    const er::gguf_reader exported = er::gguf_reader::open(path);
    for (const auto& [name, type] :
         {std::pair{"blk.1.ffn_up.weight", e.linear}, {"token_embd.weight", e.embedding}}) {
      const er::tensor_info& tensor = exported.get(name);
      CHECK(tensor.type == type);
      llm::file_weights source(*file.source, how, threads);
      const er::any_matrix packed = source.matrix(name, tensor.rows(), tensor.cols());
      std::vector<float> expected(tensor.cols()), got(tensor.cols());
      for (const std::size_t row : {std::size_t{0}, std::size_t{1}, tensor.rows() - 1}) {
        er::look_up_row(packed, row, expected);
        exported.read_rows(tensor, {row, row + 1}, {got.data(), 1, got.size()});
        CHECK(got == expected);
      }
    }
  }
  CHECK_THROWS_AS(llm::write_exported(file, er::recipe{}, er::ggml_type::q4_0, path, threads),
                  std::invalid_argument);
  CHECK(llm::export_type("tq2_0") == er::ggml_type::tq2_0);
  CHECK_THROWS_AS((void)llm::export_type("q8_0"), std::invalid_argument);
}

TEST_CASE("recipes by name") {
  const er::recipe w4 = recipe_named("w4");
  CHECK(w4.name == "w4_a8_kv8");
  CHECK(w4.weight_format("blk.0.ffn_up.weight") == "int4_g256");
  CHECK(recipe_named("w1_58_a8_kv8").weight_format("token_embd.weight") == "int4_g256");
  CHECK(recipe_named("f32").weight_format("blk.0.attn_q.weight") == "f32");
  CHECK_THROWS_AS((void)recipe_named("w3"), std::invalid_argument);
  CHECK_THROWS_AS((void)recipe_named(""), std::invalid_argument);

  llm::quantize_options options;
  options.group = 32;
  options.overrides = {"token_embd*=int8_g32", "blk.1.*=f16"};
  const er::recipe changed = llm::recipe_for("w4", options, llm::model_file(demo_model()).shape);
  CHECK(changed.weight_format("blk.0.ffn_up.weight") == "int4_g32");
  CHECK(changed.weight_format("blk.1.ffn_up.weight") == "f16");
  CHECK(changed.weight_format("token_embd.weight") == "int8_g32");
  options.overrides = {"token_embd*"};
  CHECK_THROWS_AS((void)llm::recipe_for("w4", options, llm::model_file(demo_model()).shape),
                  std::invalid_argument);
}

TEST_CASE("a group that the columns allow") {
  CHECK(llm::default_group(*llm::find_geometry("smollm2-135m")) == 64);
  CHECK(llm::default_group(*llm::find_geometry("qwen3-0.6b")) == 256);
}

TEST_CASE("models that this program can't run are refused in one sentence") {
  const llm::temporary_folder folder{{}};
  CHECK(refusal(demo_model()).empty());
  const auto refused = [&](auto change) { return refusal(changed_model(folder, change)); };
  CHECK(refusal(folder.path() / "missing.gguf").find("missing.gguf") != std::string::npos);
  CHECK(refused([](er::gguf_writer& w) {
          w.set_string("general.architecture", "mamba");
        }).find("mamba") != std::string::npos);
  CHECK(refused([](er::gguf_writer& w) {
          w.set_string("tokenizer.ggml.model", "bert");
        }).find("tokenizer") != std::string::npos);
  CHECK(refused([](er::gguf_writer& w) {
          w.set_string("tokenizer.ggml.pre", "viking");
        }).find("viking") != std::string::npos);
  CHECK(refused([](er::gguf_writer& w) { w.set_u32("llama.block_count", 3); }).find("blk.2.") !=
        std::string::npos);
  CHECK(refused([](er::gguf_writer& w) { w.set_u32("llama.block_count", 1); }).find("blk.1.") !=
        std::string::npos);
  CHECK(refused([](er::gguf_writer& w) {
          w.set_u32("llama.block_count", 0);
        }).find("'llama.block_count' is 0") != std::string::npos);
  CHECK(refused([](er::gguf_writer& w) {
          w.set_u32("llama.attention.head_count_kv", 3);
        }).find("heads") != std::string::npos);
  CHECK(refused([](er::gguf_writer& w) {
          w.set_u32("llama.feed_forward_length", 256);
        }).find("ffn_gate") != std::string::npos);
  CHECK(refused([](er::gguf_writer& w) { w.set_u32("llama.expert_count", 4); }).find("experts") !=
        std::string::npos);
  CHECK(refused([](er::gguf_writer& w) {
          w.set_string("llama.rope.scaling.type", "yarn");
        }).find("yarn") != std::string::npos);
  CHECK(refused([](er::gguf_writer& w) {
          w.add_tensor("blk.0.surprise.weight", er::ggml_type::f32, {4},
                       [](er::tensor_sink& sink) { sink.write(std::vector<std::byte>(16)); });
        }).find("surprise") != std::string::npos);
}

TEST_CASE("numbers of a model that are none, or mean nothing, are refused with their key") {
  const llm::temporary_folder folder{{}};
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinite = std::numeric_limits<float>::infinity();
  const auto real = [&](const std::string& key, float value) {
    return refusal(changed_model(folder, [&](er::gguf_writer& w) { w.set_f32(key, value); }));
  };
  const auto size = [&](const std::string& key, std::int64_t value) {
    return refusal(changed_model(folder, [&](er::gguf_writer& w) { w.set_i64(key, value); }));
  };
  const auto names = [](const std::string& sentence, const std::string& key) {
    CAPTURE(sentence);
    CAPTURE(key);
    CHECK(sentence.find("'" + key + "'") != std::string::npos);
  };
  for (const float bad : {nan, infinite, -infinite, 0.0f, -1e-5f, 1e30f})
    names(real("llama.attention.layer_norm_rms_epsilon", bad),
          "llama.attention.layer_norm_rms_epsilon");
  for (const float bad : {nan, infinite, 0.0f, -10000.0f})
    names(real("llama.rope.freq_base", bad), "llama.rope.freq_base");
  for (const float bad : {nan, infinite, 0.0f, -4.0f})
    names(real("llama.rope.scaling.factor", bad), "llama.rope.scaling.factor");
  for (const float bad : {nan, infinite, 4.0f, 0.0f}) {
    for (const char* key : {"llama.rope.scale_linear", "llama.rope.scaling.attn_factor",
                            "llama.logit_scale", "llama.embedding_scale", "llama.residual_scale"})
      names(real(key, bad), key);
  }
  CHECK(real("llama.rope.scaling.factor", 1).empty());
  CHECK(real("llama.rope.scaling.factor", 4).empty());  // linear, as llama.cpp has it
  CHECK(real("llama.rope.freq_base", 500000).empty());
  for (const char* key : {"llama.block_count", "llama.context_length", "llama.embedding_length",
                          "llama.feed_forward_length", "llama.attention.head_count",
                          "llama.attention.head_count_kv", "llama.attention.key_length",
                          "llama.attention.value_length", "llama.rope.dimension_count"}) {
    for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 40})
      names(size(key, bad), key);
  }
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    names(size(key, -1), key);
    names(size(key, 1'000'000), key);
  }
  // With the type "none", as exporters write it beside a factor.
  CHECK(refusal(changed_model(folder, [](er::gguf_writer& w) {
          w.set_string("llama.rope.scaling.type", "none");
          w.set_f32("llama.rope.scaling.factor", 4);
        })).empty());
}

TEST_CASE("the ends of a turn and of a message that a file names end a text") {
  const llm::temporary_folder folder{{}};
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                          "tokenizer.ggml.eom_token_id"}) {
    CAPTURE(key);
    const std::filesystem::path path =
        changed_model(folder, [&](er::gguf_writer& w) { w.set_u32(key, 7); });
    CHECK(llm::model_file(path).read_tokenizer().ends_text(7));
    CHECK(!llm::model_file(demo_model()).read_tokenizer().ends_text(7));
  }
}

TEST_CASE("a part of a model is not taken for one, and nothing is written from it") {
  const llm::temporary_folder folder{{}};
  const auto conversion = [&](const std::filesystem::path& path) {
    const std::filesystem::path output = folder.path() / "out.gguf";
    const support::outcome end = llm::run(
        {"convert", "--model", path.string(), "--recipe", "w4", "--output", output.string()});
    CHECK(end.code == 1);
    CHECK(!std::filesystem::exists(output));
    return end.message;
  };
  CHECK(conversion(changed_model(folder, [](er::gguf_writer& w) {
          w.set_u16("split.no", 0);
          w.set_u16("split.count", 3);
        })).find("part 1 of 3 of a split model") != std::string::npos);

  const er::gguf_reader reader = er::gguf_reader::open(demo_model());
  const std::filesystem::path part = folder.path() / "part.gguf";
  er::gguf_writer vocabulary;
  vocabulary.copy_metadata(reader);
  vocabulary.write(part);
  CHECK(conversion(part).find("no tensors") != std::string::npos);
  for (const er::tensor_info& missing : reader.tensors()) {
    if (missing.name == "output.weight") continue;  // the embedding is then the head
    CAPTURE(missing.name);
    er::gguf_writer writer;
    writer.copy_metadata(reader);
    for (const er::tensor_info& tensor : reader.tensors())
      if (&tensor != &missing) writer.copy_tensor(tensor);
    writer.write(part);
    CHECK(conversion(part).find(missing.name) != std::string::npos);
    CHECK(refusal(part).find(missing.name) != std::string::npos);
  }
  // A type that is not decoded is seen before other tensors are quantized.
  er::gguf_writer writer;
  writer.copy_metadata(reader);
  for (const er::tensor_info& tensor : reader.tensors()) {
    if (tensor.name != "blk.1.ffn_down.weight") {
      writer.copy_tensor(tensor);
      continue;
    }
    writer.add_tensor(tensor.name, er::ggml_type::i16, {tensor.dims[0], tensor.dims[1]},
                      [&](er::tensor_sink& sink) {
                        sink.write(std::vector<std::byte>(2 * tensor.dims[0] * tensor.dims[1]));
                      });
  }
  writer.write(part);
  CHECK(conversion(part).find("not decoded") != std::string::npos);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);
}

TEST_CASE("a split model is converted as the whole one, and not by another part than the first") {
  const llm::temporary_folder folder{{}};
  const er::gguf_reader whole = er::gguf_reader::open(demo_model());
  const std::size_t count = whole.tensors().size();
  const auto write_part = [&](const char* name, int number, std::size_t begin, std::size_t end) {
    er::gguf_writer writer;
    if (number == 0) {
      writer.copy_metadata(whole);
    } else {
      writer.set_string("general.architecture", "llama");
    }
    writer.set_u16("split.no", static_cast<std::uint16_t>(number));
    writer.set_u16("split.count", 2);
    writer.set_i32("split.tensors.count", static_cast<std::int32_t>(count));
    for (std::size_t i = begin; i < end; ++i) writer.copy_tensor(whole.tensors()[i]);
    writer.write(folder.path() / name);
  };
  write_part("m-00001-of-00002.gguf", 0, 0, count / 2);
  write_part("m-00002-of-00002.gguf", 1, count / 2, count);
  const auto convert = [&](const std::filesystem::path& model, const char* output) {
    return llm::run({"convert", "--model", model.string(), "--recipe", "w4", "--output",
                     (folder.path() / output).string()});
  };
  CHECK(convert(folder.path() / "m-00001-of-00002.gguf", "split.gguf").code == 0);
  CHECK(convert(demo_model(), "whole.gguf").code == 0);
  const auto bytes_of = [&](const char* name) {
    std::ifstream file(folder.path() / name, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  CHECK(bytes_of("split.gguf") == bytes_of("whole.gguf"));
  const support::outcome second = convert(folder.path() / "m-00002-of-00002.gguf", "no.gguf");
  CHECK(second.code == 1);
  CHECK(second.message.find(
            "part 2 of 2 of a split model; open the first, 'm-00001-of-00002.gguf'") !=
        std::string::npos);
  std::filesystem::remove(folder.path() / "m-00002-of-00002.gguf");
  CHECK(convert(folder.path() / "m-00001-of-00002.gguf", "no.gguf").code == 1);
  CHECK(!std::filesystem::exists(folder.path() / "no.gguf"));
}

TEST_CASE("a name from a file reaches no message as it stands") {
  const llm::temporary_folder folder{{}};
  const std::string evil = "\x1b]0;owned\x07\x1b[2J" + std::string(100'000, 'x');
  for (const char* key : {"general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre",
                          "llama.rope.scaling.type"}) {
    CAPTURE(key);
    const std::string sentence =
        refusal(changed_model(folder, [&](er::gguf_writer& w) { w.set_string(key, evil); }));
    CHECK(sentence.find("\\x1b]0;owned\\x07") != std::string::npos);
    CHECK(sentence.size() < 400);
    CHECK(sentence == er::printable(sentence, 400));
  }
  const std::string sentence = refusal(folder.path() / "a\x1b[2J.gguf");
  CHECK(sentence == er::printable(sentence, 400));
}

TEST_CASE("quality: a model agrees with itself, and quantization costs") {
  const llm::model_file file(demo_model());
  const llm::tokenizer words = file.read_tokenizer();
  const std::vector<llm::token_id> text = words.encode(
      "The light itself was never very strong. For a long time it was a fire of coal or wood.",
      llm::tokenizer::markup::plain);
  llm::thread_pool threads(2);
  std::vector<llm::model> models;
  for (const char* name : {"f16", "f16", "w1_58"})
    models.push_back(file.load(recipe_named(name), threads));
  const auto whole = llm::measure_quality(models, text, 64, {}, threads, er::best_kernel());
  CHECK(whole[0].perplexity > 1);
  CHECK(whole[1].perplexity == whole[0].perplexity);
  CHECK(whole[1].divergence == 0);
  CHECK(whole[1].top_agreement == 1);
  CHECK(whole[2].divergence > 0.001);
  CHECK(whole[2].top_agreement <= 1);

  // Perplexity by hand: the mean of -ln softmax(logits)[next token].
  llm::decoder runs(models[0], threads, text.size());
  double surprise = 0;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    double sum = 0;
    const std::span<const float> logits = runs.next({&text[i], 1});
    for (const float x : logits) sum += std::exp(static_cast<double>(x));
    surprise += std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(text[i + 1])]);
  }
  CHECK(whole[0].perplexity ==
        doctest::Approx(std::exp(surprise / static_cast<double>(text.size() - 1))).epsilon(1e-9));

  // Windows begin anew: with windows of one token, a token's prediction depends on itself alone.
  const auto alone = llm::measure_quality(models, text, 1, {}, threads, er::best_kernel());
  surprise = 0;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    double sum = 0;
    runs.truncate(0);
    const std::span<const float> logits = runs.next({&text[i], 1});
    for (const float x : logits) sum += std::exp(static_cast<double>(x));
    surprise += std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(text[i + 1])]);
  }
  CHECK(alone[0].perplexity ==
        doctest::Approx(std::exp(surprise / static_cast<double>(text.size() - 1))).epsilon(1e-9));

  // With a beginning token the text's first token is predicted too, and each token once.
  const auto begun =
      llm::measure_quality(models, text, 7, words.data().eos, threads, er::best_kernel());
  CHECK(std::isfinite(begun[0].perplexity));
  CHECK(begun[1].divergence == 0);
  CHECK_THROWS_AS(
      llm::measure_quality(models, std::span{text}.first(1), 7, {}, threads, er::best_kernel()),
      std::invalid_argument);
}

TEST_CASE("worker processes answer in turn, keep their state, and hand on what went wrong") {
  const auto counter = [] {
    auto count = std::make_shared<int>(0);
    return [count](const nlohmann::json& request) -> nlohmann::json {
      if (request == "fail") throw std::runtime_error("as asked");
      return *count += request.get<int>();
    };
  };
  std::vector<llm::worker_process> workers;
  for (int i = 0; i < 3; ++i) workers.emplace_back(counter);
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 3; ++i) {
      CHECK(workers[static_cast<std::size_t>(i)].ask(i + 1) == round * (i + 1));
    }
  }
  CHECK_THROWS_WITH(workers[1].ask("fail"), "as asked");
  CHECK(workers[1].ask(0) == 6);
}

TEST_CASE("a temporary folder goes, a named one stays") {
  std::filesystem::path path;
  {
    const llm::temporary_folder folder{{}};
    path = folder.path();
    CHECK(std::filesystem::is_directory(path));
    const llm::temporary_folder named(path / "inside");
  }
  CHECK(!std::filesystem::exists(path));
  const llm::temporary_folder folder{{}};
  {
    const llm::temporary_folder named(folder.path() / "stays");
  }
  CHECK(std::filesystem::is_directory(folder.path() / "stays"));
}
