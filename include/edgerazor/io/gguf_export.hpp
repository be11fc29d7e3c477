// SPDX-License-Identifier: Apache-2.0
/// Matrices as ordinary GGUF tensors, for other engines. Codes and scales are copied, never
/// computed again: quantizing what is quantized already, by another rule, costs accuracy. What a
/// type can't hold exactly is refused.
///
///     F32    the very floats dequantize() gives
///     F16    the same, rounded
///     Q4_0   levels in -8..7: int4, ternary, and mixtures of them; blocks of 32
///     Q4_1   codes in 0..15 with a minimum: int4m, int3m, int2m; blocks of 32
///     TQ1_0, TQ2_0   levels in -1..1: ternary; blocks of 256
///
/// A row must be whole blocks, and so must a group; its scale is repeated for each of its blocks.
/// The scale and the minimum must be float16, as those of the default formats are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The value of `general.file_type` for a model whose matrices are of this type (llama.cpp's
/// numbers); 1024, "not specified", for types we don't export.
[[nodiscard]] constexpr std::uint32_t gguf_file_type(ggml_type type) noexcept {
  switch (type) {
    case ggml_type::f32:
      return 0;
    case ggml_type::f16:
      return 1;
    case ggml_type::q4_0:
      return 2;
    case ggml_type::q4_1:
      return 3;
    case ggml_type::bf16:
      return 32;
    case ggml_type::tq1_0:
      return 36;
    case ggml_type::tq2_0:
      return 37;
    default:
      return 1024;
  }
}

namespace detail::io {

/// Levels and scales of a packed or mixed matrix, row after row.
class level_rows {
 public:
  explicit level_rows(const any_matrix& matrix)
      : group_cols_(matrix.group_cols()),
        levels_(matrix.cols()),
        scales_((matrix.cols() + group_cols_ - 1) / group_cols_),
        zeros_(scales_.size()) {
    if (const packed_view* const view = matrix.packed())
      parts_.push_back({*view, matrix::row_codes(view->layout()), 0, {}});
    if (const mixed_matrix* const mixed = matrix.mixed()) {
      for (const mixed_matrix::segment& segment : mixed->segments()) {
        parts_.push_back({mixed->view(segment), matrix::row_codes(segment.layout),
                          segment.col_begin, segment.rows});
      }
    }
  }

  /// The real numbers of one row.
  void read_values(std::size_t row, std::span<float> values) {
    for (part& p : parts_) {
      const std::size_t at = index_in(p, row);
      if (at != none) matrix::dequantize_row(p.view, at, p.codes, values.data() + p.col_begin);
    }
  }
  /// Levels and scales of one row are to be read.
  void read(std::size_t row) {
    read_scales(row);
    for (part& p : parts_) {
      const std::size_t at = index_in(p, row);
      if (at == none) continue;
      p.codes.read(p.view.bytes().data(), at);
      for (std::size_t c = 0; c < p.view.cols(); ++c) {
        levels_[p.col_begin + c] = static_cast<std::int8_t>(p.codes.level(c));
      }
    }
  }
  void read_scales(std::size_t row) {
    for (const part& p : parts_) {
      const std::size_t at = index_in(p, row);
      if (at == none) continue;
      for (std::size_t g = 0; g < p.view.layout().groups(); ++g) {
        scales_[p.col_begin / group_cols_ + g] = scale_at(p.view, at, g);
        if (p.view.layout().has_zeros())
          zeros_[p.col_begin / group_cols_ + g] = zero_at(p.view, at, g);
      }
    }
  }

  [[nodiscard]] std::span<const std::int8_t> levels() const noexcept { return levels_; }
  [[nodiscard]] std::span<const float> scales() const noexcept { return scales_; }
  /// 0 where groups have none.
  [[nodiscard]] std::span<const float> zeros() const noexcept { return zeros_; }
  [[nodiscard]] float zero_of_col(std::size_t col) const noexcept {
    return zeros_[col / group_cols_];
  }
  [[nodiscard]] float scale_of_col(std::size_t col) const noexcept {
    return scales_[col / group_cols_];
  }

 private:
  struct part {
    packed_view view;
    matrix::row_codes codes;
    std::size_t col_begin;
    std::span<const std::uint32_t> rows;  ///< which rows of the matrix; empty: all
  };
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  static std::size_t index_in(const part& p, std::size_t row) noexcept {
    if (p.rows.empty()) return row;
    const auto at = std::lower_bound(p.rows.begin(), p.rows.end(), row);
    return at != p.rows.end() && *at == row ? static_cast<std::size_t>(at - p.rows.begin()) : none;
  }

