// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_folder.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "tokenizer_json.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/mapped_file.hpp>

namespace llm {

namespace er = edgerazor;
using nlohmann::json;

namespace {

/// Runs `read` over a file of the folder, whose name stands before what is wrong with it.
template <class Read>
void read_file(const std::filesystem::path& path, const Read& read) {
  const json content = read_json(path);
  try {
    if (!content.is_object()) throw er::io_error("expected an object");
    read(content);
  } catch (const er::io_error& error) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) + ": " + error.what());
  }
}

/// The content of a special token, which is a string or an object.
std::string special_token(const json& config, const std::string& name) {
  const json* const member = find_member(config, name);
  return member != nullptr && member->is_object() ? text_of(*member, "content")
                                                  : text_of(config, name);
}

/// What the classes of the older form do, of which vocab.json says nothing.
void set_class(const std::string& name, vocabulary_builder& into) {
  if (name == "Qwen2Tokenizer" || name == "Qwen2TokenizerFast") {
    into.words.words = pre_tokenizer::qwen2;
    into.words.compose = into.has_normalizer = true;
  } else if (name != "GPT2Tokenizer" && name != "GPT2TokenizerFast") {
    throw er::io_error("there is no tokenizer.json, and the tokenizer_class " + er::quoted(name) +
                       " is neither GPT2Tokenizer nor Qwen2Tokenizer");
  }
}

void read_merges(const std::filesystem::path& path, vocabulary& words) {
  const auto file = er::mapped_file::open(path);
  std::string_view text{reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  bool first = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool version = std::exchange(first, false) && line.starts_with("#version");
    if (!version && !line.empty()) words.merges.emplace_back(line);
  }
}

void read_added_tokens(const json& config, vocabulary_builder& into) {
  const json* const added = find_member(config, "added_tokens_decoder");
  if (added == nullptr) return;
  for (const auto& [name, token] : added->items()) {
    std::uint64_t id = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), id);
    const bool number = read.ec == std::errc{} && read.ptr == name.data() + name.size();
    into.add_marker(number ? json(id) : json(name), token);
  }
}

/// added_tokens.json has names and ids alone.
void read_added_names(const json& added, const json& config, vocabulary_builder& into) {
  std::vector<std::string> special;
  for (const char* name : {"bos_token", "eos_token", "pad_token", "unk_token"})
    special.push_back(special_token(config, name));
  if (const json* const more = find_member(config, "additional_special_tokens")) {
    for (const json& one : *more) special.push_back(one.is_string() ? one.get<std::string>() : "");
  }
  for (const auto& [name, id] : added.items()) {
    const bool is_special = std::find(special.begin(), special.end(), name) != special.end();
    into.add_marker(id, {{"content", name}, {"special", is_special}, {"normalized", false}});
  }
}

std::string template_of(const json& config) {
  const json* const found = find_member(config, "chat_template");
  if (found == nullptr || !found->is_array()) return text_of(config, "chat_template");
  for (const json& one : *found) {
    if (text_of(one, "name") == "default") return text_of(one, "template");
  }
  return {};
}

void read_config(const json& config, vocabulary_builder& into) {
  vocabulary& words = into.words;
  read_added_tokens(config, into);
  const auto token = [&](const char* name) -> std::optional<token_id> {
    const std::string text = special_token(config, name);
    return text.empty() ? std::nullopt : std::optional{into.find(text, name)};
  };
  if (!words.bos) words.bos = token("bos_token");
  words.eos = token("eos_token");
  words.padding = token("pad_token");
  words.add_bos = flag_of(config, "add_bos_token", words.add_bos);
  if (words.add_bos && !words.bos)
    throw er::io_error("'add_bos_token' is true, but there is no 'bos_token'");
  words.chat_template = template_of(config);
}

/// Returns whether the file says which tokens end a text.
bool read_ends(const json& config, vocabulary_builder& into) {
  const json* const ends = find_member(config, "eos_token_id");
  if (ends == nullptr) return false;
  const json list = ends->is_array() ? *ends : json::array({*ends});
  vocabulary& words = into.words;
  for (const json& one : list) {
    const token_id id = into.checked(one, "eos_token_id");
    const bool known =
        id == words.eos ||
        std::find(words.other_ends.begin(), words.other_ends.end(), id) != words.other_ends.end();
    if (known) continue;
    if (words.eos) {
      words.other_ends.push_back(id);
    } else {
      words.eos = id;
    }
  }
  return true;
}

}  // namespace

vocabulary read_vocabulary(const std::filesystem::path& folder, std::size_t embedding_rows) {
  vocabulary_builder into(embedding_rows);
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
  json config = json::object();
  if (has("tokenizer_config.json"))
    read_file(folder / "tokenizer_config.json", [&](const json& file) { config = file; });
  if (has("tokenizer.json")) {
    read_file(folder / "tokenizer.json",
              [&](const json& file) { read_tokenizer_json(file, into); });
  } else if (has("vocab.json") && has("merges.txt")) {
    read_file(folder / "vocab.json", [&](const json& file) {
      set_class(text_of(config, "tokenizer_class"), into);
      for (const auto& [token, id] : file.items()) into.add(id, token);
    });
    read_merges(folder / "merges.txt", into.words);
    if (has("added_tokens.json")) {
      read_file(folder / "added_tokens.json",
                [&](const json& file) { read_added_names(file, config, into); });
    }
  } else {
    throw er::io_error(er::quoted(folder.string(), er::longest_path) +
                       " has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt" +
                       (has("tokenizer.model")
                            ? " (tokenizer.model alone is not read: transformers writes "
                              "tokenizer.json from it)"
                            : ""));
  }
  if (has("tokenizer_config.json"))
    read_file(folder / "tokenizer_config.json", [&](const json& file) { read_config(file, into); });
  if (has("chat_template.jinja")) {
    const auto file = er::mapped_file::open(folder / "chat_template.jinja");
    into.words.chat_template.assign(reinterpret_cast<const char*>(file.bytes().data()),
                                    file.bytes().size());
  }
  bool ends = false;
  for (const char* name : {"generation_config.json", "config.json"}) {
    if (ends || !has(name)) continue;
    read_file(folder / name, [&](const json& file) { ends = read_ends(file, into); });
  }
  return into.finish();
}

tokenizer read_tokenizer(const std::filesystem::path& folder, std::size_t embedding_rows) {
  vocabulary words = read_vocabulary(folder, embedding_rows);
  try {
    return tokenizer{std::move(words)};
  } catch (const er::io_error& error) {
    throw er::io_error(er::quoted(folder.string(), er::longest_path) + ": " + error.what());
  }
}

}  // namespace llm
