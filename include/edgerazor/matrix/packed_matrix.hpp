// SPDX-License-Identifier: Apache-2.0
/// A packed matrix: bytes in the tile layout, owned (`packed_matrix`) or referred to
/// (`packed_view`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/matrix/tile_layout.hpp>
#include <edgerazor/policy/granularity.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A packed matrix in memory someone else owns, a mapped file for instance. What every kernel
/// takes.
class packed_view {
 public:
  packed_view() = default;
  /// Fails unless `bytes` has exactly the size that the layout takes.
  packed_view(const tile_layout& layout, std::span<const std::byte> bytes)
      : data_(bytes.data()), layout_(layout) {
    if (bytes.size() != layout.bytes()) {
      detail::core::fail("packed matrix " + layout.fmt().name() + " of " +
                         detail::core::shape_text(layout.rows(), layout.cols()) + ": expected " +
                         std::to_string(layout.bytes()) + " bytes, got " +
                         std::to_string(bytes.size()));
    }
  }

  [[nodiscard]] const tile_layout& layout() const noexcept { return layout_; }
  [[nodiscard]] std::size_t rows() const noexcept { return layout_.rows(); }
  [[nodiscard]] std::size_t cols() const noexcept { return layout_.cols(); }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {data_, layout_.bytes()};
  }
  /// First byte of a tile: its scales.
  [[nodiscard]] const std::byte* tile(std::size_t index) const noexcept {
    return data_ + index * layout_.tile_bytes();
  }

 private:
  const std::byte* data_ = nullptr;
  tile_layout layout_;
};

namespace detail::matrix {
inline float read_scale(const std::byte* at, scale_kind kind) noexcept {
  if (kind == scale_kind::float32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return kind == scale_kind::float16 ? float{float16::from_bits(bits)}
                                     : float{bfloat16::from_bits(bits)};
}

inline void write_scale(std::byte* at, scale_kind kind, float value) noexcept {
  if (kind == scale_kind::float32) {
    std::memcpy(at, &value, sizeof value);
    return;
  }
  const std::uint16_t bits =
      kind == scale_kind::float16 ? float16{value}.bits : bfloat16{value}.bits;
  std::memcpy(at, &bits, sizeof bits);
}

/// Scale and zero of row r of a tile in a group with two levels, whose first byte is `at`.
inline group_fit read_two_level(const std::byte* at, std::size_t r) noexcept {
  float numbers[4];
  for (std::size_t i = 0; i < 4; ++i)
    numbers[i] = read_scale(at + tile_rows + i * sizeof(float16), scale_kind::float16);
  const int byte = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(at[r]));
  using policy::value_of;
  constexpr zero_kind point = zero_kind::point;
  return {value_of<point>(static_cast<float>(byte & 7), numbers[0], numbers[1]),
          value_of<point>(static_cast<float>(byte >> 3), numbers[2], numbers[3])};
}

/// What a scale becomes by being stored.
inline float round_scale(float value, scale_kind kind) noexcept {
  if (kind == scale_kind::float16) return float16{value};
  if (kind == scale_kind::bfloat16) return bfloat16{value};
  return value;
}

/// Makes all triples of a tile zero.
inline void clear_triples(const tile_layout& layout, std::byte* chunks) noexcept {
  constexpr std::byte one{0x01}, two{0x11};  // an index in a byte, or two
  constexpr std::byte blocks[] = {one, two, one, two, two};
  std::memset(chunks, 0, layout.triple_bytes());
  for (std::size_t p = 0; p < layout.pairs(); p += triples::chunk_pairs) {
    for (const std::byte block : blocks) {
      std::memset(chunks, std::to_integer<int>(block), triples::block_bytes);
      chunks += triples::block_bytes;
    }
  }
}

/// Makes all levels and scales of a packed matrix zero; where groups have zeros, all codes and
/// zeros.
inline void clear_tiles(const tile_layout& layout, std::byte* matrix) noexcept {
  for (std::size_t tile = 0; tile < layout.tiles(); ++tile, matrix += layout.tile_bytes()) {
    std::memset(matrix, 0, layout.scale_bytes());
    std::memset(matrix + layout.scale_bytes(), layout.zero_code(), layout.table_bytes());
    for (std::size_t p = 0; p < layout.codec().plane_count; ++p) {
      std::memset(matrix + layout.plane_offset(p), layout.codec().byte_of(layout.zero_code(), p),
                  layout.chunks(p) * chunk_bytes);
    }
    if (layout.codec().of_triples()) clear_triples(layout, matrix + layout.scale_bytes());
  }
}
}  // namespace detail::matrix

/// The scale of one group of one row, as the kernels use it. Indices are not checked.
[[nodiscard]] inline float scale_at(const packed_view& matrix, std::size_t row,
                                    std::size_t group) noexcept {
  if (matrix.layout().two_level()) {
    return detail::matrix::read_two_level(
               matrix.bytes().data() + matrix.layout().group_offset(row, group), row % tile_rows)
        .scale;
  }
  return detail::matrix::read_scale(
      matrix.bytes().data() + matrix.layout().scale_offset(row, group),
      matrix.layout().fmt().scale);
}

/// The zero of one group of one row, as the kernels use it: z or m of format.hpp; of a format that
/// has no zeros the codec's zero_code. Indices are not checked.
[[nodiscard]] inline float zero_at(const packed_view& matrix, std::size_t row,
                                   std::size_t group) noexcept {
  if (!matrix.layout().has_zeros()) return static_cast<float>(matrix.layout().zero_code());
  if (matrix.layout().two_level()) {
    return detail::matrix::read_two_level(
               matrix.bytes().data() + matrix.layout().group_offset(row, group), row % tile_rows)
        .zero;
  }
  return detail::matrix::read_scale(matrix.bytes().data() + matrix.layout().zero_offset(row, group),
                                    matrix.layout().fmt().scale);
}

