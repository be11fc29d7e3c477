// SPDX-License-Identifier: Apache-2.0
/// Linear layers of 4-bit and 8-bit floats, N outputs, K inputs.
///
/// FP4 (E2M1) codes, two a byte, the even column in the low nibble: U8 (N, K / 2), or (.., K / 32,
/// 16) as gpt-oss has them; values +-{0, 0.5, 1, 1.5, 2, 3, 4, 6}:
///
///     NVFP4   weight_scale F8_E4M3 (N, K / 16), and one F32 number for the matrix
///             W = v * (scale * number)    ModelOpt's weight_scale_2
///             W = v * (scale / number)    compressed-tensors' weight_global_scale
///     MXFP4   scales U8 or F8_E8M0 (N, K / 32), 2^(e - 127)
///             W = v * scale
///
/// Twice the values are integers up to 12, so codes are copied to `int5` with half the scale, which
/// is as exact; -0 becomes 0.
///
/// FP8: weight F8_E4M3 or F8_E5M2 (N, K), and a number that is multiplied with it for the matrix
/// [1], an output (N, 1), or a block of rows and columns (ceil(N / b0), ceil(K / b1)). No format
/// holds those exactly: they are decoded.
///
/// Source: compressed-tensors 0.20, ModelOpt, DeepSeek-V3's and gpt-oss' published layouts; OCP
/// Microscaling Formats 1.0.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/packed_words.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What the matrix's number does to the scales of NVFP4.
enum class nvfp4_scale : std::uint8_t { multiplier, divisor };

namespace detail::io {
/// The code of an FP4 nibble: twice its value, plus 16.
inline constexpr std::array<std::uint8_t, 16> fp4_codes{16, 17, 18, 19, 20, 22, 24, 28,
                                                        16, 15, 14, 13, 12, 10, 8,  4};

/// `data`: rows x cols / 2 bytes. `scales`: rows x cols / group, of twice the values.
inline packed_linear fp4_linear(std::string name, std::string layout, const std::byte* data,
                                std::size_t rows, std::size_t cols, std::size_t group,
                                std::vector<float> scales, scale_kind kind) {
  coded_weights w;
  w.name = std::move(name);
  w.layout = std::move(layout);
  w.rows = rows, w.cols = cols, w.group = group;
  w.max_code = 28;
  w.zero = 16;
  w.scales = std::move(scales);
  w.scale = kind;
  w.read_codes = [data, cols](row_range range, std::uint8_t* codes) {
    const std::size_t begin = range.begin * (cols / 2), end = range.end * (cols / 2);
    for (std::size_t i = begin; i < end; ++i, codes += 2) {
      const auto byte = std::to_integer<unsigned>(data[i]);
      codes[0] = fp4_codes[byte & 15u];
      codes[1] = fp4_codes[byte >> 4];
    }
  };
  return linear_of(std::move(w));
}

/// The bytes of FP4 codes; io_error where they are no whole number of groups a row.
inline tensor_extents require_fp4(const safetensors_tensor& weight, std::size_t group) {
  const tensor_extents stored = require_matrix(weight, {safetensors_dtype::u8});
  if (stored.cols % (group / 2) != 0)
    refuse_tensor(weight, "a multiple of " + std::to_string(group / 2) + " columns");
  return {stored.rows, core::size_product("FP4 layer", stored.cols, std::size_t{2})};
}
}  // namespace detail::io

/// `name`: the layer's, for sentences. `number`: weight_scale_2 or weight_global_scale. io_error,
/// naming the tensor, where a type or size is not as above, or a scale, or one multiplied or
/// divided by the number, is not finite.
[[nodiscard]] inline packed_linear nvfp4_linear(std::string name, const safetensors_tensor& weight,
                                                const safetensors_tensor& weight_scale,
                                                const safetensors_tensor& number, nvfp4_scale use) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  const io::tensor_extents shape = io::require_fp4(weight, 16);
  io::require_tensor(weight_scale, {f8_e4m3}, {shape.rows, shape.cols / 16});
  io::require_tensor(number, {f32}, {1});
  const float factor = io::finite_numbers(number)[0];
  std::vector<float> scales = io::finite_numbers(weight_scale);
  for (float& scale : scales) {
    scale = 0.5f * detail::core::exact(use == nvfp4_scale::divisor
                                           ? detail::core::quotient(scale, factor)
                                           : scale * factor);
    if (!detail::policy::is_finite(scale)) {
      io::refuse_tensor(number, std::string{"a number that keeps the scales finite, not "} +
                                    std::to_string(factor));
    }
  }
  return io::fp4_linear(std::move(name), "NVFP4", weight.bytes.data(), shape.rows, shape.cols, 16,
                        std::move(scales), scale_kind::float32);
}

