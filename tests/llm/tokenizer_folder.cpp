// SPDX-License-Identifier: Apache-2.0
#include "llm/tokenizer_folder.hpp"

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "llm/temporary_folder.hpp"
#include "llm/tokenizer_gguf.hpp"
#include "support/golden.hpp"
#include <edgerazor/core/contract.hpp>

namespace {

using nlohmann::json;
using markup = llm::tokenizer::markup;

constexpr std::size_t rows = 600;
const char* const families[] = {"qwen", "llama3", "smollm2", "llama2", "gemma"};

/// A folder that holds one of the data's tokenizers.
class model_folder {
 public:
  explicit model_folder(const std::string& family = {}) : folder_({}) {
    if (family.empty()) return;
    tokenizer = golden::load("tokenizers/" + family + ".json");
    save();
  }

  void save() const { write("tokenizer.json", tokenizer.dump()); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path() / name, std::ios::binary) << text;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }
  [[nodiscard]] llm::tokenizer read() const { return llm::read_tokenizer(path(), rows); }

  /// The sentence with which it is refused; empty where it is not.
  [[nodiscard]] std::string refusal() const {
    try {
      (void)read();
      return {};
    } catch (const edgerazor::io_error& error) {
      return error.what();
    }
  }

  json tokenizer;

 private:
  llm::temporary_folder folder_;
};

/// What a change of a tokenizer.json is refused with.
std::string refused_with(const std::string& family, const std::function<void(json&)>& change) {
  model_folder folder(family);
  change(folder.tokenizer);
  folder.save();
  return folder.refusal();
}

bool says(const std::string& sentence, const std::string& part) {
  INFO(sentence);
  return sentence.find(part) != std::string::npos &&
         sentence.find(".json") != std::string::npos;  // which file
}

/// Counts where `words` give what Hugging Face's tokenizers give.
void check_encodings(const llm::tokenizer& words, const json& cases) {
  for (const json& item : cases) {
    const std::string text = item["text"];
    CAPTURE(text);
    const std::vector<llm::token_id> ids = words.encode(text, markup::control_tokens, false);
    CHECK(ids == item["ids"].get<std::vector<llm::token_id>>());
    CHECK(words.encode(text, markup::control_tokens) ==
          item["ids_with_special"].get<std::vector<llm::token_id>>());
    CHECK(words.decode(ids) == item["decoded"].get<std::string>());
  }
}

}  // namespace

TEST_CASE("encodings are those of Hugging Face's tokenizers") {
  const json expected = golden::load("tokenizers/expected.json");
  for (const char* family : families) {
    CAPTURE(family);
    REQUIRE(expected[family].size() == 14);
    check_encodings(model_folder(family).read(), expected[family]);
  }
}

TEST_CASE("a vocabulary survives GGUF, and the way back into a folder") {
  const json expected = golden::load("tokenizers/expected.json");
  for (const char* family : families) {
    CAPTURE(family);
    const llm::vocabulary read = llm::read_vocabulary(model_folder(family).path(), rows);
    const model_folder other;
    edgerazor::gguf_writer writer;
    writer.set_string("general.architecture", "llama");
    llm::write_vocabulary(writer, read);
    writer.write(other.path() / "words.gguf");
    const llm::vocabulary words =
        llm::read_vocabulary(edgerazor::gguf_reader::open(other.path() / "words.gguf"));
    check_encodings(llm::tokenizer(words), expected[family]);
    CHECK(words.tokens == read.tokens);
    CHECK(words.types == read.types);
    CHECK(words.merges == read.merges);
    CHECK(words.bos == read.bos);
    CHECK(words.compose == read.compose);
    llm::write_vocabulary(other.path(), words);
    check_encodings(other.read(), expected[family]);
  }
}

