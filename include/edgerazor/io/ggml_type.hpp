// SPDX-License-Identifier: Apache-2.0
/// Tensor types of GGUF files: one row each says how many bytes hold how many elements, and which
/// functions read and write them (ggml_blocks.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/io/ggml_blocks.hpp>
#include <edgerazor/policy/zero.hpp>

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

/// One type. `block` consecutive elements of a row are stored in `block_bytes` bytes.
struct ggml_type_info {
  /// A row of whole blocks, at any address, to floats.
  using row_decoder = void (*)(const ggml_type_info& info, const std::byte* row,
                               std::span<float> values) noexcept;
  /// The levels, the scale and, of a type that has it, the minimum of one block into its bytes,
  /// copied.
  using block_encoder = void (*)(const std::int8_t* levels, float16 scale, float16 minimum,
                                 std::byte* block) noexcept;
  /// The numbers that scale a block's elements; a plain element counts as its own.
  struct block_scales {
    float (*read)(const std::byte* at) noexcept = nullptr;
    std::size_t count = 0;
    std::array<std::size_t, 2> offsets{};  ///< bytes from the block's first
  };

  ggml_type type;
  std::string_view name;  ///< as ggml writes it
  std::uint32_t block;
  std::uint32_t block_bytes;
  row_decoder decode = nullptr;      ///< null: a tensor of the type is listed and copied, not read
  block_scales scales{};             ///< none where nothing is decoded
  block_encoder encode = nullptr;    ///< null: codes are not exported to the type
  int min_level = 0, max_level = 0;  ///< what `encode` takes
  zero_kind zero = zero_kind::none;  ///< what a block has beside its scale

  /// Whether decode_ggml_row() reads it.
  [[nodiscard]] constexpr bool decoded() const noexcept { return decode != nullptr; }
  /// Whether it stores codes and scales: a file that holds such a tensor declares
  /// general.quantization_version.
  [[nodiscard]] constexpr bool quantized() const noexcept { return block > 1; }
  /// F32, F16 and BF16: elements stored as they are, and decoded.
  [[nodiscard]] constexpr bool real() const noexcept { return decoded() && !quantized(); }
};

namespace detail::io {

template <void (*decode)(const std::byte* block, float* values) noexcept>
void decode_blocks(const ggml_type_info& info, const std::byte* row,
                   std::span<float> values) noexcept {
  for (std::size_t c = 0; c < values.size(); c += info.block, row += info.block_bytes)
    decode(row, values.data() + c);
}

inline void decode_f32(const ggml_type_info&, const std::byte* row,
                       std::span<float> values) noexcept {
  if (!values.empty()) std::memcpy(values.data(), row, values.size_bytes());
}

/// float16 or bfloat16.
template <real_element T>
void decode_halves(const ggml_type_info&, const std::byte* row, std::span<float> values) noexcept {
  constexpr std::size_t step = 64;
  T elements[step];
  for (std::size_t c = 0; c < values.size(); c += step) {
    const std::size_t count = std::min(step, values.size() - c);
    std::memcpy(elements, row + c * sizeof(T), count * sizeof(T));
    core::convert_elements(elements, count, values.data() + c);
  }
}

constexpr ggml_type_info::block_scales f16_at(std::size_t offset) noexcept {
  return {read_f16, 1, {offset, 0}};
}
constexpr ggml_type_info::block_scales f16_at(std::size_t first, std::size_t second) noexcept {
  return {read_f16, 2, {first, second}};
}

}  // namespace detail::io

