// SPDX-License-Identifier: Apache-2.0
/// Rows of every element type, in blocks, with and without a tail.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/rows.hpp>

namespace er = edgerazor;
namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/rows");

namespace {

template <class T>
void check_row() {
  std::vector<T> values;
  for (int i = 0; i < 700; ++i) values.push_back(T{static_cast<float>(i % 31) - 15.5f});
  values[600] = T{40.0f};
  const er::input_row in{values.data(), values.size()};
  CHECK(in[3] == -12.5);
  CHECK(in.largest(0, 512) == 14.5f);
  CHECK(in.largest(512, 512) == 40.0f);
  CHECK(in.largest(700, 5) == -std::numeric_limits<float>::infinity());
  CHECK(!in.holds_nan(0, 700));
  CHECK(in.present_in(512, 512) == 188);
  float floats[row::block_cols];
  double doubles[row::block_cols];
  const float* a = in.block(512, 188, 16, floats);
  const double* b = in.block(512, 200, 8, doubles, -1.0);  // past the row's end
  for (std::size_t i = 0; i < 192; ++i) {
    const double expected = i < 188 ? in[512 + i] : -std::numeric_limits<double>::infinity();
    CHECK(static_cast<double>(a[i]) == expected);
    CHECK(b[i] == (i < 188 ? expected : -1.0));
  }
  values[650] = T{std::numeric_limits<float>::quiet_NaN()};
  CHECK(in.holds_nan(512, 188));
  CHECK(!in.holds_nan(0, 512));

  const double more[] = {1, -2, 0.25};
  std::vector<T> out(4, T{0.5f});
  const er::output_row written{out.data(), 4, false}, added{out.data(), 4, true};
  written.store(1, 3, more);
  CHECK(static_cast<float>(out[0]) == 0.5f);
  CHECK(static_cast<float>(out[2]) == -2.0f);
  added.store_wide(1, 3, more);
  CHECK(static_cast<float>(out[2]) == -4.0f);
  added.clear();
  CHECK(static_cast<float>(out[2]) == -4.0f);
  written.clear(2);
  CHECK(static_cast<float>(out[1]) == 2.0f);
  CHECK(static_cast<float>(out[3]) == 0.0f);
  added.set(0, 3.0f);
  CHECK(written.as_input()[0] == 3);
  er::output_row{}.clear();
}

}  // namespace

TEST_CASE("rows: every element type is read, written and added to") {
  check_row<float>();
  check_row<er::float16>();
  check_row<er::bfloat16>();
}

TEST_CASE("rows: whole blocks of the type wanted are read where they lie") {
  std::vector<float> values(1024, 1.0f);
  float buffer[row::block_cols];
  CHECK(er::input_row{values.data(), 1024}.block(512, 512, 8, buffer) == values.data() + 512);
  CHECK(er::input_row{values.data(), 1020}.block(512, 508, 8, buffer) == buffer);
}

TEST_SUITE_END();
