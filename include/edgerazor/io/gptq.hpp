// SPDX-License-Identifier: Apache-2.0
/// Linear layers as GPTQ checkpoints pack them (AutoGPTQ, GPTQModel, AutoRound):
///
///     qweight   I32 (words of K codes, N)      the codes of a column run down K
///     qzeros    I32 (G, words of N codes)
///     scales    F16, BF16 or F32 (G, N)
///     g_idx     I32 (K), may be absent         the group of each of the K columns
///
///     W[n][k] = scales[g][n] * (code[k][n] - zero[g][n])
///
/// of N outputs, K inputs and G = ceil(K / group) groups. Codes lie as packed_words.hpp says: dense
/// of 2, 3, 4 and 8 bits, planar of 5, 6 and 7 bits and in "gptq_p" of 3.
///
/// "gptq" (v1) stores zero - 1. Writers take 1 from every field by one subtraction from a word of
/// 2, 4 or 8 bits, so a zero of 0 borrows from its neighbours: 1 is added in the same way. Of other
/// widths a field is counted modulo 2^bits. "gptq_v2" and "gptq_p" store the zero.
///
/// Source: GPTQModel, nn_modules/qlinear, utils/model.py and utils/planar_packing.py (2026).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/packed_words.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

enum class gptq_version : std::uint8_t { v1, v2, planar };

/// What the settings of a checkpoint say.
struct gptq_settings {
  unsigned bits = 4;  ///< 2 to 8
  gptq_version version = gptq_version::v1;
  /// True: all zeros are 2^(bits - 1), and which version stores them is told from them, since files
  /// of either are labelled as the other. False or unknown: as the version says.
  std::optional<bool> symmetric = {};
  std::size_t group = 0;  ///< columns; 0: as the scales have it
  /// The matrix's shape where the tensors may be padded, by up to 31 codes; 0: as they have it.
  std::size_t rows = 0, cols = 0;
};

