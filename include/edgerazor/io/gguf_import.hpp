// SPDX-License-Identifier: Apache-2.0
/// Quantized GGUF tensors as packed matrices whose codes, scales and minima are copied, not
/// computed: `dequantize` gives the very floats that `decode_ggml_row` gives.
///
///     Q4_0    int4_g32       Q4_1    int4m_g32       Q5_0    int5_g32       Q8_0    int8_g32
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/io/ggml_blocks.hpp>
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack_levels.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

/// Levels, or codes, of one block of 32.
using block_levels = void (*)(const std::byte* block, std::int16_t* levels) noexcept;

inline void levels_q4_0(const std::byte* block, std::int16_t* levels) noexcept {
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned qs = read_u8(block + 2 + j);
    levels[j] = static_cast<std::int16_t>(static_cast<int>(qs & 15u) - 8);
    levels[j + 16] = static_cast<std::int16_t>(static_cast<int>(qs >> 4) - 8);
  }
}
inline void levels_q4_1(const std::byte* block, std::int16_t* levels) noexcept {
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned qs = read_u8(block + 4 + j);
    levels[j] = static_cast<std::int16_t>(qs & 15u);
    levels[j + 16] = static_cast<std::int16_t>(qs >> 4);
  }
}
inline void levels_q5_0(const std::byte* block, std::int16_t* levels) noexcept {
  for (std::size_t j = 0; j < 32; ++j) {
    const unsigned qs = read_u8(block + 6 + j % 16), high = read_u8(block + 2 + j / 8);
    const unsigned code = (j < 16 ? qs & 15u : qs >> 4) + 16 * (high >> j % 8 & 1u);
    levels[j] = static_cast<std::int16_t>(static_cast<int>(code) - 16);
  }
}
inline void levels_q8_0(const std::byte* block, std::int16_t* levels) noexcept {
  for (std::size_t j = 0; j < 32; ++j)
    levels[j] = static_cast<std::int16_t>(read_i8(block + 2 + j));
}

/// What a type becomes.
struct imported_type {
  ggml_type type;
  format fmt;
  block_levels levels;
};
inline constexpr std::array imported_types = std::to_array<imported_type>({
    {ggml_type::q4_0, {code_type::int4, 32}, levels_q4_0},
    {ggml_type::q4_1, {code_type::int4, 32, scale_kind::float16, zero_kind::minimum}, levels_q4_1},
    {ggml_type::q5_0, {code_type::int5, 32}, levels_q5_0},
    {ggml_type::q8_0, {code_type::int8, 32}, levels_q8_0},
});
}  // namespace detail::io

/// Whether `import_matrix` takes tensors of that type.
[[nodiscard]] constexpr bool is_imported(ggml_type type) noexcept {
  for (const detail::io::imported_type& one : detail::io::imported_types)
    if (one.type == type) return true;
  return false;
}

/// A tensor of tensor.rows() x tensor.cols() as a packed matrix. io_error where it is empty, of
/// another type than those above, or holds a scale or minimum that is not finite, or a code that
/// the format has not (-128 in Q8_0, which ggml does not write). `memory`: where the matrix's bytes
/// come from, see byte_storage.
[[nodiscard]] inline any_matrix import_matrix(const gguf_reader& reader, const tensor_info& tensor,
                                              std::pmr::memory_resource* memory = nullptr) {
  const std::string what = "tensor " + detail::io::quoted(tensor.name);
  const detail::io::imported_type* found = nullptr;
  for (const detail::io::imported_type& one : detail::io::imported_types)
    if (one.type == tensor.type) found = &one;
  if (found == nullptr) {
    detail::core::fail_io(what + " is of type " + std::string{info_of(tensor.type).name} +
                          ", whose codes are not imported");
  }
  if (tensor.rows() == 0) detail::core::fail_io(what + " has no elements");
  reader.validate(tensor);

  const ggml_type_info& info = info_of(tensor.type);
  const std::size_t rows = tensor.rows(), cols = tensor.cols(), groups = cols / info.block;
  std::vector<std::int16_t> levels(detail::core::size_product("import_matrix", rows, cols));
  std::vector<float> scales(rows * groups), zeros;
  if (found->fmt.zero != zero_kind::none) zeros.resize(scales.size());
  const std::byte* block = tensor.bytes.data();
  for (std::size_t i = 0; i < scales.size(); ++i, block += info.block_bytes) {
    found->levels(block, levels.data() + i * info.block);
    scales[i] = info.scales.read(block + info.scales.offsets[0]);
    if (!zeros.empty()) zeros[i] = info.scales.read(block + info.scales.offsets[1]);
  }
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (found->type == ggml_type::q8_0 && levels[i] == -128) {
      detail::core::fail_io(what + ": the code at row " + std::to_string(i / cols) + ", column " +
                            std::to_string(i % cols) + " is -128, expected -127 to 127");
    }
  }
  matrix_view<const float> of_zeros;
  if (!zeros.empty()) of_zeros = {zeros.data(), rows, groups};
  return pack_levels(found->fmt, matrix_view{levels.data(), rows, cols},
                     {scales.data(), rows, groups}, of_zeros, memory);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
