// SPDX-License-Identifier: Apache-2.0
/// Names of formats: printed and parsed back, and nothing else is parsed.
#include <optional>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "support/shapes.hpp"
#include <edgerazor/matrix/format.hpp>
#include <edgerazor/matrix/matrix_format.hpp>

namespace er = edgerazor;

namespace {

er::matrix_format mixed(er::format first, er::format second, er::matrix_format::row_map map) {
  er::matrix_format result{first};
  result.type = er::matrix_format::kind::mixed;
  result.second = second;
  result.map = map;
  return result;
}

}  // namespace

TEST_CASE("format: every name parses to its format") {
  for (const er::code_type code : shapes::codes) {
    for (const std::uint32_t group : {0u, 4u, 20u, 32u, 64u, 128u, 256u, 1000u, 65536u}) {
      for (const er::scale_kind kind : shapes::kinds) {
        const er::format fmt{code, group, kind};
        CAPTURE(fmt.name());
        const std::optional<er::format> parsed = er::format::parse(fmt.name());
        REQUIRE(parsed);
        CHECK(*parsed == fmt);
        const std::optional<er::matrix_format> matrix = er::matrix_format::parse(fmt.name());
        REQUIRE(matrix);
        CHECK(*matrix == er::matrix_format{fmt});
        CHECK(matrix->name() == fmt.name());
      }
    }
  }
  CHECK(er::format{er::code_type::ternary2, 256}.name() == "ternary2_g256");
  CHECK(er::format{er::code_type::ternary5, 64, er::scale_kind::bfloat16}.name() ==
        "ternary5_g64_bf16");
  CHECK(er::format{er::code_type::int4, 0}.name() == "int4_row");
  CHECK(er::format{er::code_type::int8, 128, er::scale_kind::float32}.name() == "int8_g128_f32");
}

TEST_CASE("format: anything else is refused") {
  for (const std::string_view name : {"",
                                      "int4",
                                      "int4_",
                                      "_g64",
                                      "int4_g",
                                      "int4_g0",
                                      "int4_g2",
                                      "int4_g63",
                                      "int4_g65540",
                                      "int4_g-64",
                                      "int4_g+64",
                                      "int4_g 64",
                                      "int4_g064",
                                      "int4_g64 ",
                                      " int4_g64",
                                      "int4_g64_",
                                      "int4_g64_f16",
                                      "int4_g64_f33",
                                      "int4_64",
                                      "int4_row_",
                                      "int4_rows",
                                      "int4_row64",
                                      "INT4_g64",
                                      "int7_g64",
                                      "ternary_g64",
                                      "ternary3_g64",
                                      "int4_g64_bf16_f32",
                                      "int4_g4294967360",
                                      "int4_g99999999999999999999",
                                      "int4__g64",
                                      "int4_g0x40",
                                      "int4_f32",
                                      "_f32",
                                      "_bf16",
                                      "_"}) {
    CAPTURE(name);
    CHECK_FALSE(er::format::parse(name));
    CHECK_FALSE(er::matrix_format::parse(name));
  }
  using namespace std::string_view_literals;
  CHECK_FALSE(er::format::parse("int4_g64\0"sv));
}

TEST_CASE("matrix_format: dense and mixed names") {
  for (const std::string_view name :
       {"f32", "f16", "bf16", "int4_g64+ternary2_g64", "int4_g64+ternary2_g64:every_8_rows",
        "int4_row+ternary5_row:every_2_rows", "int4_g256_bf16+ternary2_g256_f32:rows_4_of_8",
        "int8_g32+int4_g32:every_1_rows", "int4_g64+int4_g64:rows_8_of_8"}) {
    CAPTURE(name);
    const std::optional<er::matrix_format> parsed = er::matrix_format::parse(name);
    REQUIRE(parsed);
    CHECK(parsed->name() == name);
  }
  const er::format high{er::code_type::int4, 64}, low{er::code_type::ternary2, 64};
  CHECK(*er::matrix_format::parse("int4_g64+ternary2_g64:every_8_rows") ==
        mixed(high, low, {8, 1}));
  CHECK(*er::matrix_format::parse("int4_g64+ternary2_g64:rows_4_of_8") == mixed(high, low, {8, 4}));
  CHECK(*er::matrix_format::parse("int4_g64+ternary2_g64") == mixed(high, low, {0, 1}));
  CHECK(er::matrix_format::parse("f16")->type == er::matrix_format::kind::dense);
  CHECK(er::matrix_format::parse("f16")->element == er::scale_kind::float16);
  CHECK(er::matrix_format{}.name() == "f32");

  for (const std::string_view name : {"f64",
                                      "f32 ",
                                      "F16",
                                      "f32+f16",
                                      "int4_g64+",
                                      "+int4_g64",
                                      "int4_g64+ternary2_g32",
                                      "int4_g64+ternary2_row",
                                      "int4_g64+ternary2_g64:",
                                      "int4_g64+ternary2_g64:every_8",
                                      "int4_g64+ternary2_g64:every_0_rows",
                                      "int4_g64+ternary2_g64:every_08_rows",
                                      "int4_g64+ternary2_g64:every_-8_rows",
                                      "int4_g64+ternary2_g64:every__rows",
                                      "int4_g64+ternary2_g64:rows_9_of_8",
                                      "int4_g64+ternary2_g64:rows_0_of_8",
                                      "int4_g64+ternary2_g64:rows_1_of_8",
                                      "int4_g64+ternary2_g64:rows_4_of_",
                                      "int4_g64+ternary2_g64:every_8_rows:every_8_rows",
                                      "int4_g64+ternary2_g64:every_99999999999999999999_rows",
                                      "int4_g64:every_8_rows",
                                      "int4_g64+ternary2_g64+int8_g64",
                                      "int4_g64+f16"}) {
    CAPTURE(name);
    CHECK_FALSE(er::matrix_format::parse(name));
  }
}
