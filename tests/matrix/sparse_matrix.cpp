// SPDX-License-Identifier: Apache-2.0
/// Sparse matrices: what is stored, what is refused.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/counting_resource.hpp"
#include <edgerazor/matrix/sparse_matrix.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/sparse_matrix");

namespace {

using entries = std::vector<er::sparse_entry>;

std::vector<std::byte> copy(const er::sparse_matrix& w) {
  return {w.bytes().begin(), w.bytes().end()};
}
void put(std::vector<std::byte>& bytes, std::size_t at, std::uint16_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}
void put32(std::vector<std::byte>& bytes, std::size_t at, std::uint32_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}
std::string error_of(std::size_t rows, std::size_t cols, std::span<const std::byte> bytes) {
  std::string error;
  return er::sparse_view::try_from_bytes(rows, cols, bytes, error) ? "" : error;
}
std::string fault_of(std::size_t rows, std::size_t cols, std::span<const std::byte> bytes) {
  return er::find_fault(er::sparse_view::from_bytes(rows, cols, bytes)).value_or("");
}

}  // namespace

TEST_CASE("sparse_matrix: entries lie where the layout says, by the place and in any order") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::pair<std::size_t, std::size_t> shapes[] = {{1, 1},   {15, 40},  {16, 16},
                                                        {17, 33}, {100, 65}, {20, 65536}};
  for (const auto& [rows, cols] : shapes) {
    std::map<std::pair<std::size_t, std::size_t>, float> wanted;
    const std::size_t count = random() % (rows * std::min<std::size_t>(cols, 60));
    for (std::size_t i = 0; i < count; ++i) {
      const float value = static_cast<float>(random() % 2000 + 1) / 64 - 16;
      if (value != 0) wanted[{random() % rows, random() % cols}] = value;
    }
    entries all;
    for (const auto& [place, value] : wanted) all.push_back({place.first, place.second, value});
    std::shuffle(all.begin(), all.end(), random);
    const er::sparse_matrix w(rows, cols, all);
    CHECK(w.rows() == rows);
    CHECK(w.cols() == cols);
    CHECK(w.view().entries() == wanted.size());
    CHECK_FALSE(er::find_fault(w).has_value());

    std::size_t steps = 0;
    std::map<std::pair<std::size_t, std::size_t>, float> found;
    for (std::size_t t = 0; t < w.view().tiles(); ++t) {
      steps += w.view().steps(t).size();
      for (const er::sparse_step& step : w.view().steps(t)) {
        for (std::size_t i = 0; i < 16; ++i) {
          if (step.values[i] != 0.0f) found[{16 * t + i, step.columns[i]}] = step.values[i];
        }
      }
    }
    CHECK(found == wanted);
    const std::size_t tiles = (rows + 15) / 16;
    CHECK(w.bytes().size() == (4 * (tiles + 1) + 63) / 64 * 64 + 64 * steps);

    const er::sparse_view read = er::sparse_view::from_bytes(rows, cols, w.bytes());
    CHECK(read.bytes().data() == w.bytes().data());
    CHECK(read.steps(0).size() == w.view().steps(0).size());
  }
}

TEST_CASE("sparse_matrix: a row of two entries among 16, byte by byte") {
  const er::sparse_matrix w(17, 300, entries{{2, 258, -2.0f}, {2, 3, 1.0f}, {16, 7, 0.5f}});
  std::vector<std::byte> expected(64 + 3 * 64);
  put32(expected, 4, 2);
  put32(expected, 8, 3);
  put(expected, 64 + 2 * 2, 3);
  put(expected, 64 + 32 + 2 * 2, 0x3c00);
  put(expected, 128 + 2 * 2, 258);
  put(expected, 128 + 32 + 2 * 2, 0xc000);
  put(expected, 192, 7);
  put(expected, 192 + 32, 0x3800);
  CHECK(copy(w) == expected);
}

