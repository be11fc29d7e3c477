// SPDX-License-Identifier: Apache-2.0
/// Bytes that are a packed matrix, and those that are not: every byte of every codec, every scale,
/// wherever it stands.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <edgerazor/matrix/validate.hpp>

namespace er = edgerazor;

namespace {

std::vector<std::byte> packed_bytes_of(const er::matrix_format& fmt, std::size_t rows,
                                       std::size_t cols) {
  std::mt19937 random(11);
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
  const er::any_matrix matrix = er::any_matrix::pack(fmt, er::matrix_view{w.data(), rows, cols});
  return {matrix.bytes().begin(), matrix.bytes().end()};
}

std::optional<std::string> fault_of(const er::matrix_format& fmt, std::size_t rows,
                                    std::size_t cols, std::span<const std::byte> bytes) {
  return er::find_fault(er::any_matrix::from_bytes(fmt, rows, cols, bytes));
}

/// Whether every code that a byte of plane p stands for, the other planes zero, is the codec's.
bool is_code_byte(const er::codec_info& codec, std::size_t p, unsigned byte) {
  const er::plane_info& plane = codec.plane(p);
  if (plane.of_table) return true;
  if (byte >= plane.weight(plane.fields())) return false;
  for (unsigned f = 0; f < plane.fields(); ++f) {
    const unsigned code = byte / plane.weight(f) % plane.radix << codec.digits[p].shift;
    const int level = static_cast<int>(code) - codec.zero_code;
    if (level < codec.min_level || level > codec.max_level()) return false;
  }
  return true;
}

}  // namespace

TEST_SUITE_BEGIN("matrix/validate");

TEST_CASE("find_fault: none in what packing makes") {
  for (const er::codec_info& codec : er::codec_list) {
    for (const char* group : {"_g4", "_g64", "_row"}) {
      for (const char* scale : {"", "_bf16", "_f32"}) {
        const std::string name = std::string{codec.name} + group + scale;
        CAPTURE(name);
        for (const auto& [rows, cols] : {std::pair{1, 1}, {16, 64}, {17, 70}, {50, 333}}) {
          const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(cols);
          const er::matrix_format fmt = *er::matrix_format::parse(name);
          CHECK_FALSE(fault_of(fmt, r, c, packed_bytes_of(fmt, r, c)));
          CHECK_FALSE(er::find_fault(er::any_matrix::empty(fmt, r, c)));
        }
      }
    }
  }
  CHECK_FALSE(er::find_fault(er::any_matrix{}));
}

