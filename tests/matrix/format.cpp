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

TEST_SUITE_BEGIN("matrix/format");

TEST_CASE("format: every name parses to its format") {
  for (const shapes::coding& coding : shapes::codings) {
    for (const std::uint32_t group : {0u, 4u, 20u, 32u, 64u, 128u, 256u, 1000u, 65536u}) {
      for (const er::scale_kind kind : shapes::kinds) {
        const er::format fmt = coding.with(group, kind);
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
  CHECK(er::format{er::code_type::int4, 64, er::scale_kind::float16, er::zero_kind::point}.name() ==
        "int4z_g64");
  CHECK(er::format{er::code_type::int3, 16, er::scale_kind::float16, er::zero_kind::point, true}
            .name() == "int3z_g16_q3");
  CHECK(
      er::format{er::code_type::int2, 0, er::scale_kind::bfloat16, er::zero_kind::minimum}.name() ==
      "int2m_row_bf16");
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
                                      "ternary4_g64",
                                      "int4_g64_bf16_f32",
                                      "int4_g4294967360",
                                      "int4_g99999999999999999999",
                                      "int4__g64",
                                      "int4_g0x40",
                                      "int4_f32",
                                      "ternary2z_g64",
                                      "ternary5z_g64",
                                      "ternary5m_g64",
                                      "binarym_g64",
                                      "table2z_g64",
                                      "table_g64",
                                      "int4zz_g64",
                                      "int4zm_g64",
                                      "int4a_g64",
                                      "int4_z_g64",
                                      "int4z",
                                      "z_g64",
                                      "int3_g16_q3",
                                      "int3z_g16_q4",
                                      "int3z_g16_q3_bf16",
                                      "int3z_g16_f32_q3",
                                      "int3z_q3",
                                      "int3z_q3_g16",
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

TEST_SUITE_END();
