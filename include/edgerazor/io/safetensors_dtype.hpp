// SPDX-License-Identifier: Apache-2.0
/// Element types of a safetensors file, one row each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// In the order of the format, by which its writer sorts tensors. f8_e4m3 is E4M3FN: no infinity,
/// at most 448. f4 is E2M1. The types that end in fnuz have no negative zero, whose bits are NaN.
enum class safetensors_dtype : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64
};

struct safetensors_dtype_info {
  std::string_view name;  ///< as a file's header spells it
  std::size_t bits = 0;   ///< of an element; a tensor's are a multiple of 8
};

/// Indexed by safetensors_dtype.
inline constexpr std::array<safetensors_dtype_info, 22> safetensors_dtypes{{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
}};

[[nodiscard]] constexpr const safetensors_dtype_info& info_of(safetensors_dtype dtype) noexcept {
  return safetensors_dtypes[static_cast<std::size_t>(dtype)];
}

/// The type of that name, spelled exactly so; nothing for an unknown one.
[[nodiscard]] constexpr std::optional<safetensors_dtype> find_safetensors_dtype(
    std::string_view name) noexcept {
  for (std::size_t i = 0; i < safetensors_dtypes.size(); ++i) {
    if (safetensors_dtypes[i].name == name) return static_cast<safetensors_dtype>(i);
  }
  return std::nullopt;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
