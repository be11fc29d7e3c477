// SPDX-License-Identifier: Apache-2.0
/// The layout's formulas against a walk over the bytes, and its sizes.
#include <initializer_list>
#include <limits>
#include <stdexcept>

#include <doctest/doctest.h>

#include "support/shapes.hpp"
#include "support/tile_places.hpp"
#include <edgerazor/matrix/tile_layout.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/tile_layout");

using sizes = std::initializer_list<std::size_t>;

TEST_CASE("tile_layout: every code and scale lies where the walk finds it") {
  for (const shapes::coding& coding : shapes::codings) {
    for (const std::uint32_t group : shapes::groups) {
      for (const er::scale_kind kind : shapes::kinds) {
        const er::format fmt = coding.with(group, kind);
        CAPTURE(fmt.name());
        std::size_t wrong = 0;
        for (const std::size_t rows : shapes::rows) {
          for (const std::size_t cols :
               sizes{1, 4, 5, 16, 19, 20, 21, 63, 64, 65, 80, 100, 256, 257, 576}) {
            const er::tile_layout layout(fmt, rows, cols);
            const tile_places::map places = tile_places::walk(fmt, rows, cols);
            wrong +=
                layout.bytes() != places.bytes || er::packed_bytes(fmt, rows, cols) != places.bytes;
            wrong += layout.groups() != places.groups || layout.tiles() * 16 != places.padded_rows;
            wrong += layout.slots() != (cols + 3) / 4 ||
                     layout.group_cols() != (group == 0 ? cols : group);
            for (std::size_t r = 0; r < places.padded_rows; ++r) {
              for (std::size_t g = 0; g < places.groups; ++g) {
                const std::size_t i = r * places.groups + g;
                if (fmt.two_level) {
                  wrong += layout.group_offset(r, g) + r % 16 != places.scales[i];
                  wrong += layout.group_offset(r, g) + 16 != places.numbers[i];
                  continue;
                }
                wrong += layout.scale_offset(r, g) != places.scales[i];
                wrong += layout.has_zeros() && layout.zero_offset(r, g) != places.zeros[i];
              }
            }
            wrong += layout.codec().of_triples() && 2 * layout.pairs() != places.units;
            for (std::size_t i = 0; i < places.triples.size(); ++i) {
              namespace triples = er::detail::matrix::triples;
              const std::size_t pair = i % places.units / 2, unit = i % 2;
              const triples::place at = triples::place_of(pair);
              const std::size_t chunk =
                  layout.triple_offset(i / places.units) + pair / 8 * 160 + 16 * unit;
              wrong += chunk + at.index_block != places.triples[i].index_byte ||
                       at.index_shift != places.triples[i].index_bit;
              wrong += chunk + at.sign_block != places.triples[i].sign_byte ||
                       at.sign_bit != places.triples[i].sign_bit;
            }
            for (std::size_t p = 0; p < places.planes.size(); ++p) {
              const tile_places::plane_map& plane = places.planes[p];
              const std::size_t fields = layout.codec().plane(p).fields();
              wrong += layout.chunks(p) * fields * 4 != plane.padded_cols ||
                       layout.padded_cols() < plane.padded_cols;
              for (std::size_t r = 0; r < places.padded_rows; ++r) {
                for (std::size_t c = 0; c < plane.padded_cols; ++c) {
                  const std::size_t slot = c / er::slot_cols;
                  const tile_places::place place = plane.digits[r * plane.padded_cols + c];
                  wrong += layout.row_offset(r, p) + er::chunk_bytes * (slot / fields) +
                               c % er::slot_cols !=
                           place.byte;
                  wrong += slot % fields != place.field;
                }
              }
            }
          }
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("tile_layout: stored bits for each weight") {
  const auto bits = [](er::code_type code, std::uint32_t group,
                       er::scale_kind kind = er::scale_kind::float16,
                       er::zero_kind zero = er::zero_kind::none) {
    return er::tile_layout({code, group, kind, zero}, 1600, 2560).bits_per_weight();
  };
  // Codes plus 16 bits a scale; 160 * 16 rows and 2560 columns leave no padding in any codec (2560
  // = 128 * 20).
  CHECK(bits(er::code_type::ternary2, 256) == 2 + 16.0 / 256);
  CHECK(bits(er::code_type::ternary5, 256) == 1.6 + 16.0 / 256);
  // 66 columns of a group of 64, 258 of 256, at 5 bits for 3; a row's chunks take whole lines.
  CHECK(bits(er::code_type::ternary3, 64) == 64.0 * 8 * 138 / (16 * 2560) + 16.0 / 64);
  CHECK(bits(er::code_type::ternary3, 256) == 64.0 * 8 * 135 / (16 * 2560) + 16.0 / 256);
  CHECK(bits(er::code_type::int4, 64) == 4 + 16.0 / 64);
  CHECK(bits(er::code_type::int8, 128) == 8 + 16.0 / 128);
  CHECK(bits(er::code_type::int3, 64) == 3 + 16.0 / 64);
  CHECK(bits(er::code_type::int5, 64) == 5 + 16.0 / 64);
  CHECK(bits(er::code_type::int6, 64) == 6 + 16.0 / 64);
  CHECK(bits(er::code_type::binary, 64) == 1 + 16.0 / 64);
  CHECK(bits(er::code_type::int2, 64) == 2 + 16.0 / 64);
  CHECK(bits(er::code_type::table2, 128) == 2 + 48.0 / 128);
  CHECK(bits(er::code_type::int4, 64, er::scale_kind::float16, er::zero_kind::point) ==
        4 + 32.0 / 64);
  CHECK(bits(er::code_type::int4, 32, er::scale_kind::float32, er::zero_kind::minimum) ==
        4 + 64.0 / 32);
  // A byte a row, and 64 bits for 16 rows and a group.
  CHECK(er::tile_layout(*er::format::parse("int3z_g16_q3"), 1600, 2560).bits_per_weight() ==
        3 + 8.0 / 16 + 64.0 / 256);
  CHECK(bits(er::code_type::int8, 128, er::scale_kind::float32) == 8 + 32.0 / 128);
  // One scale a row is 32 bytes a tile, which take a whole cache line.
  CHECK(bits(er::code_type::ternary5, 0) == 1.6 + 64.0 * 8 / (16 * 2560));
}

TEST_CASE("tile_layout: shapes and groups that can't be are refused") {
  using error = std::invalid_argument;
  const auto layout = [](std::uint32_t group, std::size_t rows, std::size_t cols) {
    return er::tile_layout({er::code_type::int4, group}, rows, cols).bytes();
  };
  CHECK_THROWS_WITH_AS(layout(64, 0, 64),
                       "packed matrix: expected at least one row and column, got 0 x 64", error);
  CHECK_THROWS_WITH_AS(layout(64, 3, 0),
                       "packed matrix: expected at least one row and column, got 3 x 0", error);
  CHECK_THROWS_WITH_AS(layout(6, 1, 64),
                       "packed matrix: expected a group of a multiple of 4 columns, got 6", error);
  CHECK_THROWS_AS(layout(65540, 1, 64), error);
  CHECK_THROWS_AS(layout(0, 1, 65537), error);  // a whole row is a group too
  CHECK_NOTHROW(layout(0, 1, 65536));
  CHECK_NOTHROW(layout(65536, 1, 100'000));
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  for (const std::size_t many : {largest, largest / 2, largest / 16, largest / 255}) {
    CHECK_THROWS_AS(layout(64, many, 1), error);
    CHECK_THROWS_AS(layout(64, 1, many), error);
    CHECK_THROWS_AS(layout(64, many, many), error);
  }
  CHECK_THROWS_AS(layout(64, std::size_t{1} << 32, std::size_t{1} << 32), error);
  for (const er::code_type code :
       {er::code_type::ternary2, er::code_type::ternary3, er::code_type::ternary5,
        er::code_type::binary, er::code_type::table2}) {
    CHECK_THROWS_WITH_AS(
        er::tile_layout({code, 64, er::scale_kind::float16, er::zero_kind::point}, 1, 64),
        ("packed matrix: " + std::string{er::codec_of(code).name} +
         " has no form with a zero of the group")
            .c_str(),
        error);
  }
  er::format two_level = *er::format::parse("int3z_g16_q3");
  two_level.scale = er::scale_kind::bfloat16;
  CHECK_THROWS_WITH_AS(er::tile_layout(two_level, 1, 64),
                       "packed matrix: two-level statistics are of float16 and of formats with "
                       "zeros, got int3z_g16_q3_bf16",
                       error);
  two_level.scale = er::scale_kind::float16;
  two_level.zero = er::zero_kind::none;
  CHECK_THROWS_AS(er::tile_layout(two_level, 1, 64), error);
  // What is accepted does not overflow: the size is at least that of the codes.
  for (const shapes::coding& coding : shapes::codings) {
    const er::tile_layout wide(coding.with(4, er::scale_kind::float32), 1, largest >> 9);
    CHECK(wide.bytes() / 16 > wide.cols() / 32);
  }
}

TEST_SUITE_END();
