// SPDX-License-Identifier: Apache-2.0
/// How an any_matrix is filled, by the default rules of the codecs; the bytes of a sum.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/default_rule.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/policy/finite.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
/// The smallest magnitude that becomes infinity as an element of that type.
[[nodiscard]] constexpr float beyond_range(scale_kind element) noexcept {
  return element == scale_kind::float16    ? 65520.0f
         : element == scale_kind::bfloat16 ? 0x1.ffp127f
                                           : std::numeric_limits<float>::infinity();
}

/// Names what all_below() found.
template <real_element T>
[[noreturn]] void refuse_rows(const matrix_view<const T>& source, std::size_t first_row,
                              const matrix_format& fmt) {
  const float largest = policy::check_finite(source, {0, source.rows}, "weight", first_row);
  core::fail("any_matrix: a weight of magnitude " + std::to_string(largest) +
             " is out of the range of " + fmt.name());
}

/// Where one stage or part of a sum lies in its bytes.
struct sum_entry {
  std::uint64_t offset = 0, bytes = 0;
};
[[nodiscard]] constexpr std::size_t next_line(std::size_t offset) noexcept {
  return (offset + 63) / 64 * 64;
}
}  // namespace detail::matrix

EDGERAZOR_FUNCTION any_matrix any_matrix::joined(const matrix_sum& sum,
                                                 std::pmr::memory_resource* memory) {
  if (sum.parts().empty()) detail::core::fail("any_matrix: a sum of no parts");
  const matrix_format fmt = sum.fmt();
  std::vector<std::span<const std::byte>> items;
  for (const matrix_sum::stage& s : sum.stages()) items.push_back(matrix_sum::bytes_of(s));
  for (const matrix_sum::part& p : sum.parts()) items.push_back(p.matrix.bytes());
  const bool alone = fmt.type != matrix_format::kind::sum;

  std::vector<detail::matrix::sum_entry> table(items.size());
  std::size_t end = alone ? 0 : table.size() * sizeof table[0];
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::size_t begin = detail::matrix::next_line(end);
    table[i] = {begin, items[i].size()};
    end = begin + items[i].size();
  }
  byte_storage storage(end, memory);
  if (!alone) std::memcpy(storage.data(), table.data(), table.size() * sizeof table[0]);
  for (std::size_t i = 0; i < items.size(); ++i)
    std::copy(items[i].begin(), items[i].end(), storage.data() + table[i].offset);
  any_matrix result = from_bytes(fmt, sum.rows(), sum.cols(), {storage.data(), storage.size()});
  result.storage_ = std::move(storage);
  return result;
}

EDGERAZOR_FUNCTION bool any_matrix::read_sum(std::string& error) {
  using detail::matrix::sum_entry;
  const std::span<const std::byte> bytes = bytes_;
  const auto refuse = [&](const std::string& reason) {
    error = "sum " + fmt_->name() + " of " + detail::core::shape_text(rows_, cols_) + ": " + reason;
    return false;
  };
  std::vector<sum_entry> table(fmt_->stages.size() + fmt_->parts.size());
  std::size_t end = table.size() * sizeof(sum_entry);
  if (bytes.size() < end)
    return refuse("its table does not fit its " + std::to_string(bytes.size()) + " bytes");
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(float) != 0)
    return refuse("its bytes begin at an address that is no multiple of 4");
  std::memcpy(table.data(), bytes.data(), end);
  for (const sum_entry& e : table) {
    const std::size_t begin = detail::matrix::next_line(end);
    if (e.offset != begin || begin > bytes.size() || e.bytes > bytes.size() - begin)
      return refuse("its table is not that of its " + std::to_string(bytes.size()) + " bytes");
    end = begin + e.bytes;
  }
  if (end != bytes.size()) {
    return refuse("expected " + std::to_string(end) + " bytes, got " +
                  std::to_string(bytes.size()));
  }
  const auto bytes_of = [&](std::size_t i) {
    return bytes.subspan(table[i].offset, table[i].bytes);
  };

  parts result;
  result.mixed.reserve(fmt_->parts.size());  // they are referred to
  std::vector<matrix_sum::stage> stages;
  for (const matrix_format::stage& s : fmt_->stages) {
    const std::span<const std::byte> numbers = bytes_of(stages.size());
    const std::size_t cols = fmt_->cols_of(s.from, cols_);
    matrix_sum::stage stage{s.kind, s.from, {}, {}};
    if (s.kind == input_stage::projected) {
      // No size that follows overflows.
      if (!detail::core::checked_product(std::max<std::size_t>(rows_, cols), std::size_t{512},
                                         s.size))
        return refuse("its rank is too large");
      const auto v = try_from_bytes(s.matrix, s.size, cols, numbers, error);
      if (!v) return refuse(error);
      stage.matrix = v->part();
      stages.push_back(stage);
      continue;
    }
    if (s.kind == input_stage::rotated) {
      if (!hadamard::has_order(s.size) || cols % s.size != 0 || !numbers.empty()) {
        return refuse("its " + std::to_string(cols) + " columns have no rotation in blocks of " +
                      std::to_string(s.size));
      }
      stage.block = s.size;
      stages.push_back(stage);
      continue;
    }
    if (numbers.size() % sizeof(float) != 0 || numbers.size() / sizeof(float) != cols)
      return refuse("its input stages have not one number a column");
    if (s.kind == input_stage::scaled) {
      stage.factors = {reinterpret_cast<const float*>(numbers.data()), cols};
    } else {
      stage.columns = {reinterpret_cast<const std::uint32_t*>(numbers.data()), cols};
      if (!detail::matrix::is_permutation(stage.columns))
        return refuse("its permutation has not each column once");
    }
    stages.push_back(stage);
  }
  std::vector<matrix_sum::part> list;
  for (const matrix_format::part& p : fmt_->parts) {
    const std::span<const std::byte> own = bytes_of(stages.size() + list.size());
    const std::size_t cols = fmt_->cols_of(p.input, cols_);
    const auto append = [&](const matrix_part& matrix) {
      list.push_back({matrix, p.input, p.fmt.map});
    };
    if (p.fmt.type == matrix_format::kind::sparse) {
      const std::optional<sparse_view> sparse =
          sparse_view::try_from_bytes(rows_, cols, own, error);
      if (!sparse) return refuse(error);
      append(*sparse);
      continue;
    }
    std::optional<any_matrix> one = try_from_bytes(p.fmt, rows_, cols, own, error);
    if (!one) return refuse(error);
    if (auto* const mixed = std::get_if<mixed_matrix>(&*one->content_)) {
      result.mixed.push_back(std::move(*mixed));
      append(result.mixed.back());
    } else {
      append(one->part());
    }
  }
  result.sum = matrix_sum(rows_, cols_, std::move(stages), std::move(list));
  std::vector<parts> one;
  one.push_back(std::move(result));
  *content_ = std::move(one);
  return true;
}

