// SPDX-License-Identifier: Apache-2.0
/// Linear layers of EdgeRazor (Python)'s checkpoints: bfloat16 weights that were fake-quantized,
/// whose codes and scales are recovered, and the packed tensors of its plugin
/// (edgerazor_checkpoint.hpp draws them).
///
/// Fake-quantized in blocks of B consecutive elements (which run over the ends of rows where B
/// divides no row), with one bfloat16 scale s each:
///
///     ternary   w = q s              q in -1 .. 1
///     int4      w = bfloat16(q s)    q in -7 .. 7, 7 or -7 among them
///
/// Rows may differ. Recovered so, block by block: where all nonzero weights have one magnitude,
/// that is s. Otherwise q = round(7 w / max|w|) and s = |w| / |q| of an element with |q| = 1, 2 or
/// 4, to which rounding did nothing; without one, one of the three bfloat16 nearest to max|w| / 7.
/// It counts only if bfloat16(q s) is w for every element. Quantizing such weights again would
/// keep ternary codes, but not their scales.
///
/// Source: edgerazor 1.3.5, quantization/ and vllm/quant_ops.py.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/edgerazor_checkpoint.hpp>
#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/packed_words.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

enum class fake_block : std::uint8_t { none, ternary, int4 };
struct fake_scale {
  fake_block kind = fake_block::none;
  float scale = 0;
};

/// The level nearest to w / s; ties, which no level is, away from 0.
[[nodiscard]] inline float nearest_level(float w, float s) noexcept {
  const float q = w / s;
  return static_cast<float>(static_cast<int>(q + (q < 0 ? -0.5f : 0.5f)));
}

/// What one block was made of; none where a weight is not finite. Its loops have no branches, so
/// that compilers make vectors of them.
inline fake_scale find_fake_scale(std::span<const float> block) noexcept {
  constexpr std::uint32_t magnitude = 0x7fffffff;
  std::uint32_t largest_bits = 0;
  for (const float w : block)
    largest_bits = std::max(largest_bits, std::bit_cast<std::uint32_t>(w) & magnitude);
  const auto largest = std::bit_cast<float>(largest_bits);
  if (!policy::is_finite(largest)) return {};
  std::uint32_t others = 0;
  for (const float w : block) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(w) & magnitude;
    others |= bits != 0 && bits != largest_bits ? 1u : 0u;
  }
  if (others == 0) return {fake_block::ternary, largest};
  const float about = largest / 7;
  if (!(about >= 0x1p-120f)) return {};  // below, s might be no bfloat16
  const auto explains = [&](float s) {
    std::uint32_t wrong = 0;
    for (const float w : block) {
      const std::uint32_t bits = core::float_to_bfloat_bits(nearest_level(w, about) * s) << 16;
      wrong |= std::bit_cast<float>(bits) != w ? 1u : 0u;
    }
    return wrong == 0;
  };
  for (const float w : block) {
    const float q = std::fabs(nearest_level(w, about));
    if (q != 1 && q != 2 && q != 4) continue;
    const float s = std::fabs(w) / q;
    return explains(s) ? fake_scale{fake_block::int4, s} : fake_scale{};
  }
  const std::uint16_t bits = bfloat16{about}.bits;
  for (const int step : {0, -1, 1}) {
    const float s = bfloat16::from_bits(static_cast<std::uint16_t>(bits + step));
    if (explains(s)) return {fake_block::int4, s};
  }
  return {};
}

/// Elements of a bfloat16 tensor, in pieces.
inline void read_bfloat16(const std::byte* data, std::size_t first, std::span<float> out) noexcept {
  decode_float16<bfloat16>(data + first * sizeof(bfloat16), out);
}

/// The blocks of `block` elements; nothing where one is no fake-quantized one.
inline std::optional<std::vector<fake_scale>> find_fake_scales(const safetensors_tensor& weight,
                                                               std::size_t block) {
  const std::size_t elements = weight.elements();
  std::vector<fake_scale> found;
  std::vector<float> values(block);
  for (std::size_t at = 0; at < elements; at += block) {
    const std::span<float> piece{values.data(), std::min(block, elements - at)};
    read_bfloat16(weight.bytes.data(), at, piece);
    const fake_scale one = find_fake_scale(piece);
    if (one.kind == fake_block::none) return std::nullopt;
    found.push_back(one);
  }
  return found;
}

}  // namespace detail::io

