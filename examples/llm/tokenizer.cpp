// SPDX-License-Identifier: Apache-2.0
#include "tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include "unicode.hpp"
#include "utf8.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace llm {

namespace er = edgerazor;

std::array<std::uint32_t, 256> byte_alphabet() {
  std::array<std::uint32_t, 256> alphabet{};
  std::uint32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    alphabet[byte] = printable ? byte : next++;
  }
  return alphabet;
}

std::optional<unsigned char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : token.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'A' && c <= 'F')) return std::nullopt;
    value = 16 * value + static_cast<unsigned>(digit ? c - '0' : c - 'A' + 10);
  }
  return static_cast<unsigned char>(value);
}

namespace {

std::uint64_t pair_key(token_id left, token_id right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t found = std::min(text.find(from, at), text.size());
    result += text.substr(at, found - at);
    if (found < text.size()) result += to;
    at = found + from.size();
  }
  return result;
}

/// The bytes of a token written in the printable alphabet. Characters outside of it stand for
/// themselves.
std::string bytes_of_printable(std::string_view token,
                               const std::unordered_map<std::uint32_t, char>& byte_of) {
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const utf8_character next = first_character(token.substr(at));
    const auto found = byte_of.find(next.code);
    bytes +=
        found != byte_of.end() ? std::string_view{&found->second, 1} : token.substr(at, next.size);
    at += next.size;
  }
  return bytes;
}

/// Names of tokens that end a turn or a text, in the formats of ChatML, Llama 3, Phi, Gemma, GPT-2,
/// DeepSeek and gpt-oss.
bool ends_turn(std::string_view token) {
  constexpr std::array<std::string_view, 14> names{
      "<|im_end|>",
      "<|endoftext|>",
      "<|eot_id|>",
      "<|end_of_text|>",
      "<|eom_id|>",
      "<|end|>",
      "<end_of_turn>",
      "<|endofturn|>",
      "<EOT>",
      "<|end_of_turn|>",
      "<|return|>",
      "<|call|>",
      "<|eot|>",
      "<\xef\xbd\x9c"
      "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>"};
  return std::find(names.begin(), names.end(), token) != names.end();
}

bool is_marker(std::int32_t type) {
  return type == vocabulary::control || type == vocabulary::user_defined ||
         type == vocabulary::unknown;
}

}  // namespace

tokenizer::tokenizer(vocabulary data)
    : data_(std::move(data)), bytes_(data_.tokens.size()), ends_(data_.tokens.size()) {
  if (data_.tokens.empty()) throw er::io_error("tokenizer: the vocabulary has no tokens");
  if (data_.types.empty()) data_.types.assign(data_.tokens.size(), vocabulary::normal);
  if (data_.types.size() != data_.tokens.size()) {
    throw er::io_error("tokenizer: " + std::to_string(data_.tokens.size()) + " tokens, but " +
                       std::to_string(data_.types.size()) + " token types");
  }
  std::vector<token_id> ends = data_.other_ends;
  if (data_.eos) ends.push_back(*data_.eos);
  std::vector<token_id> special = ends;
  for (const auto id : {data_.bos, data_.unknown_token, data_.padding}) {
    if (id) special.push_back(*id);
  }
  for (const vocabulary::marker_rule& rule : data_.marker_rules) special.push_back(rule.token);
  for (const token_id id : special) {
    if (id < 0 || static_cast<std::size_t>(id) >= size()) {
      throw er::io_error("tokenizer: special token " + std::to_string(id) +
                         " is outside of the vocabulary");
    }
  }
  for (const token_id id : ends) ends_[static_cast<std::size_t>(id)] = true;
  read_types();
  read_markers();
  if (data_.merges.empty() && !data_.scores.empty()) {
    rank_scores();
  } else {
    read_merges();
  }
}

/// What each token stands for.
void tokenizer::read_types() {
  const bool by_bytes = data_.letters == vocabulary::spelling::bytes;
  const std::array<std::uint32_t, 256> alphabet = byte_alphabet();
  std::unordered_map<std::uint32_t, char> byte_of;
  for (std::size_t byte = 0; byte < 256; ++byte) byte_of[alphabet[byte]] = static_cast<char>(byte);

  ids_.reserve(size());
  byte_tokens_.fill(-1);
  for (std::size_t i = 0; i < size(); ++i) {
    const std::string& token = data_.tokens[i];
    std::int32_t& type = data_.types[i];
    longest_ = std::max(longest_, token.size());
    ids_.try_emplace(token, static_cast<token_id>(i));
    if (ends_turn(token)) {
      type = vocabulary::control;
      ends_[i] = true;
    }
    // Spelled out by a user, it would begin another's turn.
    if (token == "<|im_start|>" && type == vocabulary::user_defined) type = vocabulary::control;
    const auto byte = type == vocabulary::byte ? byte_of_token(token) : std::nullopt;
    if (byte && !by_bytes) {
      byte_tokens_[*byte] = static_cast<token_id>(i);
      bytes_[i] = static_cast<char>(*byte);
    } else if (by_bytes) {
      bytes_[i] = is_marker(type) ? token : bytes_of_printable(token, byte_of);
    } else {
      bytes_[i] = type == vocabulary::control ? token : replaced(token, space_character, " ");
    }
  }
  if (!by_bytes) return;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::string text;
    append_utf8(text, alphabet[byte]);
    byte_tokens_[byte] = find_spelled(text).value_or(-1);
  }
}

