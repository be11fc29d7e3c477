// SPDX-License-Identifier: Apache-2.0
/// Names of dense and mixed formats: printed and parsed back, and nothing else is parsed.
#include <optional>
#include <string>
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

TEST_CASE("matrix_format: sums, and what is done to the input of their parts") {
  for (const std::string_view name :
       {"sparse",
        "int4_g16+sparse",
        "sparse+int4_g16",
        "int4_g64+ternary2_row+sparse",
        "sum(int4_g64+ternary2_g64)",
        "sum(int4_g64+ternary2_g32)",
        "sum(f32+f16)",
        "sum(int4_g64+f16+binary_row)",
        "f16+sparse",
        "sparse+sparse",
        "mixed(int4_g64+ternary2_g64:every_8_rows)+sparse",
        "scaled(int4_g64)",
        "permuted(sparse)",
        "scaled(int4_g64+ternary2_g64:every_8_rows)",
        "scaled(int4_g64+ternary2_g64)",
        "scaled(sum(int4_g64+ternary2_g64))",
        "scaled(f16)+scaled(f16)",
        "permuted(int4_g16+sparse)+scaled(permuted(scaled(int8_row)+sparse)+int4_g4)",
        "rotated_1(f16)",
        "rotated_64(int4_g64)+sparse",
        "rotated_11008(scaled(int4_row))",
        "permuted(rotated_344(low_rank_4(rotated_4(f16)*f16)))",
        "low_rank_1(f16*f32)",
        "int4_row+low_rank_64(int4_g64*int4_g128)",
        "low_rank_65536(int4_row*int4_row)",
        "low_rank_9(scaled(int4_g4)*f16)+sparse",
        "permuted(low_rank_8(int4_g4+low_rank_4(f16*f16)*ternary2_g64)+sparse)",
        "low_rank_8(sum(int4_g4+ternary2_g8)*f16)"}) {
    CAPTURE(name);
    const std::optional<er::matrix_format> parsed = er::matrix_format::parse(name);
    REQUIRE(parsed);
    CHECK(parsed->type == er::matrix_format::kind::sum);
    CHECK(parsed->name() == name);
  }
  const auto parsed =
      er::matrix_format::parse("f16+scaled(int4_g16+permuted(sparse))+scaled(sparse)");
  REQUIRE(parsed);
  REQUIRE(parsed->stages.size() == 3);
  CHECK(parsed->stages[0] == er::matrix_format::stage{er::input_stage::scaled, 0});
  CHECK(parsed->stages[1] == er::matrix_format::stage{er::input_stage::permuted, 1});
  CHECK(parsed->stages[2] == er::matrix_format::stage{er::input_stage::scaled, 0});
  REQUIRE(parsed->parts.size() == 4);
  CHECK(parsed->parts[0].fmt.element == er::scale_kind::float16);
  CHECK(parsed->parts[1].fmt.first == er::format{er::code_type::int4, 16});
  CHECK(parsed->parts[2].fmt.type == er::matrix_format::kind::sparse);
  for (std::size_t i = 0; i < 4; ++i) CHECK(parsed->parts[i].input == i);

  for (const std::string_view name : {"",
                                      "+",
                                      "sparse+",
                                      "+sparse",
                                      "sparse ",
                                      "Sparse",
                                      "sparse_g16",
                                      "sum(sparse)",
                                      "sum(int4_g16)",
                                      "sum(int4_g16+sparse)",
                                      "sum(sum(f16+f16)+f16)",
                                      "mixed(int4_g16)",
                                      "mixed(int4_g64+ternary2_g64)",
                                      "mixed(int4_g64+sparse)+sparse",
                                      "mixed(f16)+sparse",
                                      "int4_g64+ternary2_g64:every_8_rows+sparse",
                                      "sparse+int4_g64+ternary2_g64:every_8_rows",
                                      "scaled",
                                      "scaled(",
                                      "scaled()",
                                      "scaled)",
                                      "scaled(int4_g16",
                                      "scaled(int4_g16))",
                                      "(int4_g16)",
                                      "(int4_g16)+sparse",
                                      "scaled(int4_g16)sparse",
                                      "scaled(int4_g16)(sparse)",
                                      "scaled(int4_g16+ternary2_g32)",
                                      "scaled(int4_g16+f16)",
                                      "turned(int4_g16)",
                                      "scaled(int4_g16)+sum(f16+f16)",
                                      "sum(f16+f16)+sum(f16+f16)",
                                      "sum(f16)+(f16)",
                                      "rotated_0(f16)",
                                      "rotated_3(f16)",
                                      "rotated_24000(f16)",
                                      "rotated_064(f16)",
                                      "rotated_(f16)",
                                      "rotated(f16)",
                                      "rotated_64",
                                      "rotated_64()",
                                      "rotated_33554432(f16)",
                                      "rotated_64(f16",
                                      "low_rank_0(f16*f16)",
                                      "low_rank_(f16*f16)",
                                      "low_rank(f16*f16)",
                                      "low_rank_08(f16*f16)",
                                      "low_rank_-8(f16*f16)",
                                      "low_rank_65537(f16*f16)",
                                      "low_rank_99999999999999999999(f16*f16)",
                                      "low_rank_8(f16)",
                                      "low_rank_8(f16*)",
                                      "low_rank_8(*f16)",
                                      "low_rank_8(f16*f16*f16)",
                                      "low_rank_8(f16*sparse)",
                                      "low_rank_8(f16*scaled(f16))",
                                      "low_rank_8(f16*int4_g4+ternary2_g4)",
                                      "low_rank_8(f16*f16",
                                      "low_rank_8",
                                      "low_rank_"}) {
    CAPTURE(name);
    CHECK_FALSE(er::matrix_format::parse(name));
  }
  // No more parts or stages than the text of a hostile file could want.
  std::string parts = "sparse", stages = "f16";
  for (std::size_t i = 1; i < er::matrix_format::most; ++i) parts += "+sparse";
  for (std::size_t i = 0; i < er::matrix_format::most; ++i) stages = "scaled(" + stages + ')';
  CHECK(er::matrix_format::parse(parts));
  CHECK(er::matrix_format::parse(stages));
  CHECK_FALSE(er::matrix_format::parse(parts + "+sparse"));
  CHECK_FALSE(er::matrix_format::parse("scaled(" + stages + ')'));
  CHECK_FALSE(er::matrix_format::parse(std::string(100000, '(')));
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "scaled(";
  CHECK_FALSE(er::matrix_format::parse(deep));
}

TEST_SUITE_END();
