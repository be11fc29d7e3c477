// SPDX-License-Identifier: Apache-2.0
/// What sparse_matrix.hpp declares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/policy/finite.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
inline std::string place_text(std::size_t row, std::size_t col) {
  return "row " + std::to_string(row) + ", column " + std::to_string(col);
}

/// A sentence where no sparse matrix has that shape.
inline std::optional<std::string> sparse_shape_fault(std::size_t rows, std::size_t cols) {
  if (rows == 0 || cols == 0)
    return "expected at least one row and column, got " + core::shape_text(rows, cols);
  if (cols > sparse_view::max_cols)
    return "expected at most 65536 columns, got " + std::to_string(cols);
  if (!core::checked_product(rows, cols, std::size_t{8}))
    return core::shape_text(rows, cols) + " is too large";
  return std::nullopt;
}
}  // namespace detail::matrix

EDGERAZOR_FUNCTION std::optional<sparse_view> sparse_view::try_from_bytes(
    std::size_t rows, std::size_t cols, std::span<const std::byte> bytes, std::string& error) {
  const auto refuse = [&](const std::string& reason) {
    error = "sparse matrix of " + detail::core::shape_text(rows, cols) + ": " + reason;
    return std::nullopt;
  };
  if (const auto fault = detail::matrix::sparse_shape_fault(rows, cols)) {
    error = "sparse matrix: " + *fault;
    return std::nullopt;
  }
  const sparse_view result(rows, cols, bytes);
  const std::size_t header = header_bytes(result.tiles());
  if (bytes.size() < header)
    return refuse("its header does not fit its " + std::to_string(bytes.size()) + " bytes");
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(sparse_step) != 0)
    return refuse("its bytes begin at an odd address");
  if (result.begin(0) != 0) return refuse("its first tile does not begin at step 0");
  for (std::size_t t = 0; t < result.tiles(); ++t) {
    if (result.begin(t) > result.begin(t + 1)) return refuse("its tiles are not in order");
  }
  const std::size_t steps = result.begin(result.tiles());
  if ((bytes.size() - header) / sizeof(sparse_step) != steps ||
      (bytes.size() - header) % sizeof(sparse_step) != 0) {
    return refuse("expected " + std::to_string(header + steps * sizeof(sparse_step)) +
                  " bytes, got " + std::to_string(bytes.size()));
  }
  std::size_t largest = 0;
  for (std::size_t t = 0; t < result.tiles(); ++t) {
    for (const sparse_step& step : result.steps(t)) {
      for (const std::uint16_t column : step.columns)
        largest = std::max<std::size_t>(largest, column);
    }
  }
  if (largest >= cols) return refuse("an entry is in column " + std::to_string(largest));
  return result;
}

EDGERAZOR_FUNCTION void sparse_matrix::build(std::size_t rows, std::size_t cols,
                                             std::span<const sparse_entry> entries,
                                             std::pmr::memory_resource* memory) {
  if (const auto fault = detail::matrix::sparse_shape_fault(rows, cols))
    detail::core::fail("sparse matrix: " + *fault);
  const auto refuse = [](const sparse_entry& e, const std::string& reason) {
    detail::core::fail("sparse matrix: the entry at " + detail::matrix::place_text(e.row, e.col) +
                       ' ' + reason);
  };
  std::vector<sparse_entry> sorted;
  sorted.reserve(entries.size());
  for (const sparse_entry& e : entries) {
    if (e.row >= rows || e.col >= cols)
      refuse(e, "is outside of " + detail::core::shape_text(rows, cols));
    const float16 stored{e.value};
    if ((stored.bits & 0x7c00) == 0x7c00) {
      const int bits = detail::policy::magnitude_bits(e.value);
      refuse(e, bits > detail::policy::infinity_bits<float> ? "is NaN: expected finite values"
                : bits == detail::policy::infinity_bits<float>
                    ? "is infinite: expected finite values"
                    : "is out of the range of f16");
    }
    sorted.push_back(e);
  }
  const auto place = [](const sparse_entry& e) { return std::pair{e.row, e.col}; };
  std::ranges::sort(sorted, {}, place);
  if (const auto twice = std::ranges::adjacent_find(sorted, {}, place); twice != sorted.end())
    refuse(*twice, "stands twice");
  std::erase_if(sorted,
                [](const sparse_entry& e) { return (float16{e.value}.bits & 0x7fff) == 0; });

  const std::size_t tiles = (rows + tile_rows - 1) / tile_rows;
  std::vector<std::uint32_t> begins(tiles + 1);
  std::vector<std::size_t> lengths(tiles * tile_rows);
  for (const sparse_entry& e : sorted) ++lengths[e.row];
  std::size_t steps = 0;
  for (std::size_t t = 0; t < tiles; ++t) {
    steps += *std::max_element(lengths.begin() + static_cast<std::ptrdiff_t>(t * tile_rows),
                               lengths.begin() + static_cast<std::ptrdiff_t>((t + 1) * tile_rows));
    if (steps > std::numeric_limits<std::uint32_t>::max())
      detail::core::fail("sparse matrix: its entries can't be counted in 32 bits");
    begins[t + 1] = static_cast<std::uint32_t>(steps);
  }
  const std::size_t header = sparse_view::header_bytes(tiles);
  storage_ = byte_storage(header + steps * sizeof(sparse_step), memory);
  std::memcpy(storage_.data(), begins.data(), begins.size() * sizeof(std::uint32_t));
  auto* const out = reinterpret_cast<sparse_step*>(storage_.data() + header);
  std::size_t k = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i, ++k) {
    const sparse_entry& e = sorted[i];
    if (i == 0 || sorted[i - 1].row != e.row) k = 0;
    sparse_step& step = out[begins[e.row / tile_rows] + k];
    step.columns[e.row % tile_rows] = static_cast<std::uint16_t>(e.col);
    step.values[e.row % tile_rows] = float16{e.value};
  }
  rows_ = rows, cols_ = cols;
}

