// SPDX-License-Identifier: Apache-2.0
/// What linear_operator.hpp declares.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <variant>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/matrix/hadamard.hpp>
#include <edgerazor/product/gemm_impl.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/quantize_activations_impl.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

[[nodiscard]] constexpr std::size_t next_line(std::size_t bytes) noexcept {
  return (bytes + 63) / 64 * 64;
}
/// Tokens of whole blocks.
[[nodiscard]] constexpr std::size_t next_block(std::size_t tokens) noexcept {
  return (tokens + kernel::sparse_tokens - 1) / kernel::sparse_tokens * kernel::sparse_tokens;
}
/// From so many tokens on a sparse part takes 16 at once, from columns of tokens.
inline constexpr std::size_t columns_at_least = 8;

/// What some matrices ask for, each thing once, and where it goes.
class input_list {
 public:
  input_list(std::span<const weight_ref> matrices, std::size_t tokens, bool quantized)
      : tokens_(tokens), cols_(matrices.empty() ? 0 : matrices[0].cols()), quantized_(quantized) {
    // A stage's floats, or codes, scales, sums and tables, of a column are no more bytes than this.
    constexpr std::size_t bytes_a_column = 256;
    std::size_t widest = cols_;
    for (const weight_ref& w : matrices) {
      for (std::size_t i = w.sum() ? w.sum()->stages().size() : 0; i != 0; --i)
        widest = std::max(widest, w.sum()->cols_of(i));
    }
    (void)core::size_product("input_bytes", std::max<std::size_t>(tokens, 64), widest,
                             most * bytes_a_column);
    for (const weight_ref& w : matrices) {
      if (w.cols() != cols_) {
        core::fail("prepare: matrices of " + std::to_string(cols_) + " and of " +
                   std::to_string(w.cols()) + " columns");
      }
      if (!w.sum()) {
        take(w.part(), 0);
        continue;
      }
      std::size_t numbers[matrix_format::most + 1] = {}, i = 0;
      for (const matrix_sum::stage& stage : w.sum()->stages())
        numbers[++i] = stage_number(stage, numbers[stage.from]);
      for (const matrix_sum::part& p : w.sum()->parts()) take(p.matrix, numbers[p.input]);
    }
  }

  [[nodiscard]] std::span<const input_item> items() const noexcept {
    return {items_.data(), count_};
  }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  /// The items, and behind them what they are; from a multiple of 64 on.
  [[nodiscard]] std::size_t item_bytes() const noexcept {
    return next_line(count_ * sizeof(input_item));
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return item_bytes() + end_; }

 private:
  static constexpr std::size_t most = 64;

  input_item& put(const input_item& item) {
    if (count_ == most)
      core::fail("prepare: more than " + std::to_string(most) + " inputs of matrices");
    items_[count_] = item;
    items_[count_].same = static_cast<std::uint32_t>(count_);
    return items_[count_++];
  }
  void place(input_item& item, std::size_t bytes) noexcept {
    item.offset = end_;
    end_ += next_line(bytes);
  }
  void take(const matrix_part& matrix, std::size_t from) {
    const std::size_t group = matrix.code_group();
    const bool columns = matrix.sparse() && tokens_ >= columns_at_least,
               codes = quantized_ && group != 0;
    if (!columns && !codes) return;
    input_item wanted{};
    wanted.type = codes ? input_item::kind::codes : input_item::kind::columns;
    wanted.from = static_cast<std::uint32_t>(from);
    wanted.cols = matrix.cols();
    wanted.group = group;
    wanted.tables = matrix.tables();
    const auto place_codes = [&](input_item& item) {
      place(item, activation_room{nullptr, tokens_, item.cols, group, item.tables}.bytes());
    };
    for (std::size_t i = 0; i < count_; ++i) {
      input_item& item = items_[i];
      if (!alike(item, wanted)) continue;
      if (item.tables == wanted.tables || wanted.tables == activation_tables::none) return;
      item.tables = wanted.tables;  // larger: in a place of its own
      return place_codes(item);
    }
    if (codes) return place_codes(put(wanted));
    place(put(wanted), next_block(tokens_) * wanted.cols * sizeof(float));
  }
  [[nodiscard]] std::size_t stage_number(const matrix_sum::stage& stage, std::size_t from) {
    const bool projected = stage.kind == input_stage::projected;
    if (projected) take(stage.matrix, from);
    const input_item wanted = item_of(stage, from, from == 0 ? cols_ : items_[from - 1].cols);
    const input_item* equal = nullptr;
    for (const input_item& item : items()) {
      if (!alike(item, wanted)) continue;
      if (item.numbers == wanted.numbers) return item.same + std::size_t{1};
      static_assert(sizeof(float) == sizeof(std::uint32_t));
      if (!projected && !equal &&
          std::memcmp(item.numbers, wanted.numbers, wanted.cols * sizeof(float)) == 0)
        equal = &item;
    }
    const std::uint32_t same = equal ? equal->same : static_cast<std::uint32_t>(count_);
    input_item& item = put(wanted);
    item.same = same;
    if (!equal) place(item, tokens_ * float_stride(item.cols) * sizeof(float));
    return same + std::size_t{1};
  }

