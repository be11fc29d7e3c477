// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "tokenizer_folder.hpp"
#include "utf8.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/atomic_file.hpp>

namespace llm {

namespace er = edgerazor;
using nlohmann::json;

namespace {

using leading_space = vocabulary::leading_space;

bool is_spelled(const vocabulary& words, std::size_t id) {
  return words.types.empty() || words.types[id] == vocabulary::normal ||
         words.types[id] == vocabulary::user_defined;
}

/// Every pair of tokens whose text together is a token, in order of that one's score: of equal
/// scores the longest left part first.
json merges_of_scores(const vocabulary& words,
                      const std::unordered_map<std::string_view, std::size_t>& ids) {
  constexpr std::size_t longest = 1024;  // work on a token grows with the square of its bytes
  struct pair {
    std::size_t token, left_size;
  };
  std::vector<pair> pairs;
  for (std::size_t i = 0; i < words.tokens.size(); ++i) {
    const std::string_view token = words.tokens[i];
    const auto own = ids.find(token);
    if (!is_spelled(words, i) || own == ids.end() || own->second != i) continue;
    if (token.size() > longest) {
      throw er::io_error("token " + std::to_string(i) + " has " + std::to_string(token.size()) +
                         " bytes; one with a score and more than 1024 can't be written as merges");
    }
    for (std::size_t at = 0; at < token.size();) {
      at += first_character(token.substr(at)).size;
      const auto left = ids.find(token.substr(0, at)), right = ids.find(token.substr(at));
      const bool both = at < token.size() && left != ids.end() && right != ids.end() &&
                        is_spelled(words, left->second) && is_spelled(words, right->second);
      if (both) pairs.push_back({i, at});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [&](const pair& a, const pair& b) {
    const float first = words.scores[a.token], second = words.scores[b.token];
    return first != second ? first > second : a.left_size > b.left_size;
  });
  json merges = json::array();
  for (const pair& one : pairs) {
    const std::string& token = words.tokens[one.token];
    merges.push_back({token.substr(0, one.left_size), token.substr(one.left_size)});
  }
  return merges;
}

json merges_of(const vocabulary& words,
               const std::unordered_map<std::string_view, std::size_t>& ids) {
  if (words.merges.empty() && !words.scores.empty()) return merges_of_scores(words, ids);
  json merges = json::array();
  for (const std::string& merge : words.merges) {
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string::npos)
      throw er::io_error("merge " + er::quoted(merge) + " has no two parts");
    merges.push_back({merge.substr(0, space), merge.substr(space + 1)});
  }
  return merges;
}

json sequence(std::string_view list, json parts) {
  if (parts.empty()) return nullptr;
  if (parts.size() == 1) return parts[0];
  return {{"type", "Sequence"}, {std::string{list}, std::move(parts)}};
}

json replace(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

json normalizer_of(const vocabulary& words) {
  const bool by_characters = words.letters == vocabulary::spelling::characters;
  json parts = json::array();
  if (words.compose) parts.push_back({{"type", "NFC"}});
  if (by_characters && words.space == leading_space::always)
    parts.push_back({{"type", "Prepend"}, {"prepend", space_character}});
  const bool metaspace = words.words == pre_tokenizer::metaspace ||
                         words.space == leading_space::where_missing ||
                         words.space == leading_space::where_missing_at_beginning;
  if (by_characters && !metaspace) parts.push_back(replace(" ", space_character));
  return sequence("normalizers", std::move(parts));
}

[[noreturn]] void refuse_combination() {
  throw er::io_error(
      "the vocabulary's way with words and spaces has no form in tokenizer.json that is read "
      "again");
}

json byte_level_of(const vocabulary& words) {
  const bool space = words.space == leading_space::where_missing;
  const auto byte_level = [space](bool regex) {
    return json{{"type", "ByteLevel"},
                {"add_prefix_space", space},
                {"trim_offsets", true},
                {"use_regex", regex}};
  };
  const auto split = [&](std::string_view pattern) {
    return sequence("pretokenizers", json::array({{{"type", "Split"},
                                                   {"pattern", {{"Regex", pattern}}},
                                                   {"behavior", "Isolated"},
                                                   {"invert", false}},
                                                  byte_level(false)}));
  };
  const bool alone = words.words == pre_tokenizer::gpt2 || words.words == pre_tokenizer::none;
  if (words.space != leading_space::none && !(space && alone)) refuse_combination();
  switch (words.words) {
    case pre_tokenizer::gpt2:
      return byte_level(true);
    case pre_tokenizer::none:
      return byte_level(false);
    case pre_tokenizer::llama_bpe:
      return split(llama_bpe_pattern);
    case pre_tokenizer::qwen2:
      return split(qwen2_pattern);
    case pre_tokenizer::smollm:
      return sequence(
          "pretokenizers",
          json::array({{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)}));
    case pre_tokenizer::metaspace:
      break;
  }
  refuse_combination();
}

json pre_tokenizer_of(const vocabulary& words) {
  if (words.letters == vocabulary::spelling::bytes) return byte_level_of(words);
  const bool splits = words.words == pre_tokenizer::metaspace;
  if (!splits && words.words != pre_tokenizer::none) refuse_combination();
  if (splits && words.space == leading_space::always) refuse_combination();
  if (!splits && (words.space == leading_space::always || words.space == leading_space::none))
    return nullptr;
  const char* const scheme = words.space == leading_space::where_missing                ? "always"
                             : words.space == leading_space::where_missing_at_beginning ? "first"
                                                                                        : "never";
  return {{"type", "Metaspace"},
          {"replacement", space_character},
          {"prepend_scheme", scheme},
          {"split", splits}};
}

json decoder_of(const vocabulary& words) {
  if (words.letters == vocabulary::spelling::bytes) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", true},
            {"use_regex", true}};
  }
  json parts =
      json::array({replace(space_character, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (words.strip_leading_space)
    parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return sequence("decoders", std::move(parts));
}

json post_processor_of(const vocabulary& words) {
  if (!words.add_bos || !words.bos) return nullptr;
  const std::string& token = words.tokens[static_cast<std::size_t>(*words.bos)];
  const json special = {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
  const auto text = [](const char* id, int type) {
    return json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  json second = special;
  second["SpecialToken"]["type_id"] = 1;
  json result = {{"type", "TemplateProcessing"}};
  result["single"] = json::array({special, text("A", 0)});
  result["pair"] = json::array({special, text("A", 0), second, text("B", 1)});
  result["special_tokens"][token] = {
      {"id", token}, {"ids", json::array({*words.bos})}, {"tokens", json::array({token})}};
  return result;
}

json added_tokens_of(const vocabulary& words) {
  std::unordered_map<token_id, vocabulary::marker_rule> rules;
  for (const vocabulary::marker_rule& rule : words.marker_rules) rules[rule.token] = rule;
  json added = json::array();
  for (std::size_t i = 0; i < words.types.size(); ++i) {
    const std::int32_t type = words.types[i];
    const bool special = type == vocabulary::control || type == vocabulary::unknown;
    if ((!special && type != vocabulary::user_defined) || words.tokens[i].empty()) continue;
    const vocabulary::marker_rule rule = rules[static_cast<token_id>(i)];
    added.push_back({{"id", i},
                     {"content", words.tokens[i]},
                     {"single_word", false},
                     {"lstrip", rule.takes_spaces_left},
                     {"rstrip", rule.takes_spaces_right},
                     {"normalized", rule.in_normalized_text},
                     {"special", special}});
  }
  return added;
}

json tokenizer_of(const vocabulary& words) {
  std::unordered_map<std::string_view, std::size_t> ids;
  json vocab = json::object();
  for (std::size_t i = 0; i < words.tokens.size(); ++i) {
    const std::string& token = words.tokens[i];
    const bool filler = token == "[PAD" + std::to_string(i) + "]" && !words.types.empty() &&
                        words.types[i] == vocabulary::unused;
    if (token.empty() || filler || !ids.try_emplace(token, i).second) continue;
    vocab[token] = i;
  }
  json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", words.fuse_unknown},
                {"byte_fallback", words.byte_fallback},
                {"ignore_merges", words.whole_words_first}};
  if (words.unknown_token)
    model["unk_token"] = words.tokens[static_cast<std::size_t>(*words.unknown_token)];
  model["vocab"] = std::move(vocab);
  model["merges"] = merges_of(words, ids);
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens_of(words)},
          {"normalizer", normalizer_of(words)},
          {"pre_tokenizer", pre_tokenizer_of(words)},
          {"post_processor", post_processor_of(words)},
          {"decoder", decoder_of(words)},
          {"model", std::move(model)}};
}

json config_of(const vocabulary& words) {
  json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"add_bos_token", words.add_bos && words.bos},
                 {"clean_up_tokenization_spaces", false}};
  const auto token = [&](const char* name, std::optional<token_id> id) {
    if (id) config[name] = words.tokens[static_cast<std::size_t>(*id)];
  };
  token("bos_token", words.bos);
  token("eos_token", words.eos);
  token("pad_token", words.padding);
  token("unk_token", words.unknown_token);
  if (!words.chat_template.empty()) config["chat_template"] = words.chat_template;
  return config;
}

void write_json(const std::filesystem::path& path, const json& content) {
  std::string text;
  try {
    text = content.dump(1) + "\n";
  } catch (const json::exception&) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " can't be written: a token is not UTF-8, as JSON needs it");
  }
  er::atomic_file file(path);
  file.write(std::as_bytes(std::span{text}));
  file.commit();
}

}  // namespace

void write_vocabulary(const std::filesystem::path& folder, const vocabulary& words) {
  const json tokens = tokenizer_of(words), config = config_of(words);
  write_json(folder / "tokenizer.json", tokens);
  write_json(folder / "tokenizer_config.json", config);
  if (words.other_ends.empty()) return;
  json ends = json::array();
  if (words.eos) ends.push_back(*words.eos);
  for (const token_id id : words.other_ends) ends.push_back(id);
  json generation = {{"eos_token_id", std::move(ends)}};
  if (words.bos) generation["bos_token_id"] = *words.bos;
  write_json(folder / "generation_config.json", generation);
}

}  // namespace llm