template <real_element To, real_element T>
void any_matrix::put_rows(std::size_t first_row, const matrix_view<const T>& source) noexcept {
  To* to = reinterpret_cast<To*>(storage_.data()) + first_row * cols();
  for (std::size_t r = 0; r < source.rows; ++r, to += cols())
    detail::policy::fast_conversion{}(source.row(r).data(), cols_, to);
}

template <real_element T>
void any_matrix::pack_real_rows(std::size_t first_row, const matrix_view<const T>& source) {
  if (auto* mixed = std::get_if<mixed_matrix>(&*content_)) {
    mixed->pack_rows_by(first_row, source, [&](bool is_high, const auto& use) {
      detail::matrix::with_default_rule(is_high ? fmt_->first : fmt_->second, use);
    });
    return;
  }
  if (sum())
    detail::core::fail("any_matrix: " + fmt_->name() + " is joined of its parts, not filled");
  if (storage_.size() == 0 || source.cols != cols_ || first_row > rows_ ||
      source.rows > rows_ - first_row) {
    detail::core::fail("any_matrix: " + detail::core::shape_text(source.rows, source.cols) +
                       " weights from row " + std::to_string(first_row) +
                       " on do not fit an owned matrix of " +
                       detail::core::shape_text(rows_, cols_));
  }
  if (fmt_->first.two_level) {
    detail::core::fail("any_matrix: " + fmt_->name() +
                       " has statistics of 16 rows, which pack_levels makes");
  }
  if (const auto* packed = std::get_if<packed_view>(&*content_)) {
    detail::matrix::with_default_rule(fmt_->first, [&](const auto& rule) {
      detail::matrix::pack_rows(rule, packed->layout(), storage_.data(), first_row, source);
    });
    return;
  }
  for (std::size_t r = 0; r < source.rows; ++r) {
    if (!detail::policy::all_below(source.row(r).data(), cols_,
                                   detail::matrix::beyond_range(fmt_->element)))
      detail::matrix::refuse_rows(source, first_row, fmt_);
  }
  switch (fmt_->element) {
    case scale_kind::float32:
      return put_rows<float>(first_row, source);
    case scale_kind::float16:
      return put_rows<float16>(first_row, source);
    case scale_kind::bfloat16:
      return put_rows<bfloat16>(first_row, source);
  }
}

EDGERAZOR_FUNCTION void any_matrix::pack_rows(std::size_t first_row,
                                              matrix_view<const float> weights) {
  pack_real_rows(first_row, weights);
}
EDGERAZOR_FUNCTION void any_matrix::pack_rows(std::size_t first_row,
                                              matrix_view<const float16> weights) {
  pack_real_rows(first_row, weights);
}
EDGERAZOR_FUNCTION void any_matrix::pack_rows(std::size_t first_row,
                                              matrix_view<const bfloat16> weights) {
  pack_real_rows(first_row, weights);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
