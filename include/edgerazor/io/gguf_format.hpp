// SPDX-License-Identifier: Apache-2.0
/// What GGUF reader and writer share: value types, tensor descriptions, limits.
///
/// GGUF v3 (little-endian, nothing aligned before the data):
///
///     file   = "GGUF" | u32 version | u64 tensors | u64 keys | key... | tensor... | padding | data
///     key    = string name | u32 type | value
///     string = u64 length | bytes
///     array  = u32 type | u64 n | n values
///     tensor = string name | u32 n_dims | u64 dims[n_dims] | u32 type | u64 offset in data
///
/// The data and every tensor in it begin at multiples of `general.alignment` (32 by default).
/// dims[0] varies fastest: it is the number of columns of a matrix.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/ggml_type.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Type of a metadata value.
enum class gguf_type : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

/// One key and its value as the file holds it.
struct metadata_entry {
  std::string_view key;
  gguf_type type = gguf_type::u8;
  gguf_type element = gguf_type::u8;  ///< type of an array's elements; else equal to `type`
  std::size_t count = 1;              ///< elements of an array; else 1
  std::span<const std::byte> value;   ///< the value's bytes; an array's without its type and count
};

/// One tensor of an open file. `name` and `bytes` refer to the file's memory.
struct tensor_info {
  std::string_view name;
  ggml_type type = ggml_type::f32;
  std::size_t dim_count = 0;
  std::array<std::size_t, 4> dims{1, 1, 1, 1};  ///< dims[0] = columns; 1 beyond dim_count
  std::span<const std::byte> bytes;

  [[nodiscard]] std::size_t cols() const noexcept { return dims[0]; }
  /// All dimensions but the first, multiplied; 0 for a tensor without elements.
  [[nodiscard]] std::size_t rows() const noexcept {
    for (const std::size_t dim : dims)
      if (dim == 0) return 0;
    return dims[1] * dims[2] * dims[3];
  }
  /// Bytes of one row.
  [[nodiscard]] std::size_t row_bytes() const {
    return dims[0] / info_of(type).block * info_of(type).block_bytes;
  }
};

namespace detail::io {

inline constexpr std::uint32_t gguf_version = 3;
inline constexpr std::uint32_t gguf_default_alignment = 32;
inline constexpr std::string_view alignment_key = "general.alignment";

// What a reader accepts at most. ggml's own limits where it has some (name, dimensions), else far
// above any model.
inline constexpr std::size_t max_alignment = std::size_t{1} << 20;
inline constexpr std::size_t max_key_bytes = 65535;
inline constexpr std::size_t max_tensor_name_bytes = 63;
inline constexpr std::size_t max_dims = 4;
inline constexpr std::size_t max_keys = std::size_t{1} << 16;
inline constexpr std::size_t max_tensors = std::size_t{1} << 20;
/// Everything before the tensors' data, together: the budget that all counts and lengths draw on.
inline constexpr std::size_t max_header_bytes = std::size_t{1} << 28;

inline constexpr std::array<std::string_view, 13> gguf_type_names{
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

[[nodiscard]] constexpr std::string_view name_of(gguf_type type) noexcept {
  return gguf_type_names[static_cast<std::size_t>(type)];
}

/// Bytes of a scalar; 0 for strings and arrays, whose length is in the file.
[[nodiscard]] constexpr std::size_t size_of(gguf_type type) noexcept {
  constexpr std::array<std::size_t, 13> sizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return sizes[static_cast<std::size_t>(type)];
}

/// The value type that holds a C++ type.
template <class T>
inline constexpr gguf_type type_of = gguf_type::array;  // not a scalar
template <>
inline constexpr gguf_type type_of<std::uint8_t> = gguf_type::u8;
template <>
inline constexpr gguf_type type_of<std::int8_t> = gguf_type::i8;
template <>
inline constexpr gguf_type type_of<std::uint16_t> = gguf_type::u16;
template <>
inline constexpr gguf_type type_of<std::int16_t> = gguf_type::i16;
template <>
inline constexpr gguf_type type_of<std::uint32_t> = gguf_type::u32;
template <>
inline constexpr gguf_type type_of<std::int32_t> = gguf_type::i32;
template <>
inline constexpr gguf_type type_of<std::uint64_t> = gguf_type::u64;
template <>
inline constexpr gguf_type type_of<std::int64_t> = gguf_type::i64;
template <>
inline constexpr gguf_type type_of<float> = gguf_type::f32;
template <>
inline constexpr gguf_type type_of<double> = gguf_type::f64;
template <>
inline constexpr gguf_type type_of<bool> = gguf_type::boolean;

/// A C++ type with a GGUF scalar type of its own.
template <class T>
concept gguf_scalar = type_of<T> != gguf_type::array;

/// The next multiple of a power of two, or nothing where it exceeds the machine's size_t.
[[nodiscard]] constexpr std::optional<std::size_t> checked_align(std::size_t at,
                                                                 std::size_t alignment) noexcept {
  const std::size_t mask = alignment - 1;
  if (at > std::numeric_limits<std::size_t>::max() - mask) return std::nullopt;
  return (at + mask) & ~mask;
}

/// Bytes of a tensor whose dims[0] is a multiple of the type's block, those behind its blocks
/// included; nothing where they exceed the machine's size_t. A zero dimension makes a tensor empty,
/// whatever the others are. That is asked of the dimensions: a product that is zero may have
/// wrapped. Without one, tensor_info::rows() is a factor of this size, so it can't wrap either.
[[nodiscard]] constexpr std::optional<std::size_t> tensor_bytes(
    const ggml_type_info& info, std::span<const std::size_t> dims) noexcept {
  for (const std::size_t dim : dims)
    if (dim == 0) return 0;
  std::optional<std::size_t> size =
      core::checked_product(dims[0] / info.block, std::size_t{info.block_bytes});
  for (const std::size_t dim : dims.subspan(1))
    size = size ? core::checked_product(*size, dim) : size;
  if (size && *size > std::numeric_limits<std::size_t>::max() - info.tail_bytes)
    return std::nullopt;
  return size ? std::optional{*size + info.tail_bytes} : size;
}

/// Whether `text` is UTF-8 without NUL: no overlong forms, no surrogates, nothing past U+10FFFF.
[[nodiscard]] constexpr bool is_valid_name(std::string_view text) noexcept {
  for (std::size_t i = 0, size = 0; i < text.size(); i += size) {
    size = core::utf8_size(text.substr(i));
    if (size == 0 || text[i] == '\0') return false;
  }
  return true;
}

/// A name from a file as error messages show it.
[[nodiscard]] inline std::string quoted(std::string_view name) { return edgerazor::quoted(name); }

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