/// `name`: the layer's, for sentences; `g_idx` may be null. io_error, naming the tensor, where a
/// type or size is not as above, an index is no group, a scale is not finite, or the zeros of a
/// symmetric layer are none.
[[nodiscard]] inline packed_linear gptq_linear(std::string name, const safetensors_tensor& qweight,
                                               const safetensors_tensor& qzeros,
                                               const safetensors_tensor& scales,
                                               const safetensors_tensor* g_idx,
                                               const gptq_settings& settings) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  const unsigned bits = settings.bits;
  const std::string layer = edgerazor::quoted(name);
  if (bits < 2 || bits > 8) {
    detail::core::fail_io("GPTQ layer " + layer + " has codes of " + std::to_string(bits) +
                          " bits, expected 2 to 8");
  }
  const bool planar =
      (bits >= 5 && bits <= 7) || (bits == 3 && settings.version == gptq_version::planar);
  const word_packing packing = planar ? word_packing::planar : word_packing::dense;

  const io::tensor_extents of_scales = io::require_matrix(scales, {f16, bf16, f32}),
                           of_codes = io::require_matrix(qweight, {i32, u32});
  const std::size_t stored_groups = of_scales.rows, stored_rows = of_scales.cols,
                    words = of_codes.rows;
  if (of_codes.cols != stored_rows)
    io::refuse_tensor(qweight, std::to_string(stored_rows) + " columns, as the scales have");
  io::require_tensor(qzeros, {i32, u32}, {stored_groups, packed_words(packing, bits, stored_rows)});

  // Past 2^59 words their bits can't be counted.
  if (words > (std::size_t{1} << (8 * sizeof words - 5)) / 32)
    io::refuse_tensor(qweight, "fewer rows");
  std::size_t cols = words * 32 / bits;
  if (g_idx == nullptr && packed_words(packing, bits, cols) != words)
    io::refuse_tensor(qweight, "a multiple of " + std::to_string(bits) + " rows");
  if (g_idx != nullptr) {
    cols = g_idx->elements();
    io::require_tensor(*g_idx, {i32}, {cols});
    if (cols == 0 || packed_words(packing, bits, cols) != words) {
      io::refuse_tensor(*g_idx, "a group for each column of " + std::to_string(words) +
                                    " words of " + std::to_string(bits) + "-bit codes");
    }
  }
  const auto expect = [&](std::size_t wanted, std::size_t stored, const char* what) {
    if (wanted == 0) return stored;
    if (wanted > stored || stored - wanted >= 32) {
      detail::core::fail_io("GPTQ layer " + layer + " has " + std::to_string(stored) + ' ' + what +
                            ", expected " + std::to_string(wanted));
    }
    return wanted;
  };
  io::coded_weights w;
  w.rows = expect(settings.rows, stored_rows, "outputs");
  w.cols = expect(settings.cols, cols, "inputs");
  w.group = settings.group;
  if (w.group == 0) {
    if (cols % stored_groups != 0)
      io::refuse_tensor(scales, "a number of groups that divides " + std::to_string(cols));
    w.group = cols / stored_groups;
  }
  w.group = std::min(w.group, cols);
  if ((cols - 1) / w.group + 1 != stored_groups) {
    io::refuse_tensor(scales, std::to_string((cols - 1) / w.group + 1) + " rows: groups of " +
                                  std::to_string(w.group) + " in " + std::to_string(cols) +
                                  " inputs");
  }
  const std::size_t groups = w.groups();

  // Zeros and scales by rows of the matrix.
  const unsigned mask = (1u << bits) - 1, half = 1u << (bits - 1);
  const bool by_word = bits == 2 || bits == 4 || bits == 8;
  const auto zeros_of = [&](std::uint32_t word_offset, unsigned field_offset) {
    const std::vector<std::uint32_t> stored = io::word_matrix(qzeros).read_all(word_offset);
    std::vector<std::uint8_t> of_group(stored_rows);
    std::vector<float> zeros(w.rows * groups);
    for (std::size_t g = 0; g < groups; ++g) {
      unpack_words(packing, bits, stored.data() + g * (stored.size() / stored_groups), stored_rows,
                   of_group.data());
      for (std::size_t n = 0; n < w.rows; ++n)
        zeros[n * groups + g] = static_cast<float>((of_group[n] + field_offset) & mask);
    }
    return zeros;
  };
  if (settings.symmetric.value_or(false)) {
    const std::vector<float> stored = zeros_of(0, 0);
    const auto all = [&](unsigned zero) {
      return std::all_of(stored.begin(), stored.end(),
                         [&](float z) { return z == static_cast<float>(zero); });
    };
    if (!all(half) && !all(half - 1)) {
      detail::core::fail_io("tensor " + edgerazor::quoted(qzeros.name) +
                            " of a symmetric layer: expected " + "all zeros to be " +
                            std::to_string(half) + ", or all " + std::to_string(half - 1) +
                            " as v1 stores them");
    }
    w.zero = static_cast<int>(half);
  } else if (settings.version != gptq_version::v1) {
    w.zeros = zeros_of(0, 0);
  } else {
    w.zeros = by_word ? zeros_of(0xffffffffu / mask, 0) : zeros_of(0, 1);
  }
  const std::vector<float> numbers = io::finite_numbers(scales);
  w.scales.resize(w.rows * groups);
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t n = 0; n < w.rows; ++n)
      w.scales[n * groups + g] = numbers[g * stored_rows + n];
  }
  w.scale = io::kind_of(scales.dtype);
  if (g_idx != nullptr) w.group_of = io::group_indices(*g_idx, groups, w.cols);

  constexpr const char* versions[] = {"v1", "v2", "planar"};
  w.layout = std::string{"GPTQ "} + versions[static_cast<std::size_t>(settings.version)] + ", " +
             std::to_string(bits) + " bits, groups of " + std::to_string(w.group);
  w.name = std::move(name);
  w.max_code = static_cast<int>(mask);
  w.read_codes = [source = io::word_matrix(qweight), packing, bits, count = w.cols](
                     row_range rows, std::uint8_t* codes) {
    // The words of a row of the matrix, which lie below each other, side by side.
    std::vector<std::uint32_t> block(rows.size()), gathered(rows.size() * source.rows);
    for (std::size_t i = 0; i < source.rows; ++i) {
      source.read(i, rows.begin, rows.size(), block.data());
      for (std::size_t n = 0; n < rows.size(); ++n) gathered[n * source.rows + i] = block[n];
    }
    for (std::size_t n = 0; n < rows.size(); ++n)
      unpack_words(packing, bits, gathered.data() + n * source.rows, count, codes + n * count);
  };
  return io::linear_of(std::move(w));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
