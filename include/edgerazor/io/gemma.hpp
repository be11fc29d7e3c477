// SPDX-License-Identifier: Apache-2.0
/// Linear layers and embeddings as quantized Gemma checkpoints pack them, N outputs, K inputs:
///
///     weight         2, 4 bits: U8 (N, ceil(K bits / 8)), the lowest bits first, level + 2^(bits-1)
///                    8 bits: I8 (N, K), the level
///     weight_scale   F32, F16 or BF16 (N, 1)
///
///     W = level * weight_scale
///
/// (input_activation_scale and output_activation_scale beside them are of activations.)
///
/// Source: transformers, integrations for `quant_method` "gemma" (5.24).
#pragma once

#include <cstddef>
#include <cstdint>
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

/// `name`: the layer's, for sentences. `bits`: 2, 4 or 8. `cols`: K, where it ends within a byte;
/// 0: all that is stored. io_error, naming the tensor, where a type or size is not as above or a
/// scale is not finite.
[[nodiscard]] inline packed_linear gemma_linear(std::string name, const safetensors_tensor& weight,
                                                const safetensors_tensor& weight_scale,
                                                unsigned bits, std::size_t cols = 0) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  if (bits != 2 && bits != 4 && bits != 8) {
    detail::core::fail_io("Gemma layer " + edgerazor::quoted(name) + " has codes of " +
                          std::to_string(bits) + " bits, expected 2, 4 or 8");
  }
  const std::size_t per_byte = 8 / bits;
  const io::tensor_extents stored = io::require_matrix(weight, {bits == 8 ? i8 : u8});
  if (cols == 0) cols = detail::core::size_product("Gemma layer", stored.cols, per_byte);
  if ((cols - 1) / per_byte + 1 != stored.cols)
    io::refuse_tensor(weight, std::to_string((cols - 1) / per_byte + 1) + " columns for " +
                                  std::to_string(cols) + " inputs");
  io::require_tensor(weight_scale, {f32, f16, bf16}, {stored.rows, 1});
  io::coded_weights w;
  w.layout = "Gemma, " + std::to_string(bits) + " bits";
  w.name = std::move(name);
  w.rows = stored.rows, w.cols = w.group = cols;
  w.max_code = (1 << bits) - 1;
  w.zero = 1 << (bits - 1);
  w.scales = io::finite_numbers(weight_scale);
  w.scale = io::kind_of(weight_scale.dtype);
  w.read_codes = [data = weight.bytes.data(), row_bytes = stored.cols, cols, bits](
                     row_range rows, std::uint8_t* codes) {
    const auto mask = static_cast<std::uint8_t>((1u << bits) - 1);
    const unsigned flip = bits == 8 ? 128 : 0;  // two's complement to level + 128
    for (std::size_t r = rows.begin; r < rows.end; ++r, codes += cols) {
      const std::byte* const row = data + r * row_bytes;
      for (std::size_t c = 0; c < cols; ++c) {
        const auto shift = static_cast<unsigned>(c * bits % 8);
        codes[c] = static_cast<std::uint8_t>(
            (std::to_integer<unsigned>(row[c * bits / 8]) ^ flip) >> shift & mask);
      }
    }
  };
  return io::linear_of(std::move(w));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
