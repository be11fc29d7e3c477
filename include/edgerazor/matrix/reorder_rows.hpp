// SPDX-License-Identifier: Apache-2.0
/// The same rows in another order, every code and number copied bit for bit: outputs of a linear
/// layer that two programs number differently, as the heads of a rotary embedding.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/matrix_part.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {

/// Row `from` of a matrix becomes row `to` of another one of the same format and columns. Not for
/// formats of two levels, whose tiles share a scale.
class row_copier {
 public:
  explicit row_copier(const packed_view& source) : source_(source), codes_(source.layout()) {}

  void copy(std::size_t from, const tile_layout& layout, std::byte* bytes,
            std::size_t to) noexcept {
    const tile_layout& own = source_.layout();
    const std::byte* const in = source_.bytes().data();
    codes_.read(in, from);
    codes_.write(bytes, to);
    const std::size_t size = scale_size(own.fmt().scale);
    for (std::size_t g = 0; g < own.groups(); ++g) {
      std::memcpy(bytes + layout.scale_offset(to, g), in + own.scale_offset(from, g), size);
      if (own.has_zeros())
        std::memcpy(bytes + layout.zero_offset(to, g), in + own.zero_offset(from, g), size);
    }
  }

 private:
  packed_view source_;
  row_codes codes_;
};

[[nodiscard]] inline any_matrix reordered_packed(const packed_view& matrix,
                                                 std::span<const std::uint32_t> order,
                                                 std::pmr::memory_resource* memory) {
  packed_storage result(matrix.layout(), memory);
  row_copier rows(matrix);
  for (std::size_t r = 0; r < order.size(); ++r)
    rows.copy(order[r], result.layout(), result.data(), r);
  return any_matrix::owner_of(std::move(result));
}

[[nodiscard]] inline mixed_matrix reordered_mixed(const mixed_matrix& matrix,
                                                  std::span<const std::uint32_t> order) {
  std::vector<std::uint32_t> place(order.size());
  for (std::size_t r = 0; r < order.size(); ++r) place[order[r]] = static_cast<std::uint32_t>(r);
  const std::size_t groups = tile_layout(matrix.high(), matrix.rows(), matrix.cols()).groups();
  std::vector<std::uint8_t> mask(core::size_product("reordered_rows", order.size(), groups));
  for (const mixed_matrix::segment& part : matrix.segments()) {
    if (!part.high) continue;
    const std::size_t first = part.col_begin / matrix.group_cols();
    for (const std::uint32_t row : part.rows)
      std::fill_n(mask.data() + place[row] * groups + first, part.layout.groups(), std::uint8_t{1});
  }
  mixed_matrix result(matrix.high(), matrix.low(), matrix.rows(), matrix.cols(), mask);
  // Columns fall into the same runs, so every part has its counterpart.
  for (const mixed_matrix::segment& to : result.segments()) {
    const auto from = std::find_if(matrix.segments().begin(), matrix.segments().end(),
                                   [&](const mixed_matrix::segment& one) {
                                     return one.col_begin == to.col_begin && one.high == to.high;
                                   });
    row_copier rows(matrix.view(*from));
    for (std::size_t i = 0; i < to.rows.size(); ++i) {
      const auto at = std::lower_bound(from->rows.begin(), from->rows.end(), order[to.rows[i]]);
      rows.copy(static_cast<std::size_t>(at - from->rows.begin()), to.layout, result.data(to), i);
    }
  }
  return result;
}

[[nodiscard]] inline any_matrix reordered_dense(const dense_view& matrix,
                                                std::span<const std::uint32_t> order,
                                                std::pmr::memory_resource* memory) {
  const std::size_t size = matrix.cols * scale_size(matrix.element);
  byte_storage bytes(matrix.rows * size);
  for (std::size_t r = 0; r < order.size(); ++r)
    std::memcpy(bytes.data() + r * size, matrix.bytes().data() + order[r] * size, size);
  const dense_view result{bytes.data(), matrix.element, matrix.rows, matrix.cols};
  return any_matrix::joined(matrix_part(result), memory);
}

/// `reorder(part)` gives each part's matrix anew.
template <class Reorder>
[[nodiscard]] any_matrix reordered_sum(const matrix_sum& sum, const Reorder& reorder,
                                       std::pmr::memory_resource* memory) {
  std::vector<any_matrix> matrices;
  matrices.reserve(sum.parts().size());  // they are referred to
  std::vector<matrix_part> list;
  for (const matrix_sum::part& part : sum.parts()) {
    matrices.push_back(reorder(part.matrix));
    list.push_back(matrices.back().part());
  }
  return any_matrix::joined(sum.with_matrices(list), memory);
}

[[nodiscard]] inline any_matrix reordered_part(const matrix_part& part,
                                               std::span<const std::uint32_t> order,
                                               std::pmr::memory_resource* memory) {
  const auto require_separate = [](const format& fmt) {
    if (fmt.two_level) core::fail("reordered_rows: rows of " + fmt.name() + " share their scales");
  };
  return part.visit([&](const auto& matrix) -> any_matrix {
    using type = std::remove_cvref_t<decltype(matrix)>;
    if constexpr (std::is_same_v<type, packed_view>) {
      require_separate(matrix.layout().fmt());
      return reordered_packed(matrix, order, memory);
    } else if constexpr (std::is_same_v<type, mixed_matrix>) {
      require_separate(matrix.high());
      require_separate(matrix.low());
      const mixed_matrix result = reordered_mixed(matrix, order);
      return any_matrix::joined(matrix_part(result), memory);
    } else if constexpr (std::is_same_v<type, dense_view>) {
      return reordered_dense(matrix, order, memory);
    } else {
      core::fail("reordered_rows: rows of a sparse matrix share their lists of columns");
    }
  });
}

}  // namespace detail::matrix

/// Row r of the result is row order[r] of `matrix`. A mixed one carries a mask of its own then; of
/// a sum, every part is reordered, and its input stages stay. Fails unless `order` has each row
/// once, and for formats of two levels (`_q3`) and sparse parts, whose rows of a tile are stored
/// together. `memory`: where the bytes come from, see byte_storage.
[[nodiscard]] inline any_matrix reordered_rows(const any_matrix& matrix,
                                               std::span<const std::uint32_t> order,
                                               std::pmr::memory_resource* memory = nullptr) {
  if (order.size() != matrix.rows() || !detail::matrix::is_permutation(order)) {
    detail::core::fail("reordered_rows: " + std::to_string(order.size()) +
                       " numbers are not each of " + std::to_string(matrix.rows()) + " rows once");
  }
  if (const matrix_sum* const sum = matrix.sum()) {
    return detail::matrix::reordered_sum(
        *sum,
        [&](const matrix_part& part) {
          return detail::matrix::reordered_part(part, order, nullptr);
        },
        memory);
  }
  return detail::matrix::reordered_part(matrix.part(), order, memory);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