/// Owned bytes of a packed matrix whose format is known at run time. Moved from, it has no rows.
class packed_storage {
 public:
  packed_storage() = default;
  /// All levels and scales zero. `memory`: where the bytes come from, see byte_storage.
  explicit packed_storage(const tile_layout& layout, std::pmr::memory_resource* memory = nullptr)
      : layout_(layout), bytes_(layout.bytes(), memory) {
    detail::matrix::clear_tiles(layout, bytes_.data());
  }

  [[nodiscard]] const tile_layout& layout() const noexcept { return layout_; }
  [[nodiscard]] std::byte* data() noexcept { return bytes_.data(); }
  [[nodiscard]] packed_view view() const { return {layout_, {bytes_.data(), bytes_.size()}}; }
  /// The bytes, which stay where they are: views of them remain valid.
  [[nodiscard]] byte_storage release() && noexcept {
    *layout_ = {};
    return std::move(bytes_);
  }

 private:
  detail::core::moved_along<tile_layout> layout_;
  byte_storage bytes_;
};

namespace detail::matrix {
/// The zero of a policy's groups.
template <group_policy Policy>
inline constexpr zero_kind zero_of = zero_kind::none;
template <zero_quantizer Policy>
inline constexpr zero_kind zero_of<Policy> = Policy::zero;

/// Whether a codec has all codes of a policy.
template <zero_quantizer Policy>
[[nodiscard]] constexpr bool holds_levels(const codec_info& codec) noexcept {
  return codec.has_zero_form() && codec.largest_code() >= (1u << Policy::bits) - 1;
}
/// Whether a codec has all levels of a policy.
template <quantizer Policy>
[[nodiscard]] constexpr bool holds_levels(const codec_info& codec) noexcept {
  constexpr int count = (Policy::max_level - Policy::min_level) / policy::level_step<Policy> + 1;
  return Policy::min_level >= codec.min_level && Policy::max_level <= codec.max_level() &&
         policy::level_step<Policy> % codec.level_step == 0 &&
         (!codec.of_table() || count <= codec.most_levels());
}
/// Whether a codec has a table for a policy's levels.
template <table_quantizer Policy>
[[nodiscard]] constexpr bool holds_levels(const codec_info& codec) noexcept {
  return codec.of_table() && Policy::largest_level <= codec.max_level();
}

/// The codec of fewest bits, base 3 and triples aside.
template <group_policy Policy>
[[nodiscard]] constexpr code_type narrowest_codec() noexcept {
  for (const code_type type :
       {code_type::binary, code_type::ternary2, code_type::int2, code_type::int3, code_type::int4,
        code_type::int5, code_type::int6, code_type::table2}) {
    if (holds_levels<Policy>(codec_of(type))) return type;
  }
  return code_type::int8;
}
}  // namespace detail::matrix

/// The narrowest codec that holds a policy's levels; of ternary's three the one of 2 bits.
template <group_policy Policy>
using default_codec = codecs::codec<detail::matrix::narrowest_codec<Policy>()>;

namespace detail::matrix {
/// Columns of a policy's group: N, or 0 for a whole row; 1, which the check in packed_matrix
/// refuses, where it has no packed form.
template <class Granularity>
inline constexpr std::uint32_t packed_group = 1;
template <>
inline constexpr std::uint32_t packed_group<per_channel> = 0;
template <std::size_t N>
inline constexpr std::uint32_t packed_group<per_group<N>> =
    N <= format::largest_group ? static_cast<std::uint32_t>(N) : 1;
}  // namespace detail::matrix

/// An owned packed matrix of one policy. `Codec` chooses the storage where there is a choice:
/// `packed_matrix<ternary<per_group<256>>, codecs::ternary5>` keeps ternary codes at 1.6 bits.
template <group_policy Policy, class Codec = default_codec<Policy>>
class packed_matrix {
 public:
  using policy = Policy;
  static constexpr format fmt{
      Codec::type, detail::matrix::packed_group<typename Policy::granularity>,
      scale_kind_of<typename Policy::scale_type>, detail::matrix::zero_of<Policy>};
  static_assert(fmt.group % format::group_multiple == 0 && fmt.group <= format::largest_group,
                "packed_matrix: expected per_channel, or per_group<N> with N a multiple of 4 and "
                "at most 65536");
  static_assert(detail::matrix::holds_levels<Policy>(codec_of(Codec::type)),
                "packed_matrix: the codec has too few levels for the policy");

  packed_matrix() = default;
  /// All levels and scales zero. `memory`: where the bytes come from, see byte_storage.
  packed_matrix(std::size_t rows, std::size_t cols, std::pmr::memory_resource* memory = nullptr)
      : storage_(tile_layout(fmt, rows, cols), memory) {}

  [[nodiscard]] std::size_t rows() const noexcept { return storage_.layout().rows(); }
  [[nodiscard]] std::size_t cols() const noexcept { return storage_.layout().cols(); }
  [[nodiscard]] packed_view view() const { return storage_.view(); }
  operator packed_view() const { return view(); }
  [[nodiscard]] std::span<const std::byte> bytes() const { return view().bytes(); }
  [[nodiscard]] packed_storage& storage() noexcept { return storage_; }

 private:
  packed_storage storage_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
