// SPDX-License-Identifier: Apache-2.0
/// The format of a matrix that a host learns from a file or a command line, by name:
///
///     f32  f16  bf16                                     real numbers, row-major
///     int4_g64  ternary5_g256  int8_row                  packed, see format.hpp
///     int4_g64+ternary2_g64:every_8_rows                 mixed: rows 0, 8, 16, ... in the first format
///     int4_g64+ternary2_g64:rows_4_of_8                  mixed: rows r with r % 8 < 4 in the first
///     int4_g64+ternary2_g64                              mixed by a mask that the matrix carries
///     int4_g16+sparse  permuted(int4_g16+sparse)         a sum, see matrix_sum.hpp
///     int4_row+low_rank_64(int4_g64*int4_g128)           with a part U V, here of rank 64
///     rotated_4096(int4_row)  rotated_64(int4_g64)       of an input transformed by blocks
///
/// A sum is its parts in the order of addition, joined by '+':
///
///     sum   = part {"+" part}
///     part  = plain | "sparse" | "mixed(" mixed ")" | stage "(" any ")"
///           | "low_rank_" rank "(" any "*" plain ")"
///     stage = "scaled" | "permuted" | "rotated_" columns
///     any   = plain | mixed | sum | "sum(" plain {"+" plain} ")"
///     plain = packed | dense
///
/// where a sum of nothing but plain parts has its word, since two packed formats alone are a mixed
/// matrix. One format has one name.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <edgerazor/matrix/format.hpp>
#include <edgerazor/matrix/hadamard.hpp>
#include <edgerazor/policy/precision_map.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The name of a type of real numbers.
[[nodiscard]] constexpr std::string_view name_of(scale_kind element) noexcept {
  return element == scale_kind::float32 ? "f32" : element == scale_kind::float16 ? "f16" : "bf16";
}

/// The format of one matrix that is no sum.
struct part_format {
  /// `sparse`: of a part of a sum alone.
  enum class kind : std::uint8_t { dense, packed, mixed, sparse, sum };
  /// Rows of the first format in a mixed matrix: none is known, every `n`th, or those below `below`
  /// modulo `n`.
  struct row_map {
    std::size_t n = 0;  ///< 0: the matrix carries a mask of its own
    std::size_t below = 1;
    friend bool operator==(const row_map&, const row_map&) = default;
  };

  kind type = kind::dense;
  scale_kind element = scale_kind::float32;  ///< dense: the type of an element
  format first;                              ///< packed: the format; mixed: the higher precision's
  format second;                             ///< mixed: the lower precision's
  row_map map;

  part_format() = default;
  part_format(format packed) : type(kind::packed), first(packed) {}

  friend bool operator==(const part_format&, const part_format&) = default;

  [[nodiscard]] std::string name() const {
    if (type == kind::dense) return std::string{name_of(element)};
    if (type == kind::packed) return first.name();
    if (type == kind::sparse) return "sparse";
    std::string text = first.name() + '+' + second.name();
    if (map.n != 0 && map.below == 1) text += ":every_" + std::to_string(map.n) + "_rows";
    if (map.n != 0 && map.below != 1)
      text += ":rows_" + std::to_string(map.below) + "_of_" + std::to_string(map.n);
    return text;
  }

  /// The format of that name, dense, packed or mixed; nothing where the text is not one.
  [[nodiscard]] static std::optional<part_format> parse(std::string_view text) {
    part_format result;
    for (const scale_kind element :
         {scale_kind::float32, scale_kind::float16, scale_kind::bfloat16}) {
      result.element = element;
      if (result.name() == text) return result;
    }
    const std::size_t plus = text.find('+');
    if (plus == std::string_view::npos) {
      const std::optional<format> packed = format::parse(text);
      return packed ? std::optional{part_format{*packed}} : std::nullopt;
    }
    const std::size_t colon = std::min(text.find(':'), text.size());
    if (colon < plus) return std::nullopt;
    const auto first = format::parse(text.substr(0, plus));
    const auto second = format::parse(text.substr(plus + 1, colon - plus - 1));
    if (!first || !second || first->group != second->group) return std::nullopt;
    result = part_format{*first};
    result.type = kind::mixed;
    result.second = *second;
    if (colon == text.size()) return result;
    const auto map = parse_map(text.substr(colon + 1));
    if (!map) return std::nullopt;
    result.map = *map;
    return result.name() == text ? std::optional{result} : std::nullopt;
  }

