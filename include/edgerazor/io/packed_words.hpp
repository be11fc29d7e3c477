// SPDX-License-Identifier: Apache-2.0
/// Codes of 1 to 8 bits in 32-bit words, as GPTQ, AWQ and compressed-tensors pack them; and what is
/// asked of a packed tensor before it is read.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>
#include <edgerazor/matrix/format.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// How codes of b bits follow each other, all from the lowest bit up:
///
///     dense     one string of bits: code i at bits b i
///     padded    floor(32 / b) codes a word, the rest of it unused
///     planar    b words hold 32 codes: first their lowest bits, then the higher ones, each plane a
///               dense string: 3 = 2 + 1 bits, 5 = 4 + 1, 6 = 4 + 2, 7 = 4 + 2 + 1
///
/// For 1, 2, 4 and 8 bits the three are one.
enum class word_packing : std::uint8_t { dense, padded, planar };

/// 32-bit words that hold so many codes. Precondition: 1 <= bits <= 8.
[[nodiscard]] constexpr std::size_t packed_words(word_packing packing, unsigned bits,
                                                 std::size_t codes) noexcept {
  const std::size_t per_word = 32 / bits;
  if (packing == word_packing::padded) return codes / per_word + (codes % per_word != 0);
  const std::size_t units = codes / 32, rest = codes % 32;
  if (packing == word_packing::planar && (bits & (bits - 1)) != 0)
    return bits * (units + (rest != 0));
  return bits * units + (rest * bits + 31) / 32;
}

namespace detail::io {

/// The 8 nibbles of a word as bytes, the lowest first.
[[nodiscard]] constexpr std::uint64_t nibbles_as_bytes(std::uint32_t word) noexcept {
  std::uint64_t x = word;
  x = (x | x << 16) & 0x0000'ffff'0000'ffff;
  x = (x | x << 8) & 0x00ff'00ff'00ff'00ff;
  return (x | x << 4) & 0x0f0f'0f0f'0f0f'0f0f;
}
/// The 8 pairs of bits of 16 as bytes, the lowest first.
[[nodiscard]] constexpr std::uint64_t pairs_as_bytes(std::uint32_t half) noexcept {
  std::uint64_t x = half;
  x = (x | x << 24) & 0x0000'00ff'0000'00ff;
  x = (x | x << 12) & 0x000f'000f'000f'000f;
  return (x | x << 6) & 0x0303'0303'0303'0303;
}

/// Codes of `bits` bits from bit `first` of a dense string on, one after the other.
inline std::uint32_t bits_at(const std::uint32_t* words, std::size_t first,
                             unsigned bits) noexcept {
  const std::size_t word = first / 32, shift = first % 32;
  std::uint32_t value = words[word] >> shift;
  if (shift + bits > 32) value |= words[word + 1] << (32 - shift);
  return value & ((1u << bits) - 1);
}

inline void unpack_planar(unsigned bits, const std::uint32_t* words, std::size_t count,
                          std::uint8_t* codes) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t* plane = words + i / 32 * bits;
    unsigned code = 0, shift = 0;
    for (unsigned left = bits; left != 0;) {
      const unsigned width = std::bit_floor(left);
      code |= bits_at(plane, i % 32 * width, width) << shift;
      plane += width, shift += width, left -= width;
    }
    codes[i] = static_cast<std::uint8_t>(code);
  }
}
}  // namespace detail::io

/// The first `count` codes of packed_words(packing, bits, count) words.
/// Precondition: 1 <= bits <= 8.
inline void unpack_words(word_packing packing, unsigned bits, const std::uint32_t* words,
                         std::size_t count, std::uint8_t* codes) noexcept {
  using detail::io::bits_at;
  std::size_t i = 0;
  if (bits == 4) {
    for (; i + 8 <= count; i += 8) {
      const std::uint64_t eight = detail::io::nibbles_as_bytes(words[i / 8]);
      std::memcpy(codes + i, &eight, 8);
    }
  } else if (bits == 2) {
    for (; i + 8 <= count; i += 8) {
      const std::uint64_t eight =
          detail::io::pairs_as_bytes(words[i / 16] >> (i % 16 * 2) & 0xffff);
      std::memcpy(codes + i, &eight, 8);
    }
  } else if (bits == 8) {
    if (count != 0) std::memcpy(codes, words, count);
    return;
  } else if (packing == word_packing::planar) {
    return detail::io::unpack_planar(bits, words, count, codes);
  } else if (packing == word_packing::padded) {
    const std::size_t per_word = 32 / bits;
    for (; i < count; ++i) {
      codes[i] = static_cast<std::uint8_t>(words[i / per_word] >> (i % per_word * bits) &
                                           ((1u << bits) - 1));
    }
  }
  for (; i < count; ++i) codes[i] = static_cast<std::uint8_t>(bits_at(words, i * bits, bits));
}