/// `weight`: BF16 (N, K). Nothing where it is not fake-quantized in blocks of `block` elements, or
/// for 0 of any of 256, 128, 64 and 32, the largest that explains it. Reads all of the weights,
/// where they are fake-quantized. Decoded values are q s in float32; rounded to bfloat16 they are
/// the stored ones. The format is ternary2, int4, or where rows differ a mix of them. `name`: the
/// layer's.
[[nodiscard]] inline std::optional<packed_linear> edgerazor_fake_quantized_linear(
    std::string name, const safetensors_tensor& weight, std::size_t block = 0) {
  namespace io = detail::io;
  if (weight.dtype != safetensors_dtype::bf16 || !weight.is_matrix()) return std::nullopt;
  const io::tensor_extents shape = io::require_matrix(weight, {safetensors_dtype::bf16});
  std::optional<std::vector<io::fake_scale>> found;
  for (const std::size_t size : {256u, 128u, 64u, 32u}) {
    if (found || (block != 0 && size != 256)) break;
    const std::size_t tried = block != 0 ? block : size;
    found = io::find_fake_scales(weight, tried);
    if (found) block = tried;
  }
  if (!found) return std::nullopt;

  io::coded_weights w;
  w.name = std::move(name);
  w.layout = "EdgeRazor, fake-quantized bfloat16, blocks of " + std::to_string(block);
  w.rows = shape.rows, w.cols = shape.cols;
  w.group = std::gcd(shape.cols, block);  // a block's scale once for each of its groups
  w.max_code = 15;
  w.zero = 8;
  w.scale = scale_kind::bfloat16;
  const std::size_t groups = w.groups();
  w.scales.resize(w.rows * groups);
  w.ternary_rows.assign(w.rows, 1);
  for (std::size_t i = 0; i < w.scales.size(); ++i) {
    const io::fake_scale& of_block = (*found)[i * w.group / block];
    w.scales[i] = of_block.scale;
    if (of_block.kind == io::fake_block::int4) w.ternary_rows[i / groups] = 0;
  }
  w.read_codes = [data = weight.bytes.data(), cols = w.cols, group = w.group, groups,
                  scales = w.scales](row_range rows, std::uint8_t* codes) {
    std::vector<float> values(cols);
    for (std::size_t r = rows.begin; r < rows.end; ++r, codes += cols) {
      io::read_bfloat16(data, r * cols, values);
      for (std::size_t g = 0; g < groups; ++g) {
        const float s = scales[r * groups + g];
        for (std::size_t c = g * group; c < std::min((g + 1) * group, cols); ++c) {
          codes[c] = static_cast<std::uint8_t>(
              8 + (s == 0 ? 0 : static_cast<int>(io::nearest_level(values[c], s))));
        }
      }
    }
  };
  return io::linear_of(std::move(w));
}

/// The plugin's tensors of a layer of one precision: qweight U8 (N, K / 2) or (N, K / 4), and
/// qweight_scale BF16 (N, K / block). io_error, naming the tensor, where a type or size is not so,
/// or a scale is not finite; from decoding and importing, where an int2 level is -2, which ternary
/// weights have not. `name`: the layer's.
[[nodiscard]] inline packed_linear edgerazor_packed_linear(std::string name, checkpoint_code code,
                                                           const safetensors_tensor& qweight,
                                                           const safetensors_tensor& scale);

/// Of a layer of two: the tensors of its int4 rows, of its int2 rows, and inverse_perm I64 (N).
/// io_error also where that is no permutation.
[[nodiscard]] inline packed_linear edgerazor_packed_linear(std::string name,
                                                           const safetensors_tensor& qweight_int4,
                                                           const safetensors_tensor& scale_int4,
                                                           const safetensors_tensor& qweight_int2,
                                                           const safetensors_tensor& scale_int2,
                                                           const safetensors_tensor& inverse_perm);

namespace detail::io {

/// The rows of one precision.
struct plugin_rows {
  const std::byte* data = nullptr;
  std::size_t rows = 0, cols = 0, blocks = 0;
  std::vector<float> scales;

