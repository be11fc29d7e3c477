// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_json.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "tokenizer.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/mapped_file.hpp>

namespace llm {

namespace er = edgerazor;
using nlohmann::json;

namespace {

template <class Json>
Json read_as(const std::filesystem::path& path) {
  constexpr int deepest = 128;
  const auto bytes = er::mapped_file::open(path);
  const std::string_view text{reinterpret_cast<const char*>(bytes.bytes().data()),
                              bytes.bytes().size()};
  const std::string name = er::quoted(path.string(), er::longest_path);
  try {
    return Json::parse(text.begin(), text.end(),
                       [&](int depth, typename Json::parse_event_t, Json&) {
                         if (depth > deepest) throw er::io_error(name + " nests deeper than 128");
                         return true;
                       });
  } catch (const typename Json::exception& error) {
    throw er::io_error(name + " is no JSON: " + er::printable(error.what(), 200));
  }
}

}  // namespace

json read_json(const std::filesystem::path& path) { return read_as<json>(path); }

nlohmann::ordered_json read_ordered_json(const std::filesystem::path& path) {
  return read_as<nlohmann::ordered_json>(path);
}

const json* find_member(const json& object, std::string_view name) {
  const auto found = object.is_object() ? object.find(std::string{name}) : object.end();
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool flag_of(const json& object, std::string_view name, bool otherwise) {
  const json* const member = find_member(object, name);
  if (member == nullptr) return otherwise;
  if (!member->is_boolean()) throw er::io_error(er::quoted(name) + " is neither true nor false");
  return member->get<bool>();
}

std::string text_of(const json& object, std::string_view name) {
  const json* const member = find_member(object, name);
  if (member == nullptr) return {};
  if (!member->is_string()) throw er::io_error(er::quoted(name) + " is no string");
  return member->get<std::string>();
}

vocabulary_builder::vocabulary_builder(std::size_t rows) : taken_(rows) {
  if (rows > static_cast<std::size_t>(std::numeric_limits<token_id>::max()))
    throw er::io_error("an embedding of " + std::to_string(rows) + " rows has too many");
  words.tokens.resize(rows);
  words.types.assign(rows, vocabulary::unused);
}

token_id vocabulary_builder::checked(const json& id, const std::string& what) const {
  const bool whole =
      id.is_number_unsigned() || (id.is_number_integer() && id.get<std::int64_t>() >= 0);
  if (!whole || id.get<std::uint64_t>() >= taken_.size()) {
    throw er::io_error(what + " has the id " + er::quoted(id.dump()) +
                       ", expected a number below the " + std::to_string(taken_.size()) +
                       " rows of the embedding");
  }
  return id.get<token_id>();
}

void vocabulary_builder::add(const json& id, const std::string& token) {
  const token_id at = checked(id, "token " + er::quoted(token));
  const std::size_t slot = static_cast<std::size_t>(at);
  if (taken_[slot]) {
    throw er::io_error("tokens " + er::quoted(words.tokens[slot]) + " and " + er::quoted(token) +
                       " have the same id " + std::to_string(at));
  }
  const auto [known, is_new] = ids_.try_emplace(token, at);
  if (!is_new) {
    throw er::io_error("token " + er::quoted(token) + " has the ids " +
                       std::to_string(known->second) + " and " + std::to_string(at));
  }
  taken_[slot] = true;
  words.tokens[slot] = token;
  words.types[slot] = vocabulary::normal;
}

void vocabulary_builder::add_marker(const json& id, const json& description) {
  const std::string token = text_of(description, "content");
  if (token.empty()) throw er::io_error("added token " + id.dump() + " is empty");
  const token_id at = checked(id, "added token " + er::quoted(token));
  const std::size_t slot = static_cast<std::size_t>(at);
  if (!taken_[slot] || words.tokens[slot] != token) add(id, token);
  const bool special = flag_of(description, "special", false);
  words.types[slot] = special ? vocabulary::control : vocabulary::user_defined;
  if (flag_of(description, "single_word", false)) {
    throw er::io_error("added token " + er::quoted(token) +
                       " is 'single_word', which this program does not have");
  }
  const vocabulary::marker_rule rule{
      at, has_normalizer && flag_of(description, "normalized", !special),
      flag_of(description, "lstrip", false), flag_of(description, "rstrip", false)};
  const bool listed = std::any_of(words.marker_rules.begin(), words.marker_rules.end(),
                                  [at](const auto& one) { return one.token == at; });
  const bool plain =
      !rule.in_normalized_text && !rule.takes_spaces_left && !rule.takes_spaces_right;
  if (!plain && !listed) words.marker_rules.push_back(rule);
}

token_id vocabulary_builder::find(const std::string& token, std::string_view what) const {
  const auto found = ids_.find(token);
  if (found == ids_.end())
    throw er::io_error(std::string{what} + " " + er::quoted(token) + " is not in the vocabulary");
  return found->second;
}

vocabulary vocabulary_builder::finish() {
  const bool by_characters = words.letters == vocabulary::spelling::characters;
  for (std::size_t i = 0; i < words.tokens.size(); ++i) {
    if (!taken_[i]) words.tokens[i] = "[PAD" + std::to_string(i) + "]";
    if (by_characters && words.byte_fallback && byte_of_token(words.tokens[i]))
      words.types[i] = vocabulary::byte;
  }
  if (by_characters && words.unknown_token)
    words.types[static_cast<std::size_t>(*words.unknown_token)] = vocabulary::unknown;
  return std::move(words);
}

namespace {

[[noreturn]] void refuse(std::string_view part, const std::string& what) {
  throw er::io_error("the " + std::string{part} + " is " + er::quoted(what, 300) +
                     ", which this program does not have");
}

/// The parts of a normalizer, pre-tokenizer and so on, which may be sequences of them, in order.
void flatten(const json& part, std::string_view list, std::vector<const json*>& out) {
  if (text_of(part, "type") != "Sequence") {
    out.push_back(&part);
    return;
  }
  const json* const members = find_member(part, list);
  if (members == nullptr || !members->is_array())
    throw er::io_error("a sequence has no list " + er::quoted(list));
  for (const json& member : *members) flatten(member, list, out);
}

std::vector<const json*> parts_of(const json& file, std::string_view name, std::string_view list) {
  std::vector<const json*> parts;
  if (const json* const part = find_member(file, name)) flatten(*part, list, parts);
  return parts;
}

/// Whether a Replace or Split looks for that very text.
bool looks_for(const json& part, std::string_view text) {
  const json* const pattern = find_member(part, "pattern");
  return pattern != nullptr && find_member(*pattern, "String") != nullptr &&
         text_of(*pattern, "String") == text;
}

bool is_integer(const json& object, std::string_view name, int value) {
  const json* const member = find_member(object, name);
  return member != nullptr && member->is_number_integer() && member->get<std::int64_t>() == value;
}

/// Returns whether spaces become U+2581.
bool read_normalizer(const json& file, vocabulary_builder& into) {
  bool replaces = false, prepends = false;
  for (const json* part : parts_of(file, "normalizer", "normalizers")) {
    const std::string type = text_of(*part, "type");
    into.has_normalizer = true;
    if (type == "NFC") {
      into.words.compose = true;
    } else if (type == "Prepend" && text_of(*part, "prepend") == space_character) {
      prepends = true;
    } else if (type == "Replace" && looks_for(*part, " ") &&
               text_of(*part, "content") == space_character) {
      replaces = true;
    } else {
      refuse("normalizer", type == "Prepend" || type == "Replace" ? part->dump() : type);
    }
  }
  if (prepends && !replaces) refuse("normalizer", "Prepend without Replace");
  if (prepends) into.words.space = vocabulary::leading_space::always;
  return replaces;
}

void read_metaspace(const json& part, vocabulary& words) {
  if (text_of(part, "replacement") != space_character) refuse("pre-tokenizer", part.dump());
  if (words.space != vocabulary::leading_space::none)
    refuse("pre-tokenizer", "Metaspace behind the normalizer Prepend");
  std::string scheme = text_of(part, "prepend_scheme");
  if (scheme.empty()) scheme = flag_of(part, "add_prefix_space", true) ? "always" : "never";
  using enum vocabulary::leading_space;
  if (scheme != "always" && scheme != "first" && scheme != "never")
    refuse("prepend_scheme", scheme);
  words.space = scheme == "always"  ? where_missing
                : scheme == "first" ? where_missing_at_beginning
                                    : none;
  words.words = flag_of(part, "split", true) ? pre_tokenizer::metaspace : pre_tokenizer::none;
}

/// The pre-tokenizer that a Split by a regular expression is.
pre_tokenizer rule_of_pattern(const json& part) {
  const json* const pattern = find_member(part, "pattern");
  const std::string regex = pattern == nullptr ? "" : text_of(*pattern, "Regex");
  const std::string behavior = text_of(part, "behavior");
  const bool inverted = flag_of(part, "invert", false);
  // The expressions match every character, so that what lies between matches is nothing.
  const bool keeps_matches = inverted ? behavior == "Removed" : behavior == "Isolated";
  if (keeps_matches && regex == gpt2_pattern) return pre_tokenizer::gpt2;
  if (keeps_matches && regex == llama_bpe_pattern) return pre_tokenizer::llama_bpe;
  if (keeps_matches && regex == qwen2_pattern) return pre_tokenizer::qwen2;
  refuse("pre-tokenizer", part.dump());
}

void read_byte_level(const std::vector<const json*>& parts, vocabulary& words) {
  const json& bytes = *parts.back();
  words.letters = vocabulary::spelling::bytes;
  const bool by_regex = flag_of(bytes, "use_regex", true);
  if (parts.size() == 1) {
    words.words = by_regex ? pre_tokenizer::gpt2 : pre_tokenizer::none;
    if (flag_of(bytes, "add_prefix_space", true))
      words.space = vocabulary::leading_space::where_missing;
    return;
  }
  const std::string first = text_of(*parts[0], "type");
  if (parts.size() > 2 || flag_of(bytes, "add_prefix_space", true)) {
    std::string all;
    for (const json* part : parts) all += (all.empty() ? "" : ", ") + text_of(*part, "type");
    refuse("pre-tokenizer", all);
  }
  if (by_regex && first == "Digits" && flag_of(*parts[0], "individual_digits", false)) {
    words.words = pre_tokenizer::smollm;
  } else if (!by_regex && first == "Split") {
    words.words = rule_of_pattern(*parts[0]);
  } else {
    refuse("pre-tokenizer", parts[0]->dump());
  }
}

void read_pre_tokenizer(const json& file, bool replaces, vocabulary& words) {
  const std::vector<const json*> parts = parts_of(file, "pre_tokenizer", "pretokenizers");
  const std::string last = parts.empty() ? "" : text_of(*parts.back(), "type");
  if (last == "ByteLevel") {
    if (replaces) refuse("normalizer", "Replace before the pre-tokenizer ByteLevel");
    return read_byte_level(parts, words);
  }
  words.letters = vocabulary::spelling::characters;
  words.words = pre_tokenizer::none;
  if (parts.size() == 1 && last == "Metaspace") return read_metaspace(*parts[0], words);
  // Gemma splits at spaces, of which its normalizer has left none.
  const bool nothing =
      parts.empty() || (parts.size() == 1 && last == "Split" && looks_for(*parts[0], " "));
  if (!nothing) refuse("pre-tokenizer", parts[0]->dump());
  if (!replaces) refuse("pre-tokenizer", "none, and the normalizer leaves spaces");
}

void read_post_processor(const json& file, vocabulary_builder& into) {
  for (const json* part : parts_of(file, "post_processor", "processors")) {
    const std::string type = text_of(*part, "type");
    if (type == "ByteLevel") continue;  // which is about offsets
    if (type != "TemplateProcessing") refuse("post-processor", type);
    const json* const single = find_member(*part, "single");
    if (single == nullptr || !single->is_array())
      throw er::io_error("the post-processor has no list 'single'");
    std::size_t tokens = 0;
    bool text = false;
    for (const json& step : *single) {
      const json* const special = find_member(step, "SpecialToken");
      if (special == nullptr) {
        text = true;
        continue;
      }
      if (text || ++tokens > 1)
        refuse("post-processor", "a template with more than one token in front of the text");
      const std::string name = text_of(*special, "id");
      const json* const all = find_member(*part, "special_tokens");
      const json* const one = all == nullptr ? nullptr : find_member(*all, name);
      const json* const ids = one == nullptr ? nullptr : find_member(*one, "ids");
      if (ids == nullptr || !ids->is_array() || ids->size() != 1)
        throw er::io_error("the post-processor has no single id of " + er::quoted(name));
      into.words.bos = into.checked((*ids)[0], "the post-processor's " + er::quoted(name));
      into.words.add_bos = true;
    }
  }
}

void read_decoder(const json& file, vocabulary& words) {
  const bool by_bytes = words.letters == vocabulary::spelling::bytes;
  for (const json* part : parts_of(file, "decoder", "decoders")) {
    const std::string type = text_of(*part, "type");
    if (by_bytes) {
      if (type != "ByteLevel") refuse("decoder", type);
    } else if (type == "Strip") {
      if (text_of(*part, "content") != " " || !is_integer(*part, "start", 1) ||
          !is_integer(*part, "stop", 0))
        refuse("decoder", part->dump());
      words.strip_leading_space = true;
    } else if (type == "Metaspace") {
      if (text_of(*part, "replacement") != space_character) refuse("decoder", part->dump());
      std::string scheme = text_of(*part, "prepend_scheme");
      if (scheme.empty()) scheme = flag_of(*part, "add_prefix_space", true) ? "always" : "never";
      words.strip_leading_space = scheme != "never";
    } else if (type == "Replace") {
      if (!looks_for(*part, space_character) || text_of(*part, "content") != " ")
        refuse("decoder", part->dump());
    } else if (type != "ByteFallback" && type != "Fuse") {
      refuse("decoder", type);
    }
  }
}

std::string merge_of(const json& merge) {
  if (merge.is_string()) return merge.get<std::string>();
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string())
    throw er::io_error("a merge is neither a string nor a pair of strings: " +
                       er::printable(merge.dump()));
  const auto &left = merge[0].get_ref<const std::string&>(),
             &right = merge[1].get_ref<const std::string&>();
  if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos)
    throw er::io_error("a merge has a space in a token, which this program does not have: " +
                       er::printable(merge.dump()));
  return left + " " + right;
}

void read_model(const json& model, vocabulary_builder& into) {
  const json* const vocab = find_member(model, "vocab");
  const json* const merges = find_member(model, "merges");
  const std::string type = text_of(model, "type");
  if (type != "BPE" && !(type.empty() && merges != nullptr)) refuse("model", type);
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_of(model, name).empty()) refuse(name, text_of(model, name));
  }
  if (const json* const dropout = find_member(model, "dropout"); dropout && *dropout != 0)
    refuse("dropout", dropout->dump());
  if (vocab == nullptr || !vocab->is_object())
    throw er::io_error("the model has no object 'vocab'");
  if (merges == nullptr || !merges->is_array())
    throw er::io_error("the model has no list 'merges'");
  for (const auto& [token, id] : vocab->items()) into.add(id, token);
  into.words.merges.reserve(merges->size());
  for (const json& merge : *merges) into.words.merges.push_back(merge_of(merge));
  into.words.whole_words_first = flag_of(model, "ignore_merges", false);
  into.words.byte_fallback = flag_of(model, "byte_fallback", false);
  into.words.fuse_unknown = flag_of(model, "fuse_unk", false);
  if (const std::string unknown = text_of(model, "unk_token"); !unknown.empty())
    into.words.unknown_token = into.find(unknown, "unk_token");
}

}  // namespace

void read_tokenizer_json(const json& file, vocabulary_builder& into) {
  const json* const model = find_member(file, "model");
  if (model == nullptr) throw er::io_error("there is no 'model'");
  read_model(*model, into);
  const bool replaces = read_normalizer(file, into);
  read_pre_tokenizer(file, replaces, into.words);
  read_decoder(file, into.words);
  if (const json* const added = find_member(file, "added_tokens")) {
    if (!added->is_array()) throw er::io_error("'added_tokens' is no list");
    for (const json& token : *added) {
      const json* const id = find_member(token, "id");
      into.add_marker(id == nullptr ? json{} : *id, token);
    }
  }
  read_post_processor(file, into);
}

}  // namespace llm