namespace detail::io {

/// io_error: "tensor 'x.qweight' is I32 [12, 32], expected ...".
[[noreturn]] inline void refuse_tensor(const safetensors_tensor& tensor,
                                       const std::string& expected) {
  core::fail_io("tensor " + edgerazor::quoted(tensor.name) + " is " +
                std::string{info_of(tensor.dtype).name} + ' ' + tensor.shape_text() +
                ", expected " + expected);
}

/// io_error unless the tensor has one of the types, that shape, and the bytes of it. A shape of one
/// number, 1, may be stored as a scalar.
inline void require_tensor(const safetensors_tensor& tensor,
                           std::initializer_list<safetensors_dtype> dtypes,
                           std::initializer_list<std::size_t> shape) {
  const auto is_shape = [&] {
    if (tensor.shape.size() == shape.size())
      return std::equal(shape.begin(), shape.end(), tensor.shape.begin());
    return tensor.shape.empty() && shape.size() == 1 && *shape.begin() == 1;
  };
  const bool known = std::find(dtypes.begin(), dtypes.end(), tensor.dtype) != dtypes.end();
  if (!known || !is_shape()) {
    std::string text;
    for (const safetensors_dtype type : dtypes)
      text += (text.empty() ? "" : " or ") + std::string{info_of(type).name};
    safetensors_tensor wanted;
    wanted.shape.assign(shape.begin(), shape.end());
    refuse_tensor(tensor, text + ' ' + wanted.shape_text());
  }
  std::size_t elements = 1;
  for (const std::size_t n : shape) elements = core::size_product("packed tensor", elements, n);
  if (tensor.elements() != elements)
    refuse_tensor(tensor, "the bytes of " + std::to_string(elements) + " elements");
}

/// rows() and cols() of a matrix of a type; io_error where it is none, or has no elements.
struct tensor_extents {
  std::size_t rows = 0, cols = 0;
};
inline tensor_extents require_matrix(const safetensors_tensor& tensor,
                                     std::initializer_list<safetensors_dtype> dtypes) {
  const tensor_extents result{tensor.rows(), tensor.cols()};
  require_tensor(tensor, dtypes, {result.rows, result.cols});
  if (result.rows == 0 || result.cols == 0) refuse_tensor(tensor, "at least one element");
  return result;
}

/// The elements as floats; io_error where one is not finite, naming it.
inline std::vector<float> finite_numbers(const safetensors_tensor& tensor) {
  std::vector<float> numbers(tensor.elements());
  decode_floats(tensor, 0, numbers);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (policy::is_finite(numbers[i])) continue;
    core::fail_io("tensor " + edgerazor::quoted(tensor.name) + ": element " + std::to_string(i) +
                  " is " + std::to_string(numbers[i]) + ", expected a finite number");
  }
  return numbers;
}

/// What holds all numbers of a tensor of floats: its own type, or float32.
[[nodiscard]] constexpr scale_kind kind_of(safetensors_dtype dtype) noexcept {
  return dtype == safetensors_dtype::f16    ? scale_kind::float16
         : dtype == safetensors_dtype::bf16 ? scale_kind::bfloat16
                                            : scale_kind::float32;
}

/// to[c][r] = from[r][c] of rows x cols numbers.
template <class T, class U>
void transpose(std::span<const T> from, std::size_t rows, std::size_t cols, std::span<U> to) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) to[c * rows + r] = static_cast<U>(from[r * cols + c]);
  }
}

/// A matrix of 32-bit words at any address.
struct word_matrix {
  const std::byte* data = nullptr;
  std::size_t rows = 0, cols = 0;

  explicit word_matrix(const safetensors_tensor& tensor)
      : data(tensor.bytes.data()), rows(tensor.rows()), cols(tensor.cols()) {}

  /// Words [first, first + count) of a row.
  void read(std::size_t row, std::size_t first, std::size_t count,
            std::uint32_t* to) const noexcept {
    std::memcpy(to, data + (row * cols + first) * sizeof *to, count * sizeof *to);
  }
  /// All of it with `offset` added to each word modulo 2^32.
  [[nodiscard]] std::vector<std::uint32_t> read_all(std::uint32_t offset = 0) const {
    std::vector<std::uint32_t> words(rows * cols);
    if (!words.empty()) std::memcpy(words.data(), data, words.size() * sizeof words[0]);
    for (std::uint32_t& word : words) word += offset;
    return words;
  }
};

/// Group indices of columns, checked: io_error where one is none of 0 .. groups - 1.
inline std::vector<std::uint32_t> group_indices(const safetensors_tensor& tensor,
                                                std::size_t groups, std::size_t cols) {
  std::vector<std::int32_t> stored(tensor.elements());
  read_integers(tensor, 0, std::span{stored});
  for (std::size_t c = 0; c < cols; ++c) {
    if (stored[c] >= 0 && static_cast<std::size_t>(stored[c]) < groups) continue;
    core::fail_io("tensor " + edgerazor::quoted(tensor.name) + ": the group of column " +
                  std::to_string(c) + " is " + std::to_string(stored[c]) + ", expected 0 to " +
                  std::to_string(groups - 1));
  }
  return {stored.begin(), stored.begin() + static_cast<std::ptrdiff_t>(cols)};
}

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
