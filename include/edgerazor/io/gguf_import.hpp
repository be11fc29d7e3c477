// SPDX-License-Identifier: Apache-2.0
/// Quantized GGUF tensors as packed matrices whose codes, scales and minima are copied, not
/// computed: `dequantize` gives the very floats that gguf_reader::read_rows gives. Every quantized
/// type that is decoded is imported, in the format that its row in ggml_type.hpp names:
///
///     Q4_0  int4_g32     Q2_K  int2m_g16_f32    IQ4_NL  int8_g32         Q1_0   binary_g128
///     Q4_1  int4m_g32    Q3_K  int3_g16_f32     IQ4_XS  int8_g32_f32     Q2_0   int2z_g64
///     Q5_0  int5_g32     Q4_K  int4m_g32_f32    MXFP4   int5_g32_bf16    TQ1_0  ternary5_g256
///     Q5_1  int5m_g32    Q5_K  int5m_g32_f32    NVFP4   int5_g16         TQ2_0  ternary2_g256
///     Q8_0  int8_g32     Q6_K  int6_g16_f32                              I2_S   ternary2_row_f32
///
/// A product of a float16 and a small integer is no float16: the types whose scales are such
/// products take float scales, which costs the bits of docs/formats.md. So does a tensor with a
/// scale of its own (gguf_reader::scale_of).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/row_codes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Whether `import_matrix` takes tensors of that type.
[[nodiscard]] constexpr bool is_imported(ggml_type type) noexcept {
  const ggml_type_info* const info = find_ggml_type(static_cast<std::uint32_t>(type));
  return info != nullptr && info->codes != nullptr;
}

namespace detail::io {

/// What one row takes on its way.
struct row_buffers {
  std::vector<std::int8_t> levels;
  std::vector<float> numbers;
  matrix::row_codes codes;

  explicit row_buffers(const tile_layout& layout)
      : levels(layout.cols()), numbers(layout.numbers()), codes(layout) {}
};

/// Copies rows of a tensor of blocks into a packed matrix.
class block_rows {
 public:
  block_rows(const ggml_type_info& info, const tensor_info& tensor, float factor,
             const tile_layout& layout)
      : info_(info),
        data_(tensor.bytes.data()),
        row_bytes_(tensor.row_bytes()),
        factor_(factor),
        layout_(layout),
        range_(matrix::levels_of(layout.fmt())) {}

  /// The first column of a code that the format has not; cols() where there is none.
  [[nodiscard]] std::size_t first_wrong(const std::int8_t* codes) const noexcept {
    const std::int8_t* const end = codes + layout_.cols();
    return static_cast<std::size_t>(
        std::find_if(codes, end,
                     [this](std::int8_t q) { return q < range_.low || q > range_.high; }) -
        codes);
  }

  /// Codes of one row; `codes` has room for whole blocks, which a row is.
  void read_codes(std::size_t row, std::int8_t* codes) const noexcept {
    const std::byte* block = data_ + row * row_bytes_;
    for (std::size_t c = 0; c < layout_.cols(); c += info_.block, block += info_.block_bytes)
      info_.codes(block, codes + c);
  }

  /// Scales and zeros of one row as write_scales takes them. False where one is not finite.
  [[nodiscard]] bool read_row_numbers(std::size_t row, float* numbers) const noexcept {
    const std::byte* block = data_ + row * row_bytes_;
    const bool has_zeros = layout_.has_zeros();
    float scales[max_block_groups], zeros[max_block_groups];
    // Where the format's group is the row, the scale is the tensor's: each block says the same.
    const std::size_t blocks = layout_.fmt().group == 0 ? 1 : layout_.cols() / info_.block;
    for (std::size_t b = 0; b < blocks; ++b, block += info_.block_bytes) {
      if (!read_numbers(info_, block, factor_, scales, zeros)) return false;
      for (std::size_t g = 0; g < info_.groups(); ++g) {
        *numbers++ = scales[g];
        if (has_zeros) *numbers++ = zeros[g];
      }
    }
    return true;
  }

  /// Levels as a row stores them; false where one is none of the format's. Blocks are multiples of
  /// 32 elements: a number of them known to compilers, for vectors.
  [[nodiscard]] bool put_codes(const std::int8_t* levels, std::uint8_t* codes) const noexcept {
    constexpr std::size_t step = 32;
    std::int8_t low[step] = {}, high[step] = {};  // 0 is a level, or lies between two
    for (std::size_t c = 0; c < layout_.cols(); c += step) {
      for (std::size_t i = 0; i < step; ++i) {
        const std::int8_t level = levels[c + i];
        low[i] = level < low[i] ? level : low[i];
        high[i] = level > high[i] ? level : high[i];
        codes[c + i] = static_cast<std::uint8_t>(level + layout_.zero_code());
      }
    }
    return *std::ranges::min_element(low) >= range_.low &&
           *std::ranges::max_element(high) <= range_.high;
  }

