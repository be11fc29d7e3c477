// SPDX-License-Identifier: Apache-2.0
/// Ternary linear layers of BitNet as transformers packs them (`quant_method` "bitnet"), N outputs,
/// K inputs:
///
///     weight         U8 (ceil(N / 4), K)     output i + p * ceil(N / 4) at bits 2p, t + 1
///     weight_scale   BF16, F16 or F32 [1]
///
///     autobitlinear           W = t * weight_scale        BitNet-b1.58-2B-4T
///     bitlinear, or unsaid    W = t / weight_scale        Llama3-8B-1.58, Falcon-E
///
/// (bitnet.cpp's I2_S is a GGUF type: gguf_import.hpp.)
///
/// Source: transformers, integrations/bitnet.py (2026).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/packed_words.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What a layer does with its scale.
enum class bitnet_class : std::uint8_t { bitlinear, autobitlinear };

namespace detail::io {
/// io_error where a code is 3, which is no ternary one.
inline void require_ternary(const std::string& name, std::size_t row, const std::uint8_t* codes,
                            std::size_t count) {
  unsigned all = 0;
  for (std::size_t c = 0; c < count; ++c) all |= codes[c] & (codes[c] >> 1u);
  if (all == 0) return;
  const auto c = static_cast<std::size_t>(std::find(codes, codes + count, 3) - codes);
  core::fail_io("BitNet layer " + edgerazor::quoted(name) + ": the code at row " +
                std::to_string(row) + ", column " + std::to_string(c) + " is 3, expected 0 to 2");
}
}  // namespace detail::io

/// `name`: the layer's, for sentences. `rows`: N, where 4 divides it not, 0: all that are stored.
/// io_error, naming the tensor, where a type or size is not as above, or the scale is not finite
/// or, to be divided by, 0; from decoding and importing, where a code is 3.
[[nodiscard]] inline packed_linear bitnet_linear(std::string name, const safetensors_tensor& weight,
                                                 const safetensors_tensor& weight_scale,
                                                 bitnet_class linear_class, std::size_t rows = 0) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  const io::tensor_extents stored = io::require_matrix(weight, {u8});
  const std::size_t quarter = stored.rows, cols = stored.cols;
  if (rows == 0) rows = detail::core::size_product("BitNet layer", quarter, std::size_t{4});
  if ((rows - 1) / 4 + 1 != quarter)
    io::refuse_tensor(weight, std::to_string((rows - 1) / 4 + 1) + " rows for " +
                                  std::to_string(rows) + " outputs");
  io::require_tensor(weight_scale, {bf16, f16, f32}, {1});
  const float scale = io::finite_numbers(weight_scale)[0];
  const bool divides = linear_class == bitnet_class::bitlinear;
  const float inverse = detail::core::quotient(1.0f, scale);
  if (divides && !detail::policy::is_finite(inverse))
    io::refuse_tensor(weight_scale, "a number to divide by, not " + std::to_string(scale));
  io::coded_weights w;
  w.layout = std::string{"BitNet, "} + (divides ? "bitlinear" : "autobitlinear");
  w.name = std::move(name);
  w.rows = rows, w.cols = w.group = cols;
  w.max_code = 2;
  w.zero = 1;
  // t / s is t * (1 / s): t is -1, 0 or 1, so both round 1 / s once.
  w.scales.assign(rows, divides ? inverse : scale);
  w.scale = divides ? scale_kind::float32 : io::kind_of(weight_scale.dtype);
  w.read_codes = [data = weight.bytes.data(), quarter, cols, layer = w.name](row_range range,
                                                                             std::uint8_t* codes) {
    for (std::size_t r = range.begin; r < range.end; ++r, codes += cols) {
      const std::byte* const row = data + r % quarter * cols;
      const auto shift = static_cast<unsigned>(2 * (r / quarter));
      for (std::size_t c = 0; c < cols; ++c)
        codes[c] = static_cast<std::uint8_t>(std::to_integer<unsigned>(row[c]) >> shift & 3u);
      io::require_ternary(layer, r, codes, cols);
    }
  };
  return io::linear_of(std::move(w));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
