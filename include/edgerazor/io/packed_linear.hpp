// SPDX-License-Identifier: Apache-2.0
/// The weights of one linear layer as some checkpoint packs them: decoded to floats, or imported
/// with codes, scales and zeros copied. What every family of layouts comes down to (gptq.hpp,
/// awq.hpp, compressed_tensors.hpp, bitnet.hpp, hqq.hpp, gemma.hpp, float4_float8.hpp,
/// edgerazor_fake_quantized.hpp); find_packed_linear.hpp tells the family of a layer in a file.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/codec.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/row_codes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// See above. Refers to the stored bytes, which must outlive it. Sizes, scales and zeros were
/// checked when it was made; a copy is cheap. All members may be called by several threads at once.
class packed_linear {
 public:
  /// What a layout supplies. Both are given checked arguments.
  struct functions {
    /// Rows [begin, end) as floats, end - begin rows of cols.
    std::function<void(row_range rows, matrix_view<float> out)> decode;
    std::function<any_matrix(std::pmr::memory_resource* memory)> import;  ///< where it is exact
  };

  packed_linear() = default;
  /// One whose codes are copied into a matrix of the format `exact`.
  packed_linear(std::string layer, std::string layout_text, std::size_t row_count,
                std::size_t col_count, matrix_format exact, functions calls)
      : name_(std::move(layer)),
        layout_(std::move(layout_text)),
        rows_(row_count),
        cols_(col_count),
        exact_(std::move(exact)),
        calls_(std::move(calls)) {}
  /// One that is decoded only, and why.
  packed_linear(std::string layer, std::string layout_text, std::size_t row_count,
                std::size_t col_count, std::string why, functions calls)
      : name_(std::move(layer)),
        layout_(std::move(layout_text)),
        rows_(row_count),
        cols_(col_count),
        why_(std::move(why)),
        calls_(std::move(calls)) {}

  /// The layer: "model.layers.0.self_attn.q_proj".
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// What it is stored as, for people: "GPTQ v1, 4 bits, groups of 128".
  [[nodiscard]] const std::string& layout() const noexcept { return layout_; }
  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }

  /// The format of what import_matrix() gives; nothing where no format holds the very numbers.
  [[nodiscard]] const std::optional<matrix_format>& exact_format() const noexcept { return exact_; }
  /// Why there is no exact format: "FP8 values are no multiples of a scale"; else empty.
  [[nodiscard]] const std::string& why_not_exact() const noexcept { return why_; }

  /// The matrix with codes, scales and zeros copied: `dequantize` and `look_up_row` give the floats
  /// of decode_rows(). io_error where exact_format() is none (decode, and quantize what you get),
  /// and where a code is none of the layout's, naming row and column. `memory`: see byte_storage.
  [[nodiscard]] any_matrix import_matrix(std::pmr::memory_resource* memory = nullptr) const {
    if (!*exact_)
      detail::core::fail_io(edgerazor::quoted(name_) + " (" + layout_ +
                            ") can't be copied exactly: " + why_);
    return calls_.import(memory);
  }

  /// The floats that the layout stands for, into rows.size() x cols() floats. Fails where the rows
  /// are none of these or `out` has another shape; io_error as import_matrix().
  void decode_rows(row_range rows, matrix_view<float> out) const {
    if (rows.begin > rows.end || rows.end > rows_ || out.rows != rows.size() || out.cols != cols_) {
      detail::core::fail("packed_linear " + edgerazor::quoted(name_) + ": rows " +
                         std::to_string(rows.begin) + " to " + std::to_string(rows.end) + " of " +
                         detail::core::shape_text(rows_, cols_) + " into an output of " +
                         detail::core::shape_text(out.rows, out.cols));
    }
    if (!rows.empty()) calls_.decode(rows, out);
  }

 private:
  std::string name_, layout_;
  detail::core::moved_along<std::size_t> rows_, cols_;
  detail::core::moved_along<std::optional<matrix_format>> exact_;
  std::string why_;
  functions calls_;
};

