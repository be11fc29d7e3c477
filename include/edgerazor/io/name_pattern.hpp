// SPDX-License-Identifier: Apache-2.0
/// Patterns of layers' names, as quantization configurations have them: a part of Python's regular
/// expressions, matched in time proportional to pattern times name, whatever a stranger wrote.
#pragma once

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::io {

/// Literals, `.`, `\d` `\w` `\s`, an escaped sign, `[a-z]`, `(...)`, `(?:...)`, `|`, `*`, `+`, `?`
/// (lazy forms too), `^` and `$`. Nothing else: no counts, references or assertions.
class name_pattern {
 public:
  /// Nothing where the pattern has more than that, is longer than 1000 bytes, or nests more than
  /// 32 deep.
  [[nodiscard]] static std::optional<name_pattern> compile(std::string_view text) {
    name_pattern pattern;
    if (text.size() > 1000) return std::nullopt;
    parser parse{text, pattern.code_};
    if (!parse.alternatives(0) || parse.at != text.size()) return std::nullopt;
    pattern.code_.push_back({step::done, 0, 0, {}});
    return pattern;
  }

  /// Whether a part of `name` matches that begins where it does (Python's `re.match`).
  [[nodiscard]] bool matches(std::string_view name) const {
    std::vector<std::size_t> now, next;
    std::vector<std::size_t> seen(code_.size(), 0);  // 1 + the position at which it was added
    bool done = false;
    add(now, 0, name, 0, seen, done);
    for (std::size_t i = 0; !done && i < name.size() && !now.empty(); ++i) {
      next.clear();
      for (const std::size_t at : now) {
        if (code_[at].set[static_cast<unsigned char>(name[i])])
          add(next, at + 1, name, i + 1, seen, done);
      }
      std::swap(now, next);
    }
    return done;
  }

 private:
  enum class step : std::uint8_t { characters, split, begin, end, done };
  /// `x` and `y`: where a split goes on, relative to it.
  struct instruction {
    step kind;
    std::ptrdiff_t x, y;
    std::bitset<256> set;
  };
  using program = std::vector<instruction>;

  void add(std::vector<std::size_t>& list, std::size_t start, std::string_view name,
           std::size_t position, std::vector<std::size_t>& seen, bool& done) const {
    std::vector<std::size_t> open{start};
    while (!open.empty()) {
      const std::size_t at = open.back();
      open.pop_back();
      if (std::exchange(seen[at], position + 1) == position + 1) continue;
      const instruction& one = code_[at];
      const auto to = [at](std::ptrdiff_t by) {
        return static_cast<std::size_t>(static_cast<std::ptrdiff_t>(at) + by);
      };
      switch (one.kind) {
        case step::characters:
          list.push_back(at);
          break;
        case step::split:
          open.push_back(to(one.x));
          open.push_back(to(one.y));
          break;
        case step::begin:
          if (position == 0) open.push_back(at + 1);
          break;
        case step::end:
          if (position == name.size()) open.push_back(at + 1);
          break;
        case step::done:
          done = true;
      }
    }
  }

  struct parser {
    std::string_view text;
    program& code;
    std::size_t at = 0;

    [[nodiscard]] bool has(char c) const { return at < text.size() && text[at] == c; }
    [[nodiscard]] bool take(char c) { return has(c) && (++at, true); }
    [[nodiscard]] std::ptrdiff_t size_from(std::size_t start) const {
      return static_cast<std::ptrdiff_t>(code.size() - start);
    }
    void split_before(std::size_t start, std::ptrdiff_t y) {
      code.insert(code.begin() + static_cast<std::ptrdiff_t>(start), {step::split, 1, y, {}});
    }

    [[nodiscard]] bool alternatives(std::size_t depth) {
      const std::size_t start = code.size();
      while (at < text.size() && !has('|') && !has(')')) {
        if (!repeated(depth)) return false;
      }
      if (!take('|')) return true;
      split_before(start, size_from(start) + 2);
      const std::size_t jump = code.size();
      code.push_back({step::split, 0, 0, {}});
      if (!alternatives(depth)) return false;
      code[jump].x = code[jump].y = size_from(jump);
      return true;
    }

    [[nodiscard]] bool repeated(std::size_t depth) {
      const std::size_t start = code.size();
      if (!atom(depth)) return false;
      const std::ptrdiff_t size = size_from(start);
      if (take('*')) {
        split_before(start, size + 2);
        code.push_back({step::split, -(size + 1), -(size + 1), {}});
      } else if (take('+')) {
        code.push_back({step::split, -size, 1, {}});
      } else if (take('?')) {
        split_before(start, size + 1);
      } else {
        return !has('{');
      }
      (void)take('?');  // lazy: the same names match
      return !has('*') && !has('+') && !has('?') && !has('{');
    }

    [[nodiscard]] bool atom(std::size_t depth) {
      std::bitset<256> set;
      const char c = text[at++];
      switch (c) {
        case '(':
          if (take('?') && !take(':')) return false;
          return depth < 32 && alternatives(depth + 1) && take(')');
        case '^':
          code.push_back({step::begin, 0, 0, {}});
          return true;
        case '$':
          code.push_back({step::end, 0, 0, {}});
          return true;
        case '.':
          set.set().reset('\n');
          break;
        case '[':
          if (!bracket(set)) return false;
          break;
        case '\\':
          if (!escape(set)) return false;
          break;
        case '*':
        case '+':
        case '?':
        case '{':
          return false;
        default:
          set.set(static_cast<unsigned char>(c));
      }
      code.push_back({step::characters, 0, 0, set});
      return true;
    }

    static void add_range(std::bitset<256>& set, char first, char last) {
      for (int c = static_cast<unsigned char>(first); c <= static_cast<unsigned char>(last); ++c)
        set.set(static_cast<std::size_t>(c));
    }
    [[nodiscard]] bool escape(std::bitset<256>& set) {
      if (at == text.size()) return false;
      const char c = text[at++];
      if (c == 'd' || c == 'w') add_range(set, '0', '9');
      if (c == 'w') {
        add_range(set, 'a', 'z');
        add_range(set, 'A', 'Z');
        set.set('_');
      }
      if (c == 's') {
        for (const char space : {' ', '\t', '\n', '\r', '\f', '\v'})
          set.set(static_cast<unsigned char>(space));
      }
      if (set.any()) return true;
      const bool sign =
          !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
      if (sign) set.set(static_cast<unsigned char>(c));
      return sign;
    }
    [[nodiscard]] bool bracket(std::bitset<256>& set) {
      const bool inverted = take('^');
      for (bool first = true; first || !has(']'); first = false) {
        if (at == text.size()) return false;
        if (take('\\')) {
          std::bitset<256> escaped;
          if (!escape(escaped)) return false;
          if (has('-') && at + 1 < text.size() && text[at + 1] != ']') return false;  // a range
          set |= escaped;
          continue;
        }
        const char low = text[at++];
        if (has('-') && at + 1 < text.size() && text[at + 1] != ']') {
          ++at;
          const char high = text[at++];
          if (high == '\\' || static_cast<unsigned char>(high) < static_cast<unsigned char>(low))
            return false;
          add_range(set, low, high);
        } else {
          set.set(static_cast<unsigned char>(low));
        }
      }
      ++at;
      if (inverted) set.flip();
      return true;
    }
  };

  program code_;
};

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