TEST_CASE("sparse_matrix: values are rounded once; one that becomes 0 is not stored") {
  const er::sparse_matrix w(1, 9,
                            entries{{0, 0, 1.0f + 0x1p-11f},
                                    {0, 1, 0x1p-25f},
                                    {0, 2, -0x1p-26f},
                                    {0, 3, -0.0f},
                                    {0, 4, 0x1.000002p-25f},
                                    {0, 5, 65519.0f}});
  REQUIRE(w.view().steps(0).size() == 3);
  CHECK(float{w.view().steps(0)[0].values[0]} == 1.0f);  // half to even
  CHECK(float{w.view().steps(0)[1].values[0]} == 0x1p-24f);
  CHECK(float{w.view().steps(0)[2].values[0]} == 65504.0f);
  const er::sparse_matrix none(40, 5, entries{});
  CHECK(none.bytes().size() == 64);
  CHECK(none.view().entries() == 0);
}

TEST_CASE("sparse_matrix: of a dense matrix, what a mask marks or a threshold leaves") {
  const std::vector<float> values{1, -2, 0.5f, 0, 3, -0.5f};
  const er::matrix_view<const float> view{values.data(), 2, 3};
  const std::vector<std::uint8_t> mask{1, 0, 0, 1, 0, 255};
  CHECK(copy(er::sparse_matrix::marked(view, mask)) ==
        copy(er::sparse_matrix(2, 3, entries{{0, 0, 1}, {1, 2, -0.5f}})));
  CHECK(copy(er::sparse_matrix::above(view, 0.5f)) ==
        copy(er::sparse_matrix(2, 3, entries{{0, 0, 1}, {0, 1, -2}, {1, 1, 3}})));
  CHECK(er::sparse_matrix::above(view, 0).view().entries() == 5);
  CHECK_THROWS_WITH_AS((void)er::sparse_matrix::marked(view, std::span{mask}.first(5)),
                       "sparse matrix: expected a mask of 2 x 3, got 5 entries",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS((void)er::sparse_matrix::above(view, -1),
                       doctest::Contains("expected at least 0"), std::invalid_argument);
  CHECK_THROWS_AS((void)er::sparse_matrix::above(view, NAN), std::invalid_argument);
  const std::vector<float> bad{0, NAN};
  CHECK_THROWS_WITH_AS((void)er::sparse_matrix::above({bad.data(), 1, 2}, INFINITY),
                       "sparse matrix: the entry at row 0, column 1 is NaN: expected finite values",
                       std::invalid_argument);
}

TEST_CASE("sparse_matrix: what is no entry is refused, naming the place") {
  const auto refused = [](std::size_t rows, std::size_t cols, const entries& some,
                          const char* sentence) {
    CHECK_THROWS_WITH_AS(er::sparse_matrix(rows, cols, some), sentence, std::invalid_argument);
  };
  refused(0, 4, {}, "sparse matrix: expected at least one row and column, got 0 x 4");
  refused(4, 0, {}, "sparse matrix: expected at least one row and column, got 4 x 0");
  refused(2, 65537, {}, "sparse matrix: expected at most 65536 columns, got 65537");
  refused(SIZE_MAX / 8, 65536, {}, "sparse matrix: 2305843009213693951 x 65536 is too large");
  refused(3, 4, {{3, 0, 1}}, "sparse matrix: the entry at row 3, column 0 is outside of 3 x 4");
  refused(3, 4, {{0, 4, 1}}, "sparse matrix: the entry at row 0, column 4 is outside of 3 x 4");
  refused(3, 4, {{1, 2, 1}, {0, 0, 1}, {1, 2, 0}},
          "sparse matrix: the entry at row 1, column 2 stands twice");
  refused(3, 4, {{1, 2, INFINITY}},
          "sparse matrix: the entry at row 1, column 2 is infinite: expected finite values");
  refused(3, 4, {{1, 2, -65520.0f}},
          "sparse matrix: the entry at row 1, column 2 is out of the range of f16");
}

TEST_CASE("sparse_matrix: bytes that are none are refused before they are used") {
  const er::sparse_matrix w(33, 50, entries{{0, 3, 1}, {0, 9, 1}, {20, 49, 2}, {32, 0, 3}});
  const std::vector<std::byte> good = copy(w);
  CHECK(error_of(33, 50, good).empty());
  CHECK(error_of(33, 49, good) == "sparse matrix of 33 x 49: an entry is in column 49");
  CHECK(error_of(33, 65537, good) == "sparse matrix: expected at most 65536 columns, got 65537");
  CHECK(error_of(0, 50, good) == "sparse matrix: expected at least one row and column, got 0 x 50");
  CHECK(error_of(33, 50, std::span{good}.first(63)) ==
        "sparse matrix of 33 x 50: its header does not fit its 63 bytes");
  for (const std::size_t size : {std::size_t{64}, good.size() - 1, good.size() - 64})
    CHECK(error_of(33, 50, std::span{good}.first(size)) ==
          "sparse matrix of 33 x 50: expected 320 bytes, got " + std::to_string(size));
  CHECK(error_of(SIZE_MAX / 16, 8, good).starts_with("sparse matrix: "));
  CHECK(error_of(std::size_t{1} << 40, 50, good).ends_with("does not fit its 320 bytes"));
  std::vector<std::byte> longer = good;
  longer.resize(good.size() + 64);
  CHECK(error_of(33, 50, longer).ends_with("expected 320 bytes, got 384"));
  std::vector<std::byte> bad = good;
  put32(bad, 0, 1);
  CHECK(error_of(33, 50, bad).ends_with("its first tile does not begin at step 0"));
  bad = good;
  put32(bad, 4, 5);
  CHECK(error_of(33, 50, bad).ends_with("its tiles are not in order"));
  bad = good;
  put32(bad, 12, 0xffffffff);
  CHECK(error_of(33, 50, bad).ends_with("got 320"));
  bad.assign(good.size() + 1, std::byte{});
  std::memcpy(bad.data() + 1, good.data(), good.size());
  CHECK(error_of(33, 50, std::span{bad}.subspan(1)).ends_with("its bytes begin at an odd address"));
  CHECK_THROWS_AS((void)er::sparse_view::from_bytes(33, 50, std::span{bad}.subspan(1)),
                  std::invalid_argument);
}

TEST_CASE("find_fault: values, order and padding of a sparse matrix") {
  const er::sparse_matrix w(18, 50, entries{{1, 3, 1}, {1, 9, 1}, {2, 5, 1}, {17, 49, 2}});
  const std::vector<std::byte> good = copy(w);
  CHECK(fault_of(18, 50, good).empty());
  const auto value = [](std::size_t step, std::size_t row) {
    return 64 + 64 * step + 32 + 2 * row;
  };
  const auto column = [](std::size_t step, std::size_t row) { return 64 + 64 * step + 2 * row; };
  const auto with = [&](std::size_t at, std::uint16_t what) {
    std::vector<std::byte> bad = good;
    put(bad, at, what);
    return fault_of(18, 50, bad);
  };
  CHECK(with(value(1, 1), 0x7e00) == "the entry at row 1, column 9 is NaN: expected finite values");
  CHECK(with(value(0, 1), 0xfc00) ==
        "the entry at row 1, column 3 is infinite: expected finite values");
  CHECK(with(column(1, 1), 3) == "the columns of row 1 are not in order");
  CHECK(with(column(1, 2), 7) == "row 2 has an entry behind its last");
  CHECK(with(value(1, 2), 0x8000) == "row 2 has an entry behind its last");
  CHECK(with(value(0, 1), 0) == "row 1 has an entry behind its last");
  CHECK(with(value(1, 1), 0) == "row 1 has an entry behind its last");
  CHECK(with(value(2, 5), 0x3c00) == "row 21 has an entry and is none");
  std::vector<std::byte> bad = good;
  put(bad, value(1, 1), 0), put(bad, column(1, 1), 0);
  CHECK(fault_of(18, 50, bad) == "tile 0 has more steps than its longest row entries");
}

TEST_CASE("sparse_matrix: moves along; a caller's memory") {
  counting_resource memory;
  {
    er::sparse_matrix w(5, 6, entries{{1, 2, 3}}, &memory);
    CHECK(memory.blocks == 1);
    const std::byte* const at = w.bytes().data();
    const er::sparse_matrix moved = std::move(w);
    CHECK(moved.bytes().data() == at);
    CHECK(w.rows() == 0);
    CHECK(w.view().entries() == 0);
    CHECK_FALSE(er::find_fault(w).has_value());
  }
  CHECK(memory.blocks == 0);
}

TEST_SUITE_END();
