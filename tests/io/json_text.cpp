// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/json_text.hpp>

namespace er = edgerazor;
using nlohmann::json;

namespace {

std::optional<json> parsed(std::string_view text) {
  std::string error;
  return er::detail::io::try_parse_json(text, error);
}
std::string refusal(std::string_view text) {
  std::string error;
  CHECK_FALSE(er::detail::io::try_parse_json(text, error).has_value());
  return error;
}
std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

}  // namespace

TEST_SUITE_BEGIN("io/json_text");

TEST_CASE("integers stay integers") {
  const std::optional<json> value = parsed(R"({"a":18446744073709551615,"b":-1,"c":2.0})");
  REQUIRE(value.has_value());
  CHECK(value->at("a").is_number_unsigned());
  CHECK(value->at("a") == 18446744073709551615u);
  CHECK(value->at("b").is_number_integer());
  CHECK(value->at("c").is_number_float());
}

TEST_CASE("depth is bounded") {
  CHECK(parsed(nested(127)).has_value());
  CHECK(refusal(nested(128)) == "its JSON is nested more than 127 levels deep");
  CHECK(refusal(std::string(100000, '[')) == "its JSON is nested more than 127 levels deep");
}

TEST_CASE("what is no JSON, or says two things") {
  CHECK(refusal("") == "it has no JSON");
  CHECK(refusal("\xef\xbb\xbf{}") == "it begins with a byte order mark, expected JSON");
  CHECK(refusal(std::string_view("{}\0\0", 4)) ==
        "its JSON is padded with NUL bytes, expected spaces");
  CHECK(refusal(std::string_view("{}\0x", 4)) == "byte 2 of its JSON is NUL");
  CHECK(refusal(R"({"a":1,"b":{"a":1},"\u0061":2})") ==
        "its JSON has the key 'a' twice in an object");
  CHECK(parsed(R"({"a":1,"b":{"a":1}})").has_value());
  CHECK(refusal("{\"a\":}") == "it is no JSON: byte 6 is not expected, after '\"a\":}'");
  CHECK(refusal("[NaN]").starts_with("it is no JSON"));
  CHECK(refusal("[1]//x").starts_with("it is no JSON"));
  CHECK(refusal("[\"\xff\"]").starts_with("it is no JSON"));
}

TEST_CASE("a file is named, and bounded") {
  const temporary_folder folder;
  write_bytes(folder / "a.json", std::as_bytes(std::span{std::string_view{"{\"a\":1}"}}));
  CHECK(er::detail::io::read_json(folder / "a.json").at("a") == 1);
  CHECK_THROWS_WITH_AS((void)er::detail::io::read_json(folder / "a.json", 6),
                       doctest::Contains("a.json: it has 7 bytes, expected at most 6"),
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)er::detail::io::read_json(folder / "b.json"),
                       doctest::Contains("b.json"), er::io_error);
}

TEST_CASE("an enormous file is refused before it is read") {
  const temporary_folder folder;
  std::ofstream(folder / "a.json") << "{}";
  std::filesystem::resize_file(folder / "a.json", std::uintmax_t{1} << 43);  // sparse
  CHECK_THROWS_WITH_AS((void)er::detail::io::read_json(folder / "a.json"),
                       doctest::Contains("expected at most 67108864"), er::io_error);
}

TEST_SUITE_END();
