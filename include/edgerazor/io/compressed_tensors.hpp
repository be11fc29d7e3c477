// SPDX-License-Identifier: Apache-2.0
/// Integer layers as compressed-tensors packs them (vLLM, llm-compressor), N outputs, K inputs, G =
/// ceil(K / group) groups:
///
///     pack-quantized    weight_packed      I32 (N, words of K codes)
///                       weight_scale       F16, BF16 or F32 [1], (N, 1) or (N, G)
///                       weight_zero_point  may be absent; I32 (words of N codes, G), or, before
///                                          0.9, I8 as the scales
///                       weight_shape       I64 [2]: N, K
///                       weight_g_idx       I32 (K), of old files ordered by activations
///     int-quantized,    weight             I8 (N, K)
///     naive-quantized   weight_scale       as above
///                       weight_zero_point  may be absent; I8 as the scales
///
///     W = (q - zero) * scale
///
/// Packed codes, and packed zeros, are q + 2^(bits - 1). Since 0.17.0 codes of 3, 5, 6 and 7 bits
/// are one string of bits, before that words hold floor(32 / bits) of them: the number of columns
/// tells. Floats (float-quantized, nvfp4-pack-quantized, mxfp4-pack-quantized) are in
/// float4_float8.hpp.
///
/// Source: compressed-tensors 0.20.0, compressors/, and its pull request 715.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
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

/// The tensors of a layer; null where they are absent.
struct compressed_tensors_layer {
  const safetensors_tensor* weight = nullptr;  ///< weight_packed, or weight of I8
  const safetensors_tensor* weight_scale = nullptr;
  const safetensors_tensor* weight_zero_point = nullptr;
  const safetensors_tensor* weight_shape = nullptr;
  const safetensors_tensor* weight_g_idx = nullptr;
};

namespace detail::io {

/// How so many codes lie in so many words. io_error, of the tensor, where neither packing has
/// them, or both have and differ.
inline word_packing packing_of(const safetensors_tensor& tensor, unsigned bits, std::size_t codes,
                               std::size_t words) {
  const std::size_t dense = packed_words(word_packing::dense, bits, codes),
                    padded = packed_words(word_packing::padded, bits, codes);
  if (words != dense && words != padded) {
    refuse_tensor(tensor, std::to_string(dense) + " words for " + std::to_string(codes) +
                              " codes of " + std::to_string(bits) + " bits" +
                              (dense == padded ? "" : ", or " + std::to_string(padded)));
  }
  if (dense == padded && words > 1 && 32 % bits != 0) {
    refuse_tensor(tensor,
                  "a number of columns that tells the packing before 0.17.0 from the one "
                  "after it");
  }
  return words == dense ? word_packing::dense : word_packing::padded;
}

/// Scales or zeros of one number for the matrix, an output or a group of columns, and how many of
/// them an output has.
inline std::size_t require_strategy(const safetensors_tensor& tensor,
                                    std::initializer_list<safetensors_dtype> dtypes,
                                    std::size_t rows) {
  if (tensor.shape.size() == 2) {
    require_tensor(tensor, dtypes, {rows, tensor.cols()});
    return tensor.cols();
  }
  if (tensor.shape.size() == 1 && tensor.shape[0] == rows) {
    require_tensor(tensor, dtypes, {rows});
  } else {
    require_tensor(tensor, dtypes, {1});
  }
  return 1;
}

/// The numbers, rows x groups.
inline std::vector<float> spread_numbers(std::vector<float> numbers, std::size_t count) {
  if (numbers.size() == 1) numbers.resize(count, numbers[0]);
  return numbers;
}
}  // namespace detail::io

