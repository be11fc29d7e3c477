// SPDX-License-Identifier: Apache-2.0
/// Packed matrices as the tensors of other projects' checkpoints, codes and scales copied: what the
/// other side decodes is what the matrix stands for, or nothing is written.
///
///     function                  tensors beside the layer's name, N x K of groups of g columns
///     add_reals                 weight            F32, F16 or BF16 (N, K), rounded
///     add_edgerazor             weight            BF16 (N, K), fake-quantized as EdgeRazor (Python)
///     add_compressed_tensors    weight_packed     I32 (N, ceil(K / 8)), q + 8, low nibble first
///                               weight_scale      F16 or BF16 (N, K / g)
///                               weight_shape      I64 [2]
///     add_gptq                  qweight           I32 (K / 8, N), q + 8 down K, low nibble first
///                               qzeros            I32 (K / g, N / 8), all 77777777: v1 of zero 8
///                               scales            F16 (K / g, N)
///                               g_idx             I32 (K), k / g
///     add_bitnet                weight            U8 (N / 4, K), t + 1: row i + p N/4 at bits 2 p
///                               weight_scale      BF16 [1], a factor: "autobitlinear"
///
/// Rows are written in the matrix's order; a GGUF file has those of a llama's query and key in
/// another one than checkpoints (see hf_names.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/edgerazor_linear.hpp>
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/safetensors_writer.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

/// What is exported, for messages.
struct export_subject {
  const any_matrix& matrix;
  std::string what;  ///< "layer 'x' (int4_g128, 32 x 96) can't become ...: "

  export_subject(const any_matrix& exported, std::string_view module, std::string_view target)
      : matrix(exported),
        what("layer " + edgerazor::quoted(module) + " (" + exported.fmt().name() + ", " +
             core::shape_text(exported.rows(), exported.cols()) + ") can't become " +
             std::string{target} + ": ") {}

  [[noreturn]] void refuse(const std::string& why) const { core::fail(what + why); }

  /// Levels and one scale a group, without zeros.
  void require_levels() const {
    if (matrix.is_dense()) refuse("it is not quantized, and exporting does not quantize");
    if (matrix.sum() != nullptr) refuse("it is a sum of matrices");
    for (const format* const fmt : {&matrix.fmt().first, &matrix.fmt().second}) {
      if (fmt == &matrix.fmt().second && matrix.mixed() == nullptr) break;
      if (fmt->zero != zero_kind::none) refuse("its groups have zeros, the layout has none");
    }
  }
  /// The least and the greatest level that is there, against what the layout holds.
  void require_range(const level_rows& rows, std::size_t row, int low, int high) const {
    const auto [least, most] = std::ranges::minmax(rows.levels());
    if (least < low || most > high)
      refuse("row " + std::to_string(row) + " has levels from " + std::to_string(least) + " to " +
             std::to_string(most) + ", the layout holds " + std::to_string(low) + " to " +
             std::to_string(high));
  }
  /// Groups of `group` columns, 0 being whole rows: whole ones, each in one of the matrix's.
  [[nodiscard]] std::size_t require_groups(std::size_t group) const {
    const std::size_t cols = matrix.cols(), own = std::min(matrix.group_cols(), cols);
    if (group == 0) group = cols;
    if (cols % group != 0)
      refuse("its " + std::to_string(cols) + " columns are no multiple of groups of " +
             std::to_string(group));
    if (own % group != 0 && own != cols)
      refuse("its groups of " + std::to_string(own) + " columns are no multiple of " +
             std::to_string(group));
    return group;
  }
};

/// A scale as the 16 bits of a type. Fails where the type does not hold it.
[[nodiscard]] inline std::uint16_t exact_bits(const export_subject& subject,
                                              safetensors_dtype dtype, std::size_t row,
                                              float scale) {
  const bool half = dtype == safetensors_dtype::f16;
  const std::uint16_t bits = half ? float16{scale}.bits : bfloat16{scale}.bits;
  const float held = half ? static_cast<float>(float16::from_bits(bits))
                          : static_cast<float>(bfloat16::from_bits(bits));
  if (!policy::is_finite(scale) || held != scale)
    subject.refuse("a scale of row " + std::to_string(row) + ", " + std::to_string(scale) +
                   ", is no finite " + std::string{info_of(dtype).name});
  return bits;
}