  plugin_rows(checkpoint_code code, const safetensors_tensor& qweight,
              const safetensors_tensor& scale)
      : data(qweight.bytes.data()), rows(qweight.rows()), blocks(scale.cols()) {
    using enum safetensors_dtype;
    require_tensor(qweight, {u8}, {rows, qweight.cols()});
    require_tensor(scale, {bf16}, {rows, blocks});
    const auto all = core::checked_product(qweight.cols(), levels_per_byte(code));
    if (!all) refuse_tensor(qweight, "fewer columns");
    cols = *all;
    if (cols == 0 || blocks == 0 || cols % blocks != 0)
      refuse_tensor(scale, "a number of columns that divides " + std::to_string(cols));
    scales = finite_numbers(scale);
  }
};

/// Row r of the matrix is row source[r] of the two, int4 first.
inline packed_linear plugin_linear(std::string name, const plugin_rows* int4,
                                   const plugin_rows* int2, std::vector<std::uint32_t> source) {
  const plugin_rows& shape = int4 != nullptr ? *int4 : *int2;
  coded_weights w;
  w.rows = source.size(), w.cols = shape.cols, w.group = shape.cols / shape.blocks;
  w.max_code = 15;
  w.zero = 8;
  w.scale = scale_kind::bfloat16;
  const std::size_t high_rows = int4 != nullptr ? int4->rows : 0, blocks = shape.blocks;
  for (const std::uint32_t row : source) {
    const bool high = row < high_rows;
    const float* const scales = high ? int4->scales.data() + row * blocks
                                     : int2->scales.data() + (row - high_rows) * blocks;
    w.scales.insert(w.scales.end(), scales, scales + blocks);
    w.ternary_rows.push_back(high ? 0 : 1);
  }
  w.layout = std::string{"EdgeRazor, packed, "} +
             (int2 == nullptr   ? "int4"
              : int4 == nullptr ? "ternary"
                                : "int4 and ternary rows") +
             ", groups of " + std::to_string(w.group);
  w.name = std::move(name);
  w.read_codes = [high = int4 != nullptr ? int4->data : nullptr,
                  low = int2 != nullptr ? int2->data : nullptr, high_rows, cols = w.cols,
                  source = std::move(source), layer = w.name](row_range rows, std::uint8_t* codes) {
    for (std::size_t r = rows.begin; r < rows.end; ++r, codes += cols) {
      if (source[r] < high_rows) {
        const std::byte* const row = high + source[r] * (cols / 2);
        for (std::size_t c = 0; c < cols; ++c)
          codes[c] = static_cast<std::uint8_t>(std::to_integer<unsigned>(row[c / 2]) >>
                                                   checkpoint_shift(checkpoint_code::int4, c) &
                                               15u);
        continue;
      }
      const std::byte* const row = low + (source[r] - high_rows) * (cols / 4);
      for (std::size_t c = 0; c < cols; ++c) {
        const unsigned code =
            std::to_integer<unsigned>(row[c / 4]) >> checkpoint_shift(checkpoint_code::int2, c) &
            3u;
        codes[c] = static_cast<std::uint8_t>(code + 6);  // level + 2 to level + 8
        if (code != 0) continue;
        core::fail_io("EdgeRazor layer " + edgerazor::quoted(layer) + ": the level at row " +
                      std::to_string(r) + ", column " + std::to_string(c) +
                      " is -2, expected -1 to 1");
      }
    }
  };
  return linear_of(std::move(w));
}
}  // namespace detail::io

inline packed_linear edgerazor_packed_linear(std::string name, checkpoint_code code,
                                             const safetensors_tensor& qweight,
                                             const safetensors_tensor& scale) {
  const detail::io::plugin_rows rows(code, qweight, scale);
  if (rows.rows == 0) detail::io::refuse_tensor(qweight, "at least one row");
  std::vector<std::uint32_t> source(rows.rows);
  std::iota(source.begin(), source.end(), 0u);
  const bool high = code == checkpoint_code::int4;
  return detail::io::plugin_linear(std::move(name), high ? &rows : nullptr, high ? nullptr : &rows,
                                   std::move(source));
}

inline packed_linear edgerazor_packed_linear(std::string name,
                                             const safetensors_tensor& qweight_int4,
                                             const safetensors_tensor& scale_int4,
                                             const safetensors_tensor& qweight_int2,
                                             const safetensors_tensor& scale_int2,
                                             const safetensors_tensor& inverse_perm) {
  namespace io = detail::io;
  const io::plugin_rows high(checkpoint_code::int4, qweight_int4, scale_int4),
      low(checkpoint_code::int2, qweight_int2, scale_int2);
  if (low.cols != high.cols || low.blocks != high.blocks) {
    io::refuse_tensor(qweight_int2, "rows of " + std::to_string(high.cols) + " columns and " +
                                        std::to_string(high.blocks) +
                                        " scales, as the int4 ones are");
  }
  const std::size_t rows = high.rows + low.rows;
  io::require_tensor(inverse_perm, {safetensors_dtype::i64}, {rows});
  std::vector<std::int64_t> stored(rows);
  read_integers(inverse_perm, 0, std::span{stored});
  std::vector<std::uint32_t> source(rows);
  std::vector<bool> seen(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto index = static_cast<std::uint64_t>(stored[r]);
    if (index >= rows || seen[index])
      io::refuse_tensor(inverse_perm, "each row from 0 to " + std::to_string(rows - 1) + " once");
    seen[index] = true;
    source[r] = static_cast<std::uint32_t>(index);
  }
  if (rows == 0) io::refuse_tensor(inverse_perm, "at least one row");
  return io::plugin_linear(std::move(name), &high, &low, std::move(source));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
