// SPDX-License-Identifier: Apache-2.0
/// Tensor types of GGUF files: how many bytes hold how many elements.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Type ids as ggml assigns them. Forks give other meanings to some ids, so the size that follows
/// from a type is always compared with the file.
enum class ggml_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35
};

/// `block` consecutive elements of a row are stored in `block_bytes` bytes.
struct ggml_type_info {
  ggml_type type;
  std::string_view name;  ///< as ggml writes it
  std::uint32_t block;
  std::uint32_t block_bytes;
  bool decoded;  ///< decode_ggml_row() reads it
  bool
      quantized;  ///< codes and scales: a file that holds one declares general.quantization_version
};

/// Every type a reader accepts. Those that are not `decoded` can be listed and copied.
inline constexpr std::array<ggml_type_info, 20> ggml_types{{
    {ggml_type::f32, "F32", 1, 4, true, false},
    {ggml_type::f16, "F16", 1, 2, true, false},
    {ggml_type::bf16, "BF16", 1, 2, true, false},
    {ggml_type::q8_0, "Q8_0", 32, 34, true, true},
    {ggml_type::q4_0, "Q4_0", 32, 18, true, true},
    {ggml_type::q4_1, "Q4_1", 32, 20, true, true},
    {ggml_type::q5_0, "Q5_0", 32, 22, true, true},
    {ggml_type::q5_1, "Q5_1", 32, 24, false, true},
    {ggml_type::q2_k, "Q2_K", 256, 84, false, true},
    {ggml_type::q3_k, "Q3_K", 256, 110, false, true},
    {ggml_type::q4_k, "Q4_K", 256, 144, false, true},
    {ggml_type::q5_k, "Q5_K", 256, 176, false, true},
    {ggml_type::q6_k, "Q6_K", 256, 210, true, true},
    {ggml_type::tq1_0, "TQ1_0", 256, 54, true, true},
    {ggml_type::tq2_0, "TQ2_0", 256, 66, true, true},
    {ggml_type::i8, "I8", 1, 1, false, false},
    {ggml_type::i16, "I16", 1, 2, false, false},
    {ggml_type::i32, "I32", 1, 4, false, false},
    {ggml_type::i64, "I64", 1, 8, false, false},
    {ggml_type::f64, "F64", 1, 8, false, false},
}};

/// The entry of a type id read from a file; null for an id that is not listed.
[[nodiscard]] constexpr const ggml_type_info* find_ggml_type(std::uint32_t id) noexcept {
  for (const ggml_type_info& info : ggml_types)
    if (static_cast<std::uint32_t>(info.type) == id) return &info;
  return nullptr;
}

/// The entry of a named type.
[[nodiscard]] constexpr const ggml_type_info& info_of(ggml_type type) noexcept {
  return *find_ggml_type(static_cast<std::uint32_t>(type));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