 private:
  [[nodiscard]] static std::optional<row_map> parse_map(std::string_view text) {
    const auto take = [&text](std::string_view word) {
      if (!text.starts_with(word)) return false;
      text.remove_prefix(word.size());
      return true;
    };
    const auto take_number = [&text](std::size_t& number) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      text.remove_prefix(static_cast<std::size_t>(end - text.data()));
      return error == std::errc{} && number > 0;
    };
    row_map map;
    const bool valid = take("every_") ? take_number(map.n) && take("_rows")
                                      : take("rows_") && take_number(map.below) && take("_of_") &&
                                            take_number(map.n);
    return valid && text.empty() && map.below <= map.n ? std::optional{map} : std::nullopt;
  }
};

/// What is done to the input of some parts of a sum before they are multiplied.
enum class input_stage : std::uint8_t {
  scaled,    ///< x[c] * h[c]
  permuted,  ///< x[p[c]]
  rotated,   ///< H x / sqrt(n), by blocks of n columns (hadamard.hpp)
  projected  ///< V x: as many columns as V has rows
};

struct matrix_format : part_format {
  /// Inputs are numbered: 0 is what the product is given, i + 1 what stage i makes of an earlier
  /// one.
  struct stage {
    input_stage kind = input_stage::scaled;
    std::size_t from = 0;
    std::size_t size = 0;  ///< rotated: columns of a block; projected: rows of V
    part_format matrix{};  ///< projected: V's, packed or dense
    friend bool operator==(const stage&, const stage&) = default;
  };
  struct part {
    part_format fmt;
    std::size_t input = 0;
    friend bool operator==(const part&, const part&) = default;
  };
  /// Of stages, and of parts, in one sum.
  static constexpr std::size_t most = 16;
  /// Rows of V in a low-rank part, which is then one group of U at most.
  static constexpr std::size_t largest_rank = format::largest_group;
  /// Columns of a block that is rotated.
  static constexpr std::size_t largest_rotation = std::size_t{1} << 24;

  std::vector<stage> stages;  ///< of a sum, in the order of its name
  std::vector<part> parts;    ///< of a sum

  matrix_format() = default;
  matrix_format(format packed) : part_format(packed) {}
  matrix_format(const part_format& one) : part_format(one) {}

  friend bool operator==(const matrix_format&, const matrix_format&) = default;

  [[nodiscard]] std::string name() const {
    return type == kind::sum ? text_of(0, parts.size(), 0) : part_format::name();
  }

  /// Columns of an input, of a matrix of so many.
  [[nodiscard]] std::size_t cols_of(std::size_t input, std::size_t cols) const noexcept {
    for (; input != 0; input = stages[input - 1].from) {
      if (stages[input - 1].kind == input_stage::projected) return stages[input - 1].size;
    }
    return cols;
  }

  /// The format of that name; nothing where the text is not one.
  [[nodiscard]] static std::optional<matrix_format> parse(std::string_view text) {
    if (const std::optional<part_format> one = part_format::parse(text)) return matrix_format{*one};
    matrix_format result;
    result.type = kind::sum;
    const bool valid = result.add_any(text, 0) && result.name() == text;
    return valid ? std::optional{std::move(result)} : std::nullopt;
  }

 private:
  static constexpr std::string_view low_rank = "low_rank_", rotated = "rotated_";

  static std::string word_of(const stage& what) {
    if (what.kind == input_stage::projected)
      return std::string{low_rank} + std::to_string(what.size);
    if (what.kind == input_stage::rotated) return std::string{rotated} + std::to_string(what.size);
    return what.kind == input_stage::scaled ? "scaled" : "permuted";
  }
  /// The stage of that word with the number behind it; nothing where there is none from 1 to
  /// `largest`.
  static std::optional<stage> sized_stage(input_stage kind, std::size_t input,
                                          std::string_view text, std::string_view word,
                                          std::size_t largest) {
    stage what{kind, input};
    if (!text.starts_with(word) ||
        std::from_chars(text.data() + word.size(), text.data() + text.size(), what.size).ec !=
            std::errc{} ||
        what.size == 0 || what.size > largest)
      return std::nullopt;
    return what;
  }

