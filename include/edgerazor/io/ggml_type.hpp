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
#include <edgerazor/matrix/format.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Type ids as ggml assigns them; I2_S is bitnet.cpp's. Forks give other meanings to some ids, so
/// the size that follows from a type is always compared with the file.
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
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  i2_s = 36,
  mxfp4 = 39,
  nvfp4 = 40,
  q1_0 = 41,
  q2_0 = 42
};

/// One type. `block` consecutive elements of a row are stored in `block_bytes` bytes.
struct ggml_type_info {
  /// A row of whole blocks, at any address, to floats; scales and minima are multiplied by `factor`
  /// first, which is 1 but where a tensor has a scale of its own.
  using row_decoder = void (*)(const std::byte* row, float factor,
                               std::span<float> values) noexcept;
  /// The codes of a block: levels, or 0 .. 2^bits - 1 where `packed` has a zero.
  using code_reader = void (*)(const std::byte* block, std::int8_t* codes) noexcept;
  /// The scale of each group of a block, and its zero or minimum where it has one. A plain element
  /// counts as its own scale.
  using number_reader = void (*)(const std::byte* block, float* scales, float* zeros) noexcept;
  /// The levels, the scale and, of a type that has it, the minimum of one block into its bytes,
  /// copied.
  using block_encoder = void (*)(const std::int8_t* levels, float16 scale, float16 minimum,
                                 std::byte* block) noexcept;

  ggml_type type;
  std::string_view name;  ///< as ggml writes it
  std::uint32_t block;
  std::uint32_t block_bytes;
  row_decoder decode = nullptr;  ///< null: a tensor of the type is listed and copied, not read
  number_reader numbers = nullptr;
  code_reader codes = nullptr;     ///< null: elements are stored as they are, or not read
  format packed{};                 ///< of which packed format the codes and numbers are
  block_encoder encode = nullptr;  ///< null: codes are not exported to the type
  std::uint32_t tail_bytes = 0;    ///< bytes behind a tensor's blocks, a float first: its scale

  /// Whether decode_ggml_row() reads it.
  [[nodiscard]] constexpr bool decoded() const noexcept { return decode != nullptr; }
  /// Whether it stores codes and scales: a file that holds such a tensor declares
  /// general.quantization_version.
  [[nodiscard]] constexpr bool quantized() const noexcept { return block > 1; }
  /// F32, F16 and BF16: elements stored as they are, and decoded.
  [[nodiscard]] constexpr bool real() const noexcept { return decoded() && !quantized(); }
  /// Elements of a block that share a scale, and how often a block has so many: at most 16.
  [[nodiscard]] constexpr std::size_t group() const noexcept {
    return codes == nullptr || packed.group == 0 ? block : packed.group;
  }
  [[nodiscard]] constexpr std::size_t groups() const noexcept { return block / group(); }
};

namespace detail::io {

inline constexpr std::size_t max_block = 256, max_block_groups = 16;

template <class Block>
void decode_blocks(const std::byte* row, float factor, std::span<float> values) noexcept {
  constexpr zero_kind zero = Block::fmt.zero;
  constexpr std::size_t group = Block::fmt.group == 0 ? Block::elements : Block::fmt.group;
  std::int8_t codes[Block::elements];
  float scales[Block::elements / group], zeros[Block::elements / group] = {};
  for (float* x = values.data(); x != values.data() + values.size(); row += Block::bytes) {
    Block::codes(row, codes);
    Block::numbers(row, scales, zeros);
    for (std::size_t g = 0; g < Block::elements / group; ++g, x += group) {
      const float scale = scales[g] * factor,
                  other = zero == zero_kind::minimum ? zeros[g] * factor : zeros[g];
      for (std::size_t i = 0; i < group; ++i) {
        const auto code = static_cast<float>(codes[g * group + i]);
        if constexpr (zero == zero_kind::none) {
          x[i] = code * scale;
        } else {
          x[i] = policy::value_of<zero>(code, scale, other);
        }
      }
    }
  }
}

inline void decode_f32(const std::byte* row, float, std::span<float> values) noexcept {
  if (!values.empty()) std::memcpy(values.data(), row, values.size_bytes());
}

/// float16 or bfloat16.
template <real_element T>
void decode_halves(const std::byte* row, float, std::span<float> values) noexcept {
  constexpr std::size_t step = 64;
  T elements[step];
  for (std::size_t c = 0; c < values.size(); c += step) {
    const std::size_t count = std::min(step, values.size() - c);
    std::memcpy(elements, row + c * sizeof(T), count * sizeof(T));
    core::convert_elements(elements, count, values.data() + c);
  }
}

template <float (*read)(const std::byte* at) noexcept>
void read_element(const std::byte* at, float* value, float*) noexcept {
  *value = read(at);
}

/// The row of a type by its struct in ggml_blocks.hpp.
template <class Block>
constexpr ggml_type_info type_of_blocks(ggml_type type, std::string_view name) noexcept {
  ggml_type_info info{
      type,           name,         Block::elements, Block::bytes, decode_blocks<Block>,
      Block::numbers, Block::codes, Block::fmt};
  if constexpr (requires { Block::encode; }) info.encode = Block::encode;
  if constexpr (requires { Block::tail; }) info.tail_bytes = Block::tail;
  return info;
}

}  // namespace detail::io

