// SPDX-License-Identifier: Apache-2.0
/// Levels, scales and zeros that a test chose: they come back, and anything else is refused.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "support/counting_resource.hpp"
#include "support/operands.hpp"
#include "support/oracle.hpp"
#include "support/samples.hpp"
#include "support/shapes.hpp"
#include "support/tile_places.hpp"
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/matrix/validate.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/pack_levels");

namespace {

using error = std::invalid_argument;

/// Random levels of a format with scales and zeros that its type holds, as a caller would have
/// them.
template <class Level>
struct choice {
  er::tile_layout layout;
  std::vector<Level> levels;
  std::vector<float> scales, zeros;

  choice(const er::format& fmt, std::size_t rows, std::size_t cols, std::mt19937& random)
      : layout(fmt, rows, cols) {
    for (std::size_t i = 0; i < rows * cols; ++i) {
      const int code = operands::draw_packed_code(layout, i / cols, i % cols, random);
      levels.push_back(static_cast<Level>(code - layout.zero_code()));
    }
    for (std::size_t i = 0; i < rows * layout.groups(); ++i) {
      const auto round = [&fmt](float number) {
        return er::detail::matrix::round_scale(number, fmt.scale);
      };
      scales.push_back(round(operands::draw_scale(fmt.scale, random)));
      if (layout.has_zeros()) zeros.push_back(round(operands::draw_zero(fmt.scale, random)));
    }
  }
  [[nodiscard]] er::any_matrix pack(std::pmr::memory_resource* memory = nullptr) {
    const std::size_t rows = layout.rows(), groups = layout.groups();
    er::matrix_view<const float> of_zeros;
    if (layout.has_zeros()) of_zeros = {zeros.data(), rows, groups};
    return er::pack_levels(layout.fmt(), er::matrix_view{levels.data(), rows, layout.cols()},
                           er::matrix_view<const float>{scales.data(), rows, groups}, of_zeros,
                           memory);
  }
};

template <class Level>
std::size_t count_wrong(const er::format& fmt, std::size_t rows, std::size_t cols,
                        std::mt19937& random) {
  choice<Level> chosen(fmt, rows, cols, random);
  const er::any_matrix matrix = chosen.pack();
  const tile_places::matrix walked(fmt, rows, cols, matrix.bytes());
  std::size_t wrong = walked.padding_is_zero ? 0 : 1;
  wrong += er::find_fault(matrix).has_value();
  wrong += matrix.fmt() != er::matrix_format{fmt} || !matrix.packed();
  for (std::size_t i = 0; i < rows * cols; ++i)
    wrong += walked.levels[i] != static_cast<int>(chosen.levels[i]);
  if (fmt.two_level) {
    er::round_to_two_levels({chosen.scales.data(), rows, chosen.layout.groups()});
    er::round_to_two_levels({chosen.zeros.data(), rows, chosen.layout.groups()});
  }
  wrong += samples::count_differences(walked.scales, chosen.scales);
  wrong += samples::count_differences(walked.zeros, chosen.zeros);

  const oracle::weights expected(walked);
  std::vector<float> values(rows * cols);
  er::dequantize(*matrix.packed(), {values.data(), rows, cols});
  for (std::size_t i = 0; i < values.size(); ++i)
    wrong += !samples::same(values[i], expected.value(i / cols, i % cols));
  return wrong;
}

}  // namespace

