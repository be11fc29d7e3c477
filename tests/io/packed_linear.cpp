// SPDX-License-Identifier: Apache-2.0
// What every packed layer has: ranges that are checked, codecs that are as small as the levels
// allow, groups and zeros that are united.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include "support/counting_resource.hpp"
#include <edgerazor/io/compressed_tensors.hpp>
#include <edgerazor/io/packed_linear.hpp>

namespace er = edgerazor;
namespace io = er::detail::io;

TEST_SUITE_BEGIN("io/packed_linear");

namespace {
/// Codes 0, 1, ..., max_code, 0, ... in rows of `cols`, under scales and zeros that a test sets.
io::coded_weights counting(std::size_t rows, std::size_t cols, std::size_t group, int max_code,
                           int zero) {
  io::coded_weights w;
  w.name = "up_proj", w.layout = "codes that count";
  w.rows = rows, w.cols = cols, w.group = group;
  w.max_code = max_code, w.zero = zero;
  for (std::size_t i = 0; i < rows * w.groups(); ++i)
    w.scales.push_back(0.5f + static_cast<float>(i));
  w.read_codes = [cols, max_code](er::row_range range, std::uint8_t* codes) {
    for (std::size_t i = range.begin * cols; i < range.end * cols; ++i)
      *codes++ = static_cast<std::uint8_t>(i % (static_cast<std::size_t>(max_code) + 1));
  };
  return w;
}

std::vector<float> expected_of(const io::coded_weights& w) {
  std::vector<float> values;
  for (std::size_t i = 0; i < w.rows * w.cols; ++i) {
    const std::size_t row = i / w.cols, c = i % w.cols,
                      g = row * w.groups() + (w.group_of.empty() ? c / w.group : w.group_of[c]);
    const float zero = w.zeros.empty() ? static_cast<float>(w.zero) : w.zeros[g];
    const auto code = static_cast<float>(i % (static_cast<std::size_t>(w.max_code) + 1));
    values.push_back(w.scales[g] * (code - zero));
  }
  return values;
}

void check(const io::coded_weights& w, const std::string& format) {
  packed_layers::check(io::linear_of(w), expected_of(w), format);
}
}  // namespace

TEST_CASE("packed_linear: the smallest codec that has the levels") {
  struct row {
    int max_code, zero;
    const char* format;
  };
  for (const row& item :
       {row{1, 1, "ternary2_g16"}, row{2, 1, "ternary2_g16"}, row{3, 2, "int2_g16"},
        row{3, 1, "int3_g16"}, row{7, 4, "int3_g16"}, row{15, 8, "int4_g16"},
        row{15, 7, "int5_g16"}, row{28, 16, "int5_g16"}, row{63, 32, "int6_g16"},
        row{127, 64, "int8_g16"}, row{255, 128, "int8_g16"}}) {
    CAPTURE(item.max_code);
    CAPTURE(item.zero);
    check(counting(67, 48, 16, item.max_code, item.zero), item.format);
  }
  check(counting(3, 300, 100, 255, 100), "");  // levels up to 155
  CHECK(io::linear_of(counting(3, 300, 100, 255, 100)).why_not_exact() ==
        "no packed format has its levels");
}

TEST_CASE("packed_linear: zeros that are one need no place, if the codes need no more bits") {
  io::coded_weights w = counting(5, 32, 8, 15, 0);
  w.zeros.assign(20, 8.0f);
  check(w, "int4_g8");
  w.zeros.assign(20, 7.0f);
  check(w, "int4z_g8");
  w.zeros.assign(20, 7.5f);
  check(w, "int4z_g8");
  w.zeros[3] = 0.1f;  // no float16
  check(w, "int4z_g8_f32");
  w.zeros.assign(20, -300.0f);
  check(w, "int4z_g8");
}

