// SPDX-License-Identifier: Apache-2.0
/// Names of dense and mixed formats: printed and parsed back, and nothing else is parsed.
#include <optional>
#include <string_view>

#include <doctest/doctest.h>

#include <edgerazor/matrix/matrix_format.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/matrix_format");

namespace {

er::matrix_format mixed(er::format first, er::format second, er::matrix_format::row_map map) {
  er::matrix_format result{first};
  result.type = er::matrix_format::kind::mixed;
  result.second = second;
  result.map = map;
  return result;
}

}  // namespace

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

TEST_SUITE_END();