EDGERAZOR_FUNCTION sparse_matrix sparse_matrix::marked(matrix_view<const float> values,
                                                       std::span<const std::uint8_t> mask,
                                                       std::pmr::memory_resource* memory) {
  if (detail::core::checked_product(values.rows, values.cols) != mask.size()) {
    detail::core::fail("sparse matrix: expected a mask of " +
                       detail::core::shape_text(values.rows, values.cols) + ", got " +
                       std::to_string(mask.size()) + " entries");
  }
  std::vector<sparse_entry> entries;
  for (std::size_t r = 0; r < values.rows; ++r) {
    for (std::size_t c = 0; c < values.cols; ++c) {
      if (mask[r * values.cols + c] != 0) entries.push_back({r, c, values.row(r)[c]});
    }
  }
  return {values.rows, values.cols, entries, memory};
}

EDGERAZOR_FUNCTION sparse_matrix sparse_matrix::above(matrix_view<const float> values,
                                                      float threshold,
                                                      std::pmr::memory_resource* memory) {
  if (!(threshold >= 0)) {
    detail::core::fail("sparse matrix: a threshold of " + std::to_string(threshold) +
                       ", expected at least 0");
  }
  std::vector<sparse_entry> entries;
  for (std::size_t r = 0; r < values.rows; ++r) {
    for (std::size_t c = 0; c < values.cols; ++c) {
      const float value = values.row(r)[c];
      if (!(std::fabs(value) <= threshold)) entries.push_back({r, c, value});
    }
  }
  return {values.rows, values.cols, entries, memory};
}

EDGERAZOR_FUNCTION std::optional<std::string> find_fault(const sparse_view& matrix) {
  using detail::matrix::place_text;
  for (std::size_t t = 0; t < matrix.tiles(); ++t) {
    const std::span<const sparse_step> steps = matrix.steps(t);
    bool full = steps.empty();
    for (std::size_t i = 0; i < tile_rows; ++i) {
      const std::size_t row = t * tile_rows + i;
      std::size_t k = 0;
      for (; k < steps.size() && (steps[k].values[i].bits & 0x7fff) != 0; ++k) {
        const std::size_t col = steps[k].columns[i];
        const unsigned bits = steps[k].values[i].bits & 0x7fffu;
        if (bits >= 0x7c00) {
          return "the entry at " + place_text(row, col) + " is " +
                 (bits == 0x7c00 ? "infinite" : "NaN") + ": expected finite values";
        }
        if (k > 0 && col <= steps[k - 1].columns[i])
          return "the columns of row " + std::to_string(row) + " are not in order";
      }
      full = full || k == steps.size();
      if (k > 0 && row >= matrix.rows())
        return "row " + std::to_string(row) + " has an entry and is none";
      for (; k < steps.size(); ++k) {
        if (steps[k].columns[i] != 0 || steps[k].values[i].bits != 0)
          return "row " + std::to_string(row) + " has an entry behind its last";
      }
    }
    if (!full) return "tile " + std::to_string(t) + " has more steps than its longest row entries";
  }
  return std::nullopt;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
