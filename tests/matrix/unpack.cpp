// SPDX-License-Identifier: Apache-2.0
/// Levels of bytes that any packer or none has written; what pack writes is read back in pack.cpp.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include "support/shapes.hpp"
#include "support/tile_places.hpp"
#include <edgerazor/matrix/unpack.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/unpack");

TEST_CASE("unpack: all bytes, also those that no packer writes, have their documented levels") {
  // Chunks of 64 bytes, counted through: each value appears in whole chunks, since there are more
  // than four of those.
  const std::size_t rows = 18, cols = 129;
  for (const shapes::coding& coding : shapes::codings) {
    const er::code_type code = coding.code;
    const er::zero_kind zero = coding.zero;
    const er::format fmt = coding.with(32, er::scale_kind::float32);
    const er::tile_layout layout(fmt, rows, cols);
    std::vector<std::byte> bytes(layout.bytes());
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i & 0xff);
    const er::packed_view view(layout, bytes);
    const tile_places::matrix walked(fmt, rows, cols, bytes);
    CAPTURE(fmt.name());
    std::vector<std::int8_t> levels(rows * cols);
    std::vector<std::uint8_t> codes(rows * cols);
    const er::matrix_view<std::int8_t> to{levels.data(), rows, cols};
    std::size_t wrong = 0;
    er::unpack(view, er::matrix_view<std::uint8_t>{codes.data(), rows, cols});
    for (std::size_t i = 0; i < codes.size(); ++i)
      wrong += codes[i] != walked.levels[i] + tile_places::zero_of(code, zero);
    if (zero == er::zero_kind::none) {
      er::unpack(view, to);
      for (std::size_t i = 0; i < levels.size(); ++i) wrong += levels[i] != walked.levels[i];
    } else {
      CHECK_THROWS_WITH_AS(er::unpack(view, to),
                           ("unpack: " + fmt.name() +
                            " has codes and no levels, expected an output of unsigned bytes")
                               .c_str(),
                           std::invalid_argument);
    }
    CHECK(wrong == 0);
    std::vector<float> scales(rows * layout.groups()), zeros(scales.size());
    er::unpack_scales(view, {scales.data(), rows, layout.groups()});
    er::unpack_zeros(view, {zeros.data(), rows, layout.groups()});
    CHECK(samples::count_differences(scales, walked.scales) == 0);
    if (zero == er::zero_kind::none) {
      CHECK(
          std::count(zeros.begin(), zeros.end(), static_cast<float>(tile_places::zero_of(code))) ==
          static_cast<std::ptrdiff_t>(zeros.size()));
    } else {
      CHECK(samples::count_differences(zeros, walked.zeros) == 0);
    }
  }
}

TEST_SUITE_END();
