// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <edgerazor/io/name_pattern.hpp>

namespace er = edgerazor;
using er::detail::io::name_pattern;

namespace {
bool matches(std::string_view pattern, std::string_view name) {
  return name_pattern::compile(pattern).value().matches(name);
}
}  // namespace

TEST_SUITE_BEGIN("io/name_pattern");

TEST_CASE("patterns of published configurations") {
  const std::string_view up = "model.layers.10.mlp.up_proj";
  CHECK(matches(R"(.*\.mlp\.up_proj$)", up));
  CHECK(matches(".*up_proj", up));
  CHECK_FALSE(matches("up_proj", up));
  CHECK(matches("model", up));
  CHECK_FALSE(matches("model$", up));
  CHECK(matches(R"(^model\.layers\.(?:1|10)\.mlp\.(gate|up)_proj.*)", up));
  CHECK_FALSE(matches(R"(model\.layers\.(1|2)\..*)", up));
  CHECK(matches(R"(model\.layers\.[0-9]+\.mlp\.\w+)", up));
  CHECK(matches(R"(model\.layers\.\d\d?\.mlp)", up));
  CHECK_FALSE(matches(R"(model\.layers\.[^0-9]+)", up));
  CHECK(matches("", up));
  CHECK(matches("a|model", up));
  CHECK(matches("(a*)*m", up));
  CHECK(matches("x?y*?model", up));
  CHECK(matches("[]m]odel", up));
}

TEST_CASE("time is bounded") {
  const std::string name(2000, 'a');
  CHECK_FALSE(matches("(a*)*b", name));
  CHECK_FALSE(matches("(a+)+(a+)+(a|a)*$b", name));
  CHECK(name_pattern::compile(std::string(1000, 'a')).has_value());
}

TEST_CASE("what is not read") {
  for (const char* const pattern : {"(?!a)b", "(?=a)", "a{2}", "a{2,3}", "(a", "a)", "[a", "[",
                                    "\\", "\\1", "\\b", "*a", "a**", "+", "(?P<x>a)", "[b-a]"}) {
    CAPTURE(std::string{pattern});
    CHECK_FALSE(name_pattern::compile(pattern).has_value());
  }
  CHECK_FALSE(name_pattern::compile(std::string(1001, 'a')).has_value());
  CHECK_FALSE(name_pattern::compile(std::string(40, '(') + std::string(40, ')')).has_value());
}

TEST_CASE("a range that begins with an escaped sign is a range, or refused") {
  const auto pattern = er::detail::io::name_pattern::compile(R"([\.-z]+)");  // Python: '.' to 'z'
  CHECK((!pattern || pattern->matches("abc")));
}

TEST_SUITE_END();