  std::array<input_item, most> items_;
  std::size_t count_ = 0, end_ = 0, tokens_, cols_;
  bool quantized_;
};

/// Tokens [begin, end) by column, and zeros behind the last token of all.
inline void fill_columns(const matrix_view<const float>& x, std::size_t begin, std::size_t end,
                         float* out) noexcept {
  constexpr std::size_t most = kernel::sparse_tokens, step = 16;
  if (end == x.rows) end = next_block(end);
  for (std::size_t block = begin / most * most; block < end; block += most) {
    const std::size_t first = std::max(begin, block), past = std::min(end, block + most);
    // So many columns that what is written stays in the nearest cache from token to token.
    for (std::size_t c = 0; c < x.cols; c += step) {
      const std::size_t count = std::min(step, x.cols - c);
      float* const to = out + block * x.cols + most * c;
      for (std::size_t t = first; t < past; ++t) {
        for (std::size_t i = 0; i < count; ++i)
          to[most * i + t - block] = t < x.rows ? x.row(t)[c + i] : 0.0f;
      }
    }
  }
}

/// The items of some tokens, each made after what it is made of.
struct input_maker {
  std::span<const input_item> items;
  std::byte* bytes;
  matrix_view<const float> x;
  const prepare_options& options;
  const kernel::functions& k;

  /// What a stage makes, of all tokens.
  [[nodiscard]] matrix_view<float> floats(std::size_t i) const noexcept {
    const std::size_t cols = items[i].cols;
    return {reinterpret_cast<float*>(bytes + items[i].offset), x.rows, cols, float_stride(cols)};
  }
  /// Item i of tokens [begin, end), of a kind that is made token by token.
  void fill(std::size_t i, std::size_t begin, std::size_t end) const noexcept {
    const input_item& item = items[i];
    if (item.same != i) return;
    const matrix_view<const float> from = item.from == 0 ? x : floats(item.from - 1);
    if (item.type == input_item::kind::codes) {
      const activation_room room{bytes + item.offset, x.rows, item.cols, item.group, item.tables};
      quantize_tokens(from, begin, end, room, options.scales, options.policy, k);
      for (std::size_t t = begin; t < end; ++t)
        std::fill_n(room.codes(t) + item.cols, room.code_stride() - item.cols, std::int8_t{0});
      return;
    }
    if (item.type == input_item::kind::columns)
      return fill_columns(from, begin, end, floats(i).data);
    for (std::size_t t = begin; t < end; ++t) {
      const float* const in = from.row(t).data();
      float* const out = floats(i).row(t).data();
      if (item.type == input_item::kind::scaled) {
        const auto* const h = static_cast<const float*>(item.numbers);
        for (std::size_t c = 0; c < item.cols; ++c) out[c] = in[c] * h[c];
      } else if (item.type == input_item::kind::permuted) {
        const auto* const p = static_cast<const std::uint32_t*>(item.numbers);
        for (std::size_t c = 0; c < item.cols; ++c) out[c] = in[p[c]];
      } else {
        std::copy_n(in, item.cols, out);
        hadamard(item.group).transform({out, item.cols});
      }
    }
  }
  /// Items [first, last), each of a kind that is made token by token.
  void fill_all(std::size_t first, std::size_t last) const {
    constexpr std::size_t min_elements = 16 * 1024;  // of a grain: some microseconds
    const auto fill_tokens = [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = first; i < last; ++i) fill(i, begin, end);
    };
    // Whole blocks of columns, in which threads would meet at each cache line.
    const std::size_t tokens = next_block(min_elements / std::max<std::size_t>(1, x.cols) + 1),
                      grains = (x.rows + tokens - 1) / tokens;
    if (!options.executor || grains < 2) return fill_tokens(0, x.rows);
    options.executor(grains, [&](std::size_t grain) noexcept {
      fill_tokens(grain * tokens, std::min(x.rows, (grain + 1) * tokens));
    });
  }
  /// V x of item i: a product, whose rows threads share even for one token.
  void project(std::size_t i) const {
    const input_item& item = items[i];
    if (item.same != i) return;
    const prepared_input made{x, options.quantized, items, bytes};
    const weight_ref v{*item.matrix};
    const auto multiply_some = [&](row_range rows, std::size_t begin, std::size_t end) {
      const auto in = made.tokens_between(begin, end).input(item.from, item.group);
      const auto* const codes = std::get_if<activation_view>(&*in);
      const product_input own =
          codes ? product_input{*codes}
                : product_input{unquantized{std::get_if<float_tokens>(&*in)->rows}};
      multiply(v, own, floats(i).rows_between(begin, end), rows, k);
    };
    const row_range all{0, item.cols};
    if (!options.executor) return multiply_some(all, 0, x.rows);
    const product_grains grains(k, v, x.rows);
    options.executor(grains.count(),
                     [&](std::size_t grain) noexcept { grains.visit(grain, all, multiply_some); });
  }
  void make() const {
    for (std::size_t i = 0; i < items.size();) {
      const std::size_t first = i;
      while (i < items.size() && items[i].type != input_item::kind::projected) ++i;
      if (i > first) fill_all(first, i);
      if (i < items.size()) project(i++);
    }
  }
};

}  // namespace detail::product

