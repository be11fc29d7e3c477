// SPDX-License-Identifier: Apache-2.0
/// That every line of a range of tiles is asked for, and when.
#include <algorithm>
#include <cstddef>
#include <map>

#include <doctest/doctest.h>

#include <edgerazor/core/storage.hpp>
#include <edgerazor/matrix/matrix_format.hpp>
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/weights_ahead.hpp>

namespace er = edgerazor;
namespace kernel = er::detail::kernel;

TEST_SUITE_BEGIN("product/weights_ahead");

namespace {

constexpr std::size_t line = 64;

/// How often each line was asked for, by its number from `base` on.
struct asked_lines {
  const std::byte* base = nullptr;
  std::map<std::size_t, int> times;
};
asked_lines asked;

void note(const std::byte* at, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; i += line)
    ++asked.times[static_cast<std::size_t>(at + i - asked.base) / line];
}

/// What the loops of a kernel ask for in one tile.
void read_chunks(const er::tile_layout& layout, std::size_t tile) {
  for (std::size_t at = layout.scale_bytes(); at < layout.tile_bytes(); at += line)
    ++asked.times[(tile * layout.tile_bytes() + at + kernel::prefetch_distance) / line];
}

}  // namespace

TEST_CASE("weights_ahead: each line of a range is asked for, most of them once") {
  kernel::functions k = *er::find_kernel("scalar")->functions;
  k.prefetch = &note;
  for (const char* format : {"ternary2_g256", "ternary2_g64", "ternary5_g64", "int4_g32",
                             "int4z_g64", "int3_g64", "int6_g256", "int8_row", "ternary3_g64"}) {
    for (const std::size_t cols : {std::size_t{64}, std::size_t{576}, std::size_t{4096}}) {
      for (const std::size_t at_once : {std::size_t{1}, std::size_t{2}}) {
        const er::tile_layout layout(er::matrix_format::parse(format)->first, 160, cols);
        const er::byte_storage bytes(layout.bytes());
        const er::packed_view w(layout, {bytes.data(), bytes.size()});
        const std::size_t begin = 2, end = 9;  // of ten tiles
        CAPTURE(format);
        CAPTURE(cols);
        CAPTURE(at_once);
        asked = {w.tile(0), {}};
        const er::detail::product::weights_ahead ahead(k, w, begin, end, at_once);
        const std::map<std::size_t, int> before = asked.times;
        for (std::size_t tile = begin; tile < end; tile += at_once) {
          ahead.begin_tile(tile);
          for (std::size_t i = tile; i < std::min(tile + at_once, end); ++i) read_chunks(layout, i);
        }
        const std::size_t first = begin * layout.tile_bytes() / line,
                          past = end * layout.tile_bytes() / line;
        std::size_t missing = 0, again = 0;
        for (std::size_t i = first; i < past; ++i) {
          const auto found = asked.times.find(i);
          missing += found == asked.times.end();
          again += found != asked.times.end() && found->second > 1;
        }
        CHECK(missing == 0);
        const bool one_stream =
            at_once == 1 &&
            (layout.codec().plane_count < 2 || layout.groups() <= er::detail::product::group_block);
        if (one_stream) CHECK(again == 0);
        // Nothing before the range or, but for the loops over chunks, behind it.
        CHECK(asked.times.begin()->first == first);
        CHECK(before.rbegin()->first < past);
      }
    }
  }
}

TEST_SUITE_END();