/// Every type a reader accepts. Those of IQ1, IQ2 and IQ3 need ggml's codebooks to be decoded, and
/// integers are no weights: they are listed and copied.
inline constexpr auto ggml_types = [] {
  namespace io = detail::io;
  namespace blocks = detail::io::blocks;
  using enum ggml_type;
  return std::array{
      ggml_type_info{f32, "F32", 1, 4, io::decode_f32, io::read_element<io::read_f32>},
      ggml_type_info{f16, "F16", 1, 2, io::decode_halves<float16>, io::read_element<io::read_f16>},
      ggml_type_info{bf16, "BF16", 1, 2, io::decode_halves<bfloat16>,
                     io::read_element<io::read_bf16>},
      io::type_of_blocks<blocks::q8_0>(q8_0, "Q8_0"),
      io::type_of_blocks<blocks::q4_0>(q4_0, "Q4_0"),
      io::type_of_blocks<blocks::q4_1>(q4_1, "Q4_1"),
      io::type_of_blocks<blocks::q5_0>(q5_0, "Q5_0"),
      io::type_of_blocks<blocks::q5_1>(q5_1, "Q5_1"),
      io::type_of_blocks<blocks::q2_k>(q2_k, "Q2_K"),
      io::type_of_blocks<blocks::q3_k>(q3_k, "Q3_K"),
      io::type_of_blocks<blocks::q4_k>(q4_k, "Q4_K"),
      io::type_of_blocks<blocks::q5_k>(q5_k, "Q5_K"),
      io::type_of_blocks<blocks::q6_k>(q6_k, "Q6_K"),
      io::type_of_blocks<blocks::iq4_nl>(iq4_nl, "IQ4_NL"),
      io::type_of_blocks<blocks::iq4_xs>(iq4_xs, "IQ4_XS"),
      io::type_of_blocks<blocks::mxfp4>(mxfp4, "MXFP4"),
      io::type_of_blocks<blocks::nvfp4>(nvfp4, "NVFP4"),
      io::type_of_blocks<blocks::q1_0>(q1_0, "Q1_0"),
      io::type_of_blocks<blocks::q2_0>(q2_0, "Q2_0"),
      io::type_of_blocks<blocks::tq1_0>(tq1_0, "TQ1_0"),
      io::type_of_blocks<blocks::tq2_0>(tq2_0, "TQ2_0"),
      io::type_of_blocks<blocks::i2_s>(i2_s, "I2_S"),
      ggml_type_info{iq1_s, "IQ1_S", 256, 50},
      ggml_type_info{iq1_m, "IQ1_M", 256, 56},
      ggml_type_info{iq2_xxs, "IQ2_XXS", 256, 66},
      ggml_type_info{iq2_xs, "IQ2_XS", 256, 74},
      ggml_type_info{iq2_s, "IQ2_S", 256, 82},
      ggml_type_info{iq3_xxs, "IQ3_XXS", 256, 98},
      ggml_type_info{iq3_s, "IQ3_S", 256, 110},
      ggml_type_info{i8, "I8", 1, 1},
      ggml_type_info{i16, "I16", 1, 2},
      ggml_type_info{i32, "I32", 1, 4},
      ggml_type_info{i64, "I64", 1, 8},
      ggml_type_info{f64, "F64", 1, 8},
  };
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
/// is NaN or infinite gives such values. A scale of the whole tensor is not in its rows: see
/// gguf_reader::read_rows.
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
  info.decode(row.data(), 1, values);
}

namespace detail::io {

/// The numbers of one block of a decoded type, multiplied by `factor`: `scales` and `zeros` have
/// room for max_block_groups. False where one is NaN or infinite, or a scale so large that a value
/// might be.
[[nodiscard]] inline bool read_numbers(const ggml_type_info& info, const std::byte* block,
                                       float factor, float* scales, float* zeros) noexcept {
  info.numbers(block, scales, zeros);
  if (info.codes == nullptr) return policy::is_finite(*scales);
  constexpr float most = 128;  // no level is larger
  for (std::size_t g = 0; g < info.groups(); ++g) {
    scales[g] *= factor;
    if (info.packed.zero == zero_kind::minimum) zeros[g] *= factor;
    const float other = info.packed.zero == zero_kind::none ? 0 : zeros[g];
    if (!policy::is_finite(most * std::fabs(scales[g]) + std::fabs(other))) return false;
  }
  return true;
}

// What is decoded has numbers to check, blocks and their groups fit what reads them, and what is
// encoded can be decoded.
[[nodiscard]] constexpr bool are_consistent() noexcept {
  return std::ranges::all_of(ggml_types, [](const ggml_type_info& info) {
    return info.decoded() == (info.numbers != nullptr) &&
           (info.codes != nullptr) == (info.decoded() && info.quantized()) &&
           (info.encode == nullptr || info.codes != nullptr) && info.block <= max_block &&
           info.groups() <= max_block_groups && info.block % info.group() == 0 &&
           (info.codes == nullptr || info.block % 32 == 0);
  });
}
EDGERAZOR_ASSERT_OF_ADDRESSES(are_consistent());

}  // namespace detail::io

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
