// SPDX-License-Identifier: Apache-2.0
/// Planes are positional number systems in which every byte means something; codecs are sums of
/// their digits.
#include <cstdint>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "support/tile_places.hpp"
#include <edgerazor/matrix/codec.hpp>

namespace er = edgerazor;

TEST_SUITE("matrix/codec") {
  TEST_CASE("codec: listed in the order of code_type, each under its own name") {
    std::set<std::string> names;
    for (std::size_t i = 0; i < er::codec_list.size(); ++i) {
      CHECK(static_cast<std::size_t>(er::codec_list[i].type) == i);
      CHECK(&er::codec_of(er::codec_list[i].type) == &er::codec_list[i]);
      names.insert(std::string{er::codec_list[i].name});
    }
    CHECK(names == std::set<std::string>{"ternary2", "ternary3", "ternary5", "int2", "int3", "int4",
                                         "int5", "int6", "int8", "binary", "table2"});
    std::set<std::string> planes;
    for (const er::plane_info& plane : er::plane_list) planes.insert(std::string{plane.name});
    CHECK(planes.size() == er::plane_list.size());
  }

  TEST_CASE("codec: all 256 bytes, against shifts and divisions written out") {
    for (const er::plane_info& plane : er::plane_list) {
      CAPTURE(plane.name);
      REQUIRE(plane.fields() == tile_places::fields_of(plane.type));
      unsigned values = 1;  // how many bytes have digits of their own
      for (unsigned f = 0; f < plane.fields(); ++f) values *= plane.radix;
      CHECK(values <= 256);
      for (unsigned byte = 0; byte < 256; ++byte) {
        unsigned sum = 0;
        for (unsigned f = 0; f < plane.fields(); ++f) {
          const unsigned digit = plane.digit(static_cast<std::uint8_t>(byte), f);
          CHECK(digit < plane.radix);
          CHECK(static_cast<int>(digit) ==
                tile_places::digit_of(plane.type, static_cast<std::uint8_t>(byte), f));
          sum += digit * plane.weight(f);
        }
        CHECK(sum == (byte < values ? byte : values - 1));
      }
    }
  }

  TEST_CASE("codec: every level is the sum of its digits, less the code of zero") {
    for (const er::codec_info& codec : er::codec_list) {
      CAPTURE(codec.name);
      const auto planes = tile_places::planes_of(codec.type);
      REQUIRE(planes.size() == codec.plane_count);
      CHECK(codec.zero_code == tile_places::zero_of(codec.type));
      if (codec.of_triples()) continue;
      unsigned largest = 0;
      for (std::size_t p = 0; p < planes.size(); ++p) {
        CHECK(planes[p].type == codec.digits[p].plane);
        CHECK(planes[p].weight == 1 << codec.digits[p].shift);
        const unsigned digit = codec.plane(p).of_table ? 31 : codec.plane(p).radix - 1;
        largest += digit * static_cast<unsigned>(planes[p].weight);
      }
      CHECK(codec.largest_code() == largest);
      CHECK(codec.of_table() == (codec.type == er::code_type::table2));
      if (codec.of_table()) {
        CHECK(codec.most_levels() == 4);
        continue;
      }
      for (int level = codec.min_level; level <= codec.max_level(); level += codec.level_step) {
        int code = 0;
        for (std::size_t p = 0; p < planes.size(); ++p)
          code += static_cast<int>(codec.digit(level + codec.zero_code, p)) * planes[p].weight;
        CHECK(code - codec.zero_code == level);
      }
    }
  }

  TEST_CASE("codec: the zero byte holds zero levels; what a packer writes fits a byte") {
    for (const er::codec_info& codec : er::codec_list) {
      CAPTURE(codec.name);
      int level = codec.of_table() ? 0 : -codec.zero_code;  // the table's first place
      for (std::size_t p = 0; p < codec.plane_count; ++p) {
        const int digit =
            tile_places::digit_of(codec.digits[p].plane, codec.byte_of(codec.zero_code, p), 0);
        for (unsigned f = 1; f < codec.plane(p).fields(); ++f)
          CHECK(tile_places::digit_of(codec.digits[p].plane, codec.byte_of(codec.zero_code, p),
                                      f) == digit);
        level += digit << codec.digits[p].shift;
      }
      if (!codec.of_triples()) CHECK(level == (codec.type == er::code_type::binary ? -1 : 0));
      CHECK(codec.max_level() == codec.max_code - codec.zero_code);
      CHECK(codec.min_level + codec.zero_code >= 0);
      CHECK(static_cast<unsigned>(codec.max_code) <= codec.largest_code());
      CHECK(codec.largest_code() <= 255);
    }
  }
}
