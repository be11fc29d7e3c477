// SPDX-License-Identifier: Apache-2.0
/// Linear layers as HQQ checkpoints pack them:
///
///     W_q       U8, or I32 for 3 bits     the codes of W.reshape(-1, group) (axis 1) or
///                                         W.reshape(group, -1) (axis 0), packed
///     scale     F16, BF16 or F32, a number a row (axis 1) or a column (axis 0) of that matrix
///     zero      likewise
///
///     W = (code - zero) * scale           zero is any number
///
/// The rows of the reshaped matrix are cut into as many equal parts as an element of W_q has codes,
/// and row r of W_q holds row r of each part, the first in the highest bits: 2 parts of 4 bits, 4
/// of 2, 8 of 1; 10 of 3 bits in an I32 from bit 27 down, the last part padded. Codes of 5, 6 and 8
/// bits are bytes.
///
/// On axis 0 the weights of a row have scales of their own each, which no packed format has: those
/// are decoded.
///
/// Source: hqq, core/quantize.py and core/bitpack.py (2026).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
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

struct hqq_settings {
  unsigned bits = 4;               ///< 1, 2, 3, 4, 5, 6 or 8
  unsigned axis = 1;               ///< 0 or 1
  std::size_t rows = 0, cols = 0;  ///< the matrix's
};

namespace detail::io {
/// Codes of the reshaped matrix.
struct hqq_codes {
  const std::byte* data = nullptr;
  unsigned bits = 4, parts = 2;
  std::size_t packed_rows = 0, width = 0;

  /// `count` codes of row `row` from column `first` on.
  void read(std::size_t row, std::size_t first, std::size_t count,
            std::uint8_t* codes) const noexcept {
    const std::size_t part = row / packed_rows, at = row % packed_rows * width + first;
    const unsigned mask = (1u << bits) - 1;
    if (bits == 3) {
      const auto shift = static_cast<unsigned>(27 - 3 * part);
      for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t word;
        std::memcpy(&word, data + (at + i) * sizeof word, sizeof word);
        codes[i] = static_cast<std::uint8_t>(word >> shift & mask);
      }
      return;
    }
    const auto shift = parts == 1 ? 0u : static_cast<unsigned>(8 - bits * (part + 1));
    for (std::size_t i = 0; i < count; ++i) {
      codes[i] = static_cast<std::uint8_t>(std::to_integer<unsigned>(data[at + i]) >> shift & mask);
    }
  }
};
}  // namespace detail::io

/// `name`: the layer's, for sentences. io_error, naming the tensor, where a type or size is not as
/// above or a number is not finite.
[[nodiscard]] inline packed_linear hqq_linear(std::string name, const safetensors_tensor& w_q,
                                              const safetensors_tensor& scale,
                                              const safetensors_tensor& zero,
                                              const hqq_settings& settings) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  const unsigned bits = settings.bits;
  const std::string layer = "HQQ layer " + edgerazor::quoted(name);
  if (bits < 1 || bits > 8 || bits == 7 || settings.axis > 1) {
    detail::core::fail_io(layer + " has codes of " + std::to_string(bits) + " bits on axis " +
                          std::to_string(settings.axis) +
                          ", expected 1, 2, 3, 4, 5, 6 or 8 bits on axis 0 or 1");
  }
  const std::size_t rows = settings.rows, cols = settings.cols, count = scale.elements();
  const auto elements = detail::core::checked_product(rows, cols);
  if (!elements || *elements == 0 || count == 0 || *elements % count != 0) {
    detail::core::fail_io(layer + " is " + detail::core::shape_text(rows, cols) + " with " +
                          std::to_string(count) + " scales, expected a number that divides it");
  }
  const std::size_t group = *elements / count;
  const bool by_row = settings.axis == 1;
  const std::size_t height = by_row ? count : group, width = by_row ? group : count;
  for (const safetensors_tensor* numbers : {&scale, &zero}) {
    if (by_row) {
      io::require_tensor(*numbers, {f16, bf16, f32}, {count, 1});
    } else {
      io::require_tensor(*numbers, {f16, bf16, f32}, {1, count});
    }
  }
  io::hqq_codes codes;
  codes.data = w_q.bytes.data();
  codes.bits = bits;
  codes.parts = bits == 3 ? 10 : bits == 5 || bits == 6 ? 1 : 8 / bits;
  codes.packed_rows = (height + codes.parts - 1) / codes.parts;
  codes.width = width;
  if (bits != 3 && height % codes.parts != 0) {
    detail::core::fail_io(layer + " has " + std::to_string(height) +
                          " rows of codes, expected a multiple of " + std::to_string(codes.parts));
  }
  io::require_tensor(w_q, {bits == 3 ? i32 : u8}, {codes.packed_rows, width});

  std::vector<float> scales = io::finite_numbers(scale), zeros = io::finite_numbers(zero);
  const std::string layout = "HQQ, " + std::to_string(bits) + " bits, groups of " +
                             std::to_string(group) + " on axis " + std::to_string(settings.axis);
  if (by_row && cols % group == 0) {
    io::coded_weights w;
    w.name = std::move(name);
    w.layout = layout;
    w.rows = rows, w.cols = cols, w.group = group;
    w.max_code = (1 << bits) - 1;
    w.scales = std::move(scales);
    w.zeros = std::move(zeros);
    w.scale = io::kind_of(scale.dtype);
    w.read_codes = [codes, cols, group](row_range range, std::uint8_t* out) {
      for (std::size_t r = range.begin; r < range.end; ++r) {
        for (std::size_t c = 0; c < cols; c += group, out += group)
          codes.read((r * cols + c) / group, 0, group, out);
      }
    };
    return io::linear_of(std::move(w));
  }

  struct numbers {
    std::vector<float> scales, zeros;
  };
  const auto shared = std::make_shared<const numbers>(numbers{std::move(scales), std::move(zeros)});
  packed_linear::functions calls;
  calls.decode = [shared, codes, cols, by_row](row_range range, matrix_view<float> out) {
    std::vector<std::uint8_t> run(std::min(codes.width, cols));
    for (std::size_t r = range.begin; r < range.end; ++r) {
      float* values = out.row(r - range.begin).data();
      for (std::size_t at = r * cols; at < (r + 1) * cols;) {
        const std::size_t row = at / codes.width, first = at % codes.width,
                          length = std::min(codes.width - first, (r + 1) * cols - at);
        codes.read(row, first, length, run.data());
        for (std::size_t i = 0; i < length; ++i) {
          const std::size_t n = by_row ? row : first + i;
          values[i] = detail::policy::value_of<zero_kind::point>(
              static_cast<float>(run[i]), shared->scales[n], shared->zeros[n]);
        }
        at += length, values += length;
      }
    }
  };
  std::string why = by_row ? "its groups run over the ends of rows"
                           : "the weights of a row have a scale of their own each (axis 0)";
  return packed_linear(std::move(name), layout, rows, cols, std::move(why), std::move(calls));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
