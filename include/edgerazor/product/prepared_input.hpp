// SPDX-License-Identifier: Apache-2.0
/// What the parts of one or several matrices take as their input, made once for all of them: x
/// scaled, permuted and quantized as each part asks. See linear_operator.hpp, which makes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::product {

/// One thing that is made of x, or of what was made before it.
struct input_item {
  enum class kind : std::uint8_t { scaled, permuted, rotated, projected, codes, columns };
  // Without values of their own: an array of many is made for each token.
  kind type;
  activation_tables tables;   ///< codes: what comes with them
  std::uint32_t from;         ///< number of the input that it is made of: 0 is x, i + 1 item i
  std::uint32_t same;         ///< the item that holds it: another one's, or its own
  std::uint32_t form;         ///< projected: how V is stored
  std::size_t cols;           ///< of what is made
  std::size_t group;          ///< codes: columns a scale; projected: of the codes that V takes;
                              ///< rotated: of a block
  const void* numbers;        ///< scaled, permuted: one a column; projected: V's bytes
  const matrix_part* matrix;  ///< projected: V, while it is made
  std::size_t offset;         ///< of its bytes
};

/// How a packed or dense matrix is stored, as a number.
[[nodiscard]] inline std::uint32_t form_of(const matrix_part& matrix) noexcept {
  const packed_view* const packed = matrix.packed();
  if (!packed) return 1 | static_cast<std::uint32_t>(matrix.dense()->element) << 1;
  const format& fmt = packed->layout().fmt();
  return static_cast<std::uint32_t>(fmt.code) << 16 | static_cast<std::uint32_t>(fmt.zero) << 8 |
         static_cast<std::uint32_t>(fmt.scale) << 2 | (fmt.two_level ? 2u : 0u);
}

/// What a stage makes of an input of so many columns; where it lies is not known yet.
[[nodiscard]] inline input_item item_of(const matrix_sum::stage& stage, std::size_t from,
                                        std::size_t cols) noexcept {
  input_item item{};
  item.from = static_cast<std::uint32_t>(from);
  item.cols = cols;
  switch (stage.kind) {
    case input_stage::scaled:
      item.type = input_item::kind::scaled;
      item.numbers = stage.factors.data();
      break;
    case input_stage::permuted:
      item.type = input_item::kind::permuted;
      item.numbers = stage.columns.data();
      break;
    case input_stage::rotated:
      item.type = input_item::kind::rotated;
      item.group = stage.block;
      break;
    case input_stage::projected:
      item.type = input_item::kind::projected;
      item.cols = stage.matrix.rows();
      item.group = stage.matrix.code_group();
      item.form = form_of(stage.matrix);
      item.numbers = stage.matrix.bytes().data();
      item.matrix = &stage.matrix;
      break;
  }
  return item;
}
/// Whether two are the same thing by what they are made of; numbers may be equal elsewhere.
[[nodiscard]] inline bool alike(const input_item& a, const input_item& b) noexcept {
  return a.type == b.type && a.from == b.from && a.cols == b.cols && a.group == b.group &&
         a.form == b.form;
}

/// No input has that number.
inline constexpr std::size_t no_input = ~std::size_t{0};

/// Floats of some tokens. `columns`: where they are also there by column, 16 tokens of each column
/// together, block after block of 16 tokens; the first of these tokens is number `first` there.
struct float_tokens {
  matrix_view<const float> rows;
  const float* columns = nullptr;
  std::size_t first = 0;
};

/// Int8 codes, or floats, of some tokens.
using one_input = std::variant<activation_view, float_tokens>;

/// From one token's floats to the next: an odd number of cache lines, as those of codes.
[[nodiscard]] constexpr std::size_t float_stride(std::size_t cols) noexcept {
  return ((cols + 15) / 16 | 1) * 16;
}
}  // namespace detail::product

/// See above. A view: of x, of the matrices' stages and of the memory that prepare() was given. Any
/// thread may use it while those last.
class prepared_input {
 public:
  prepared_input() = default;
  prepared_input(matrix_view<const float> x, bool quantized,
                 std::span<const detail::product::input_item> items, std::byte* bytes) noexcept
      : items_(items), bytes_(bytes), x_(x), tokens_(x.rows), quantized_(quantized) {}

  [[nodiscard]] std::size_t tokens() const noexcept { return x_.rows; }
  [[nodiscard]] std::size_t cols() const noexcept { return x_.cols; }
  /// What it was made of.
  [[nodiscard]] matrix_view<const float> x() const noexcept { return x_; }
  /// Tokens [begin, end) of these.
  [[nodiscard]] prepared_input tokens_between(std::size_t begin, std::size_t end) const noexcept {
    prepared_input part = *this;
    part.first_ += begin;
    part.x_ = x_.rows_between(begin, end);
    return part;
  }

  /// The number of what a stage makes of an input; none where it was not prepared.
  [[nodiscard]] std::size_t number_of(const matrix_sum::stage& stage,
                                      std::size_t from) const noexcept {
    const detail::product::input_item wanted = detail::product::item_of(stage, from, cols_of(from));
    for (const detail::product::input_item& item : items_) {
      if (alike(item, wanted) && item.numbers == wanted.numbers) return item.same + std::size_t{1};
    }
    return detail::product::no_input;
  }
  /// An input as a matrix of that group of codes takes it (0: floats); nothing where it was not
  /// prepared.
  [[nodiscard]] std::optional<detail::product::one_input> input(std::size_t number,
                                                                std::size_t group) const noexcept {
    using kind = detail::product::input_item::kind;
    if (number > items_.size()) return std::nullopt;
    const bool floats = !quantized_ || group == 0;
    const kind wanted = floats ? kind::columns : kind::codes;
    const detail::product::input_item* found = nullptr;
    for (const detail::product::input_item& item : items_) {
      if (item.type == wanted && item.from == number && (floats || item.group == group))
        found = &item;
    }
    if (floats) {
      const auto* const columns =
          found ? reinterpret_cast<const float*>(bytes_ + found->offset) : nullptr;
      return detail::product::float_tokens{floats_of(number), columns, first_};
    }
    if (!found) return std::nullopt;
    const activation_room room{bytes_ + found->offset, tokens_, found->cols, group, found->tables};
    return room.view(tokens_).tokens_between(first_, first_ + x_.rows);
  }

 private:
  [[nodiscard]] std::size_t cols_of(std::size_t number) const noexcept {
    return number == 0 ? x_.cols : items_[number - 1].cols;
  }
  [[nodiscard]] matrix_view<const float> floats_of(std::size_t number) const noexcept {
    if (number == 0) return x_;
    const std::size_t cols = cols_of(number), stride = detail::product::float_stride(cols);
    const auto* const at =
        reinterpret_cast<const float*>(bytes_ + items_[number - 1].offset) + first_ * stride;
    return {at, x_.rows, cols, stride};
  }

  std::span<const detail::product::input_item> items_;
  std::byte* bytes_ = nullptr;
  matrix_view<const float> x_;          ///< of these tokens
  std::size_t tokens_ = 0, first_ = 0;  ///< that were prepared; of those, the first of these
  bool quantized_ = true;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