/// Every type a reader accepts: id, name, elements and bytes of a block; then, where they exist,
/// the decoder, the block's scales, the encoder and its levels.
inline constexpr auto ggml_types = [] {
  namespace io = detail::io;
  using enum ggml_type;
  return std::array<ggml_type_info, 20>{{
      {f32, "F32", 1, 4, io::decode_f32, {io::read_f32, 1}},
      {f16, "F16", 1, 2, io::decode_halves<float16>, {io::read_f16, 1}},
      {bf16, "BF16", 1, 2, io::decode_halves<bfloat16>, {io::read_bf16, 1}},
      {q8_0, "Q8_0", 32, 34, io::decode_blocks<io::decode_q8_0>, io::f16_at(0)},
      {q4_0, "Q4_0", 32, 18, io::decode_blocks<io::decode_q4_0>, io::f16_at(0), io::encode_q4_0, -8,
       7},
      {q4_1, "Q4_1", 32, 20, io::decode_blocks<io::decode_q4_1>, io::f16_at(0, 2), io::encode_q4_1,
       0, 15, zero_kind::minimum},
      {q5_0, "Q5_0", 32, 22, io::decode_blocks<io::decode_q5_0>, io::f16_at(0)},
      {q5_1, "Q5_1", 32, 24},
      {q2_k, "Q2_K", 256, 84},
      {q3_k, "Q3_K", 256, 110},
      {q4_k, "Q4_K", 256, 144},
      {q5_k, "Q5_K", 256, 176},
      {q6_k, "Q6_K", 256, 210, io::decode_blocks<io::decode_q6_k>, io::f16_at(208)},
      {tq1_0, "TQ1_0", 256, 54, io::decode_blocks<io::decode_tq1_0>, io::f16_at(52),
       io::encode_tq1_0, -1, 1},
      {tq2_0, "TQ2_0", 256, 66, io::decode_blocks<io::decode_tq2_0>, io::f16_at(64),
       io::encode_tq2_0, -1, 1},
      {i8, "I8", 1, 1},
      {i16, "I16", 1, 2},
      {i32, "I32", 1, 4},
      {i64, "I64", 1, 8},
      {f64, "F64", 1, 8},
  }};
}();

/// The entry of a type id read from a file; null for an id that is not listed.
[[nodiscard]] constexpr const ggml_type_info* find_ggml_type(std::uint32_t id) noexcept {
  for (const ggml_type_info& info : ggml_types)
    if (static_cast<std::uint32_t>(info.type) == id) return &info;
  return nullptr;
}

/// The entry of a type; fails on a value that is not listed.
[[nodiscard]] constexpr const ggml_type_info& info_of(ggml_type type) {
  const auto id = static_cast<std::uint32_t>(type);
  if (const ggml_type_info* const info = find_ggml_type(id)) return *info;
  detail::core::fail("ggml_type: " + std::to_string(id) + " is not a listed tensor type");
}

/// One row of a GGUF tensor to floats. Fails where the type is not decoded, values.size() is not
/// whole blocks, or `row` is not the bytes of so many. Any bytes decode to something; a scale that
/// is NaN or infinite gives such values.
inline void decode_ggml_row(ggml_type type, std::span<const std::byte> row,
                            std::span<float> values) {
  const ggml_type_info& info = info_of(type);
  if (!info.decoded()) {
    detail::core::fail("decode_ggml_row: the type " + std::string{info.name} + " is not decoded");
  }
  if (values.size() % info.block != 0 || row.size() % info.block_bytes != 0 ||
      row.size() / info.block_bytes != values.size() / info.block) {
    detail::core::fail("decode_ggml_row: " + std::to_string(row.size()) + " bytes of " +
                       std::string{info.name} + " are not a row of " +
                       std::to_string(values.size()) + " elements");
  }
  info.decode(info, row.data(), values);
}

namespace detail::io {

/// Whether the scales of one block of a decoded type are finite numbers.
[[nodiscard]] inline bool has_finite_scales(const ggml_type_info& info,
                                            const std::byte* block) noexcept {
  for (std::size_t i = 0; i < info.scales.count; ++i)
    if (!std::isfinite(info.scales.read(block + info.scales.offsets[i]))) return false;
  return true;
}

// What is decoded has scales to check, they lie in the block, and what is encoded can be decoded.
static_assert(std::ranges::all_of(ggml_types, [](const ggml_type_info& info) {
  const ggml_type_info::block_scales& scales = info.scales;
  return info.decoded() == (scales.count > 0) && info.decoded() == (scales.read != nullptr) &&
         std::ranges::all_of(scales.offsets,
                             [&](std::size_t at) { return at < info.block_bytes; }) &&
         (info.encode != nullptr) == (info.min_level < info.max_level) &&
         (info.encode == nullptr || info.decoded());
}));

}  // namespace detail::io

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
