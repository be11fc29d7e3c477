// SPDX-License-Identifier: Apache-2.0
#include "tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <queue>
#include <utility>

#include "utf8.hpp"
#include <edgerazor/core/contract.hpp>

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

namespace {

std::uint64_t pair_key(token_id left, token_id right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
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
  if (data_.bos) special.push_back(*data_.bos);
  for (const token_id id : special) {
    if (id < 0 || static_cast<std::size_t>(id) >= size()) {
      throw er::io_error("tokenizer: special token " + std::to_string(id) +
                         " is outside of the vocabulary");
    }
  }
  for (const token_id id : ends) ends_[static_cast<std::size_t>(id)] = true;

  const std::array<std::uint32_t, 256> alphabet = byte_alphabet();
  std::unordered_map<std::uint32_t, char> byte_of;
  for (std::size_t byte = 0; byte < 256; ++byte) byte_of[alphabet[byte]] = static_cast<char>(byte);

  ids_.reserve(size());
  for (std::size_t i = 0; i < size(); ++i) {
    const token_id id = static_cast<token_id>(i);
    ids_.try_emplace(data_.tokens[i], id);
    if (ends_turn(data_.tokens[i])) {
      data_.types[i] = vocabulary::control;
      ends_[i] = true;
    }
    // Spelled out by a user, it would begin another's turn.
    if (data_.tokens[i] == "<|im_start|>" && data_.types[i] == vocabulary::user_defined)
      data_.types[i] = vocabulary::control;
    const bool marker = is_marker(data_.types[i]);
    if (marker && !data_.tokens[i].empty()) markers_.push_back(id);
    bytes_[i] = marker ? data_.tokens[i] : bytes_of_printable(data_.tokens[i], byte_of);
  }
  std::stable_sort(markers_.begin(), markers_.end(), [this](token_id a, token_id b) {
    return bytes_of(a).size() > bytes_of(b).size();
  });

  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::string text;
    append_utf8(text, alphabet[byte]);
    byte_tokens_[byte] = find(text).value_or(-1);
  }

  merges_.reserve(data_.merges.size());
  for (std::size_t i = 0; i < data_.merges.size(); ++i) {
    const std::string& text = data_.merges[i];
    const std::size_t space = text.find(' ', 1);
    const auto left = find(text.substr(0, space));
    const auto right = space == std::string::npos ? std::nullopt : find(text.substr(space + 1));
    const auto result =
        left && right ? find(text.substr(0, space) + text.substr(space + 1)) : std::nullopt;
    if (!result)
      throw er::io_error("tokenizer: merge " + std::to_string(i) +
                         " names a token that does not exist");
    merges_.try_emplace(pair_key(*left, *right), merge{static_cast<std::uint32_t>(i), *result});
  }
}

std::optional<token_id> tokenizer::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional{found->second};
}

const tokenizer::merge* tokenizer::find_merge(token_id left, token_id right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

/// Merges the pair of lowest rank, the leftmost of equals, until none is left. A queue of
/// candidates over a linked list: n log n, so that a page of spaces takes no minutes. A candidate
/// is stale once either side has changed.
void tokenizer::encode_word(std::string_view word, std::vector<token_id>& out) const {
  constexpr std::size_t none = SIZE_MAX;
  struct symbol {
    token_id id;
    std::size_t previous, next;
  };
  struct candidate {
    std::uint32_t rank;
    std::size_t left;
    token_id left_id, right_id;
    bool operator>(const candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };

  std::vector<symbol> symbols;
  for (const char c : word) {
    const token_id id = byte_tokens_[static_cast<unsigned char>(c)];
    if (id >= 0) symbols.push_back({id, symbols.size() - 1, symbols.size() + 1});
  }
  if (symbols.empty()) return;
  symbols.front().previous = none;
  symbols.back().next = none;

  std::priority_queue<candidate, std::vector<candidate>, std::greater<>> queue;
  const auto consider = [&](std::size_t left) {
    if (left == none || symbols[left].next == none) return;
    const token_id left_id = symbols[left].id, right_id = symbols[symbols[left].next].id;
    if (const merge* found = find_merge(left_id, right_id))
      queue.push({found->rank, left, left_id, right_id});
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) consider(i);

  while (!queue.empty()) {
    const candidate best = queue.top();
    queue.pop();
    symbol& left = symbols[best.left];
    if (left.id != best.left_id || left.next == none || symbols[left.next].id != best.right_id)
      continue;
    symbol& right = symbols[left.next];
    left.id = find_merge(best.left_id, best.right_id)->result;
    right.id = -1;
    left.next = right.next;
    if (left.next != none) symbols[left.next].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (std::size_t i = 0; i != none; i = symbols[i].next) out.push_back(symbols[i].id);
}

std::vector<token_id> tokenizer::encode(std::string_view text, markup mode, bool beginning) const {
  // A text falls into stretches: markers that have been found, and raw text between them.
  struct stretch {
    std::string_view text;
    token_id marker;  ///< -1 for raw text
  };
  std::vector<stretch> stretches{{text, -1}};
  for (const token_id marker : markers_) {
    const bool wanted = mode == markup::control_tokens ||
                        data_.types[static_cast<std::size_t>(marker)] == vocabulary::user_defined;
    const std::string_view name = bytes_of(marker);
    if (!wanted || text.find(name) == std::string_view::npos) continue;
    std::vector<stretch> finer;
    for (stretch part : stretches) {
      std::size_t at;
      while (part.marker < 0 && (at = part.text.find(name)) != std::string_view::npos) {
        if (at > 0) finer.push_back({part.text.substr(0, at), -1});
        finer.push_back({name, marker});
        part.text.remove_prefix(at + name.size());
      }
      if (part.marker >= 0 || !part.text.empty()) finer.push_back(part);
    }
    stretches = std::move(finer);
  }

  std::vector<token_id> tokens;
  if (beginning && data_.add_bos && data_.bos) tokens.push_back(*data_.bos);
  for (const stretch& part : stretches) {
    if (part.marker >= 0) {
      tokens.push_back(part.marker);
      continue;
    }
    for (const std::string_view word : split_words(data_.words, part.text)) {
      if (data_.whole_words_first) {
        std::string printable;
        for (const char c : word) {
          const token_id byte = byte_tokens_[static_cast<unsigned char>(c)];
          if (byte >= 0) printable += data_.tokens[static_cast<std::size_t>(byte)];
        }
        if (const auto whole = find(printable)) {
          tokens.push_back(*whole);
          continue;
        }
      }
      encode_word(word, tokens);
    }
  }
  return tokens;
}

}  // namespace llm