TEST_CASE("find_fault: every byte of every codec, at the places of a tile's chunks") {
  constexpr std::size_t rows = 20, cols = 90;
  for (const er::codec_info& codec : er::codec_list) {
    CAPTURE(codec.name);
    const er::format packed{codec.type, 36};
    const er::tile_layout layout(packed, rows, cols);
    std::vector<std::byte> bytes = packed_bytes_of(packed, rows, cols);
    std::size_t wrong = 0;
    for (std::size_t p = 0; p < codec.plane_count; ++p) {
      const std::size_t size = layout.chunks(p) * er::chunk_bytes;
      for (const std::size_t at : {std::size_t{0}, std::size_t{37}, size - 1}) {
        std::byte& changed = bytes[layout.tile_bytes() + layout.plane_offset(p) + at];
        const std::byte before = changed;
        for (unsigned byte = 0; byte < 256; ++byte) {
          changed = static_cast<std::byte>(byte);
          const bool valid = codec.plane_count > 1 || is_code_byte(codec, p, byte);
          wrong += fault_of(packed, rows, cols, bytes).has_value() == valid;
        }
        changed = before;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("find_fault: every byte of a table, padding's too") {
  const er::format fmt{er::code_type::table2, 36};
  const er::tile_layout layout(fmt, 20, 90);
  std::vector<std::byte> bytes = packed_bytes_of(fmt, 20, 90);
  REQUIRE(layout.table_bytes() == 3 * 64);
  for (const std::size_t row : {0u, 17u, 19u, 31u}) {
    for (const std::size_t group : {0u, 1u, 2u}) {
      std::byte& changed = bytes[layout.table_offset(row, group) + 2];
      const std::byte before = changed;
      std::size_t wrong = 0;
      for (unsigned byte = 0; byte < 256; ++byte) {
        changed = static_cast<std::byte>(byte);
        wrong += fault_of(fmt, 20, 90, bytes).has_value() != (byte > 30);
      }
      CHECK(wrong == 0);
      changed = std::byte{31};
      CHECK(fault_of(fmt, 20, 90, bytes) == "entry 2 of the table of row " + std::to_string(row) +
                                                ", group " + std::to_string(group) +
                                                " is 31: expected a code of table2, 0 to 30");
      changed = before;
    }
  }
}

TEST_CASE("find_fault: an index of three columns that no packer writes") {
  const er::format fmt{er::code_type::ternary3, 64};
  const er::tile_layout layout(fmt, 20, 128);
  std::vector<std::byte> bytes = packed_bytes_of(fmt, 20, 128);
  for (const std::size_t block : {0u, 1u, 2u, 3u, 4u}) {
    std::byte& changed = bytes[layout.triple_offset(18) + 160 + 32 * block + 16];
    const std::byte before = changed;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool of_signs = block == 0 || block == 2, low = byte % 16 != 0 && byte % 16 != 15,
                 high = of_signs || (byte / 16 != 0 && byte / 16 != 15);
      changed = static_cast<std::byte>(byte);
      CHECK(fault_of(fmt, 20, 128, bytes).has_value() == !(low && high));
    }
    // Pairs 8 to 10 are columns 48 to 63, the others those of the next group from its first on.
    changed = std::byte{0};
    constexpr int cols[] = {51, 57, 64 + 9, 64 + 15, 64 + 3};
    CHECK(fault_of(fmt, 20, 128, bytes) ==
          "the code at row 18, column " + std::to_string(cols[block]) + " is none of ternary3");
    changed = before;
  }
}

TEST_CASE("find_fault: with a zero of the group every code is one, and every zero is looked at") {
  constexpr std::size_t rows = 20, cols = 90;
  for (const char* name : {"int2z_g36", "int3m_g36", "int4z_g36_bf16", "int5m_g36_f32", "int6z_g36",
                           "int8m_g36", "int8z_row"}) {
    CAPTURE(name);
    const er::matrix_format fmt = *er::matrix_format::parse(name);
    const er::tile_layout layout(fmt.first, rows, cols);
    std::vector<std::byte> bytes = packed_bytes_of(fmt, rows, cols);
    CHECK_FALSE(fault_of(fmt, rows, cols, bytes));
    for (const int byte : {0x00, 0x5a, 0xff}) {
      for (std::size_t i = layout.scale_bytes(); i < layout.tile_bytes(); ++i)
        bytes[i] = static_cast<std::byte>(byte);
      CHECK_FALSE(fault_of(fmt, rows, cols, bytes));
    }
    std::size_t wrong = 0;
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t g = 0; g < layout.groups(); ++g) {
          for (const bool of_zero : {false, true}) {
            std::byte* const at =
                bytes.data() + (of_zero ? layout.zero_offset(r, g) : layout.scale_offset(r, g));
            const float before = er::detail::matrix::read_scale(at, fmt.first.scale);
            er::detail::matrix::write_scale(at, fmt.first.scale, bad);
            const std::string what = of_zero ? "zero" : "scale";
            wrong += fault_of(fmt, rows, cols, bytes) !=
                     "the " + what + " of row " + std::to_string(r) + ", group " +
                         std::to_string(g) + " is " + (std::isnan(bad) ? "NaN" : "infinite") +
                         ": expected finite " + what + "s";
            er::detail::matrix::write_scale(at, fmt.first.scale, before);
          }
        }
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("find_fault: the first wrong code is named") {
  const er::format two{er::code_type::ternary2, 64}, three{er::code_type::ternary5, 64},
      eight{er::code_type::int8, 64};
  std::vector<std::byte> bytes = packed_bytes_of(two, 20, 64);
  // Row 18, column 4 * 5 + 3: chunk 1, field 1.
  bytes[er::tile_layout(two, 20, 64).row_offset(18, 0) + 64 + 3] |= std::byte{3 << 2};
  CHECK(fault_of(two, 20, 64, bytes) == "the code at row 18, column 23 is none of ternary2");
  bytes = packed_bytes_of(three, 20, 64);
  bytes[er::tile_layout(three, 20, 64).row_offset(2, 0) + 1] = std::byte{243};
  CHECK(fault_of(three, 20, 64, bytes) == "the code at row 2, column 1 is none of ternary5");
  bytes = packed_bytes_of(eight, 20, 64);
  bytes[er::tile_layout(eight, 20, 64).row_offset(19, 0) + 15 * 64] = std::byte{0};
  CHECK(fault_of(eight, 20, 64, bytes) == "the code at row 19, column 60 is none of int8");
  const er::matrix_format mixed = *er::matrix_format::parse("int4_g64+ternary2_g64:every_8_rows");
  bytes = packed_bytes_of(mixed, 20, 64);
  bytes[bytes.size() - 1] = std::byte{255};
  CHECK(fault_of(mixed, 20, 64, bytes) ==
        "in the rows of ternary2_g64 from column 0 on, the code at row 31, column 51 is none of "
        "ternary2");
}

TEST_CASE("find_fault: a NaN or an infinity among the scales or elements, wherever it stands") {
  constexpr std::size_t rows = 33, cols = 100;
  for (const char* name : {"int4_g4", "int4_g4_bf16", "ternary5_row_f32"}) {
    CAPTURE(name);
    const er::matrix_format fmt = *er::matrix_format::parse(name);
    std::vector<std::byte> bytes = packed_bytes_of(fmt, rows, cols);
    const er::tile_layout layout(fmt.first, rows, cols);
    std::size_t wrong = 0;
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t g = 0; g < layout.groups(); ++g) {
          std::byte* const at = bytes.data() + layout.scale_offset(r, g);
          const float before = er::detail::matrix::read_scale(at, fmt.first.scale);
          er::detail::matrix::write_scale(at, fmt.first.scale, bad);
          wrong += fault_of(fmt, rows, cols, bytes) !=
                   "the scale of row " + std::to_string(r) + ", group " + std::to_string(g) +
                       " is " + (std::isnan(bad) ? "NaN" : "infinite") + ": expected finite scales";
          er::detail::matrix::write_scale(at, fmt.first.scale, before);
        }
      }
    }
    CHECK(wrong == 0);
  }
  for (const char* name : {"f32", "f16", "bf16"}) {
    CAPTURE(name);
    const er::matrix_format fmt = *er::matrix_format::parse(name);
    std::vector<std::byte> bytes = packed_bytes_of(fmt, rows, cols);
    CHECK_FALSE(fault_of(fmt, rows, cols, bytes));
    er::detail::matrix::write_scale(bytes.data() + (32 * cols + 99) * er::scale_size(fmt.element),
                                    fmt.element, -INFINITY);
    CHECK(fault_of(fmt, rows, cols, bytes) ==
          "the element at row 32, column 99 is infinite: expected finite values");
  }
}

TEST_SUITE_END();