namespace detail::io {

/// Rows that are decoded or copied at a time: layouts that store a matrix transposed have so many
/// of its rows side by side.
inline constexpr std::size_t rows_at_a_time = 64;

/// What most layouts are: unsigned codes, of which groups of columns share a scale and a zero,
///
///     w = scale * (code - zero)                       both operations rounded to float32
struct coded_weights {
  std::string name;    ///< the layer
  std::string layout;  ///< for people
  std::size_t rows = 0, cols = 0;
  std::size_t group = 0;      ///< columns that share a scale; the last group may have fewer
  int max_code = 0;           ///< at most 255
  std::vector<float> scales;  ///< rows x groups
  std::vector<float> zeros;   ///< rows x groups; empty where `zero` is that of all groups
  int zero = 0;
  scale_kind scale = scale_kind::float16;  ///< holds every scale
  /// The group of each column; empty where it is column / group.
  std::vector<std::uint32_t> group_of = {};
  /// Where not empty, one entry a row: not zero where all codes of the row are zero - 1 to zero + 1
  /// and are stored as ternary ones, the others in the format.
  std::vector<std::uint8_t> ternary_rows = {};
  /// The codes of the rows, row-major, rows.size() * cols bytes, none over max_code. io_error where
  /// one is none.
  std::function<void(row_range rows, std::uint8_t* codes)> read_codes;