EDGERAZOR_FUNCTION std::size_t input_bytes(std::span<const weight_ref> matrices, std::size_t tokens,
                                           bool quantized) {
  // Less than 64 before the first multiple of 64.
  return detail::product::input_list(matrices, tokens, quantized).bytes() + 63;
}

EDGERAZOR_FUNCTION prepared_input prepare(std::span<const weight_ref> matrices,
                                          matrix_view<const float> x, std::span<std::byte> room,
                                          const prepare_options& options) {
  using detail::product::input_item;
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  const detail::product::input_list list(matrices, x.rows, options.quantized);
  if (x.cols != list.cols()) {
    detail::core::fail("prepare: activations of " + std::to_string(x.cols) +
                       " columns for matrices of " + std::to_string(list.cols()));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(room.data());
  const std::size_t skipped = static_cast<std::size_t>((64 - address % 64) % 64);
  if (room.size() < skipped || room.size() - skipped < list.bytes()) {
    detail::core::fail("prepare: room of " + std::to_string(room.size()) + " bytes, expected " +
                       std::to_string(list.bytes() + 63) + " (input_bytes)");
  }
  detail::product::require_policy(options.policy, "prepare");
  auto* const items = reinterpret_cast<input_item*>(room.data() + skipped);
  std::copy(list.items().begin(), list.items().end(), items);
  std::byte* const bytes = room.data() + skipped + list.item_bytes();
  const std::span<const input_item> made{items, list.items().size()};

  detail::product::input_maker{made, bytes, x, options, k}.make();
  return {x, options.quantized, made, bytes};
}

EDGERAZOR_FUNCTION void add(const weight_ref& w, const product_input& x, matrix_view<float> y,
                            const product_options& options) {
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  const row_range range = detail::product::rows_of(options, w.rows());
  detail::product::require_product(w, x, y, range);
  if (!options.executor) return detail::product::add(w, x, y, range, k);
  const detail::product::product_grains grains(k, w, y.rows);
  options.executor(grains.count(), [&](std::size_t grain) noexcept {
    grains.visit(grain, range, [&](row_range rows, std::size_t begin, std::size_t end) {
      detail::product::add(w, detail::product::tokens_of(x, begin, end), y.rows_between(begin, end),
                           rows, k);
    });
  });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
