// SPDX-License-Identifier: Apache-2.0
/// Ternary codes in threes, stored for a byte shuffle that looks up the product of three weights
/// with three activations.
///
/// A unit is 3 columns of a row. Its weights (w0, w1, w2) are the number
///
///     t = w0 + 3 w1 + 9 w2        -13 <= t <= 13, every number once
///
/// which is stored as its sign, a bit, and an index of 4 bits, |t| + 1. Packers write no index 0.
///
/// A group begins with a unit, and is padded to whole pairs of units, 6 columns. The pairs of a
/// row's groups follow each other; a chunk is 8 pairs of the 16 rows of a tile, five blocks of 32
/// bytes. Byte 16 * u + r of a block belongs to row r and unit u (0 or 1) of a pair:
///
///               bits 0..3              bits 4..7
///     block 0   index of pair 0        signs of pairs 3, 2, 1, 0 (bit 7)
///     block 1   index of pair 1        index of pair 2
///     block 2   index of pair 4        signs of pairs 7, 6, 5, 4 (bit 7)
///     block 3   index of pair 5        index of pair 6
///     block 4   index of pair 3        index of pair 7
///
/// So 16 bytes hold the 16 rows of one unit, which need one table of 16 entries; each index is a
/// nibble; and adding the byte of signs to itself brings the next pair's sign to its top bit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::matrix::triples {

inline constexpr std::size_t unit_cols = 3, pair_cols = 2 * unit_cols, chunk_pairs = 8;
inline constexpr std::size_t block_bytes = 32, chunk_bytes = 5 * block_bytes;
/// The magnitudes of t are 0 .. largest, their indices 1 .. largest + 1.
inline constexpr unsigned largest = 13;

/// Pairs of so many columns of a group.
[[nodiscard]] constexpr std::size_t pairs_of(std::size_t cols) noexcept {
  return (cols + pair_cols - 1) / pair_cols;
}

/// A pair's tables (kernel/contract.hpp), and those of a group of so many columns, which take
/// whole slots of 4.
inline constexpr std::size_t pair_table_bytes = 64;
[[nodiscard]] constexpr std::size_t table_bytes(std::size_t group_cols) noexcept {
  return pair_table_bytes * pairs_of((group_cols + 3) / 4 * 4);
}

/// Where a pair's indices and signs lie in its chunk: offsets of blocks, and the bits in their
/// bytes.
struct place {
  std::size_t index_block, sign_block;
  unsigned index_shift, sign_bit;
};
[[nodiscard]] constexpr place place_of(std::size_t pair) noexcept {
  const std::size_t field = pair % chunk_pairs, half = field / 4, quarter = field % 4;
  const std::size_t signs = 2 * half * block_bytes;
  const std::size_t index = quarter == 0   ? signs
                            : quarter == 3 ? 4 * block_bytes
                                           : signs + block_bytes;
  const bool high = quarter == 2 || (quarter == 3 && half == 1);
  return {index, signs, high ? 4u : 0u, static_cast<unsigned>(7 - quarter)};
}

/// The three codes (level + 1) of t + 13 = 0 .. 26, one in 8 bits of a word, the first lowest.
inline constexpr std::array<std::uint32_t, 27> codes_of = [] {
  std::array<std::uint32_t, 27> result{};
  for (unsigned t = 0; t < result.size(); ++t) result[t] = t % 3 | t / 3 % 3 << 8 | t / 9 << 16;
  return result;
}();

/// t + 13 of an index and a sign. An index that packers do not write reads as the nearest one that
/// they do.
[[nodiscard]] constexpr unsigned value_of(unsigned index, bool negative) noexcept {
  const unsigned magnitude = index == 0 ? 0 : index > largest + 1 ? largest : index - 1;
  return negative ? largest - magnitude : largest + magnitude;
}

/// t + 13 of a row's unit; `chunk` is the row's byte in the first block of the pair's chunk, and
/// `unit` which of the pair's two it is.
[[nodiscard]] inline unsigned value_at(const std::byte* chunk, std::size_t pair,
                                       std::size_t unit) noexcept {
  const place at = place_of(pair);
  const auto byte = [&](std::size_t block) {
    return std::to_integer<unsigned>(chunk[block + block_bytes / 2 * unit]);
  };
  return value_of(byte(at.index_block) >> at.index_shift & 15,
                  (byte(at.sign_block) >> at.sign_bit & 1) != 0);
}

/// Writes 8 units of a row, those of number `unit` in each pair of a chunk.
inline void write_chunk(const std::uint8_t (&values)[chunk_pairs], std::size_t unit,
                        std::byte* chunk) noexcept {
  std::uint8_t blocks[5] = {};
  for (std::size_t pair = 0; pair < chunk_pairs; ++pair) {
    const place at = place_of(pair);
    const bool negative = values[pair] < largest;
    const unsigned magnitude = negative ? largest - values[pair] : values[pair] - largest;
    std::uint8_t &index = blocks[at.index_block / block_bytes],
                 &sign = blocks[at.sign_block / block_bytes];
    index = static_cast<std::uint8_t>(index | (magnitude + 1) << at.index_shift);
    sign = static_cast<std::uint8_t>(sign | unsigned{negative} << at.sign_bit);
  }
  for (std::size_t b = 0; b < 5; ++b)
    chunk[block_bytes * b + block_bytes / 2 * unit] = std::byte{blocks[b]};
}

}  // namespace detail::matrix::triples
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