/// `name`: the layer's, for sentences. `bits`: 1 to 8. `group`: columns, 0: as the scales have it.
/// Whether it is packed is told from the type of the weight. io_error, naming the tensor, where a
/// type or size is not as above, an index is no group, or a scale is not finite.
[[nodiscard]] inline packed_linear compressed_tensors_linear(std::string name,
                                                             const compressed_tensors_layer& layer,
                                                             unsigned bits, std::size_t group = 0) {
  using enum safetensors_dtype;
  namespace io = detail::io;
  const std::string what = "compressed-tensors layer " + edgerazor::quoted(name);
  if (bits < 1 || bits > 8) {
    detail::core::fail_io(what + " has codes of " + std::to_string(bits) +
                          " bits, expected 1 to 8");
  }
  if (layer.weight == nullptr || layer.weight_scale == nullptr)
    detail::core::fail_io(what + " has no weight, or no weight_scale");
  const safetensors_tensor &weight = *layer.weight, &scale = *layer.weight_scale;
  const bool packed = weight.dtype == i32;
  const io::tensor_extents stored = io::require_matrix(weight, {i32, i8});
  io::coded_weights w;
  w.rows = stored.rows, w.cols = stored.cols;
  if (packed) {
    if (layer.weight_shape == nullptr)
      detail::core::fail_io(what + " is packed, and has no weight_shape");
    io::require_tensor(*layer.weight_shape, {i64}, {2});
    std::int64_t shape[2];
    read_integers(*layer.weight_shape, 0, std::span{shape});
    if (shape[0] < 0 || static_cast<std::uint64_t>(shape[0]) != stored.rows || shape[1] <= 0 ||
        static_cast<std::uint64_t>(shape[1]) / 32 > stored.cols) {
      detail::core::fail_io("tensor " + edgerazor::quoted(layer.weight_shape->name) + " says " +
                            std::to_string(shape[0]) + " x " + std::to_string(shape[1]) +
                            ", and the weight is " + weight.shape_text());
    }
    w.cols = static_cast<std::size_t>(shape[1]);
  }
  const word_packing packing =
      packed ? io::packing_of(weight, bits, w.cols, stored.cols) : word_packing::dense;

  std::size_t groups = io::require_strategy(scale, {f16, bf16, f32}, w.rows);
  if (groups == 1) {
    w.group = w.cols;
  } else if (group != 0) {
    w.group = group;
  } else if (groups != 0 && w.cols % groups == 0) {
    w.group = w.cols / groups;
  }
  if (w.group == 0 || w.groups() != groups) {
    io::refuse_tensor(
        scale, w.group == 0 ? "a number of groups that divides " + std::to_string(w.cols)
                            : std::to_string(w.groups()) + " groups of " + std::to_string(w.group) +
                                  " in " + std::to_string(w.cols) + " columns");
  }
  w.scales = io::spread_numbers(io::finite_numbers(scale), w.rows * groups);
  w.scale = io::kind_of(scale.dtype);
  const int half = packed ? 1 << (bits - 1) : 128;
  w.zero = half;
  if (layer.weight_zero_point != nullptr && layer.weight_zero_point->dtype == i8) {
    const safetensors_tensor& zeros = *layer.weight_zero_point;
    std::vector<std::int8_t> levels(zeros.elements());
    if (io::require_strategy(zeros, {i8}, w.rows) != groups)
      io::refuse_tensor(zeros, "as many zeros as scales");
    read_integers(zeros, 0, std::span{levels});
    for (const std::int8_t level : levels) w.zeros.push_back(static_cast<float>(level + half));
    w.zeros = io::spread_numbers(std::move(w.zeros), w.rows * groups);
  } else if (layer.weight_zero_point != nullptr) {
    const safetensors_tensor& zeros = *layer.weight_zero_point;
    const io::tensor_extents words = io::require_matrix(zeros, {i32});
    if (!packed || words.cols != groups) io::refuse_tensor(zeros, "as many zeros as scales");
    const word_packing of_zeros = io::packing_of(zeros, bits, w.rows, words.rows);
    const std::vector<std::uint32_t> rows_of_words = io::word_matrix(zeros).read_all();
    std::vector<std::uint32_t> of_group(words.rows * groups);
    io::transpose<std::uint32_t, std::uint32_t>(rows_of_words, words.rows, groups, of_group);
    std::vector<std::uint8_t> codes(w.rows);
    w.zeros.resize(w.rows * groups);
    for (std::size_t g = 0; g < groups; ++g) {
      unpack_words(of_zeros, bits, of_group.data() + g * words.rows, w.rows, codes.data());
      for (std::size_t n = 0; n < w.rows; ++n)
        w.zeros[n * groups + g] = static_cast<float>(codes[n]);
    }
  }
  if (layer.weight_g_idx != nullptr) {
    io::require_tensor(*layer.weight_g_idx, {i32}, {w.cols});
    std::vector<std::int32_t> indices(w.cols);
    read_integers(*layer.weight_g_idx, 0, std::span{indices});
    // A layer that was not ordered by activations has -1 throughout.
    if (std::any_of(indices.begin(), indices.end(), [](std::int32_t i) { return i != -1; }))
      w.group_of = io::group_indices(*layer.weight_g_idx, groups, w.cols);
  }

  w.layout =
      "compressed-tensors, " + std::to_string(bits) + " bits, " +
      (groups == 1 ? std::string{"a scale an output"} : "groups of " + std::to_string(w.group));
  w.name = std::move(name);
  w.max_code = packed ? (1 << bits) - 1 : 255;
  if (packed) {
    w.read_codes = [source = io::word_matrix(weight), packing, bits, count = w.cols](
                       row_range rows, std::uint8_t* codes) {
      std::vector<std::uint32_t> words(source.cols);
      for (std::size_t r = rows.begin; r < rows.end; ++r, codes += count) {
        source.read(r, 0, source.cols, words.data());
        unpack_words(packing, bits, words.data(), count, codes);
      }
    };
  } else {
    w.read_codes = [data = weight.bytes.data(), count = w.cols](row_range rows,
                                                                std::uint8_t* codes) {
      const std::size_t begin = rows.begin * count, end = rows.end * count;
      for (std::size_t i = begin; i < end; ++i)
        codes[i - begin] = static_cast<std::uint8_t>(std::to_integer<unsigned>(data[i]) ^ 128u);
    };
  }
  return io::linear_of(std::move(w));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
