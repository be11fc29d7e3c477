// SPDX-License-Identifier: Apache-2.0
/// Products by look-up, of every kernel, against 64-bit arithmetic on arrays that end at a guard
/// page.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "support/guarded.hpp"
#include "support/operands.hpp"
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;
namespace triples = er::detail::matrix::triples;

TEST_SUITE_BEGIN("kernel/contract");

namespace {

/// The codes of one tile or two.
struct tiles {
  std::size_t slots, group_slots, count, bytes_a_tile;
  std::vector<std::uint8_t> chunks;

  tiles(std::size_t slot_count, std::size_t slots_a_group, std::size_t tile_count,
        operands::content what, std::mt19937& random)
      : slots(slot_count), group_slots(slots_a_group), count(tile_count) {
    bytes_a_tile = (view(nullptr).pair_end(groups() - 1) + 7) / 8 * 160;
    chunks.resize(bytes_a_tile * count);
    for (std::uint8_t& byte : chunks) byte = operands::draw_triples(what, random);
  }
  [[nodiscard]] std::size_t groups() const { return (slots + group_slots - 1) / group_slots; }
  [[nodiscard]] er::detail::kernel::triple_codes view(const std::uint8_t* at) const {
    return {at, slots, group_slots, count, bytes_a_tile};
  }
  /// Written out: the number of a unit is base 3, less 13.
  [[nodiscard]] int level(std::size_t tile, std::size_t row, std::size_t col) const {
    const std::size_t g = col / (4 * group_slots), c = col % (4 * group_slots),
                      pair = view(nullptr).pair_begin(g) + c / 6;
    const auto* const chunk = reinterpret_cast<const std::byte*>(chunks.data()) +
                              tile * bytes_a_tile + pair / 8 * 160 + row;
    unsigned number = triples::value_at(chunk, pair, c / 3 % 2);
    for (std::size_t b = 0; b < c % 3; ++b) number /= 3;
    return static_cast<int>(number % 3) - 1;
  }
};

/// Tables of all groups by one kernel.
std::vector<std::uint8_t> tables_of(const er::kernel& k, const tiles& w,
                                    const std::vector<std::int8_t>& x, guarded::edge edge) {
  std::vector<std::uint8_t> all;
  for (std::size_t g = 0; g < w.groups(); ++g) {
    const std::size_t first = 4 * g * w.group_slots,
                      cols = std::min(4 * w.group_slots, x.size() - first);
    const guarded::array<std::int8_t> some(
        std::vector<std::int8_t>(x.begin() + static_cast<std::ptrdiff_t>(first),
                                 x.begin() + static_cast<std::ptrdiff_t>(first + cols)),
        edge);
    const guarded::array<std::uint8_t> tables(
        std::vector<std::uint8_t>(64 * triples::pairs_of(cols), std::uint8_t{0x55}), edge);
    k.functions->triple_tables(some.data(), cols, tables.data());
    const std::vector<std::uint8_t> made = tables.copy();
    all.insert(all.end(), made.begin(), made.end());
  }
  return all;
}

constexpr std::size_t triple_slot_counts[] = {1, 2, 3, 4, 5, 8, 11, 12, 13, 16, 33, 64, 144, 400};

}  // namespace

