// SPDX-License-Identifier: Apache-2.0
#include "byte_pair_training.hpp"

#include <algorithm>
#include <cstdint>
#include <queue>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/utf8.hpp"
#include <edgerazor/core/contract.hpp>

namespace qad {

namespace {

using llm::token_id;

struct word {
  std::vector<token_id> symbols;
  std::int64_t count = 0;
};

/// left << 32 | right: pairs in order of left, then right.
using pair_key = std::uint64_t;

pair_key key_of(token_id left, token_id right) {
  return static_cast<pair_key>(left) << 32 | static_cast<pair_key>(right);
}

struct pair_record {
  std::int64_t count = 0;
  std::vector<std::uint32_t> words;  ///< those that have it, or had it once; some twice
};

struct candidate {
  std::int64_t count;
  pair_key pair;
  bool operator<(const candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

/// The pairs of all words and how often they occur, kept right while words change.
class pair_counts {
 public:
  explicit pair_counts(std::vector<word> words) : words_(std::move(words)) {
    for (std::uint32_t i = 0; i < words_.size(); ++i) add_word(i);
    for (const auto& [pair, record] : pairs_) queue_.push({record.count, pair});
  }

  /// The most frequent pair; of count 0 where none is left. A queued count is an upper bound:
  /// counts that fall are corrected when they come up, counts that rise are queued anew.
  candidate most_frequent() {
    while (!queue_.empty()) {
      const candidate best = queue_.top();
      queue_.pop();
      const std::int64_t count = pairs_[best.pair].count;
      if (count == best.count) return best;
      if (count > 0 && count < best.count) queue_.push({count, best.pair});
    }
    return {0, 0};
  }

  void merge(pair_key pair, token_id merged) {
    const token_id left = static_cast<token_id>(pair >> 32),
                   right = static_cast<token_id>(pair & 0xffffffffu);
    std::vector<std::uint32_t> affected = std::exchange(pairs_[pair].words, {});
    std::sort(affected.begin(), affected.end());
    affected.erase(std::unique(affected.begin(), affected.end()), affected.end());
    risen_.clear();
    for (const std::uint32_t index : affected) {
      std::vector<token_id>& symbols = words_[index].symbols;
      for (std::size_t i = 1; i < symbols.size(); ++i) {
        pairs_[key_of(symbols[i - 1], symbols[i])].count -= words_[index].count;
      }
      std::size_t size = 0;
      for (std::size_t i = 0; i < symbols.size(); ++i, ++size) {
        const bool here = symbols[i] == left && i + 1 < symbols.size() && symbols[i + 1] == right;
        symbols[size] = here ? merged : symbols[i];
        i += here ? 1 : 0;
      }
      symbols.resize(size);
      add_word(index, merged);
    }
    for (const pair_key changed : risen_) {
      if (const std::int64_t count = pairs_[changed].count; count > 0)
        queue_.push({count, changed});
    }
  }

 private:
  /// Counts the pairs of a word. Those with `fresh` in them, all where it is -1, learn that the
  /// word has them: the others know.
  void add_word(std::uint32_t index, token_id fresh = -1) {
    const std::vector<token_id>& symbols = words_[index].symbols;
    for (std::size_t i = 1; i < symbols.size(); ++i) {
      const pair_key pair = key_of(symbols[i - 1], symbols[i]);
      pair_record& record = pairs_[pair];
      record.count += words_[index].count;
      if (fresh >= 0 && symbols[i - 1] != fresh && symbols[i] != fresh) continue;
      if (record.words.empty() || record.words.back() != index) record.words.push_back(index);
      if (fresh >= 0) risen_.push_back(pair);
    }
  }

  std::vector<word> words_;
  std::unordered_map<pair_key, pair_record> pairs_;
  std::priority_queue<candidate> queue_;
  std::vector<pair_key> risen_;
};

std::vector<word> distinct_words(std::string_view text) {
  std::vector<word> words;
  std::unordered_map<std::string_view, std::size_t> known;
  for (const std::string_view next : llm::split_words(llm::pre_tokenizer::gpt2, text)) {
    const auto [at, is_new] = known.try_emplace(next, words.size());
    if (is_new) {
      words.emplace_back();
      for (const char c : next) words.back().symbols.push_back(static_cast<unsigned char>(c));
    }
    ++words[at->second].count;
  }
  return words;
}

}  // namespace

llm::vocabulary train_byte_pairs(std::string_view text, std::size_t size) {
  if (size < 257) {
    throw std::invalid_argument("a vocabulary of " + std::to_string(size) +
                                " tokens; the 256 bytes and the end of text take 257 already");
  }
  llm::vocabulary data;
  data.words = llm::pre_tokenizer::gpt2;
  for (const std::uint32_t code : llm::byte_alphabet())
    llm::append_utf8(data.tokens.emplace_back(), code);
  std::unordered_map<std::string, token_id> ids;
  for (std::size_t i = 0; i < data.tokens.size(); ++i)
    ids[data.tokens[i]] = static_cast<token_id>(i);

  pair_counts pairs(distinct_words(text));
  while (data.tokens.size() + 1 < size) {
    const candidate best = pairs.most_frequent();
    if (best.count < 2) break;
    const std::string& left = data.tokens[best.pair >> 32];
    const std::string& right = data.tokens[best.pair & 0xffffffffu];
    const std::string joined = left + right;
    data.merges.push_back(left + " " + right);
    // "a" + "bc" and "ab" + "c" are one token.
    const auto [at, is_new] = ids.try_emplace(joined, static_cast<token_id>(data.tokens.size()));
    if (is_new) data.tokens.push_back(joined);
    pairs.merge(best.pair, at->second);
  }
  data.types.assign(data.tokens.size(), llm::vocabulary::normal);
  data.tokens.emplace_back(end_of_text);
  data.types.push_back(llm::vocabulary::control);
  data.eos = static_cast<token_id>(data.tokens.size() - 1);
  return data;
}

}  // namespace qad