TEST_CASE("scores become merges that give the same tokens") {
  llm::vocabulary words;
  words.letters = llm::vocabulary::spelling::characters;
  words.words = llm::pre_tokenizer::none;
  words.space = llm::vocabulary::leading_space::always;
  words.fuse_unknown = words.strip_leading_space = true;
  words.unknown_token = 0;
  words.tokens = {"<unk>", "a", "b", "c", "ab", "abc", "bc", "\u2581", "\u2581a"};
  words.types = {2, 1, 1, 1, 1, 1, 1, 1, 1};
  words.scores = {0, -9, -9, -9, -2, -3, -1, -9, -4};
  const model_folder folder;
  llm::write_vocabulary(folder.path(), words);
  const llm::tokenizer scored(words);
  const llm::tokenizer merged = llm::read_tokenizer(folder.path(), words.tokens.size());
  CHECK(scored.encode("abc a?b", markup::plain) ==
        std::vector<llm::token_id>{7, 5, 8, 0, 2});  // bc, then abc before \u2581a
  for (const char* text : {"abc", "aabbcc", "a b c", "?? ab?c", " abcabc"}) {
    CAPTURE(text);
    CHECK(merged.encode(text, markup::plain) == scored.encode(text, markup::plain));
    CHECK(merged.decode(merged.encode("ab c", markup::plain)) == "ab c");
  }
}

TEST_CASE("what the files beside tokenizer.json add") {
  model_folder folder("qwen");
  folder.write("tokenizer_config.json",
               R"({"bos_token": null, "eos_token": {"content": "<|im_end|>"},
                   "pad_token": "<|endoftext|>", "add_bos_token": false,
                   "chat_template": [{"name": "tools", "template": "T"},
                                     {"name": "default", "template": "D"}]})");
  folder.write("config.json", R"({"eos_token_id": 3})");
  folder.write("generation_config.json", R"({"eos_token_id": [422, 420, 5]})");
  {
    const llm::tokenizer words = folder.read();
    CHECK(words.size() == rows);
    CHECK(words.data().chat_template == "D");
    CHECK(words.data().eos == 422);
    CHECK(words.data().padding == 420);
    CHECK(words.data().other_ends == std::vector<llm::token_id>{420, 5});
    CHECK(!words.ends_text(3));
    CHECK(!words.data().bos);
    CHECK(words.data().types[599] == llm::vocabulary::unused);
    CHECK(words.encode("[PAD599]", markup::plain) != std::vector<llm::token_id>{599});
  }
  folder.write("chat_template.jinja", "J");
  folder.write("generation_config.json", R"({"eos_token_id": null})");
  folder.write("tokenizer_config.json",
               R"({"bos_token": "<|im_start|>", "add_bos_token": true, "chat_template": "C",
                   "added_tokens_decoder": {"500": {"content": "<new>", "special": true}}})");
  {
    const llm::tokenizer words = folder.read();
    CHECK(words.data().chat_template == "J");
    CHECK(words.data().eos == 3);
    CHECK(words.encode("<new>a", markup::control_tokens) ==
          std::vector<llm::token_id>{421, 500, 64});
  }
  folder.write("tokenizer_config.json", R"({"add_bos_token": true})");
  CHECK(says(folder.refusal(), "'bos_token'"));
  folder.write("tokenizer_config.json", R"({"eos_token": "<none>"})");
  CHECK(says(folder.refusal(), "eos_token '<none>' is not in the vocabulary"));
  folder.write("tokenizer_config.json", R"({"eos_token": 7})");
  CHECK(says(folder.refusal(), "'eos_token'"));
  folder.write("tokenizer_config.json", "{}");
  folder.write("generation_config.json", R"({"eos_token_id": 600})");
  CHECK(says(folder.refusal(), "eos_token_id"));
}

TEST_CASE("an older folder has vocab.json and merges.txt") {
  const json expected = golden::load("tokenizers/expected.json");
  const json source = golden::load("tokenizers/qwen.json");
  const model_folder folder;
  folder.write("vocab.json", source["model"]["vocab"].dump());
  std::string merges = "#version: 0.2\n";
  for (const json& pair : source["model"]["merges"]) {
    const std::string text = pair.is_string()
                                 ? pair.get<std::string>()
                                 : pair[0].get<std::string>() + " " + pair[1].get<std::string>();
    merges += text + "\r\n";
  }
  folder.write("merges.txt", merges);
  json config = {{"tokenizer_class", "Qwen2Tokenizer"}};
  for (const json& token : source["added_tokens"])
    config["added_tokens_decoder"][token["id"].dump()] = token;
  folder.write("tokenizer_config.json", config.dump());
  check_encodings(folder.read(), expected["qwen"]);

  config.erase("added_tokens_decoder");
  config["additional_special_tokens"] = {"<|im_start|>", "<|im_end|>", "<|endoftext|>"};
  json names;
  for (const json& token : source["added_tokens"])
    names[token["content"].get<std::string>()] = token["id"];
  folder.write("added_tokens.json", names.dump());
  folder.write("tokenizer_config.json", config.dump());
  check_encodings(folder.read(), expected["qwen"]);

  folder.write("tokenizer_config.json", R"({"tokenizer_class": "BloomTokenizer"})");
  CHECK(says(folder.refusal(), "'BloomTokenizer'"));
  std::filesystem::remove(folder.path() / "merges.txt");
  folder.write("tokenizer.model", "");
  CHECK(folder.refusal().find("tokenizer.model alone is not read") != std::string::npos);
}

