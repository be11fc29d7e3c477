// SPDX-License-Identifier: Apache-2.0
/// How an executor's products are cut: by rows, and where products are looked up by tokens too,
/// since a table is made for the rows of one grain only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <edgerazor/core/views.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/product/grains.hpp>
#include <edgerazor/product/look_up_product.hpp>
#include <edgerazor/product/operands.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

/// Whether any part of a matrix is looked up.
[[nodiscard]] inline bool has_look_up(const kernel::functions& k, const weight_ref& w) noexcept {
  return w.visit([&](const auto& matrix) {
    using kind = std::remove_cvref_t<decltype(matrix)>;
    if constexpr (std::is_same_v<kind, packed_view>) {
      return has_look_up(k, matrix.layout());
    } else if constexpr (std::is_same_v<kind, mixed_matrix>) {
      for (const mixed_matrix::segment& part : matrix.segments())
        if (has_look_up(k, part.layout)) return true;
      return false;
    } else if constexpr (std::is_same_v<kind, matrix_sum>) {
      for (const matrix_sum::part& part : matrix.parts())
        if (part.matrix.packed() && has_look_up(k, part.matrix.packed()->layout())) return true;
      return false;
    } else {
      return false;
    }
  });
}

[[nodiscard]] inline product_input tokens_of(const product_input& input, std::size_t begin,
                                             std::size_t end) noexcept {
  return input.visit([&](const auto& x) -> product_input {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(x)>, matrix_view<const float>>) {
      return unquantized{x.rows_between(begin, end)};
    } else {
      return x.tokens_between(begin, end);
    }
  });
}

/// Work of an executor: grain i is some rows and some tokens.
class product_grains {
 public:
  /// Rows whose tables are shared, where they are enough for the usual numbers of threads.
  static constexpr std::size_t look_up_grain = 256, few_grains = 8;

  product_grains() = default;
  product_grains(const row_grains& rows, std::size_t tokens) noexcept
      : rows_(rows), tokens_(tokens), block_(tokens) {}
  /// `unit`, `bytes`: as row_grains has them.
  product_grains(std::size_t rows, std::size_t unit, std::size_t bytes, std::size_t tokens,
                 bool look_up) noexcept
      : product_grains(row_grains(rows, unit, bytes, tokens), tokens) {
    if (!look_up || tokens < look_up_tokens_at_least || rows < look_up_rows_at_least) return;
    block_ = std::min(tokens, look_up_token_block);
    const std::size_t large = rows / look_up_grain;
    const std::size_t wanted =
        large * blocks() >= few_grains ? large : rows / look_up_rows_at_least;
    if (wanted < rows_.count()) rows_ = row_grains::of_count(rows, unit, wanted);
  }
  product_grains(const kernel::functions& k, const weight_ref& w, std::size_t tokens) noexcept
      : product_grains(w.rows(), w.row_unit(), w.bytes(), tokens, has_look_up(k, w)) {}

  [[nodiscard]] std::size_t count() const noexcept { return rows_.count() * blocks(); }
  /// work(rows, first token, token past the last) of a grain, as far as its rows lie in a range.
  template <class Work>
  void visit(std::size_t grain, row_range range, const Work& work) const {
    const row_range of_grain = rows_[grain / blocks()];
    const std::size_t begin = std::max(of_grain.begin, range.begin),
                      end = std::min(of_grain.end, range.end), token = grain % blocks() * block_;
    if (begin < end) work(row_range{begin, end}, token, std::min(token + block_, tokens_));
  }

 private:
  [[nodiscard]] std::size_t blocks() const noexcept {
    return tokens_ == 0 ? 1 : (tokens_ + block_ - 1) / block_;
  }

  row_grains rows_;
  std::size_t tokens_ = 0, block_ = 0;
};

}  // namespace detail::product
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