TEST_CASE("pack_levels: what goes in comes out, in every format and shape") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const shapes::coding& coding : shapes::codings) {
    const er::zero_kind zero = coding.zero;
    for (const std::uint32_t group : shapes::groups) {
      std::size_t wrong = 0;
      for (const std::size_t rows : shapes::rows) {
        for (const std::size_t cols : {1, 3, 4, 20, 33, 64, 65, 130}) {
          const er::format fmt = coding.with(group, shapes::kinds[i++ % 3]);
          wrong += count_wrong<int>(fmt, rows, cols, random);
          if (zero == er::zero_kind::none) {
            wrong += count_wrong<std::int8_t>(fmt, rows, cols, random);
          } else {
            wrong += count_wrong<std::uint8_t>(fmt, rows, cols, random);
          }
        }
      }
      CAPTURE(coding.with(group).name());
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("pack_levels: a table has the levels that occur, ascending") {
  const er::format fmt = *er::format::parse("table2_g4");
  const std::vector<int> levels{15, -15, 3, 15, /**/ 7, 7, 7, 7, /**/ 2, -2, 1, -1, /**/ 0, 9};
  const std::vector<float> scales{1, 2, 3, 4};
  const auto pack = [&](const std::vector<int>& some) {
    return er::pack_levels(fmt, er::matrix_view<const int>{some.data(), 1, some.size()},
                           {scales.data(), 1, 4});
  };
  const er::any_matrix matrix = pack(levels);
  const er::tile_layout& layout = matrix.packed()->layout();
  const auto bytes_at = [&](std::size_t offset) {
    std::vector<int> result;
    for (std::size_t i = 0; i < 4; ++i)
      result.push_back(std::to_integer<int>(matrix.bytes()[offset + i]));
    return result;
  };
  using ints = std::vector<int>;
  CHECK(bytes_at(layout.table_offset(0, 0)) == ints{0, 18, 30, 30});
  CHECK(bytes_at(layout.table_offset(0, 1)) == ints{22, 22, 22, 22});
  CHECK(bytes_at(layout.table_offset(0, 2)) == ints{13, 14, 16, 17});
  CHECK(bytes_at(layout.table_offset(0, 3)) == ints{15, 24, 24, 24});
  CHECK(bytes_at(layout.table_offset(1, 3)) == ints{15, 15, 15, 15});
  // Places 2, 0, 1, 2 in field 0, 0 in field 1; 3, 0, 2, 1 in field 2; 0, 1 and padding in field 3.
  CHECK(bytes_at(layout.row_offset(0, 0)) == ints{2 + 16 * 3, 64, 1 + 16 * 2, 2 + 16});
  CHECK(er::find_fault(matrix) == std::nullopt);

  std::vector<int> five = levels;
  five.resize(16);
  five[12] = 1, five[13] = 2, five[14] = 3, five[15] = 4;
  CHECK_NOTHROW(pack(five));
  const er::format whole = *er::format::parse("table2_g8");
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::pack_levels(whole, er::matrix_view<const int>{five.data(), 2, 8},
                                        {scales.data(), 2, 1})),
      "pack_levels: row 1, group 0 has 6 different levels, expected at most 4 for table2_g8",
      error);
  five[3] = 16;
  CHECK_THROWS_WITH_AS(pack(five),
                       "pack_levels: the level at row 0, column 3 is 16, expected -15 to 15 for "
                       "table2_g4",
                       error);
}

TEST_CASE("pack_levels: values as two roundings make them") {
  // 0.1 as float16 is 0x1.998p-4; each operation rounds to float.
  const std::vector<std::uint8_t> codes{0, 1, 7, 15};
  const std::vector<float> scale{0x1.998p-4f}, minimum{-0x1.554p-2f}, point{7.3f};
  const auto values_of = [&](const char* name, const std::vector<float>& zero) {
    const er::any_matrix matrix =
        er::pack_levels(*er::format::parse(name), er::matrix_view<const std::uint8_t>{codes},
                        {scale.data(), 1, 1}, {zero.data(), 1, 1});
    std::vector<float> values(4);
    er::dequantize(*matrix.packed(), er::matrix_view<float>{values.data(), 1, 4});
    return values;
  };
  std::vector<float> expected;
  for (const int code : {0, 1, 7, 15}) {
    const auto product = static_cast<float>(code * 0x1.998p-4);
    expected.push_back(static_cast<float>(double{product} - 0x1.554p-2));
  }
  CHECK(values_of("int4m_g32", minimum) == expected);
  expected.clear();
  for (const int code : {0, 1, 7, 15}) {
    const auto difference = static_cast<float>(code - double{7.3f});
    expected.push_back(static_cast<float>(0x1.998p-4 * double{difference}));
  }
  CHECK(values_of("int4z_g32_f32", point) == expected);
}

TEST_CASE("pack_levels: scales are rounded to the format's type, negative ones too") {
  const std::vector<int> levels{-8, 7, 0, 1};
  const std::vector<float> scale{-0.1f};
  const er::any_matrix matrix = er::pack_levels(
      *er::format::parse("int4_g4"), er::matrix_view<const int>{levels}, {scale.data(), 1, 1});
  CHECK(er::scale_at(*matrix.packed(), 0, 0) == float{er::float16{-0.1f}});
}

