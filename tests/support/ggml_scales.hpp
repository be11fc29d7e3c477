// SPDX-License-Identifier: Apache-2.0
/// Random blocks of GGUF types with scales as models have them. Tests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/io/ggml_type.hpp>

namespace samples {

/// Where in a block of a quantized type float16 numbers lie: scales, then a minimum where it has
/// one.
inline std::vector<std::size_t> float16_offsets(edgerazor::ggml_type type) {
  using enum edgerazor::ggml_type;
  switch (type) {
    case q4_1:
    case q5_1:
    case q4_k:
    case q5_k:
      return {0, 2};
    case q2_k:
      return {80, 82};
    case q3_k:
      return {108};
    case q6_k:
      return {208};
    case tq1_0:
      return {52};
    case tq2_0:
      return {64};
    case mxfp4:
    case nvfp4:
    case i2_s:
      return {};
    default:
      return {0};
  }
}

/// `count` blocks of a decoded quantized type: codes any, but those that its packed format has not;
/// float16 numbers drawn by `number`, scales of other kinds near 1.
template <class Number>
std::vector<std::byte> random_blocks(std::mt19937& random, const edgerazor::ggml_type_info& info,
                                     std::size_t count, const Number& number) {
  using enum edgerazor::ggml_type;
  std::vector<std::byte> bytes(count * info.block_bytes);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  const std::vector<std::size_t> offsets = float16_offsets(info.type);
  for (std::size_t b = 0; b < count; ++b) {
    std::byte* const block = bytes.data() + b * info.block_bytes;
    if (info.type == q8_0) {
      for (std::size_t i = 2; i < info.block_bytes; ++i)
        if (block[i] == std::byte{0x80}) block[i] = std::byte{0};
    }
    if (info.type == tq2_0 || info.type == i2_s) {
      for (std::size_t i = 0; i < info.block_bytes; ++i) {
        const auto codes = std::to_integer<unsigned>(block[i]);
        block[i] = static_cast<std::byte>(codes & ~(codes >> 1 & 0x55u));
      }
    }
    if (info.type == mxfp4) block[0] = static_cast<std::byte>(random() % 40 + 100);
    for (const std::size_t at : offsets) {
      const edgerazor::float16 drawn{number(b)};
      std::memcpy(block + at, &drawn.bits, 2);
    }
  }
  return bytes;
}

}  // namespace samples