void tokenizer::read_markers() {
  std::unordered_map<token_id, vocabulary::marker_rule> rules;
  for (const vocabulary::marker_rule& rule : data_.marker_rules) rules[rule.token] = rule;
  std::vector<marker_set::marker> raw, in_normalized;
  for (std::size_t i = 0; i < size(); ++i) {
    const token_id id = static_cast<token_id>(i);
    if (!is_marker(data_.types[i]) || data_.tokens[i].empty()) continue;
    const auto found = rules.find(id);
    const vocabulary::marker_rule rule =
        found == rules.end() ? vocabulary::marker_rule{id} : found->second;
    auto& set = rule.in_normalized_text ? in_normalized : raw;
    set.push_back({rule.in_normalized_text ? normalized(data_.tokens[i]) : data_.tokens[i], id,
                   rule.takes_spaces_left, rule.takes_spaces_right});
  }
  raw_markers_ = marker_set(std::move(raw));
  normalized_markers_ = marker_set(std::move(in_normalized));
}

/// A merge that gives a marker is left out: text would become one without its being looked for.
void tokenizer::read_merges() {
  merges_.reserve(data_.merges.size());
  for (std::size_t i = 0; i < data_.merges.size(); ++i) {
    const std::string& text = data_.merges[i];
    const std::size_t space = text.find(' ', 1);
    const auto left = find(text.substr(0, space));
    const auto right = space == std::string::npos ? std::nullopt : find(text.substr(space + 1));
    const auto result =
        left && right ? find(text.substr(0, space) + text.substr(space + 1)) : std::nullopt;
    if (!result) {
      throw er::io_error("tokenizer: merge " + std::to_string(i) + ", " + er::quoted(text) +
                         ", names a token that does not exist");
    }
    if (is_spelled(*result)) {
      merges_.try_emplace(pair_key(*left, *right),
                          merge_result{static_cast<std::uint32_t>(i), *result});
    }
  }
}

/// Rank 0 has the highest score; equal scores have equal ranks.
void tokenizer::rank_scores() {
  if (data_.scores.size() != size()) {
    throw er::io_error("tokenizer: " + std::to_string(size()) + " tokens, but " +
                       std::to_string(data_.scores.size()) + " scores");
  }
  const auto bad = std::find_if(data_.scores.begin(), data_.scores.end(),
                                [](float score) { return std::isnan(score); });
  if (bad != data_.scores.end()) {
    throw er::io_error("tokenizer: the score of token " +
                       std::to_string(bad - data_.scores.begin()) + " is no number");
  }
  std::vector<std::size_t> order(size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
    return data_.scores[a] > data_.scores[b];
  });
  ranks_.resize(size());
  std::uint32_t rank = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && data_.scores[order[i]] < data_.scores[order[i - 1]]) ++rank;
    ranks_[order[i]] = rank;
  }
}

std::optional<token_id> tokenizer::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional{found->second};
}

bool tokenizer::is_spelled(token_id token) const {
  const std::int32_t type = data_.types[static_cast<std::size_t>(token)];
  return type == vocabulary::normal || type == vocabulary::user_defined;
}

std::optional<token_id> tokenizer::find_spelled(std::string_view token) const {
  const auto found = find(token);
  return found && is_spelled(*found) ? found : std::nullopt;
}

std::optional<merge_result> tokenizer::find_merge(token_id left, token_id right) const {
  if (ranks_.empty()) {
    const auto found = merges_.find(pair_key(left, right));
    return found == merges_.end() ? std::nullopt : std::optional{found->second};
  }
  if (!is_spelled(left) || !is_spelled(right)) return std::nullopt;
  const std::string& first = data_.tokens[static_cast<std::size_t>(left)];
  const std::string& second = data_.tokens[static_cast<std::size_t>(right)];
  if (first.size() + second.size() > longest_) return std::nullopt;
  const auto result = find_spelled(first + second);
  if (!result) return std::nullopt;
  return merge_result{ranks_[static_cast<std::size_t>(*result)], *result};
}

/// The symbols of a character that is no token itself: its bytes, or `unknown_token`.
void tokenizer::append_character(std::string_view character, std::vector<token_id>& symbols) const {
  const auto token_of = [this](char c) { return byte_tokens_[static_cast<unsigned char>(c)]; };
  const bool bytes = data_.byte_fallback && std::all_of(character.begin(), character.end(),
                                                        [&](char c) { return token_of(c) >= 0; });
  if (bytes) {
    for (const char c : character) symbols.push_back(token_of(c));
  } else if (data_.unknown_token) {
    const bool same = !symbols.empty() && symbols.back() == *data_.unknown_token;
    if (!same || !data_.fuse_unknown) symbols.push_back(*data_.unknown_token);
  }
}