  std::size_t group_cols_;
  std::vector<std::int8_t> levels_;
  std::vector<float> scales_, zeros_;
  std::vector<part> parts_;
};

/// Floats to F32, F16 or BF16 bytes. Fails on a finite value that is out of the type's range.
inline void write_reals(tensor_sink& sink, ggml_type type, std::span<const float> values,
                        std::vector<std::byte>& bytes, const std::string& what) {
  if (type == ggml_type::f32) return sink.write(std::as_bytes(values));
  bytes.resize(2 * values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool half = type == ggml_type::f16;
    const std::uint16_t bits = half ? float16{values[i]}.bits : bfloat16{values[i]}.bits;
    const std::uint16_t exponent = half ? 0x7c00 : 0x7f80;  // all ones: an infinity or a NaN
    if (policy::is_finite(values[i]) && (bits & exponent) == exponent) {
      core::fail(what + ": " + std::to_string(values[i]) + " is out of the range of " +
                 (half ? "F16" : "BF16"));
    }
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  sink.write(bytes);
}

/// "F32, F16 and BF16": the listed types that satisfy `predicate`.
template <class Predicate>
std::string names_of_types(Predicate predicate) {
  std::vector<std::string_view> names;
  for (const ggml_type_info& info : ggml_types)
    if (std::invoke(predicate, info)) names.push_back(info.name);
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i != 0) text += i + 1 < names.size() ? ", " : " and ";
    text += names[i];
  }
  return text;
}

/// Preconditions: the type has an encoder, and its range holds the levels.
inline void write_blocks(tensor_sink& sink, const ggml_type_info& info, const level_rows& row,
                         std::vector<std::byte>& bytes) {
  bytes.resize(row.levels().size() / info.block * info.block_bytes);
  std::byte* out = bytes.data();
  for (std::size_t col = 0; col < row.levels().size(); col += info.block, out += info.block_bytes) {
    const std::int8_t* const levels = row.levels().data() + col;
    const float16 scale{row.scale_of_col(col)};
    info.encode(levels, scale, float16{row.zero_of_col(col)}, out);
  }
  sink.write(bytes);
}

/// Fails unless the type holds the format's codes and groups, and every scale.
inline void require_exact(const any_matrix& matrix, const ggml_type_info& info,
                          const std::string& what) {
  const std::string refusal = what + " can't become " + std::string{info.name} + ": ";
  if (matrix.is_dense())
    core::fail(refusal + "it is not quantized, and exporting does not quantize");
  const auto require_codes = [&](const format& fmt) {
    const codec_info& codec = codec_of(fmt.code);
    if (fmt.zero != info.packed.zero) {
      core::fail(refusal +
                 (info.packed.zero == zero_kind::minimum
                      ? "it takes formats with a minimum of the group, as int4m_g32"
                      : fmt.name() + " has a zero for each group, which the type has not"));
    }
    const policy::level_range levels = matrix::levels_of(fmt),
                              held = matrix::levels_of(info.packed);
    if (levels.low >= held.low && levels.high <= held.high) return;
    core::fail(refusal + "levels of " + std::string{codec.name} + " lie outside " +
               std::to_string(held.low) + " to " + std::to_string(held.high));
  };
  require_codes(matrix.fmt().first);
  if (matrix.mixed() != nullptr) require_codes(matrix.fmt().second);
  if (matrix.cols() % info.block != 0) {
    core::fail(refusal + "its " + std::to_string(matrix.cols()) + " columns are no multiple of " +
               std::to_string(info.block));
  }
  if (matrix.group_cols() % info.block != 0) {
    core::fail(refusal + "its groups of " + std::to_string(matrix.group_cols()) +
               " columns are no multiple of " + std::to_string(info.block));
  }
  level_rows rows(matrix);
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    rows.read_scales(r);
    for (const auto& [what_of, numbers] :
         {std::pair{"scale", rows.scales()}, {"zero", rows.zeros()}}) {
      for (const float number : numbers) {
        if (policy::is_finite(number) && static_cast<float>(float16{number}) == number) continue;
        core::fail(refusal + "a " + what_of + " of row " + std::to_string(r) + ", " +
                   std::to_string(number) + ", is no finite float16");
      }
    }
  }
}

}  // namespace detail::io

