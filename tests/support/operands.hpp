// SPDX-License-Identifier: Apache-2.0
/// Operands of products to test with: packed bytes of any content, int8 activations, kernels. Tests
/// only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "support/samples.hpp"
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/product/kernels.hpp>

namespace operands {

/// What the code bytes hold.
enum class content {
  any_bytes,  ///< every byte random: codes that no packer writes included
  levels,     ///< random levels that packers write
  maximal,    ///< all bits set: the largest code everywhere, and past it in base 3
  minimal     ///< all bits clear
};
inline constexpr std::array all_contents{content::any_bytes, content::levels, content::maximal,
                                         content::minimal};

/// One byte of a plane.
inline std::uint8_t draw_byte(const edgerazor::plane_info& plane, content what,
                              std::mt19937& random) {
  switch (what) {
    case content::any_bytes:
      return static_cast<std::uint8_t>(random());
    case content::maximal:
      return 255;
    case content::minimal:
      return 0;
    case content::levels:
      break;
  }
  unsigned byte = 0;
  for (unsigned f = 0; f < plane.fields(); ++f)
    byte += static_cast<unsigned>(random() % plane.radix) * plane.weight(f);
  return static_cast<std::uint8_t>(byte);
}

/// One byte of triples.
inline std::uint8_t draw_triples(content what, std::mt19937& random) {
  if (what == content::maximal) return 0xff;
  if (what == content::minimal) return 0x00;
  return static_cast<std::uint8_t>(random());
}

/// One code that packers write there. Where groups have tables, one of four of its row and group.
inline int draw_packed_code(const edgerazor::tile_layout& layout, std::size_t row, std::size_t col,
                            std::mt19937& random) {
  const edgerazor::codec_info& codec = layout.codec();
  if (codec.of_table()) {
    const std::size_t first = 5 * (row + 3 * (col / layout.group_cols()));
    return static_cast<int>((first + 8 * (random() % 4)) % 31);
  }
  if (layout.has_zeros()) return static_cast<int>(random() % (codec.largest_code() + 1));
  const int levels = (codec.max_level() - codec.min_level) / codec.level_step + 1;
  return codec.min_level + codec.zero_code +
         codec.level_step * static_cast<int>(random() % static_cast<unsigned>(levels));
}

/// A finite scale of ordinary size; one in eight is zero, subnormal, negative or the largest there
/// is.
inline float draw_scale(edgerazor::scale_kind kind, std::mt19937& random) {
  const float ordinary = 0.001f + static_cast<float>(random() % 1000) * 1e-4f;
  switch (random() % 32) {
    case 0:
      return 0.0f;
    case 1:
      return kind == edgerazor::scale_kind::float16 ? 0x1p-24f : 0x1p-130f;
    case 2:
      return -ordinary;
    case 3:
      return edgerazor::largest_scale(kind);
    default:
      return ordinary;
  }
}

/// A zero or minimum of ordinary size, or what draw_scale gives.
inline float draw_zero(edgerazor::scale_kind kind, std::mt19937& random) {
  const float ordinary = static_cast<float>(random() % 2000) * 0.0137f - 9.0f;
  return random() % 8 == 0 ? draw_scale(kind, random) : ordinary;
}

/// The 24 bytes of a group with two levels: any codes, and numbers as they are fitted.
inline void draw_two_levels(std::byte* at, std::mt19937& random) {
  for (std::size_t r = 0; r < edgerazor::tile_rows; ++r) at[r] = static_cast<std::byte>(random());
  const float numbers[] = {draw_scale(edgerazor::scale_kind::float16, random),
                           static_cast<float>(random() % 400) * 0.0137f - 1.0f,
                           draw_scale(edgerazor::scale_kind::float16, random),
                           static_cast<float>(random() % 400) * 0.137f - 9.0f};
  for (std::size_t i = 0; i < 4; ++i) {
    edgerazor::detail::matrix::write_scale(at + edgerazor::tile_rows + 2 * i,
                                           edgerazor::scale_kind::float16, numbers[i]);
  }
}

/// The bytes of a packed matrix.
inline std::vector<std::byte> draw_matrix(const edgerazor::tile_layout& layout, content what,
                                          std::mt19937& random) {
  std::vector<std::byte> bytes(layout.bytes());
  for (std::size_t tile = 0; tile < layout.tiles(); ++tile) {
    std::byte* at = bytes.data() + tile * layout.tile_bytes();
    for (std::size_t i = layout.scale_bytes(); i < layout.tile_bytes(); ++i) {
      if (layout.codec().of_triples()) {
        at[i] = std::byte{draw_triples(what, random)};
        continue;
      }
      const std::size_t p = layout.codec().plane_count == 2 && i >= layout.plane_offset(1) ? 1 : 0;
      at[i] = std::byte{draw_byte(layout.codec().plane(p), what, random)};
    }
    for (std::size_t r = 0; r < edgerazor::tile_rows && what == content::levels; ++r) {
      edgerazor::detail::matrix::row_codes codes(layout);
      for (std::size_t c = 0; c < layout.cols(); ++c)
        *codes.at(c) = static_cast<std::uint8_t>(draw_packed_code(layout, r, c, random));
      codes.write(bytes.data(), tile * edgerazor::tile_rows + r);
    }
    for (std::size_t g = 0; g < layout.groups() && layout.two_level(); ++g)
      draw_two_levels(at + g * layout.group_bytes(), random);
    if (layout.two_level()) continue;
    const edgerazor::scale_kind kind = layout.fmt().scale;
    for (std::size_t i = 0; i < layout.numbers() * edgerazor::tile_rows; ++i) {
      const bool is_zero = layout.has_zeros() && i / edgerazor::tile_rows % 2 == 1;
      edgerazor::detail::matrix::write_scale(
          at + i * edgerazor::scale_size(kind), kind,
          is_zero ? draw_zero(kind, random) : draw_scale(kind, random));
    }
  }
  return bytes;
}

/// What int8 activations hold.
enum class codes { random, largest, smallest, alternating, one_nonzero, zeros };
inline constexpr std::array all_codes{codes::random,      codes::largest,     codes::smallest,
                                      codes::alternating, codes::one_nonzero, codes::zeros};

inline std::int8_t draw_code(codes what, std::size_t col, std::size_t chosen,
                             std::mt19937& random) {
  switch (what) {
    case codes::random:
      return static_cast<std::int8_t>(static_cast<int>(random() % 256) - 128);
    case codes::largest:
      return 127;
    case codes::smallest:
      return -128;
    case codes::alternating:
      return col % 2 == 0 ? 127 : -127;
    case codes::one_nonzero:
      return col == chosen ? -127 : 0;
    case codes::zeros:
      return 0;
  }
  return 0;
}

/// Activations of several tokens, packed by hand.
inline edgerazor::packed_activations draw_activations(std::size_t cols, std::size_t group,
                                                      std::size_t tokens, codes what,
                                                      std::mt19937& random) {
  edgerazor::packed_activations x(cols, group, tokens);
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::size_t chosen = random() % cols;
    for (std::size_t c = 0; c < cols; ++c) {
      x.codes(t)[c] = draw_code(what, c, chosen, random);
      x.sums(t)[c / x.group_cols()] += x.codes(t)[c];
    }
    for (std::size_t g = 0; g < x.groups(); ++g)
      x.scales(t)[g] = static_cast<float>(random() % 1000 + 1) * 1e-4f;
  }
  return x;
}

/// Real activations: a distribution, or one of its elements made NaN or infinite.
inline std::vector<float> draw_reals(std::size_t size, std::size_t nth, std::mt19937& random) {
  std::vector<float> x = samples::draw(samples::nth_kind(nth), size, random);
  if (size > 0 && nth % 11 == 9) x[random() % size] = NAN;
  if (size > 0 && nth % 11 == 10) x[random() % size] = random() % 2 == 0 ? INFINITY : -INFINITY;
  return x;
}

/// Every kernel of this machine but the reference implementation.
inline std::vector<edgerazor::kernel> all_but_scalar() {
  std::vector<edgerazor::kernel> result;
  for (const edgerazor::kernel& k : edgerazor::available_kernels()) {
    if (k.name != "scalar") result.push_back(k);
  }
  return result;
}

}  // namespace operands