TEST_CASE("kernel: triple_tables hold every sum of three activations and less") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const operands::codes what : operands::all_codes) {
    for (const std::size_t slots : triple_slot_counts) {
      const tiles w(slots, slots, 1, operands::content::levels, random);
      std::vector<std::int8_t> x(4 * slots);
      for (std::size_t c = 0; c < x.size(); ++c)
        x[c] = operands::draw_code(what, c, x.size() / 2, random);
      for (const er::kernel& k : er::available_kernels()) {
        const std::vector<std::uint8_t> tables =
            tables_of(k, w, x, slots % 2 == 0 ? guarded::edge::begin : guarded::edge::end);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < tables.size(); ++i) {
          const std::size_t pair = i / 64, is_high = i / 32 % 2, unit = i / 16 % 2;
          int number = std::clamp(static_cast<int>(i % 16) - 1, 0, 13) + 13, sum = 0;
          for (std::size_t b = 0; b < 3; ++b, number /= 3) {
            const std::size_t c = 6 * pair + 3 * unit + b;
            sum += c < x.size() ? (number % 3 - 1) * x[c] : 0;
          }
          const int high = (1057 * sum + 16384) >> 15;
          wrong += tables[i] != static_cast<std::uint8_t>(is_high != 0 ? high : sum - 31 * high);
        }
        CAPTURE(k.name);
        CAPTURE(slots);
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("kernel: triple_dot is exact for every group, content and number of tiles") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const std::size_t slots : triple_slot_counts) {
    for (const std::size_t group_slots :
         {std::size_t{1}, std::size_t{2}, std::size_t{5}, std::size_t{8}, std::size_t{16},
          std::size_t{32}, std::size_t{64}, slots}) {
      const operands::content what = operands::all_contents[i % operands::all_contents.size()];
      const operands::codes activations = operands::all_codes[i / 2 % operands::all_codes.size()];
      const guarded::edge edge = i % 3 == 0 ? guarded::edge::begin : guarded::edge::end;
      const tiles w(slots, group_slots, 1 + i / 5 % 2, what, random);
      ++i;
      std::vector<std::int8_t> x(4 * slots);
      for (std::size_t c = 0; c < x.size(); ++c)
        x[c] = operands::draw_code(activations, c, x.size() / 2, random);
      const std::vector<std::uint8_t> tables =
          tables_of(*er::find_kernel("scalar"), w, x, guarded::edge::end);
      const guarded::array<std::uint8_t> chunks(w.chunks, edge);
      const std::size_t some = random() % w.groups(),
                        past = some + 1 + random() % (w.groups() - some);
      for (const er::row_range range : {er::row_range{0, w.groups()}, er::row_range{some, past}}) {
        // No table of another group: only its place before the first.
        const std::size_t begin = w.view(nullptr).pair_begin(range.begin),
                          end = w.view(nullptr).pair_end(range.end - 1);
        std::vector<std::uint8_t> from_chunk(64 * (begin % 8), std::uint8_t{0x7f});
        from_chunk.insert(from_chunk.end(),
                          tables.begin() + static_cast<std::ptrdiff_t>(64 * begin),
                          tables.begin() + static_cast<std::ptrdiff_t>(64 * end));
        const guarded::array<std::uint8_t> read(from_chunk, guarded::edge::end);
        std::vector<std::int32_t> expected;
        for (std::size_t t = 0; t < w.count; ++t) {
          for (std::size_t g = range.begin; g < range.end; ++g) {
            for (std::size_t r = 0; r < 16; ++r) {
              std::int64_t sum = 0;
              for (std::size_t c = 4 * g * group_slots;
                   c < std::min(4 * (g + 1) * group_slots, x.size()); ++c)
                sum += std::int64_t{w.level(t, r, c)} * x[c];
              expected.push_back(static_cast<std::int32_t>(sum));
            }
          }
        }
        for (const er::kernel& k : er::available_kernels()) {
          const guarded::array<std::int32_t> isum(std::vector<std::int32_t>(expected.size(), -7),
                                                  edge);
          k.functions->triple_dot(w.view(chunks.data()), read.data(), range.begin, range.end,
                                  isum.data());
          if (isum.copy() == expected) continue;
          CAPTURE(k.name);
          CAPTURE(slots);
          CAPTURE(group_slots);
          CAPTURE(w.count);
          CAPTURE(range.begin);
          CAPTURE(range.end);
          FAIL_CHECK("triple_dot differs from 64-bit arithmetic");
        }
      }
    }
  }
}

TEST_CASE("kernel: triple_dot of the largest group there is, at its extremes") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  constexpr std::size_t slots = er::format::largest_group / 4;
  const tiles w(slots, slots, 2, operands::content::maximal, random);  // -1 everywhere
  for (const std::int8_t level : {std::int8_t{127}, std::int8_t{-128}}) {
    const std::vector<std::int8_t> x(4 * slots, level);
    const std::vector<std::uint8_t> tables =
        tables_of(*er::find_kernel("scalar"), w, x, guarded::edge::end);
    const std::vector<std::int32_t> expected(32, -65536 * std::int32_t{level});
    for (const er::kernel& k : er::available_kernels()) {
      CAPTURE(k.name);
      std::vector<std::int32_t> isum(32);
      k.functions->triple_dot(w.view(w.chunks.data()), tables.data(), 0, 1, isum.data());
      CHECK(isum == expected);
    }
  }
}

TEST_CASE("kernel: triple_unpack gives the codes of any run of slots") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t slots : triple_slot_counts) {
    for (const std::size_t group_slots : {std::size_t{1}, std::size_t{5}, std::size_t{16}, slots}) {
      const guarded::edge edge = slots % 2 == 0 ? guarded::edge::begin : guarded::edge::end;
      const tiles w(slots, group_slots, 1, operands::content::any_bytes, random);
      const guarded::array<std::uint8_t> chunks(w.chunks, edge);
      for (int repeat = 0; repeat < 6; ++repeat) {
        const std::size_t begin = repeat == 0 ? 0 : random() % slots;
        const std::size_t end =
            std::min(repeat == 0 ? slots : begin + random() % (slots - begin + 1),
                     begin + er::detail::kernel::panel_slots);
        std::vector<std::uint8_t> expected;
        for (std::size_t s = begin; s < end; ++s) {
          for (std::size_t r = 0; r < 16; ++r) {
            for (std::size_t b = 0; b < 4; ++b)
              expected.push_back(static_cast<std::uint8_t>(w.level(0, r, 4 * s + b) + 1));
          }
        }
        for (const er::kernel& k : er::available_kernels()) {
          const guarded::array<std::uint8_t> panel(std::vector<std::uint8_t>(64 * (end - begin)),
                                                   edge);
          k.functions->triple_unpack(w.view(chunks.data()), begin, end, panel.data());
          CAPTURE(k.name);
          CAPTURE(group_slots);
          CAPTURE(begin);
          CAPTURE(end);
          CHECK(panel.copy() == expected);
        }
      }
    }
  }
}

TEST_SUITE_END();
