// SPDX-License-Identifier: Apache-2.0
/// One tensor of a safetensors file, and its elements as numbers.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/safetensors_dtype.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One tensor of an open file. `bytes` refers to the file's memory and begins where the file has
/// it, at any address: a file need not align anything. Of a reader, bytes.size() is exactly what
/// dtype and shape need, and no product of dimensions wraps.
struct safetensors_tensor {
  std::string name;
  safetensors_dtype dtype = safetensors_dtype::f32;
  std::vector<std::uint64_t> shape;  ///< the last varies fastest; empty for a scalar
  std::span<const std::byte> bytes;

  /// Elements that `bytes` holds; an f4 is half a byte.
  [[nodiscard]] std::size_t elements() const noexcept {
    const std::size_t bits = info_of(dtype).bits;
    return bits < 8 ? bytes.size() / bits * 8 + bytes.size() % bits * 8 / bits
                    : bytes.size() / (bits / 8);
  }
  [[nodiscard]] bool is_matrix() const noexcept { return shape.size() == 2; }
  /// First dimension of a matrix (outputs of a linear layer). Fails with io_error, naming the
  /// tensor and its shape, where it is no matrix or the dimension is no std::size_t.
  [[nodiscard]] std::size_t rows() const { return matrix_extent(0); }
  /// Second dimension of a matrix (inputs of a linear layer). Fails likewise.
  [[nodiscard]] std::size_t cols() const { return matrix_extent(1); }
  /// "[4096, 11008]", for messages.
  [[nodiscard]] std::string shape_text() const {
    std::string text(1, '[');
    for (std::size_t i = 0; i < shape.size(); ++i)
      text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text += ']';
  }

 private:
  [[nodiscard]] std::size_t matrix_extent(std::size_t i) const {
    if (!is_matrix())
      detail::core::fail_io("tensor " + edgerazor::quoted(name) + " has shape " + shape_text() +
                            ", expected a matrix");
    if (shape[i] > std::numeric_limits<std::size_t>::max())
      detail::core::fail_io("tensor " + edgerazor::quoted(name) + " of shape " + shape_text() +
                            " is too large for this machine");
    return static_cast<std::size_t>(shape[i]);
  }
};

namespace detail::io {

/// Where a float of 8 bits has its NaNs and infinities.
enum class float8_kind {
  ieee,    ///< the highest exponent: infinity, else NaN
  finite,  ///< all bits of the magnitude set: NaN; no infinity
  fnuz     ///< the bits of -0: NaN; no infinity
};

/// All 256 values of a float of sign, `8 - 1 - mantissa` bits of exponent, `mantissa` bits.
[[nodiscard]] constexpr std::array<float, 256> float8_values(int mantissa, int bias,
                                                             float8_kind kind) noexcept {
  std::array<float, 256> values{};
  const int highest = (1 << (7 - mantissa)) - 1;
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code & 127) >> mantissa, fraction = code & ((1 << mantissa) - 1);
    float value = static_cast<float>(exponent == 0 ? fraction : fraction + (1 << mantissa));
    for (int e = std::max(exponent, 1) - bias - mantissa; e != 0; e += e < 0 ? 1 : -1)
      value *= e < 0 ? 0.5f : 2.0f;
    if (kind == float8_kind::ieee && exponent == highest) {
      value = fraction == 0 ? std::numeric_limits<float>::infinity()
                            : std::numeric_limits<float>::quiet_NaN();
    }
    if ((kind == float8_kind::finite && (code & 127) == 127) ||
        (kind == float8_kind::fnuz && code == 128))
      value = std::numeric_limits<float>::quiet_NaN();
    values[static_cast<std::size_t>(code)] = code < 128 ? value : -value;
  }
  return values;
}

/// 2^(code - 127); 255 is NaN.
[[nodiscard]] constexpr std::array<float, 256> e8m0_values() noexcept {
  std::array<float, 256> values{};
  for (std::uint32_t code = 0; code < 255; ++code)
    values[code] = std::bit_cast<float>(code == 0 ? std::uint32_t{1} << 22 : code << 23);
  values[255] = std::numeric_limits<float>::quiet_NaN();
  return values;
}

inline constexpr std::array<float, 256> f8_e4m3_values = float8_values(3, 7, float8_kind::finite);
inline constexpr std::array<float, 256> f8_e5m2_values = float8_values(2, 15, float8_kind::ieee);
inline constexpr std::array<float, 256> f8_e4m3fnuz_values = float8_values(3, 8, float8_kind::fnuz);
inline constexpr std::array<float, 256> f8_e5m2fnuz_values =
    float8_values(2, 16, float8_kind::fnuz);
inline constexpr std::array<float, 256> f8_e8m0_values = e8m0_values();

inline void decode_float8(const std::array<float, 256>& values, const std::byte* in,
                          std::span<float> out) noexcept {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = values[static_cast<std::uint8_t>(in[i])];
}