  /// Writes rows into the packed matrix at `out`. False where a number is not finite or a code is
  /// none of the format's, and nothing is then of use.
  [[nodiscard]] bool copy(row_range rows, row_buffers& row, std::byte* out) const noexcept {
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      read_codes(r, row.levels.data());
      if (!put_codes(row.levels.data(), row.codes.at(0)) ||
          !read_row_numbers(r, row.numbers.data()))
        return false;
      row.codes.write(out, r);
      matrix::write_scales(layout_, out, r, row.numbers.data());
    }
    return true;
  }

  /// The sentence for the first code that the format has not. Precondition: there is one.
  [[noreturn]] void refuse(const std::string& what) const {
    std::vector<std::int8_t> levels(layout_.cols());
    std::size_t r = 0, c = 0;
    for (;; ++r) {
      read_codes(r, levels.data());
      c = first_wrong(levels.data());
      if (c != levels.size()) break;
    }
    core::fail_io(what + ": the code at row " + std::to_string(r) + ", column " +
                  std::to_string(c) + " is " + std::to_string(levels[c]) + ", expected " +
                  std::to_string(range_.low) + " to " + std::to_string(range_.high));
  }

 private:
  const ggml_type_info& info_;
  const std::byte* data_;
  std::size_t row_bytes_;
  float factor_;
  tile_layout layout_;
  policy::level_range range_;
};

}  // namespace detail::io

/// The format in which a tensor is imported: that of its type, with float scales where the tensor
/// has a scale of its own. Fails with io_error where the type is not imported.
[[nodiscard]] inline format import_format(const gguf_reader& reader, const tensor_info& tensor) {
  const ggml_type_info& info = info_of(tensor.type);
  if (!is_imported(tensor.type)) {
    detail::core::fail_io("tensor " + detail::io::quoted(tensor.name) + " is of type " +
                          std::string{info.name} + ", whose codes are not imported");
  }
  format fmt = info.packed;
  if (reader.scale_of(tensor) != 1) fmt.scale = scale_kind::float32;
  return fmt;
}

/// A tensor of tensor.rows() x tensor.cols() as a packed matrix. io_error where it is empty, of
/// another type than those above, or holds a scale or minimum that is not finite, or a code that
/// the format has not (-128 in Q8_0, 3 in TQ2_0 and I2_S, none of which their writers make).
/// `executor`: threads that share the rows. `memory`: where the matrix's bytes come from, see
/// byte_storage. What it allocates besides is a row for each 64.
[[nodiscard]] inline any_matrix import_matrix(const gguf_reader& reader, const tensor_info& tensor,
                                              executor_ref executor = {},
                                              std::pmr::memory_resource* memory = nullptr) {
  const std::string what = "tensor " + detail::io::quoted(tensor.name);
  const format fmt = import_format(reader, tensor);
  const std::size_t rows = tensor.rows(), cols = tensor.cols();
  if (rows == 0) detail::core::fail_io(what + " has no elements");
  if (fmt.group == 0 && cols > format::largest_group)
    detail::core::fail_io(what + " has groups of " + std::to_string(cols) +
                          " columns; at most 65536 are read");
  const tile_layout layout(fmt, rows, cols);
  const detail::io::block_rows source(info_of(tensor.type), tensor, reader.scale_of(tensor),
                                      layout);
  packed_storage storage(layout, memory);
  constexpr std::size_t grain_rows = 4 * tile_rows;
  std::vector<char> copied((rows + grain_rows - 1) / grain_rows);
  // Here, where memory that can't be had is an exception: threads allocate nothing.
  std::vector<detail::io::row_buffers> buffers(copied.size(), detail::io::row_buffers(layout));
  executor(copied.size(), [&, out = storage.data()](std::size_t grain) noexcept {
    const std::size_t begin = grain * grain_rows;
    const row_range some{begin, std::min(rows, begin + grain_rows)};
    copied[grain] = source.copy(some, buffers[grain], out) ? 1 : 0;
  });
  if (std::ranges::find(copied, char{0}) != copied.end()) {
    reader.validate(tensor);
    source.refuse(what);
  }
  return any_matrix::owner_of(std::move(storage));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