TEST_CASE("pack_levels: memory comes from where it was asked for") {
  std::mt19937 random(3);
  counting_resource memory;
  choice<int> chosen(*er::format::parse("int5z_g32"), 33, 70, random);
  const er::any_matrix matrix = chosen.pack(&memory);
  CHECK(memory.calls == 1);
}

TEST_CASE("pack_levels: shapes, levels, scales and zeros that can't be are refused by place") {
  const er::format plain = *er::format::parse("int4_g32"), point = *er::format::parse("int4z_g32"),
                   signs = *er::format::parse("binary_g32"),
                   bytes = *er::format::parse("int8z_g32"),
                   bfloat = *er::format::parse("int3m_g32_bf16");
  std::vector<int> levels(3 * 40, 1);
  std::vector<float> scales(6, 1.0f), zeros(6, 2.0f);
  const auto pack = [&](const er::format& fmt, std::size_t groups = 2, std::size_t zero_rows = 3) {
    return er::pack_levels(fmt, er::matrix_view<const int>{levels.data(), 3, 40},
                           {scales.data(), 3, groups}, {zeros.data(), zero_rows, 2});
  };
  CHECK_NOTHROW(pack(plain, 2, 0));
  CHECK_NOTHROW(pack(point));
  CHECK_THROWS_WITH_AS(pack(plain, 1, 0), "pack_levels: expected scales of 3 x 2 groups, got 3 x 1",
                       error);
  CHECK_THROWS_WITH_AS(pack(point, 2, 2), "pack_levels: expected zeros of 3 x 2 groups, got 2 x 2",
                       error);
  CHECK_THROWS_WITH_AS(pack(point, 2, 0), "pack_levels: expected zeros of 3 x 2 groups, got 0 x 2",
                       error);
  CHECK_THROWS_WITH_AS(pack(plain), "pack_levels: int4_g32 has no zeros, got 3 x 2", error);

  levels[2 * 40 + 17] = 8;
  CHECK_THROWS_WITH_AS(pack(plain, 2, 0),
                       "pack_levels: the level at row 2, column 17 is 8, expected -8 to 7 for "
                       "int4_g32",
                       error);
  CHECK_NOTHROW(pack(point));
  levels[2 * 40 + 17] = -1;
  CHECK_NOTHROW(pack(plain, 2, 0));
  CHECK_NOTHROW(pack(signs, 2, 0));
  CHECK_THROWS_WITH_AS(pack(point),
                       "pack_levels: the level at row 2, column 17 is -1, expected 0 to 15 for "
                       "int4z_g32",
                       error);
  levels[2 * 40 + 17] = 0;
  CHECK_THROWS_WITH_AS(pack(signs, 2, 0),
                       "pack_levels: the level at row 2, column 17 is 0, expected -1 to 1 in steps "
                       "of 2 for binary_g32",
                       error);
  levels[2 * 40 + 17] = 255;
  CHECK_NOTHROW(pack(bytes));
  levels[2 * 40 + 17] = 256;
  CHECK_THROWS_AS(pack(bytes), error);
  levels[2 * 40 + 17] = std::numeric_limits<int>::min();
  CHECK_THROWS_AS(pack(plain, 2, 0), error);
  levels[2 * 40 + 17] = 1;

  for (const float bad : {NAN, INFINITY, 65520.0f, 1e-9f}) {
    scales[3] = bad;
    CHECK_THROWS_WITH_AS(pack(plain, 2, 0),
                         ("pack_levels: the scale of row 1, group 1 is " + std::to_string(bad) +
                          ", expected a finite number in the range of the type that stores it")
                             .c_str(),
                         error);
  }
  CHECK_NOTHROW(pack(bfloat));
  scales[3] = 0;
  for (const float bad : {NAN, -INFINITY, -65520.0f}) {
    zeros[4] = bad;
    CHECK_THROWS_WITH_AS(pack(point),
                         ("pack_levels: the zero of row 2, group 0 is " + std::to_string(bad) +
                          ", expected a finite number in the range of the type that stores it")
                             .c_str(),
                         error);
  }
  CHECK_NOTHROW(pack(bfloat));
}

TEST_SUITE_END();