/// By way of an aligned piece that stays in the first cache.
template <class Element>
void decode_float16(const std::byte* in, std::span<float> out) noexcept {
  constexpr std::size_t most = 1024;
  Element piece[most];
  for (std::size_t at = 0; at < out.size(); at += most) {
    const std::size_t count = std::min(most, out.size() - at);
    std::memcpy(piece, in + at * sizeof(Element), count * sizeof(Element));
    core::convert_elements(piece, count, out.data() + at);
  }
}

inline void check_elements(const safetensors_tensor& tensor, std::size_t first, std::size_t count) {
  if (first > tensor.elements() || count > tensor.elements() - first)
    core::fail("tensor " + edgerazor::quoted(tensor.name) + " has " +
               core::size_text(tensor.elements()) + " elements, asked for " +
               core::size_text(count) + " from " + core::size_text(first));
}

inline void decode_float64(const safetensors_tensor& tensor, std::size_t first,
                           std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint64_t bits;
    std::memcpy(&bits, tensor.bytes.data() + (first + i) * sizeof bits, sizeof bits);
    const auto value = std::bit_cast<double>(bits);
    // By its exponent: a comparison that no flag of the build may leave out.
    const bool finite = (bits >> 52 & 0x7ffu) != 0x7ffu;
    if (finite && std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()))
      core::fail_io("tensor " + edgerazor::quoted(tensor.name) + ": element " +
                    core::size_text(first + i) + " is " + std::to_string(value) +
                    ", more than a float holds");
    out[i] = static_cast<float>(value);
  }
}

}  // namespace detail::io

/// Whether decode_floats() takes the type: F64, F32, BF16, F16 and the five of 8 bits.
[[nodiscard]] constexpr bool is_decoded_float(safetensors_dtype dtype) noexcept {
  using enum safetensors_dtype;
  return dtype == f64 || dtype == f32 || dtype == bf16 || dtype == f16 ||
         (dtype >= f8_e5m2 && dtype <= f8_e5m2fnuz);
}

/// Elements [first, first + out.size()) in row-major order as floats. Exact for all types but F64,
/// which is rounded; of it, a finite value past float's range is an io_error. NaN and infinity come
/// out as such. Fails where the range does not lie in the tensor; io_error for a type that
/// is_decoded_float() denies.
inline void decode_floats(const safetensors_tensor& tensor, std::size_t first,
                          std::span<float> out) {
  if (!is_decoded_float(tensor.dtype))
    detail::core::fail_io("tensor " + edgerazor::quoted(tensor.name) + " has dtype " +
                          std::string{info_of(tensor.dtype).name} + ", expected floats");
  detail::io::check_elements(tensor, first, out.size());
  if (out.empty()) return;
  const std::byte* const in = tensor.bytes.data() + first * (info_of(tensor.dtype).bits / 8);
  using enum safetensors_dtype;
  switch (tensor.dtype) {
    case f32:
      std::memcpy(out.data(), in, out.size_bytes());
      break;
    case f16:
      detail::io::decode_float16<float16>(in, out);
      break;
    case bf16:
      detail::io::decode_float16<bfloat16>(in, out);
      break;
    case f8_e5m2:
      detail::io::decode_float8(detail::io::f8_e5m2_values, in, out);
      break;
    case f8_e4m3:
      detail::io::decode_float8(detail::io::f8_e4m3_values, in, out);
      break;
    case f8_e8m0:
      detail::io::decode_float8(detail::io::f8_e8m0_values, in, out);
      break;
    case f8_e4m3fnuz:
      detail::io::decode_float8(detail::io::f8_e4m3fnuz_values, in, out);
      break;
    case f8_e5m2fnuz:
      detail::io::decode_float8(detail::io::f8_e5m2fnuz_values, in, out);
      break;
    default:
      detail::io::decode_float64(tensor, first, out);
  }
}

/// Elements [first, first + out.size()) of an integer tensor, in row-major order. The tensor's
/// integers have exactly T's size; of either sign, which are taken for each other bit for bit
/// (words of packed codes are I32 in files, and unsigned in use). Fails where the range does not
/// lie in the tensor; io_error for another dtype.
template <std::integral T, std::size_t Extent>
void read_integers(const safetensors_tensor& tensor, std::size_t first, std::span<T, Extent> out) {
  using enum safetensors_dtype;
  const safetensors_dtype dtype = tensor.dtype;
  const bool integers = dtype == u8 || dtype == i8 || dtype == i16 || dtype == u16 ||
                        dtype == i32 || dtype == u32 || dtype == i64 || dtype == u64;
  if (!integers || info_of(dtype).bits != 8 * sizeof(T))
    detail::core::fail_io("tensor " + edgerazor::quoted(tensor.name) + " has dtype " +
                          std::string{info_of(dtype).name} + ", expected integers of " +
                          std::to_string(8 * sizeof(T)) + " bits");
  detail::io::check_elements(tensor, first, out.size());
  if (!out.empty())
    std::memcpy(out.data(), tensor.bytes.data() + first * sizeof(T), out.size_bytes());
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