/// Adds a matrix as a tensor of type F32, F16, BF16, Q4_0, Q4_1, TQ1_0 or TQ2_0, dims {cols, rows}.
/// The matrix must live until write() returns. Fails where the type can't hold it (see
/// above); whether the values fit F16, and whether a matrix from a file holds levels that its
/// format does not have, shows during write().
inline void add_exported(gguf_writer& writer, std::string_view name, const any_matrix& matrix,
                         ggml_type type) {
  const std::string what = "tensor " + detail::io::quoted(name) + " (" + matrix.fmt().name() +
                           ", " + detail::core::shape_text(matrix.rows(), matrix.cols()) + ")";
  const ggml_type_info& info = info_of(type);
  if (!info.real() && info.encode == nullptr) {
    detail::core::fail(what + " can't become " + std::string{info.name} + ": " +
                       detail::io::names_of_types([](const ggml_type_info& one) {
                         return one.real() || one.encode != nullptr;
                       }) +
                       " are exported");
  }
  if (matrix.sum()) {
    detail::core::fail(what + " can't become " + std::string{info.name} +
                       ": it is a sum of matrices");
  }
  if (!info.real()) detail::io::require_exact(matrix, info, what);

  const auto write_dense = [&matrix, type, what](tensor_sink& sink) {
    const ggml_type from = matrix.fmt().element == scale_kind::float32   ? ggml_type::f32
                           : matrix.fmt().element == scale_kind::float16 ? ggml_type::f16
                                                                         : ggml_type::bf16;
    if (from == type) return sink.write(matrix.bytes());
    std::vector<float> values(matrix.cols());
    std::vector<std::byte> bytes;
    const std::size_t row_bytes = matrix.cols() * info_of(from).block_bytes;
    for (std::size_t r = 0; r < matrix.rows(); ++r) {
      decode_ggml_row(from, matrix.bytes().subspan(r * row_bytes, row_bytes), values);
      detail::io::write_reals(sink, type, values, bytes, what);
    }
  };
  const auto write_levels = [&matrix, &info, what](tensor_sink& sink) {
    detail::io::level_rows row(matrix);
    std::vector<float> values(matrix.cols());
    std::vector<std::byte> bytes;
    for (std::size_t r = 0; r < matrix.rows(); ++r) {
      if (info.real()) {
        row.read_values(r, values);
        detail::io::write_reals(sink, info.type, values, bytes, what);
        continue;
      }
      row.read(r);
      const auto [low, high] = std::ranges::minmax(row.levels());
      const detail::policy::level_range held = detail::matrix::levels_of(info.packed);
      if (low < held.low || high > held.high) {
        detail::core::fail(what + " holds a code that its format does not have, in row " +
                           std::to_string(r));
      }
      detail::io::write_blocks(sink, info, row, bytes);
    }
  };
  const std::size_t dims[] = {matrix.cols(), matrix.rows()};
  if (matrix.is_dense()) {
    writer.add_tensor(name, type, dims, write_dense);
  } else {
    writer.add_tensor(name, type, dims, write_levels);
  }
}

/// Adds a tensor of another file as F32, F16 or BF16, decoded row by row during write(): a whole
/// model passes through the memory of a row. The file must stay open, in this reader, until
/// write() returns. Fails on other types and on finite values out of the range of the type.
inline void add_converted(gguf_writer& writer, const gguf_reader& reader, const tensor_info& tensor,
                          ggml_type type) {
  const std::string what = "tensor " + detail::io::quoted(tensor.name);
  if (!info_of(type).real()) {
    detail::core::fail(what + " can't become " + std::string{info_of(type).name} + ": " +
                       detail::io::names_of_types(&ggml_type_info::real) + " are converted to");
  }
  if (tensor.type == type) return writer.copy_tensor(tensor);
  if (!info_of(tensor.type).decoded())
    detail::core::fail_io(what + " has type " + std::string{info_of(tensor.type).name} +
                          ", which is not decoded");
  const std::size_t dim_count = std::max<std::size_t>(tensor.dim_count, 1);
  writer.add_tensor(
      tensor.name, type, std::span{tensor.dims}.first(dim_count),
      [&reader, tensor, factor = reader.scale_of(tensor), type, what](tensor_sink& sink) {
        std::vector<float> values(tensor.rows() == 0 ? 0 : tensor.cols());
        std::vector<std::byte> bytes;
        for (std::size_t r = 0; r < tensor.rows(); ++r) {
          info_of(tensor.type).decode(tensor.bytes.data() + r * tensor.row_bytes(), factor, values);
          detail::io::write_reals(sink, type, values, bytes, what);
        }
        reader.drop(tensor);
      });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
