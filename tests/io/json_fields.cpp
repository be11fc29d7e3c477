// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/io/json_fields.hpp>

namespace er = edgerazor;
using er::detail::io::json_fields;
using nlohmann::json;

TEST_SUITE_BEGIN("io/json_fields");

TEST_CASE("numbers have a kind and a range") {
  const json object{{"n", 3},      {"huge", 18446744073709551615u},
                    {"minus", -1}, {"real", 2.0},
                    {"null", {}},  {"text", "3"}};
  const json_fields fields(object, "a.json");
  CHECK(fields.size("n", 1, 4) == 3);
  CHECK(fields.real("n", 0, 4) == 3);
  CHECK(fields.optional_integer("huge", 0, ~std::uint64_t{0}) == 18446744073709551615u);
  CHECK_FALSE(fields.optional_size("null", 1, 2).has_value());
  CHECK_FALSE(fields.optional_size("none", 1, 2).has_value());
  const auto refused = [&](const char* key, const char* sentence) {
    CHECK_THROWS_WITH_AS((void)fields.size(key, 1, 2), sentence, er::io_error);
  };
  refused("n", "a.json: 'n' is 3, expected an integer from 1 to 2");
  refused("huge", "a.json: 'huge' is 18446744073709551615, expected an integer from 1 to 2");
  refused("minus", "a.json: 'minus' is -1, expected an integer from 1 to 2");
  refused("real", "a.json: 'real' is 2.0, expected an integer from 1 to 2");
  refused("text", "a.json: 'text' is \"3\", expected an integer from 1 to 2");
  refused("null", "a.json: it has no 'null'");
  refused("none", "a.json: it has no 'none'");
  CHECK_THROWS_WITH_AS((void)fields.real("n", 0, 2.5),
                       "a.json: 'n' is 3, expected a number from 0 to 2.5", er::io_error);
}

TEST_CASE("lists, objects, and what is none") {
  const json object{{"one", "a"}, {"two", {"a", "b"}}, {"ids", {1, 2}}, {"inner", {{"n", 0}}}};
  const json_fields fields(object, "a.json");
  CHECK(fields.texts("one") == std::vector<std::string>{"a"});
  CHECK(fields.texts("two") == std::vector<std::string>{"a", "b"});
  CHECK(fields.integers("ids", 0, 9) == std::vector<std::uint64_t>{1, 2});
  CHECK_THROWS_WITH_AS((void)fields.texts("ids"), "a.json: 'ids' is a list, expected strings",
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)fields.optional_object("inner").value().size("n", 1, 2),
                       "a.json: 'inner': 'n' is 0, expected an integer from 1 to 2", er::io_error);
  CHECK_THROWS_WITH_AS((void)fields.optional_object("one"),
                       "a.json: 'one' is \"a\", expected an object", er::io_error);
  const json list = json::array();
  CHECK_THROWS_WITH_AS((void)json_fields(list, "a.json"), "a.json: it is no JSON object",
                       er::io_error);
}

TEST_SUITE_END();