TEST_CASE("what is not implemented is refused by name") {
  using change = std::function<void(json&)>;
  const std::pair<const char*, change> cases[] = {
      {"'Unigram'", [](json& t) { t["model"]["type"] = "Unigram"; }},
      {"'WordPiece'", [](json& t) { t["model"]["type"] = "WordPiece"; }},
      {"dropout", [](json& t) { t["model"]["dropout"] = 0.1; }},
      {"end_of_word_suffix", [](json& t) { t["model"]["end_of_word_suffix"] = "</w>"; }},
      {"'NFKC'", [](json& t) { t["normalizer"] = {{"type", "NFKC"}}; }},
      {"'Lowercase'",
       [](json& t) {
         t["normalizer"] = {
             {"type", "Sequence"},
             {"normalizers", json::array({{{"type", "NFC"}}, {{"type", "Lowercase"}}})}};
       }},
      {"(a+)+",
       [](json& t) { t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+"; }},
      {"MergedWithNext",
       [](json& t) { t["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "MergedWithNext"; }},
      {"'Whitespace'", [](json& t) { t["pre_tokenizer"] = {{"type", "Whitespace"}}; }},
      {"none, and the normalizer leaves spaces", [](json& t) { t["pre_tokenizer"] = nullptr; }},
      {"'WordPiece'", [](json& t) { t["decoder"] = {{"type", "WordPiece"}}; }},
      {"'BertProcessing'", [](json& t) { t["post_processor"] = {{"type", "BertProcessing"}}; }},
      {"single_word", [](json& t) { t["added_tokens"][0]["single_word"] = true; }},
  };
  for (const auto& item : cases) {
    const char* const part = item.first;
    CAPTURE(part);
    std::string sentence = refused_with("qwen", item.second);
    CHECK(sentence.find(std::string{part}.substr(part[0] == '\'' ? 1 : 0, 5)) != std::string::npos);
    CHECK(sentence.find("tokenizer.json") != std::string::npos);
  }
}

TEST_CASE("a tokenizer.json that contradicts itself is refused") {
  using change = std::function<void(json&)>;
  const std::pair<const char*, change> cases[] = {
      {"the same id 64", [](json& t) { t["model"]["vocab"]["zzz"] = 64; }},
      {"below the 600 rows", [](json& t) { t["model"]["vocab"]["zzz"] = 600; }},
      {"below the 600 rows", [](json& t) { t["model"]["vocab"]["zzz"] = -1; }},
      {"below the 600 rows", [](json& t) { t["model"]["vocab"]["zzz"] = 500.0; }},
      {"below the 600 rows", [](json& t) { t["model"]["vocab"]["zzz"] = "500"; }},
      {"below the 600 rows", [](json& t) { t["added_tokens"][0]["id"] = 18446744073709551615u; }},
      {"below the 600 rows", [](json& t) { t["added_tokens"][0].erase("id"); }},
      {"is empty", [](json& t) { t["added_tokens"][0]["content"] = ""; }},
      {"have the same id 64", [](json& t) { t["added_tokens"][0]["id"] = 64; }},
      {"has the ids 64 and 500",
       [](json& t) { t["added_tokens"].push_back({{"id", 500}, {"content", "a"}}); }},
      {"names a token that does not exist",
       [](json& t) { t["model"]["merges"].push_back({"a", "zzz"}); }},
      {"names a token that does not exist",
       [](json& t) { t["model"]["merges"].push_back({"z", "q"}); }},
      {"neither a string nor a pair", [](json& t) { t["model"]["merges"].push_back({"a"}); }},
      {"has a space", [](json& t) { t["model"]["merges"].push_back({"a ", "b"}); }},
      {"no list 'merges'", [](json& t) { t["model"].erase("merges"); }},
      {"no object 'vocab'", [](json& t) { t["model"]["vocab"] = json::array(); }},
      {"no 'model'", [](json& t) { t.erase("model"); }},
      {"unk_token 'zzz'", [](json& t) { t["model"]["unk_token"] = "zzz"; }},
  };
  for (const auto& item : cases) {
    const char* const part = item.first;
    CAPTURE(part);
    const std::string sentence = refused_with("qwen", item.second);
    CAPTURE(sentence);
    CHECK(sentence.find(part) != std::string::npos);
  }
  const model_folder folder;
  folder.write("tokenizer.json", "{\"model\": ");
  CHECK(says(folder.refusal(), "is no JSON"));
  folder.write("tokenizer.json", std::string(100'000, '['));
  CHECK(says(folder.refusal(), "nests deeper"));
  folder.write("tokenizer.json", "[]");
  CHECK(says(folder.refusal(), "expected an object"));
}

TEST_CASE("merges are read in both forms, and the pair form is what is written") {
  const json expected = golden::load("tokenizers/expected.json");
  model_folder folder("qwen");
  for (json& merge : folder.tokenizer["model"]["merges"]) {
    if (merge.is_array()) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  folder.save();
  check_encodings(folder.read(), expected["qwen"]);
}

TEST_CASE("added tokens take white space beside them where the file says so") {
  model_folder folder("qwen");
  folder.tokenizer["added_tokens"][1]["rstrip"] = true;  // <|im_start|>
  folder.tokenizer["added_tokens"][2]["lstrip"] = true;  // <|im_end|>
  folder.save();
  const auto check = [](const llm::tokenizer& words) {
    CHECK(words.encode("<|im_start|> \n\u3000a \t<|im_end|> a", markup::control_tokens) ==
          std::vector<llm::token_id>{421, 64, 422, *words.find("\u0120a")});
    CHECK(words.decode(words.encode("<|im_start|> a", markup::control_tokens)) == "<|im_start|>a");
  };
  check(folder.read());
  edgerazor::gguf_writer writer;
  writer.set_string("general.architecture", "llama");
  llm::write_vocabulary(writer, folder.read().data());
  writer.write(folder.path() / "words.gguf");
  check(llm::tokenizer(
      llm::read_vocabulary(edgerazor::gguf_reader::open(folder.path() / "words.gguf"))));
}

TEST_CASE("an added token may be looked for in normalized text") {
  // As Hugging Face's tokenizers have it: its text is normalized too, here by a space in front.
  model_folder folder("llama2");
  folder.tokenizer["added_tokens"].push_back(
      {{"id", 550}, {"content", "xyz"}, {"special", false}, {"normalized", true}});
  folder.save();
  const llm::tokenizer words = folder.read();
  CHECK(words.encode("xyz", markup::plain, false) == std::vector<llm::token_id>{550});
  CHECK(words.encode("axyz", markup::plain, false).back() != 550);
  CHECK(words.encode("a xyz", markup::plain, false).back() == 550);
}

TEST_CASE("Metaspace puts a space in front where its scheme says so") {
  model_folder folder("llama2");
  folder.tokenizer["normalizer"] = nullptr;
  const auto first_of = [&](const char* scheme, const std::string& text) {
    folder.tokenizer["pre_tokenizer"] = {{"type", "Metaspace"},
                                         {"replacement", "\u2581"},
                                         {"prepend_scheme", scheme},
                                         {"split", true}};
    folder.save();
    const llm::tokenizer words = folder.read();
    std::string all;
    for (const llm::token_id id : words.encode(text, markup::control_tokens, false))
      all += words.bytes_of(id);
    return all;
  };
  CHECK(first_of("always", "a<s>b") == " a<s> b");
  CHECK(first_of("first", "a<s>b") == " a<s>b");
  CHECK(first_of("never", "a<s>b") == "a<s>b");
  CHECK(first_of("always", " a") == " a");
}
