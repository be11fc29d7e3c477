// SPDX-License-Identifier: Apache-2.0
/// Ternary linear layers of BitNet, in two layouts.
///
/// transformers (`quant_method` "bitnet"), N outputs, K inputs:
///
///     weight         U8 (ceil(N / 4), K)     output i + p * ceil(N / 4) at bits 2p, t + 1
///     weight_scale   BF16, F16 or F32 [1]
///
///     autobitlinear           W = t * weight_scale        BitNet-b1.58-2B-4T
///     bitlinear, or unsaid    W = t / weight_scale        Llama3-8B-1.58, Falcon-E
///
/// bitnet.cpp's GGUF type I2_S (id 36), of the matrix as one run of elements:
///
///     N K / 4 bytes | float32 scale | 28 bytes
///     blocks of 128 elements in 32 bytes: element 32 p + m at bits 6 - 2p of byte m, t + 1
///
/// The id had another meaning before, so the size is what tells. Files of bitnet.cpp's builds for
/// ARM order the blocks otherwise under the same id and size; nothing tells those.
///
/// Source: transformers, integrations/bitnet.py; microsoft/BitNet, src/ggml-bitnet-mad.cpp (2026).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/packed_words.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>

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

/// A layer of one scale.
inline coded_weights ternary_weights(std::string name, std::string layout, std::size_t rows,
                                     std::size_t cols, float factor, scale_kind kind) {
  coded_weights w;
  w.name = std::move(name);
  w.layout = std::move(layout);
  w.rows = rows, w.cols = w.group = cols;
  w.max_code = 2;
  w.zero = 1;
  w.scales.assign(rows, factor);
  w.scale = kind;
  return w;
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
  if (divides && !std::isfinite(1 / scale))
    io::refuse_tensor(weight_scale, "a number to divide by, not " + std::to_string(scale));
  // t / s is t * (1 / s): t is -1, 0 or 1, so both round 1 / s once.
  io::coded_weights w = io::ternary_weights(
      std::move(name), std::string{"BitNet, "} + (divides ? "bitlinear" : "autobitlinear"), rows,
      cols, divides ? 1 / scale : scale,
      divides ? scale_kind::float32 : io::kind_of(weight_scale.dtype));
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

/// A tensor of type I2_S. io_error, naming it, where its columns are no multiple of 128, its bytes
/// not N K / 4 + 32, or the scale is not finite; from decoding and importing, where a code is 3.
[[nodiscard]] inline packed_linear i2_s_linear(std::string name, std::size_t rows, std::size_t cols,
                                               std::span<const std::byte> bytes) {
  namespace io = detail::io;
  const auto elements = detail::core::checked_product(rows, cols);
  if (!elements || *elements == 0 || cols % 128 != 0 || bytes.size() != *elements / 4 + 32) {
    detail::core::fail_io("tensor " + edgerazor::quoted(name) + " of type I2_S and shape " +
                          detail::core::shape_text(rows, cols) + " has " +
                          std::to_string(bytes.size()) +
                          " bytes, expected columns of a multiple of 128, a quarter as many bytes "
                          "as elements, and 32");
  }
  float scale;
  std::memcpy(&scale, bytes.data() + *elements / 4, sizeof scale);
  if (!std::isfinite(scale)) {
    detail::core::fail_io("tensor " + edgerazor::quoted(name) + " of type I2_S has the scale " +
                          std::to_string(scale) + ", expected a finite number");
  }
  io::coded_weights w =
      io::ternary_weights(std::move(name), "BitNet, I2_S", rows, cols, scale, scale_kind::float32);
  w.read_codes = [data = bytes.data(), cols, layer = w.name](row_range range, std::uint8_t* codes) {
    for (std::size_t r = range.begin; r < range.end; ++r, codes += cols) {
      const std::byte* block = data + r * (cols / 4);
      for (std::size_t c = 0; c < cols; c += 128, block += 32) {
        for (std::size_t p = 0; p < 4; ++p) {
          const auto shift = static_cast<unsigned>(6 - 2 * p);
          for (std::size_t m = 0; m < 32; ++m) {
            codes[c + 32 * p + m] =
                static_cast<std::uint8_t>(std::to_integer<unsigned>(block[m]) >> shift & 3u);
          }
        }
      }
      io::require_ternary(layer, r, codes, cols);
    }
  };
  return io::linear_of(std::move(w));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