void tokenizer::encode_word(std::string_view word, std::vector<token_id>& out) const {
  const bool by_bytes = data_.letters == vocabulary::spelling::bytes;
  if (data_.whole_words_first) {
    std::string printable;
    for (std::size_t i = 0; by_bytes && i < word.size(); ++i) {
      const token_id byte = byte_tokens_[static_cast<unsigned char>(word[i])];
      if (byte >= 0) printable += data_.tokens[static_cast<std::size_t>(byte)];
    }
    if (const auto whole = find_spelled(by_bytes ? std::string_view{printable} : word)) {
      out.push_back(*whole);
      return;
    }
  }
  std::vector<token_id> symbols;
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t size = by_bytes ? 1 : first_character(word.substr(at)).size;
    const std::string_view one = word.substr(at, size);
    const auto known = by_bytes ? std::nullopt : find_spelled(one);
    const token_id byte = byte_tokens_[static_cast<unsigned char>(one[0])];
    if (known) {
      symbols.push_back(*known);
    } else if (by_bytes && byte >= 0) {
      symbols.push_back(byte);
    } else {
      append_character(one, symbols);
    }
    at += size;
  }
  merge_pairs(symbols, [this](token_id left, token_id right) { return find_merge(left, right); });
  out.insert(out.end(), symbols.begin(), symbols.end());
}

std::string tokenizer::normalized(std::string_view text) const {
  std::string result = data_.compose ? composed(text) : std::string{text};
  const bool prefix = data_.space == vocabulary::leading_space::always && !result.empty();
  if (prefix) result.insert(result.begin(), ' ');
  if (data_.letters == vocabulary::spelling::bytes) return result;
  return replaced(result, " ", space_character);
}

void tokenizer::encode_words(std::string_view text, bool first, std::vector<token_id>& out) const {
  using enum vocabulary::leading_space;
  const std::string_view space =
      data_.letters == vocabulary::spelling::bytes ? " " : space_character;
  const bool asked =
      data_.space == where_missing || (data_.space == where_missing_at_beginning && first);
  std::string longer;
  if (asked && !text.starts_with(space)) {
    (longer = space) += text;
    text = longer;
  }
  for (const std::string_view word : split_words(data_.words, text)) encode_word(word, out);
}

void tokenizer::encode_stretch(std::string_view text, bool first, bool plain,
                               std::vector<token_id>& out) const {
  const std::string clean = normalized(text);
  if (normalized_markers_.empty()) return encode_words(clean, first, out);
  const auto allowed = [&](token_id token, std::size_t, std::size_t) {
    return !plain || data_.types[static_cast<std::size_t>(token)] == vocabulary::user_defined;
  };
  for (const marker_set::stretch& part : normalized_markers_.split(clean, allowed)) {
    if (part.marker >= 0) {
      out.push_back(part.marker);
    } else {
      encode_words(std::string_view{clean}.substr(part.begin, part.end - part.begin),
                   first && part.begin == 0, out);
    }
  }
}

std::vector<token_id> tokenizer::encode(std::string_view text, std::span<const range> plain,
                                        bool beginning) const {
  const auto touches_plain = [plain](std::size_t begin, std::size_t end) {
    const auto after = std::partition_point(plain.begin(), plain.end(),
                                            [begin](const range& r) { return r.end <= begin; });
    return after != plain.end() && after->begin < end;
  };
  const auto allowed = [&](token_id token, std::size_t begin, std::size_t end) {
    return data_.types[static_cast<std::size_t>(token)] == vocabulary::user_defined ||
           !touches_plain(begin, end);
  };
  std::vector<token_id> tokens;
  if (beginning && data_.add_bos && data_.bos) tokens.push_back(*data_.bos);
  for (const marker_set::stretch& part : raw_markers_.split(text, allowed)) {
    if (part.marker >= 0) {
      tokens.push_back(part.marker);
    } else {
      encode_stretch(text.substr(part.begin, part.end - part.begin), part.begin == 0,
                     touches_plain(part.begin, part.end), tokens);
    }
  }
  return tokens;
}

std::vector<token_id> tokenizer::encode(std::string_view text, markup mode, bool beginning) const {
  const range whole{0, text.size()};
  return encode(text, std::span{&whole, mode == markup::plain ? 1u : 0u}, beginning);
}

std::vector<token_id> tokenizer::encode(std::span<const piece> pieces, bool beginning) const {
  std::string text;
  std::vector<range> plain;
  for (const piece& one : pieces) {
    if (one.mode == markup::plain && !one.text.empty())
      plain.push_back({text.size(), text.size() + one.text.size()});
    text += one.text;
  }
  return encode(text, plain, beginning);
}

std::string tokenizer::decode(std::span<const token_id> tokens) const {
  std::string text;
  for (const token_id token : tokens) text += bytes_of(token);
  if (data_.strip_leading_space && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

}  // namespace llm
