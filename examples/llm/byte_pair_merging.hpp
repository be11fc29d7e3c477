// SPDX-License-Identifier: Apache-2.0
/// Byte-pair encoding of one word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

namespace llm {

/// What two neighbours become, and how soon.
struct merge_result {
  std::uint32_t rank;
  std::int32_t token;
};

/// Merges the pair of neighbours of lowest rank, the leftmost of equals, until none is left.
/// `find(left, right)` gives std::optional<merge_result>.
///
/// A queue of candidates over a linked list: n symbols take less than 3 n calls of `find` and
/// n log n steps, so that a page of spaces takes no minutes. A candidate is stale once either side
/// has changed.
template <class Find>
void merge_pairs(std::vector<std::int32_t>& tokens, const Find& find) {
  constexpr std::size_t none = SIZE_MAX;
  struct symbol {
    std::int32_t token;
    std::size_t previous, next;
  };
  struct candidate {
    std::uint32_t rank;
    std::int32_t left_token, right_token, result;
    std::size_t left;
    bool operator>(const candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  if (tokens.size() < 2) return;

  std::vector<symbol> symbols;
  symbols.reserve(tokens.size());
  for (const std::int32_t token : tokens)
    symbols.push_back({token, symbols.size() - 1, symbols.size() + 1});
  symbols.front().previous = none;
  symbols.back().next = none;

  std::priority_queue<candidate, std::vector<candidate>, std::greater<>> queue;
  const auto consider = [&](std::size_t left) {
    if (left == none || symbols[left].next == none) return;
    const std::int32_t left_token = symbols[left].token,
                       right_token = symbols[symbols[left].next].token;
    if (const std::optional<merge_result> found = find(left_token, right_token))
      queue.push({found->rank, left_token, right_token, found->token, left});
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) consider(i);

  while (!queue.empty()) {
    const candidate best = queue.top();
    queue.pop();
    symbol& left = symbols[best.left];
    if (left.token != best.left_token || left.next == none ||
        symbols[left.next].token != best.right_token)
      continue;
    symbol& right = symbols[left.next];
    left.token = best.result;
    right.token = -1;
    left.next = right.next;
    if (left.next != none) symbols[left.next].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  tokens.clear();
  for (std::size_t i = 0; i != none; i = symbols[i].next) tokens.push_back(symbols[i].token);
}

}  // namespace llm
