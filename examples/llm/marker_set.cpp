// SPDX-License-Identifier: Apache-2.0
#include "marker_set.hpp"

#include <algorithm>
#include <utility>

#include "unicode.hpp"
#include "utf8.hpp"

namespace llm {

namespace {

/// First byte of the white space at the end of text[0, at), not before `limit`.
std::size_t spaces_before(std::string_view text, std::size_t limit, std::size_t at) {
  while (at > limit) {
    std::size_t begin = at - 1;
    while (begin > limit && at - begin < 4 &&
           (static_cast<unsigned char>(text[begin]) & 0xc0u) == 0x80u)
      --begin;
    const utf8_character last = first_character(text.substr(begin, at - begin));
    if (last.size != at - begin || kind_of(last.code) != character_kind::white_space) break;
    at = begin;
  }
  return at;
}

/// End of the white space that begins at `at`.
std::size_t spaces_after(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const utf8_character next = first_character(text.substr(at));
    if (kind_of(next.code) != character_kind::white_space) break;
    at += next.size;
  }
  return at;
}

}  // namespace

marker_set::marker_set(std::vector<marker> markers) : markers_(std::move(markers)) {
  const auto before = [](const marker& a, const marker& b) { return a.text < b.text; };
  std::stable_sort(markers_.begin(), markers_.end(), before);
  const auto same = [](const marker& a, const marker& b) { return a.text == b.text; };
  markers_.erase(std::unique(markers_.begin(), markers_.end(), same), markers_.end());
  for (const marker& one : markers_) begins_[static_cast<unsigned char>(one.text[0])] = true;
}

std::vector<marker_set::stretch> marker_set::split(
    std::string_view text,
    const std::function<bool(std::int32_t, std::size_t, std::size_t)>& allowed) const {
  std::vector<stretch> result;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const marker* best = nullptr;
    // Those that agree with the text so far lie together; the one that ends here is the first.
    auto first = markers_.begin(), last = markers_.end();
    if (!begins_[static_cast<unsigned char>(text[at])]) last = first;
    for (std::size_t size = 0; first != last; ++size) {
      if (first->text.size() == size) {
        if (allowed(first->token, at, at + size)) best = &*first;
        if (++first == last) break;
      }
      if (at + size == text.size()) break;
      const auto byte = static_cast<unsigned char>(text[at + size]);
      const auto byte_of = [size](const marker& one) {
        return static_cast<unsigned char>(one.text[size]);
      };
      first =
          std::partition_point(first, last, [&](const marker& one) { return byte_of(one) < byte; });
      last = std::partition_point(first, last,
                                  [&](const marker& one) { return byte_of(one) == byte; });
    }
    if (best == nullptr) {
      ++at;
      continue;
    }
    const std::size_t begin = best->takes_spaces_left ? spaces_before(text, done, at) : at;
    at += best->text.size();
    if (best->takes_spaces_right) at = spaces_after(text, at);
    if (begin > done) result.push_back({done, begin, -1});
    result.push_back({begin, at, best->token});
    done = at;
  }
  if (done < text.size()) result.push_back({done, text.size(), -1});
  return result;
}

}  // namespace llm
