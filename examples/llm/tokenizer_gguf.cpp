// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_gguf.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "metadata.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace llm {

namespace er = edgerazor;

namespace {

constexpr std::string_view of_ggml = "tokenizer.ggml.", our_own = "edgerazor.tokenizer.";

std::string key(std::string_view space, std::string_view name) {
  return std::string{space} + std::string{name};
}

/// What a file says by an own key, unless it is what the other keys imply.
constexpr std::pair<std::string_view, bool vocabulary::*> own_flags[] = {
    {"compose", &vocabulary::compose},
    {"whole_words_first", &vocabulary::whole_words_first},
    {"byte_fallback", &vocabulary::byte_fallback},
    {"fuse_unknown", &vocabulary::fuse_unknown},
    {"strip_leading_space", &vocabulary::strip_leading_space},
};
constexpr std::pair<std::string_view, bool vocabulary::marker_rule::*> own_marker_flags[] = {
    {"markers_in_normalized_text", &vocabulary::marker_rule::in_normalized_text},
    {"markers_with_spaces_left", &vocabulary::marker_rule::takes_spaces_left},
    {"markers_with_spaces_right", &vocabulary::marker_rule::takes_spaces_right},
};
constexpr std::pair<std::string_view, vocabulary::leading_space> spaces[] = {
    {"none", vocabulary::leading_space::none},
    {"always", vocabulary::leading_space::always},
    {"where_missing", vocabulary::leading_space::where_missing},
    {"where_missing_at_beginning", vocabulary::leading_space::where_missing_at_beginning},
};

/// What `letters`, `words`, `space` and `types` imply of the flags.
void set_implied(vocabulary& words) {
  const bool by_characters = words.letters == vocabulary::spelling::characters;
  words.compose = false;
  words.whole_words_first = words.words == pre_tokenizer::llama_bpe;
  words.byte_fallback = by_characters && std::find(words.types.begin(), words.types.end(),
                                                   vocabulary::byte) != words.types.end();
  words.fuse_unknown = by_characters;
  words.strip_leading_space = by_characters && words.space != vocabulary::leading_space::none;
}

void read_marker_rules(const er::gguf_reader& file, vocabulary& words) {
  std::unordered_map<token_id, vocabulary::marker_rule> rules;
  for (const auto& [name, flag] : own_marker_flags) {
    if (!file.has(key(our_own, name))) continue;
    for (const token_id id : file.get_i32s(key(our_own, name)))
      rules.try_emplace(id, vocabulary::marker_rule{id}).first->second.*flag = true;
  }
  for (const auto& [id, rule] : rules) words.marker_rules.push_back(rule);
  std::sort(words.marker_rules.begin(), words.marker_rules.end(),
            [](const auto& a, const auto& b) { return a.token < b.token; });
}

void read_rule(const er::gguf_reader& file, vocabulary& words) {
  const bool by_characters = words.letters == vocabulary::spelling::characters;
  const std::string rule{
      file.optional_string(key(of_ggml, "pre")).value_or(by_characters ? "none" : "gpt-2")};
  const auto known = parse_pre_tokenizer(rule);
  if (!known && !by_characters) {
    throw er::io_error("the model's pre-tokenizer is " + er::quoted(rule) +
                       "; this program has gpt-2, smollm, llama-bpe and qwen2");
  }
  words.words = known == pre_tokenizer::metaspace || !by_characters ? *known : pre_tokenizer::none;
}

void read_space(const er::gguf_reader& file, vocabulary& words) {
  const bool by_characters = words.letters == vocabulary::spelling::characters;
  const bool prefix =
      by_characters && file.optional_bool(key(of_ggml, "add_space_prefix")).value_or(true);
  words.space = prefix ? vocabulary::leading_space::always : vocabulary::leading_space::none;
  const auto own = file.optional_string(key(our_own, "leading_space"));
  if (!own) return;
  const auto* const known = std::find_if(std::begin(spaces), std::end(spaces),
                                         [&](const auto& s) { return s.first == *own; });
  if (known == std::end(spaces)) {
    throw er::io_error("key " + er::quoted(key(our_own, "leading_space")) + " is " +
                       er::quoted(*own) + ", which this program does not know");
  }
  words.space = known->second;
}

}  // namespace