/// Up to eight levels of -8 to 7 as the nibbles of a word, level + 8, the first lowest; then 0.
[[nodiscard]] inline std::uint32_t nibble_word(std::span<const std::int8_t> levels) noexcept {
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < levels.size(); ++i)
    word |= static_cast<std::uint32_t>(levels[i] + 8) << (4 * i);
  return word;
}

/// For tensors whose bytes are small, or wanted at once.
inline void add_owned(safetensors_writer& writer, const std::string& name, safetensors_dtype dtype,
                      std::initializer_list<std::uint64_t> shape, std::vector<std::byte> bytes) {
  writer.add(name, dtype, shape,
             [held = std::move(bytes)](tensor_sink& sink) { sink.write(held); });
}
template <class T>
[[nodiscard]] std::vector<std::byte> bytes_of(std::span<const T> values) {
  const std::span<const std::byte> bytes = std::as_bytes(values);
  return {bytes.begin(), bytes.end()};
}

}  // namespace detail::io

/// A matrix's numbers as `name`, F32, F16 or BF16, rounded to nearest where those hold less. The
/// matrix must live until write(). Fails where the type is another, or the matrix a sum; while
/// written, on a finite number past the type's range.
inline void add_reals(safetensors_writer& writer, std::string_view name, const any_matrix& matrix,
                      safetensors_dtype dtype) {
  using enum safetensors_dtype;
  const detail::io::export_subject subject(matrix, name, info_of(dtype).name);
  if (dtype != f32 && dtype != f16 && dtype != bf16)
    subject.refuse("F32, F16 and BF16 are written");
  if (matrix.sum() != nullptr) subject.refuse("it is a sum of matrices");
  const ggml_type type = dtype == f32   ? ggml_type::f32
                         : dtype == f16 ? ggml_type::f16
                                        : ggml_type::bf16;
  writer.add(name, dtype, {matrix.rows(), matrix.cols()},
             [&matrix, type, subject](tensor_sink& sink) {
               std::vector<float> values(matrix.cols());
               std::vector<std::byte> bytes;
               if (!matrix.is_dense()) {
                 detail::io::level_rows rows(matrix);
                 for (std::size_t r = 0; r < matrix.rows(); ++r) {
                   rows.read_values(r, values);
                   detail::io::write_reals(sink, type, values, bytes, subject.what);
                 }
                 return;
               }
               const scale_kind element = matrix.fmt().element;
               const safetensors_tensor stored{"",
                                               element == scale_kind::float32   ? f32
                                               : element == scale_kind::float16 ? f16
                                                                                : bf16,
                                               {matrix.rows(), matrix.cols()},
                                               matrix.bytes()};
               for (std::size_t r = 0; r < matrix.rows(); ++r) {
                 decode_floats(stored, r * matrix.cols(), values);
                 detail::io::write_reals(sink, type, values, bytes, subject.what);
               }
             });
}

/// A matrix of ternary and int4 groups as EdgeRazor (Python) publishes it: `module`.weight in BF16,
/// every number the rounded product of level and scale, from which edgerazor_linear.hpp reads
/// codes and scales back exactly. The matrix must live until write(). Fails where a scale is no
/// BF16, a level not -7 to 7, or a group's scale can't be told from its numbers, most often because
/// none of its levels is 7 or -7. A group of one magnitude is read back as ternary, the same
/// numbers.
inline void add_edgerazor(safetensors_writer& writer, std::string_view module,
                          const any_matrix& matrix) {
  const detail::io::export_subject subject(matrix, module, "fake-quantized BF16");
  subject.require_levels();
  const std::size_t group = std::min(matrix.group_cols(), matrix.cols());
  if (matrix.cols() % group != 0)
    subject.refuse("its " + std::to_string(matrix.cols()) +
                   " columns are no multiple of its groups of " + std::to_string(group));
  detail::io::level_rows rows(matrix);
  std::vector<float> numbers(group);
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    rows.read(r);
    subject.require_range(rows, r, -7, 7);
    for (const float scale : rows.scales())
      (void)detail::io::exact_bits(subject, safetensors_dtype::bf16, r, scale);
    for (std::size_t col = 0; col < matrix.cols(); col += group) {
      const std::span<float> block{numbers.data(), std::min(group, matrix.cols() - col)};
      const float scale = rows.scale_of_col(col);
      for (std::size_t c = 0; c < block.size(); ++c)
        block[c] = bfloat16{static_cast<float>(rows.levels()[col + c]) * scale};
      const detail::io::fake_scale found = detail::io::find_fake_scale(block);
      if (found.kind == detail::io::fake_block::none ||
          (found.kind == detail::io::fake_block::int4 && found.scale != scale))
        subject.refuse("the group of row " + std::to_string(r) + ", column " + std::to_string(col) +
                       " can't be read back from its numbers: its largest level is not 7, or its "
                       "scale not the only one that gives them");
    }
  }
  writer.add(std::string{module} + ".weight", safetensors_dtype::bf16,
             {matrix.rows(), matrix.cols()}, [&matrix](tensor_sink& sink) {
               detail::io::level_rows row(matrix);
               std::vector<bfloat16> values(matrix.cols());
               for (std::size_t r = 0; r < matrix.rows(); ++r) {
                 row.read(r);
                 for (std::size_t c = 0; c < values.size(); ++c)
                   values[c] = bfloat16{static_cast<float>(row.levels()[c]) * row.scale_of_col(c)};
                 sink.write(std::as_bytes(std::span{values}));
               }
             });
}