/// `name`: the layer's, for sentences. io_error, naming the tensor, where a type or size is not as
/// above or a scale is NaN.
[[nodiscard]] inline packed_linear mxfp4_linear(std::string name, const safetensors_tensor& weight,
                                                const safetensors_tensor& scales) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  const io::tensor_extents shape = io::require_fp4(weight, 32);
  io::require_tensor(scales, {u8, f8_e8m0}, {shape.rows, shape.cols / 32});
  safetensors_tensor exponents = scales;
  exponents.dtype = f8_e8m0;
  std::vector<float> numbers = io::finite_numbers(exponents);
  for (float& number : numbers) number *= 0.5f;
  // 2^(e - 128) is a bfloat16 for every e, from 2^-128 (a subnormal) on.
  return io::fp4_linear(std::move(name), "MXFP4", weight.bytes.data(), shape.rows, shape.cols, 32,
                        std::move(numbers), scale_kind::bfloat16);
}

/// Expert `expert` of gpt-oss' blocks U8 (E, N, K / 32, 16) and scales U8 (E, N, K / 32). io_error
/// as of mxfp4_linear, and where there is no such expert.
[[nodiscard]] inline packed_linear mxfp4_expert_linear(std::string name,
                                                       const safetensors_tensor& blocks,
                                                       const safetensors_tensor& scales,
                                                       std::size_t expert) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  if (blocks.shape.size() != 4 || blocks.shape[3] != 16 || expert >= blocks.shape[0])
    io::refuse_tensor(blocks,
                      "experts x outputs x groups x 16, with an expert " + std::to_string(expert));
  const auto experts = static_cast<std::size_t>(blocks.shape[0]),
             rows = static_cast<std::size_t>(blocks.shape[1]),
             groups = static_cast<std::size_t>(blocks.shape[2]);
  io::require_tensor(blocks, {u8}, {experts, rows, groups, 16});
  io::require_tensor(scales, {u8, f8_e8m0}, {experts, rows, groups});
  // No product wraps: each is at most the bytes that are there.
  const auto slice = [&](const safetensors_tensor& whole, std::size_t cols) {
    return safetensors_tensor{whole.name,
                              whole.dtype,
                              {rows, cols},
                              whole.bytes.subspan(expert * rows * cols, rows * cols)};
  };
  return mxfp4_linear(std::move(name), slice(blocks, groups * 16), slice(scales, groups));
}

/// `name`: the layer's, for sentences. `block_rows`, `block_cols`: of a number each, where the
/// scales are neither one nor one an output. io_error, naming the tensor, where a type or size is
/// not as above or a scale is not finite. A weight that is NaN stays one.
[[nodiscard]] inline packed_linear fp8_linear(std::string name, const safetensors_tensor& weight,
                                              const safetensors_tensor& scale,
                                              std::size_t block_rows = 0,
                                              std::size_t block_cols = 0) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  const io::tensor_extents shape = io::require_matrix(weight, {f8_e4m3, f8_e5m2});
  const std::size_t rows = shape.rows, cols = shape.cols;
  std::string blocks = "blocks of " + detail::core::shape_text(block_rows, block_cols);
  if (scale.elements() == 1) {
    if (scale.shape.size() == 2) {
      io::require_tensor(scale, {f32, bf16, f16}, {1, 1});
    } else {
      io::require_tensor(scale, {f32, bf16, f16}, {1});
    }
    block_rows = rows, block_cols = cols;
    blocks = "one scale";
  } else if (block_rows == 0 || block_cols == 0) {
    io::require_tensor(scale, {f32, bf16, f16}, {rows, 1});
    block_rows = 1, block_cols = cols;
    blocks = "a scale an output";
  }
  const std::size_t across = (cols - 1) / block_cols + 1;
  if (scale.elements() != 1)
    io::require_tensor(scale, {f32, bf16, f16}, {(rows - 1) / block_rows + 1, across});
  const auto scales = std::make_shared<const std::vector<float>>(io::finite_numbers(scale));
  packed_linear::functions calls;
  calls.decode = [scales, data = weight.bytes.data(), cols, block_rows, block_cols, across,
                  is_e4m3 = weight.dtype == f8_e4m3](row_range range, matrix_view<float> out) {
    const std::array<float, 256>& values = is_e4m3 ? io::f8_e4m3_values : io::f8_e5m2_values;
    for (std::size_t r = range.begin; r < range.end; ++r) {
      const std::byte* const codes = data + r * cols;
      float* const to = out.row(r - range.begin).data();
      for (std::size_t c = 0, block = r / block_rows * across; c < cols; ++block) {
        const float factor = (*scales)[block];
        for (const std::size_t end = c + std::min(block_cols, cols - c); c < end; ++c)
          to[c] = values[std::to_integer<std::uint8_t>(codes[c])] * factor;
      }
    }
  };
  return packed_linear(std::move(name), "FP8, " + blocks, rows, cols,
                       "8-bit floats are no multiples of a scale", std::move(calls));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