vocabulary read_vocabulary(const er::gguf_reader& file) {
  const std::string kind{file.get_string(key(of_ggml, "model"))};
  if (kind != "gpt2" && kind != "llama") {
    throw er::io_error("the model's tokenizer is " + er::quoted(kind) +
                       "; this program has byte-level BPE ('gpt2') and SentencePiece's BPE "
                       "('llama')");
  }
  vocabulary words;
  const bool by_characters = kind == "llama";
  if (by_characters) words.letters = vocabulary::spelling::characters;
  for (const std::string_view token : file.get_strings(key(of_ggml, "tokens")))
    words.tokens.emplace_back(token);
  if (words.tokens.empty()) throw er::io_error("the model's vocabulary has no tokens");
  if (!by_characters || file.has(key(of_ggml, "merges"))) {
    for (const std::string_view merge : file.get_strings(key(of_ggml, "merges")))
      words.merges.emplace_back(merge);
  }
  if (by_characters && words.merges.empty()) words.scores = file.get_f32s(key(of_ggml, "scores"));
  if (file.has(key(of_ggml, "token_type"))) words.types = file.get_i32s(key(of_ggml, "token_type"));

  read_rule(file, words);
  read_space(file, words);
  set_implied(words);
  for (const auto& [name, flag] : own_flags)
    words.*flag = file.optional_bool(key(our_own, name)).value_or(words.*flag);
  read_marker_rules(file, words);
  words.add_bos = file.optional_bool(key(of_ggml, "add_bos_token"))
                      .value_or(by_characters || words.words == pre_tokenizer::llama_bpe);

  const metadata keys(file, std::string{of_ggml});
  const auto token = [&](std::string_view name) -> std::optional<token_id> {
    const auto id = keys.optional_size(name, {0, words.tokens.size() - 1});
    return id ? std::optional{static_cast<token_id>(*id)} : std::nullopt;
  };
  words.bos = token("bos_token_id");
  words.eos = token("eos_token_id");
  words.padding = token("padding_token_id");
  words.unknown_token = token("unknown_token_id");
  if (by_characters && !words.unknown_token) {
    const auto found = std::find(words.types.begin(), words.types.end(), vocabulary::unknown);
    if (found != words.types.end())
      words.unknown_token = static_cast<token_id>(found - words.types.begin());
  }
  // The ends of a turn and of a message, where they are not the end of text.
  for (const std::string_view name : {"eot_token_id", "eom_token_id"}) {
    if (const auto id = token(name)) words.other_ends.push_back(*id);
  }
  if (file.has(key(our_own, "other_ends"))) {
    for (const token_id id : file.get_i32s(key(our_own, "other_ends")))
      words.other_ends.push_back(id);
  }
  words.chat_template = file.optional_string("tokenizer.chat_template").value_or("");
  return words;
}

namespace {

/// For engines that merge by scores: a token's is the higher the earlier a merge makes it.
std::vector<float> scores_of_merges(const vocabulary& words) {
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t i = 0; i < words.tokens.size(); ++i) ids.try_emplace(words.tokens[i], i);
  std::vector<float> scores(words.tokens.size());
  for (std::size_t i = 0; i < words.merges.size(); ++i) {
    std::string result = words.merges[i];
    if (const std::size_t space = result.find(' ', 1); space != std::string::npos)
      result.erase(space, 1);
    const auto found = ids.find(result);
    if (found != ids.end() && scores[found->second] == 0)
      scores[found->second] = -static_cast<float>(i + 1);
  }
  return scores;
}

void write_own_keys(er::gguf_writer& writer, const vocabulary& words) {
  vocabulary implied;
  implied.letters = words.letters;
  implied.words = words.words;
  implied.space = words.space;
  implied.types = words.types;
  set_implied(implied);
  for (const auto& [name, flag] : own_flags) {
    if (words.*flag != implied.*flag) writer.set_bool(key(our_own, name), words.*flag);
  }
  using enum vocabulary::leading_space;
  if (words.space == where_missing || words.space == where_missing_at_beginning) {
    for (const auto& [name, value] : spaces) {
      if (value == words.space) writer.set_string(key(our_own, "leading_space"), name);
    }
  }
  for (const auto& [name, flag] : own_marker_flags) {
    for (const vocabulary::marker_rule& rule : words.marker_rules) {
      if (rule.*flag) writer.append<std::int32_t>(key(our_own, name), rule.token);
    }
  }
  for (std::size_t i = 2; i < words.other_ends.size(); ++i)
    writer.append<std::int32_t>(key(our_own, "other_ends"), words.other_ends[i]);
}

}  // namespace

void write_vocabulary(er::gguf_writer& writer, const vocabulary& words) {
  const bool by_characters = words.letters == vocabulary::spelling::characters;
  writer.set_string(key(of_ggml, "model"), by_characters ? "llama" : "gpt2");
  writer.set_string(key(of_ggml, "pre"), by_characters && words.words == pre_tokenizer::none
                                             ? "default"
                                             : name_of(words.words));
  const std::vector<std::string_view> tokens(words.tokens.begin(), words.tokens.end());
  const std::vector<std::string_view> merges(words.merges.begin(), words.merges.end());
  writer.set_strings(key(of_ggml, "tokens"), tokens);
  if (!by_characters || !merges.empty()) writer.set_strings(key(of_ggml, "merges"), merges);
  if (by_characters) {
    writer.set_array<float>(key(of_ggml, "scores"),
                            merges.empty() ? words.scores : scores_of_merges(words));
  }
  const std::vector<std::int32_t> normal(words.tokens.size(), vocabulary::normal);
  writer.set_array<std::int32_t>(key(of_ggml, "token_type"),
                                 words.types.empty() ? normal : words.types);
  const auto set_token = [&](std::string_view name, std::optional<token_id> id) {
    if (id) writer.set_u32(key(of_ggml, name), static_cast<std::uint32_t>(*id));
  };
  set_token("bos_token_id", words.bos);
  set_token("eos_token_id", words.eos);
  set_token("padding_token_id", words.padding);
  set_token("unknown_token_id", words.unknown_token);
  if (!words.other_ends.empty()) set_token("eot_token_id", words.other_ends[0]);
  if (words.other_ends.size() > 1) set_token("eom_token_id", words.other_ends[1]);
  writer.set_bool(key(of_ggml, "add_bos_token"), words.add_bos);
  if (by_characters) {
    writer.set_bool(key(of_ggml, "add_space_prefix"),
                    words.space != vocabulary::leading_space::none);
  }
  if (!words.chat_template.empty())
    writer.set_string("tokenizer.chat_template", words.chat_template);
  write_own_keys(writer, words);
}

}  // namespace llm