  [[nodiscard]] std::size_t groups() const noexcept { return cols / group + (cols % group != 0); }
};

/// Columns in the order of their groups, which keeps the columns of a group in order; nothing where
/// the groups are not as long as a format wants them.
inline std::optional<std::vector<std::uint32_t>> columns_by_group(const coded_weights& w) {
  std::vector<std::uint32_t> order(w.cols);
  std::vector<std::size_t> next(w.groups()), end(w.groups());
  for (std::size_t g = 0; g < next.size(); ++g)
    next[g] = g * w.group, end[g] = std::min(next[g] + w.group, w.cols);
  for (std::size_t c = 0; c < w.cols; ++c) {
    const std::size_t g = w.group_of[c];
    if (next[g] == end[g]) return std::nullopt;
    order[next[g]++] = static_cast<std::uint32_t>(c);
  }
  return order;
}

/// The smallest codec for levels low .. high, or with a zero of the group for codes up to high.
inline std::optional<code_type> codec_for(int low, int high, bool has_zeros) {
  for (const code_type type :
       {code_type::ternary2, code_type::int2, code_type::int3, code_type::int4, code_type::int5,
        code_type::int6, code_type::int8}) {
    const codec_info& codec = codec_of(type);
    // -zero_code of int8, -128, is no level that a packer writes, but one that bytes may hold.
    const bool fits = has_zeros ? codec.has_zero_form() && high <= codec.max_code
                                : low >= -codec.zero_code && high <= codec.max_level();
    if (fits && (has_zeros || type == code_type::int8 || low >= codec.min_level)) return type;
  }
  return std::nullopt;
}

/// The codes as decode and import take them from a layout, a block of rows at a time.
template <class Use>
void for_each_code_block(const coded_weights& w, row_range rows, const Use& use) {
  core::buffer<std::uint8_t> codes(
      core::size_product("packed_linear", std::min(rows_at_a_time, rows.size()), w.cols));
  for (std::size_t r = rows.begin; r < rows.end; r += rows_at_a_time) {
    const row_range block{r, std::min(r + rows_at_a_time, rows.end)};
    w.read_codes(block, codes.data());
    for (std::size_t i = block.begin; i < block.end; ++i)
      use(i, codes.data() + (i - block.begin) * w.cols);
  }
}

inline void decode_coded(const coded_weights& w, row_range rows, matrix_view<float> out) {
  const std::size_t groups = w.groups();
  const auto value = [](unsigned code, float scale, float zero) {
    return policy::value_of<zero_kind::point>(static_cast<float>(code), scale, zero);
  };
  for_each_code_block(w, rows, [&](std::size_t r, const std::uint8_t* codes) {
    float* const values = out.row(r - rows.begin).data();
    const float* const scales = w.scales.data() + r * groups;
    const float* const zeros = w.zeros.empty() ? nullptr : w.zeros.data() + r * groups;
    const auto zero_of = [&](std::size_t g) {
      return zeros != nullptr ? zeros[g] : static_cast<float>(w.zero);
    };
    if (!w.group_of.empty()) {
      for (std::size_t c = 0; c < w.cols; ++c)
        values[c] = value(codes[c], scales[w.group_of[c]], zero_of(w.group_of[c]));
      return;
    }
    for (std::size_t g = 0; g < groups; ++g) {
      const float scale = scales[g], zero = zero_of(g);
      const std::size_t end = std::min((g + 1) * w.group, w.cols);
      for (std::size_t c = g * w.group; c < end; ++c) values[c] = value(codes[c], scale, zero);
    }
  });
}

/// One row into row `to` of a packed matrix; `order`: which column of the file each of its columns
/// is, or empty; `numbers` is scratch.
inline void copy_coded_row(const coded_weights& w, std::size_t r, const std::uint8_t* codes,
                           const std::vector<std::uint32_t>& order, const tile_layout& layout,
                           matrix::row_codes& row, std::vector<float>& numbers, std::byte* matrix,
                           std::size_t to) {
  const auto offset = static_cast<std::uint8_t>(w.zeros.empty() ? layout.zero_code() - w.zero : 0);
  std::uint8_t* const stored = row.at(0);
  if (order.empty()) {
    for (std::size_t c = 0; c < w.cols; ++c)
      stored[c] = static_cast<std::uint8_t>(codes[c] + offset);
  } else {
    for (std::size_t c = 0; c < w.cols; ++c)
      stored[c] = static_cast<std::uint8_t>(codes[order[c]] + offset);
  }
  row.write(matrix, to);
  const std::size_t groups = layout.groups(), step = layout.has_zeros() ? 2 : 1;
  numbers.resize(layout.numbers());
  for (std::size_t g = 0; g < groups; ++g) {
    numbers[step * g] = w.scales[r * groups + g];
    if (layout.has_zeros()) numbers[2 * g + 1] = w.zeros[r * groups + g];
  }
  matrix::write_scales(layout, matrix, to, numbers.data());
}

inline any_matrix import_coded(const coded_weights& w, const format& fmt,
                               const std::vector<std::uint32_t>& order,
                               std::pmr::memory_resource* memory) {
  packed_storage storage(tile_layout(fmt, w.rows, w.cols), order.empty() ? memory : nullptr);
  matrix::row_codes row(storage.layout());
  std::vector<float> numbers;
  for_each_code_block(w, {0, w.rows}, [&](std::size_t r, const std::uint8_t* codes) {
    copy_coded_row(w, r, codes, order, storage.layout(), row, numbers, storage.data(), r);
  });
  if (order.empty()) return any_matrix::owner_of(std::move(storage));
  return any_matrix::joined(permuted_columns{std::span<const std::uint32_t>{order}, storage.view()},
                            memory);
}

inline any_matrix import_mixed(const coded_weights& w, const matrix_format& fmt,
                               std::pmr::memory_resource* memory) {
  const std::size_t groups = w.groups();
  std::vector<std::uint8_t> mask(core::size_product("packed_linear", w.rows, groups));
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = w.ternary_rows[i / groups] == 0;
  mixed_matrix mixed(fmt.first, fmt.second, w.rows, w.cols, mask);
  // Rows of one precision are the one run of the matrix, higher precision first.
  const std::span<const mixed_matrix::segment> parts = mixed.segments();
  matrix::row_codes rows[] = {matrix::row_codes(parts[0].layout),
                              matrix::row_codes(parts[1].layout)};
  std::size_t next[] = {0, 0};
  std::vector<float> numbers;
  for_each_code_block(w, {0, w.rows}, [&](std::size_t r, const std::uint8_t* codes) {
    const std::size_t i = w.ternary_rows[r] == 0 ? 0 : 1;
    copy_coded_row(w, r, codes, {}, parts[i].layout, rows[i], numbers, mixed.data(parts[i]),
                   next[i]++);
  });
  return any_matrix::joined(matrix_sum(matrix_part{mixed}, fmt.map), memory);
}

/// The rule of the rows in the higher precision: r % n < below, of the smallest n; none where there
/// is none up to 64.
inline part_format::row_map map_of(const std::vector<std::uint8_t>& ternary_rows) {
  for (std::size_t n = 2; n <= 64; ++n) {
    std::size_t below = 0;
    while (below < std::min(n, ternary_rows.size()) && ternary_rows[below] == 0) ++below;
    const auto follows = [&](std::size_t r) { return (r % n < below) == (ternary_rows[r] == 0); };
    std::size_t r = 0;
    while (r < ternary_rows.size() && follows(r)) ++r;
    if (r == ternary_rows.size() && below != 0) return {n, below};
  }
  return {};
}

/// Zeros that are one number for all become that, where the codes need no more bits for it.
inline void unite_zeros(coded_weights& w) {
  if (w.zeros.empty()) return;
  const float first = w.zeros[0];
  const auto same = [&](float zero) { return zero == first; };
  if (!(first >= 0 && first <= 255) || first != std::floor(first) ||
      !std::all_of(w.zeros.begin(), w.zeros.end(), same))
    return;
  const auto zero = static_cast<int>(first);
  if (codec_for(-zero, w.max_code - zero, false) != codec_for(0, w.max_code, true)) return;
  w.zero = zero;
  w.zeros.clear();
}

/// Groups whose numbers are those of their neighbours become one: a file can hold the scale of a
/// larger group several times.
inline void unite_groups(coded_weights& w) {
  const auto equal_pairs = [&](const std::vector<float>& numbers, std::size_t groups) {
    for (std::size_t i = 0; i < numbers.size(); i += groups) {
      for (std::size_t g = 0; g + 1 < groups; g += 2)
        if (numbers[i + g] != numbers[i + g + 1]) return false;
    }
    return true;
  };
  for (std::size_t groups = w.groups(); groups > 1; groups = w.groups()) {
    if (std::min(2 * w.group, w.cols) > format::largest_group) return;
    if (!equal_pairs(w.scales, groups) || !equal_pairs(w.zeros, groups)) return;
    for (std::vector<float>* const numbers : {&w.scales, &w.zeros}) {
      std::size_t to = 0;
      for (std::size_t i = 0; i < numbers->size(); ++i)
        if (i % groups % 2 == 0) (*numbers)[to++] = (*numbers)[i];
      numbers->resize(to);
    }
    w.group = std::min(2 * w.group, w.cols);
  }
}

/// Sizes, numbers and group_of have been checked.
inline packed_linear linear_of(coded_weights weights) {
  const auto shared = std::make_shared<coded_weights>(std::move(weights));
  coded_weights& w = *shared;
  packed_linear::functions calls;
  calls.decode = [shared](row_range rows, matrix_view<float> out) {
    decode_coded(*shared, rows, out);
  };
  const auto decoded_only = [&](std::string why) {
    return packed_linear(w.name, w.layout, w.rows, w.cols, std::move(why), calls);
  };

  w.group = std::min(w.group, w.cols);
  bool contiguous = true;
  for (std::size_t c = 0; c < w.group_of.size() && contiguous; ++c)
    contiguous = w.group_of[c] == c / w.group;
  if (contiguous) {
    w.group_of.clear();
    unite_groups(w);
  }
  unite_zeros(w);
  const auto exact_zero = [&](float zero) { return matrix::round_scale(zero, w.scale) == zero; };
  if (!std::all_of(w.zeros.begin(), w.zeros.end(), exact_zero)) w.scale = scale_kind::float32;

  const bool whole_row = w.group == w.cols;
  if (w.group > format::largest_group || (!whole_row && w.group % format::group_multiple != 0)) {
    return decoded_only("groups of " + std::to_string(w.group) +
                        " columns are no multiple of 4 up to 65536");
  }
  const std::optional<code_type> code =
      codec_for(-w.zero, w.zeros.empty() ? w.max_code - w.zero : w.max_code, !w.zeros.empty());
  if (!code) return decoded_only("no packed format has its levels");
  const format fmt{*code, whole_row ? 0 : static_cast<std::uint32_t>(w.group), w.scale,
                   w.zeros.empty() ? zero_kind::none : zero_kind::point};
  matrix_format exact = fmt;
  const auto ternary = std::count_if(w.ternary_rows.begin(), w.ternary_rows.end(),
                                     [](std::uint8_t t) { return t != 0; });
  if (ternary != 0) {
    format low = fmt;
    low.code = code_type::ternary2;
    exact = low;
    if (static_cast<std::size_t>(ternary) != w.rows) {
      exact.type = matrix_format::kind::mixed;
      exact.first = fmt, exact.second = low;
      exact.map = map_of(w.ternary_rows);
      calls.import = [shared, exact](std::pmr::memory_resource* memory) {
        return import_mixed(*shared, exact, memory);
      };
      return packed_linear(w.name, w.layout, w.rows, w.cols, exact, std::move(calls));
    }
  }
  std::vector<std::uint32_t> order;
  const format plain = exact.first;
  if (!w.group_of.empty()) {
    std::optional<std::vector<std::uint32_t>> sorted = columns_by_group(w);
    if (!sorted) return decoded_only("its groups of columns are not all of one size");
    order = std::move(*sorted);
    exact = {};
    exact.type = matrix_format::kind::sum;
    exact.stages = {{input_stage::permuted, 0}};
    exact.parts = {{plain, 1}};
  }
  calls.import = [shared, plain, order = std::move(order)](std::pmr::memory_resource* memory) {
    return import_coded(*shared, plain, order, memory);
  };
  return packed_linear(w.name, w.layout, w.rows, w.cols, std::move(exact), std::move(calls));
}

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
