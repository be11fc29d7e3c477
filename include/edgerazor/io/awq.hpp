// SPDX-License-Identifier: Apache-2.0
/// Linear layers as AWQ checkpoints of version "gemm" pack them:
///
///     qweight   I32 (K, N / 8)     codes of 4 bits: nibble i of word c is output 8 c + order[i],
///     qzeros    I32 (G, N / 8)     order = 0 2 4 6 1 3 5 7, the lowest nibble first
///     scales    F16, BF16 or F32 (G, N)
///
///     W[n][k] = scales[g][n] * (code[k][n] - zero[g][n])
///
/// of N outputs, K inputs and G = ceil(K / group) groups; the zero is stored as it is.
///
/// Source: AutoAWQ, modules/linear/gemm.py and utils/packing_utils.py (2025).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/packed_words.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {
/// The nibble of output 8 c + j in word c, times 4: its lowest bit.
inline constexpr unsigned awq_shift[8] = {0, 16, 4, 20, 8, 24, 12, 28};

/// The nibbles of a word as bytes, in the order of the outputs.
[[nodiscard]] constexpr std::uint64_t awq_bytes(std::uint32_t word) noexcept {
  std::uint64_t bytes = 0;
  for (unsigned j = 0; j < 8; ++j)
    bytes |= static_cast<std::uint64_t>(word >> awq_shift[j] & 15u) << (8 * j);
  return bytes;
}

/// Transposes 8 x 8 bytes, row i being word i, column j its byte j.
inline void transpose_bytes(std::uint64_t (&words)[8]) noexcept {
  const auto exchange = [&words](std::size_t a, std::size_t b, unsigned shift, std::uint64_t mask) {
    const std::uint64_t differs = (words[a] >> shift ^ words[b]) & mask;
    words[a] ^= differs << shift;
    words[b] ^= differs;
  };
  for (std::size_t i = 0; i < 8; i += 2) exchange(i, i + 1, 8, 0x00ff'00ff'00ff'00ff);
  for (const std::size_t i : {0u, 1u, 4u, 5u}) exchange(i, i + 2, 16, 0x0000'ffff'0000'ffff);
  for (std::size_t i = 0; i < 4; ++i) exchange(i, i + 4, 32, 0x0000'0000'ffff'ffff);
}
}  // namespace detail::io

/// `name`: the layer's, for sentences; `group`: columns, 0: as the scales have it. io_error, naming
/// the tensor, where a type or size is not as above or a scale is not finite.
[[nodiscard]] inline packed_linear awq_linear(std::string name, const safetensors_tensor& qweight,
                                              const safetensors_tensor& qzeros,
                                              const safetensors_tensor& scales,
                                              std::size_t group = 0) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  const io::tensor_extents of_scales = io::require_matrix(scales, {f16, bf16, f32}),
                           of_codes = io::require_matrix(qweight, {i32, u32});
  const std::size_t groups = of_scales.rows;
  io::coded_weights w;
  w.rows = of_scales.cols;
  w.cols = of_codes.rows;
  if (w.rows % 8 != 0) io::refuse_tensor(scales, "a multiple of 8 columns");
  io::require_tensor(qweight, {i32, u32}, {w.cols, w.rows / 8});
  io::require_tensor(qzeros, {i32, u32}, {groups, w.rows / 8});
  if (group == 0 && w.cols % groups != 0)
    io::refuse_tensor(scales, "a number of rows that divides " + std::to_string(w.cols));
  w.group = std::min(group == 0 ? w.cols / groups : group, w.cols);
  if (w.groups() != groups) {
    io::refuse_tensor(scales, std::to_string(w.groups()) + " rows: groups of " +
                                  std::to_string(w.group) + " in " + std::to_string(w.cols) +
                                  " inputs");
  }

  const std::vector<float> numbers = io::finite_numbers(scales);
  w.scales.resize(numbers.size());
  io::transpose<float, float>(numbers, groups, w.rows, w.scales);
  w.zeros.resize(numbers.size());
  const std::vector<std::uint32_t> zero_words = io::word_matrix(qzeros).read_all();
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t n = 0; n < w.rows; ++n) {
      const std::uint32_t word = zero_words[(g * w.rows + n) / 8];
      w.zeros[n * groups + g] = static_cast<float>(word >> io::awq_shift[n % 8] & 15u);
    }
  }
  w.scale = io::kind_of(scales.dtype);
  w.layout = "AWQ, 4 bits, groups of " + std::to_string(w.group);
  w.name = std::move(name);
  w.max_code = 15;
  w.read_codes = [source = io::word_matrix(qweight)](row_range rows, std::uint8_t* codes) {
    const std::size_t first = rows.begin / 8, count = (rows.end + 7) / 8 - first,
                      cols = source.rows;
    std::vector<std::uint32_t> words(8 * count);
    for (std::size_t k = 0; k < cols; k += 8) {
      const std::size_t used = std::min<std::size_t>(8, cols - k);
      for (std::size_t j = 0; j < used; ++j)
        source.read(k + j, first, count, words.data() + j * count);
      for (std::size_t c = 0; c < count; ++c) {
        std::uint64_t bytes[8] = {};
        for (std::size_t j = 0; j < used; ++j) bytes[j] = io::awq_bytes(words[j * count + c]);
        io::transpose_bytes(bytes);
        for (std::size_t n = 0; n < 8; ++n) {
          const std::size_t row = 8 * (first + c) + n;
          if (row < rows.begin || row >= rows.end) continue;
          std::memcpy(codes + (row - rows.begin) * cols + k, &bytes[n], used);
        }
      }
    }
  };
  return io::linear_of(std::move(w));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