  /// Parts [begin, end), all of which are made of `input`.
  [[nodiscard]] std::string text_of(std::size_t begin, std::size_t end, std::size_t input) const {
    std::string text;
    // The stage after `input` on a part's way; none where the part takes `input` itself.
    const auto next = [&](std::size_t i) {
      std::size_t at = parts[i].input;
      while (at != input && stages[at - 1].from != input) at = stages[at - 1].from;
      return at;
    };
    bool plain_alone = end - begin > 1;
    for (std::size_t i = begin; i < end;) {
      const std::size_t to = next(i);
      if (i > begin) text += '+';
      if (to == input) {
        const part_format& fmt = parts[i++].fmt;
        const bool apart = fmt.type == kind::mixed && end - begin > 1;
        text += apart ? "mixed(" + fmt.name() + ')' : fmt.name();
        plain_alone = plain_alone && (fmt.type == kind::packed || fmt.type == kind::dense);
        continue;
      }
      const std::size_t from = i;
      while (i < end && next(i) == to) ++i;
      const stage& what = stages[to - 1];
      text += word_of(what) + '(' + text_of(from, i, to);
      if (what.kind == input_stage::projected) text += '*' + what.matrix.name();
      text += ')';
      plain_alone = false;
    }
    return plain_alone ? "sum(" + text + ')' : text;
  }

  /// What is in the parentheses that begin behind a word and end the text; nothing where it is not
  /// of that form.
  static std::optional<std::string_view> inside(std::string_view text, std::string_view word) {
    const bool valid =
        text.starts_with(word) && text.substr(word.size()).starts_with('(') && text.ends_with(')');
    if (!valid) return std::nullopt;
    return text.substr(word.size() + 1, text.size() - word.size() - 2);
  }
  bool add_part(const part_format& fmt, std::size_t input) {
    if (parts.size() == most) return false;
    parts.push_back({fmt, input});
    return true;
  }
  bool add_any(std::string_view text, std::size_t input) {
    if (const std::optional<part_format> one = part_format::parse(text))
      return add_part(*one, input);
    int depth = 0;
    std::size_t begin = 0;
    // A closing parenthesis of a word that holds a '+' ends the text; "sum(" is one of those.
    if (const auto terms = inside(text, "sum")) text = *terms;
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (i < text.size() && text[i] == '(') ++depth;
      if (i < text.size() && text[i] == ')' && --depth < 0) return false;
      if (i < text.size() && (text[i] != '+' || depth != 0)) continue;
      if (!add_term(text.substr(begin, i - begin), input)) return false;
      begin = i + 1;
    }
    return depth == 0;
  }
  bool add_term(std::string_view text, std::size_t input) {
    part_format sparse;
    sparse.type = kind::sparse;
    if (text == sparse.name()) return add_part(sparse, input);
    if (const auto mixed = inside(text, "mixed")) {
      const std::optional<part_format> fmt = part_format::parse(*mixed);
      return fmt && fmt->type == kind::mixed && add_part(*fmt, input);
    }
    for (const input_stage what : {input_stage::scaled, input_stage::permuted}) {
      if (const auto rest = inside(text, word_of({what, input})))
        return add_stage({what, input}, *rest);
    }
    if (const auto what =
            sized_stage(input_stage::rotated, input, text, rotated, largest_rotation)) {
      const auto rest = inside(text, word_of(*what));
      return rest && hadamard::has_order(what->size) && add_stage(*what, *rest);
    }
    if (text.starts_with(low_rank)) return add_low_rank(text, input);
    const std::optional<part_format> one = part_format::parse(text);
    return one && one->type != kind::mixed && add_part(*one, input);
  }
  bool add_stage(const stage& what, std::string_view rest) {
    if (stages.size() == most) return false;
    stages.push_back(what);
    return add_any(rest, stages.size());
  }
  bool add_low_rank(std::string_view text, std::size_t input) {
    std::optional<stage> what =
        sized_stage(input_stage::projected, input, text, low_rank, largest_rank);
    if (!what) return false;
    const auto factors = inside(text, word_of(*what));
    // V's name has no '*'; U may be a sum with a low-rank part in it.
    const std::size_t star = factors ? factors->rfind('*') : std::string_view::npos;
    if (star == std::string_view::npos) return false;
    const std::optional<part_format> v = part_format::parse(factors->substr(star + 1));
    if (!v || v->type == kind::mixed) return false;
    what->matrix = *v;
    return add_stage(*what, factors->substr(0, star));
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
