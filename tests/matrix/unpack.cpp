// SPDX-License-Identifier: Apache-2.0
/// Levels of bytes that any packer or none has written; what pack writes is read back in pack.cpp.
#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/shapes.hpp"
#include "support/tile_places.hpp"
#include <edgerazor/matrix/unpack.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/unpack");

TEST_CASE("unpack: all bytes, also those that no packer writes, have their documented levels") {
  // Chunks of 64 bytes, counted through: each value appears in whole chunks, since there are more
  // than four of those.
  const std::size_t rows = 18, cols = 129;
  for (const er::code_type code : shapes::codes) {
    const er::format fmt{code, 32, er::scale_kind::float32};
    const er::tile_layout layout(fmt, rows, cols);
    std::vector<std::byte> bytes(layout.bytes());
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i & 0xff);
    const er::packed_view view(layout, bytes);
    const tile_places::matrix walked(fmt, rows, cols, bytes);
    std::vector<std::int8_t> levels(rows * cols);
    er::unpack(view, er::matrix_view<std::int8_t>{levels.data(), rows, cols});
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < levels.size(); ++i) wrong += levels[i] != walked.levels[i];
    CAPTURE(fmt.name());
    CHECK(wrong == 0);
  }
}

TEST_SUITE_END();