/// int4, or what it holds, as compressed-tensors packs it ("pack-quantized", symmetric, 4 bits), in
/// groups of `group` columns, 0 for whole rows (strategy "channel"); larger groups of the matrix
/// repeat their scale. `scales`: F16 or BF16. The matrix must live until write(). Fails where
/// groups do not fit, a level is not -8 to 7, or the type does not hold a scale exactly. Source:
/// compressed-tensors 0.20, pack_quantized.
inline void add_compressed_tensors(safetensors_writer& writer, std::string_view module,
                                   const any_matrix& matrix, std::size_t group,
                                   safetensors_dtype scales) {
  const detail::io::export_subject subject(matrix, module, "compressed-tensors pack-quantized");
  if (scales != safetensors_dtype::f16 && scales != safetensors_dtype::bf16)
    subject.refuse("its scales are F16 or BF16");
  subject.require_levels();
  group = subject.require_groups(group);
  const std::size_t rows = matrix.rows(), cols = matrix.cols(), groups = cols / group;
  std::vector<std::uint16_t> scale_bits(detail::core::size_product("scales", rows, groups));
  detail::io::level_rows row(matrix);
  for (std::size_t r = 0; r < rows; ++r) {
    row.read(r);
    subject.require_range(row, r, -8, 7);
    for (std::size_t g = 0; g < groups; ++g)
      scale_bits[r * groups + g] =
          detail::io::exact_bits(subject, scales, r, row.scale_of_col(g * group));
  }
  const std::string name{module};
  const std::size_t words = (cols + 7) / 8;
  writer.add(name + ".weight_packed", safetensors_dtype::i32, {rows, words},
             [&matrix, words](tensor_sink& sink) {
               detail::io::level_rows levels(matrix);
               std::vector<std::uint32_t> packed(words);
               for (std::size_t r = 0; r < matrix.rows(); ++r) {
                 levels.read(r);
                 for (std::size_t w = 0; w < words; ++w) {
                   const std::size_t count = std::min<std::size_t>(8, matrix.cols() - 8 * w);
                   packed[w] = detail::io::nibble_word(levels.levels().subspan(8 * w, count));
                 }
                 sink.write(std::as_bytes(std::span{packed}));
               }
             });
  detail::io::add_owned(writer, name + ".weight_scale", scales, {rows, groups},
                        detail::io::bytes_of<std::uint16_t>(scale_bits));
  const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(rows),
                                          static_cast<std::int64_t>(cols)};
  detail::io::add_owned(writer, name + ".weight_shape", safetensors_dtype::i64, {2},
                        detail::io::bytes_of<std::int64_t>(shape));
}

