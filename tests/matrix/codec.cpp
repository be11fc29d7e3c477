/// The four codecs: a positional number system each, in which every byte means something.
#include <cstdint>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "support/tile_places.hpp"
#include <edgerazor/matrix/codec.hpp>

namespace er = edgerazor;

TEST_CASE("codec: listed in the order of code_type, each under its own name") {
  std::set<std::string> names;
  for (std::size_t i = 0; i < er::codec_list.size(); ++i) {
    CHECK(static_cast<std::size_t>(er::codec_list[i].type) == i);
    CHECK(&er::codec_of(er::codec_list[i].type) == &er::codec_list[i]);
    names.insert(std::string{er::codec_list[i].name});
  }
  CHECK(names == std::set<std::string>{"ternary2", "ternary5", "int4", "int8"});
}

TEST_CASE("codec: all 256 bytes, against shifts and divisions written out") {
  for (const er::codec_info& codec : er::codec_list) {
    CAPTURE(codec.name);
    REQUIRE(codec.fields == tile_places::fields_of(codec.type));
    unsigned values = 1;  // how many bytes have codes of their own
    for (unsigned f = 0; f < codec.fields; ++f) values *= codec.radix;
    CHECK(values <= 256);
    for (unsigned byte = 0; byte < 256; ++byte) {
      unsigned sum = 0;
      for (unsigned f = 0; f < codec.fields; ++f) {
        const unsigned code = codec.code(static_cast<std::uint8_t>(byte), f);
        CHECK(code < codec.radix);
        CHECK(static_cast<int>(code) - codec.zero_code ==
              tile_places::level_of(codec.type, static_cast<std::uint8_t>(byte), f));
        sum += code * codec.weight(f);
      }
      CHECK(sum == (byte < values ? byte : values - 1));
    }
  }
}

TEST_CASE("codec: the zero byte holds zero levels; what a packer writes fits a byte") {
  for (const er::codec_info& codec : er::codec_list) {
    CAPTURE(codec.name);
    unsigned largest = 0;
    for (unsigned f = 0; f < codec.fields; ++f) {
      CHECK(tile_places::level_of(codec.type, codec.zero_byte(), f) == 0);
      largest += static_cast<unsigned>(codec.max_code) * codec.weight(f);
    }
    CHECK(largest <= 255);
    CHECK(codec.max_level() == codec.max_code - codec.zero_code);
    CHECK(codec.min_level + codec.zero_code >= 0);
    CHECK(static_cast<unsigned>(codec.max_code) < codec.radix);
  }
}