TEST_CASE("packed_linear: neighbours of one scale and zero are one group") {
  io::coded_weights w = counting(2, 40, 4, 15, 8);
  const auto set = [&w](std::size_t equal) {
    for (std::size_t i = 0; i < 20; ++i)
      w.scales[i] = static_cast<float>(1 + i / 10 * 10 + i % 10 / equal);
  };
  set(1), check(w, "int4_g4");
  set(2), check(w, "int4_g8");
  set(3), check(w, "int4_g4");
  set(4), check(w, "int4_g16");
  set(16), check(w, "int4_row");
  w.zeros.assign(20, 3.0f);
  w.zeros[13] = 2.0f;
  check(w, "int4z_g4");
  w.group = 10;  // is a multiple of 2 alone
  w.scales.assign({1, 2, 3, 4, 5, 6, 7, 8});
  w.zeros.clear();
  check(w, "");
}

TEST_CASE("packed_linear: columns in the order of their groups") {
  io::coded_weights w = counting(3, 22, 8, 15, 8);
  for (std::uint32_t c = 0; c < 22; ++c) w.group_of.push_back(c % 11 < 8 ? c % 2 : 2);
  check(w, "permuted(int4_g8)");
  for (std::uint32_t c = 0; c < 22; ++c) w.group_of[c] = c / 8;
  check(w, "int4_g8");
  w.group_of[0] = 2;
  check(w, "");
}

TEST_CASE("packed_linear: rows and shapes are checked; the bytes come from where one wants them") {
  const er::packed_linear linear = io::linear_of(counting(20, 32, 8, 15, 8));
  CHECK(linear.name() == "up_proj");
  CHECK(linear.layout() == "codes that count");
  std::vector<float> out(20 * 32);
  const auto refused = [&](er::row_range rows, er::matrix_view<float> to, const char* sentence) {
    CHECK_THROWS_WITH_AS(linear.decode_rows(rows, to), sentence, std::invalid_argument);
  };
  refused({0, 21}, {out.data(), 21, 32},
          "packed_linear 'up_proj': rows 0 to 21 of 20 x 32 into an output of 21 x 32");
  refused({3, 5}, {out.data(), 3, 32},
          "packed_linear 'up_proj': rows 3 to 5 of 20 x 32 into an output of 3 x 32");
  refused({3, 5}, {out.data(), 2, 31},
          "packed_linear 'up_proj': rows 3 to 5 of 20 x 32 into an output of 2 x 31");
  refused({5, 3}, {out.data(), 0, 32},
          "packed_linear 'up_proj': rows 5 to 3 of 20 x 32 into an output of 0 x 32");

  counting_resource resource;
  {
    const er::any_matrix matrix = linear.import_matrix(&resource);
    CHECK(resource.bytes == matrix.bytes().size());
    io::coded_weights w = counting(20, 32, 8, 15, 8);
    for (std::uint32_t c = 0; c < 32; ++c) w.group_of.push_back(c % 4);
    const er::any_matrix permuted = io::linear_of(w).import_matrix(&resource);
    CHECK(resource.bytes == matrix.bytes().size() + permuted.bytes().size());
  }
  CHECK(resource.blocks == 0);
}

TEST_CASE("a layer that was moved from is empty") {
  const packed_layers::tensor w("w", er::safetensors_dtype::i8, {2, 8}),
      s("s", er::safetensors_dtype::f32, {2, 1});
  const er::safetensors_tensor weight = w, scale = s;
  er::packed_linear a = er::compressed_tensors_linear("l", {&weight, &scale}, 8);
  const er::packed_linear b = std::move(a);
  CHECK(a.rows() == 0);
  CHECK_FALSE(a.exact_format());
  CHECK_THROWS_AS((void)a.import_matrix(), er::io_error);
}

TEST_CASE("equal scales unite no further than a group goes") {
  const packed_layers::tensor w("w", er::safetensors_dtype::i8, {1, 131072}),
      s("s", er::safetensors_dtype::f32, {1, 1024}, std::vector<float>(1024, 0.5f));
  const er::safetensors_tensor weight = w, scale = s;
  const auto linear = er::compressed_tensors_linear("l", {&weight, &scale}, 8);
  REQUIRE(linear.exact_format());
  CHECK(linear.exact_format()->name() == "int8_g65536_f32");
}

TEST_SUITE_END();