/// int4, or what it holds, as GPTQ stores it ("gptq", that is v1, 4 bits, symmetric), in groups of
/// `group` columns, 0 for whole rows; larger groups of the matrix repeat their scale. The matrix
/// must live until write(). Fails where rows or columns are no multiple of 8, groups do not fit, a
/// level is not -8 to 7, or F16 does not hold a scale exactly. Source: GPTQModel, qlinear.
inline void add_gptq(safetensors_writer& writer, std::string_view module, const any_matrix& matrix,
                     std::size_t group) {
  const detail::io::export_subject subject(matrix, module, "GPTQ");
  subject.require_levels();
  const std::size_t rows = matrix.rows(), cols = matrix.cols();
  if (rows % 8 != 0 || cols % 8 != 0) subject.refuse("rows and columns must be multiples of 8");
  group = subject.require_groups(group);
  const std::size_t groups = cols / group;
  std::vector<std::uint16_t> scale_bits(detail::core::size_product("scales", rows, groups));
  detail::io::level_rows row(matrix);
  for (std::size_t r = 0; r < rows; ++r) {
    row.read(r);
    subject.require_range(row, r, -8, 7);
    for (std::size_t g = 0; g < groups; ++g)
      scale_bits[g * rows + r] =
          detail::io::exact_bits(subject, safetensors_dtype::f16, r, row.scale_of_col(g * group));
  }
  const std::string name{module};
  writer.add(
      name + ".qweight", safetensors_dtype::i32, {cols / 8, rows}, [&matrix](tensor_sink& sink) {
        // Words of a row lie a column of words apart: half a byte a weight, at once.
        const std::size_t height = matrix.cols() / 8, width = matrix.rows();
        std::vector<std::uint32_t> words(detail::core::size_product("qweight", height, width));
        detail::io::level_rows levels(matrix);
        for (std::size_t r = 0; r < width; ++r) {
          levels.read(r);
          for (std::size_t w = 0; w < height; ++w)
            words[w * width + r] = detail::io::nibble_word(levels.levels().subspan(8 * w, 8));
        }
        sink.write(std::as_bytes(std::span{words}));
      });
  // Version 1 stores zero - 1.
  const std::vector<std::uint32_t> zeros(groups * (rows / 8), 0x77777777u);
  detail::io::add_owned(writer, name + ".qzeros", safetensors_dtype::i32, {groups, rows / 8},
                        detail::io::bytes_of<std::uint32_t>(zeros));
  detail::io::add_owned(writer, name + ".scales", safetensors_dtype::f16, {groups, rows},
                        detail::io::bytes_of<std::uint16_t>(scale_bits));
  std::vector<std::int32_t> index(cols);
  for (std::size_t c = 0; c < cols; ++c) index[c] = static_cast<std::int32_t>(c / group);
  detail::io::add_owned(writer, name + ".g_idx", safetensors_dtype::i32, {cols},
                        detail::io::bytes_of<std::int32_t>(index));
}

/// Ternary with one scale for the matrix as transformers reads it for "bitnet" of linear_class
/// "autobitlinear". The matrix must live until write(). Fails where two scales differ or BF16 does
/// not hold it, a level is not -1 to 1, or rows are no multiple of 4. Source: transformers 5.24,
/// integrations/bitnet.py.
inline void add_bitnet(safetensors_writer& writer, std::string_view module,
                       const any_matrix& matrix) {
  const detail::io::export_subject subject(matrix, module, "BitNet");
  subject.require_levels();
  const std::size_t rows = matrix.rows(), cols = matrix.cols();
  if (rows % 4 != 0) subject.refuse("rows must be a multiple of 4");
  detail::io::level_rows row(matrix);
  float scale = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    row.read(r);
    subject.require_range(row, r, -1, 1);
    if (r == 0) scale = row.scales()[0];
    for (const float other : row.scales()) {
      if (other != scale)
        subject.refuse("row " + std::to_string(r) + " has scale " + std::to_string(other) +
                       ", row 0 has " + std::to_string(scale) +
                       ": the layout has one for the matrix");
    }
  }
  const std::array<std::uint16_t, 1> bits{
      detail::io::exact_bits(subject, safetensors_dtype::bf16, 0, scale)};
  const std::string name{module};
  writer.add(name + ".weight", safetensors_dtype::u8, {rows / 4, cols},
             [&matrix](tensor_sink& sink) {
               detail::io::level_rows levels(matrix);
               std::vector<std::uint8_t> packed(matrix.cols());
               const std::size_t quarter = matrix.rows() / 4;
               for (std::size_t r = 0; r < quarter; ++r) {
                 std::fill(packed.begin(), packed.end(), std::uint8_t{0});
                 for (unsigned p = 0; p < 4; ++p) {
                   levels.read(r + p * quarter);
                   for (std::size_t c = 0; c < packed.size(); ++c)
                     packed[c] =
                         static_cast<std::uint8_t>(packed[c] | (levels.levels()[c] + 1) << (2 * p));
                 }
                 sink.write(std::as_bytes(std::span{packed}));
               }
             });
  detail::io::add_owned(writer, name + ".weight_scale", safetensors_dtype::bf16, {1},
                        detail::io::bytes_of<std::uint16_t>(bits));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
