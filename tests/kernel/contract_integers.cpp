// SPDX-License-Identifier: Apache-2.0
/// The integer functions of every kernel's table, one by one: against scalar.hpp bit for bit,
/// against 64-bit arithmetic, and with every array between pages that can't be touched.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/guarded.hpp"
#include "support/operands.hpp"
#include "support/oracle.hpp"
#include "support/shapes.hpp"
#include "support/tile_places.hpp"
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("kernel/contract");

namespace {

using sizes = std::initializer_list<std::size_t>;

/// One plane of the codes of one tile, as the first of two or the second.
struct tile {
  er::plane_type plane;
  std::size_t slots, group_slots;
  unsigned shift = 0;
  bool first = true;
  int zero_code = 0;
  std::vector<std::uint8_t> chunks, tables;  ///< no tables but of a plane that has them

  tile(er::plane_type type, std::size_t slot_count, std::size_t slots_a_group,
       operands::content what, std::mt19937& random)
      : plane(type), slots(slot_count), group_slots(slots_a_group) {
    const unsigned fields = tile_places::fields_of(plane);
    chunks.resize((slots + fields - 1) / fields * er::chunk_bytes);
    for (std::uint8_t& byte : chunks) byte = operands::draw_byte(er::plane_of(plane), what, random);
    unsigned bits = plane == er::plane_type::base3 ? 2 : 8 / fields;
    if (er::plane_of(plane).of_table) {
      bits = 5;
      tables.resize(64 * groups());
      for (std::uint8_t& byte : tables)
        byte = operands::draw_byte(er::plane_of(er::plane_type::bits8), what, random);
    }
    shift = static_cast<unsigned>(random()) % (9 - bits);
    first = random() % 3 != 0;
    zero_code = static_cast<int>(random() % 129);
  }
  [[nodiscard]] std::size_t groups() const { return (slots + group_slots - 1) / group_slots; }
  [[nodiscard]] er::detail::kernel::plane_codes view(const std::uint8_t* at) const {
    return {at, slots, group_slots, shift, first, zero_code, tables.data()};
  }
  /// What the digit counts in the code.
  [[nodiscard]] int part(std::size_t row, std::size_t col) const {
    const unsigned fields = tile_places::fields_of(plane);
    const std::size_t slot = col / 4;
    const int digit = tile_places::digit_of(plane, chunks[64 * (slot / fields) + 4 * row + col % 4],
                                            static_cast<unsigned>(slot % fields));
    if (tables.empty()) return digit << shift;
    const std::size_t entry = 64 * (slot / group_slots) + 4 * row + static_cast<std::size_t>(digit);
    return tables[entry] % 32 << shift;
  }
};

/// One token, with the sums of its groups.
struct token {
  std::vector<std::int8_t> x;
  std::vector<std::int32_t> sums;

  token(const tile& w, operands::codes what, std::mt19937& random)
      : x(4 * w.slots), sums(w.groups()) {
    const std::size_t chosen = random() % x.size();
    for (std::size_t c = 0; c < x.size(); ++c) {
      x[c] = operands::draw_code(what, c, chosen, random);
      sums[c / (4 * w.group_slots)] += x[c];
    }
  }
};

std::size_t index(er::plane_type plane) { return static_cast<std::size_t>(plane); }

/// What isum holds before a plane that is not the first.
constexpr std::int32_t held_before = -7;

/// Sums in 64 bits.
std::vector<std::int32_t> exact_sums(const tile& w, const token& t, std::size_t begin,
                                     std::size_t end) {
  std::vector<std::int32_t> result;
  for (std::size_t g = begin; g < end; ++g) {
    for (std::size_t r = 0; r < 16; ++r) {
      std::int64_t sum = w.first ? -std::int64_t{w.zero_code} * t.sums[g] : held_before;
      for (std::size_t c = 4 * g * w.group_slots;
           c < std::min(4 * (g + 1) * w.group_slots, 4 * w.slots); ++c) {
        sum += std::int64_t{w.part(r, c)} * t.x[c];
      }
      REQUIRE(sum == static_cast<std::int32_t>(sum));
      result.push_back(static_cast<std::int32_t>(sum));
    }
  }
  return result;
}

/// dot of one kernel on guarded arrays.
std::vector<std::int32_t> run_dot(const er::kernel& k, const tile& w, const token& t,
                                  std::size_t begin, std::size_t end, guarded::edge edge) {
  const guarded::array<std::uint8_t> chunks(w.chunks, edge), tables(w.tables, edge);
  const guarded::array<std::int8_t> x(t.x, edge);
  const guarded::array<std::int32_t> sums(t.sums, edge);
  const guarded::array<std::int32_t> isum(
      std::vector<std::int32_t>(16 * (end - begin), held_before), edge);
  er::detail::kernel::plane_codes codes = w.view(chunks.data());
  codes.tables = tables.data();
  k.functions->dot[index(w.plane)](codes, x.data(), sums.data(), begin, end, isum.data());
  return isum.copy();
}

constexpr std::size_t slot_counts[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 15,
                                       16, 17, 20, 21, 25, 31, 32, 33, 64, 65, 144};

}  // namespace

TEST_CASE("kernel: dot is exact for every codec, group and content") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const er::plane_info& plane : er::plane_list) {
    for (const std::size_t slots : slot_counts) {
      for (const std::size_t group_slots :
           {std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{5}, std::size_t{8},
            std::size_t{16}, slots}) {
        const operands::content what = operands::all_contents[i % operands::all_contents.size()];
        const operands::codes activations = operands::all_codes[i / 2 % operands::all_codes.size()];
        const guarded::edge edge = i % 3 == 0 ? guarded::edge::begin : guarded::edge::end;
        ++i;
        const tile w(plane.type, slots, group_slots, what, random);
        const token t(w, activations, random);
        // All groups, and some in the middle.
        const std::size_t some = random() % w.groups(),
                          end = some + 1 + random() % (w.groups() - some);
        for (const er::row_range range : {er::row_range{0, w.groups()}, er::row_range{some, end}}) {
          const std::vector<std::int32_t> expected = exact_sums(w, t, range.begin, range.end);
          for (const er::kernel& k : er::available_kernels()) {
            if (run_dot(k, w, t, range.begin, range.end, edge) == expected) continue;
            CAPTURE(k.name);
            CAPTURE(plane.name);
            CAPTURE(slots);
            CAPTURE(group_slots);
            CAPTURE(range.begin);
            CAPTURE(range.end);
            FAIL_CHECK("dot differs from 64-bit arithmetic");
          }
        }
      }
    }
  }
}

TEST_CASE("kernel: dot of the largest group there is, at its extremes") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const er::plane_info& plane : er::plane_list) {
    for (const operands::content what : {operands::content::maximal, operands::content::minimal}) {
      tile w(plane.type, er::format::largest_group / 4, er::format::largest_group / 4, what,
             random);
      w.zero_code = 128, w.first = true;  // the largest there are, of one plane
      w.shift = plane.type == er::plane_type::base3 ? 6 : 8 - 8 / plane.fields();
      if (plane.of_table) w.shift = 3;
      for (const operands::codes activations :
           {operands::codes::largest, operands::codes::smallest, operands::codes::alternating}) {
        const token t(w, activations, random);
        const std::vector<std::int32_t> expected = exact_sums(w, t, 0, 1);
        for (const er::kernel& k : er::available_kernels()) {
          CAPTURE(k.name);
          CAPTURE(plane.name);
          CHECK(run_dot(k, w, t, 0, 1, guarded::edge::end) == expected);
        }
      }
    }
  }
}

TEST_CASE("kernel: all 256 bytes have their level, in dot and unpack") {
  for (const er::plane_info& plane : er::plane_list) {
    std::mt19937 random(1);
    // Byte 4 r + b of chunk n is 64 n + 4 r + b: four chunks hold all bytes.
    tile w(plane.type, 4 * plane.fields(), 4 * plane.fields(), operands::content::minimal, random);
    w.first = true;
    for (std::size_t i = 0; i < w.chunks.size(); ++i) w.chunks[i] = static_cast<std::uint8_t>(i);
    for (const er::kernel& k : er::available_kernels()) {
      CAPTURE(k.name);
      CAPTURE(plane.name);
      std::vector<std::uint8_t> panel(64 * w.slots);
      k.functions->unpack[index(plane.type)](w.view(w.chunks.data()), 0, w.slots, panel.data());
      std::size_t wrong = 0;
      for (std::size_t c = 0; c < 4 * w.slots; ++c) {
        token t(w, operands::codes::zeros, random);
        t.x[c] = 1;
        t.sums[0] = 1;
        std::vector<std::int32_t> isum(16);
        k.functions->dot[index(plane.type)](w.view(w.chunks.data()), t.x.data(), t.sums.data(), 0,
                                            1, isum.data());
        for (std::size_t r = 0; r < 16; ++r) {
          wrong += isum[r] != w.part(r, c) - w.zero_code;
          wrong += panel[64 * (c / 4) + 4 * r + c % 4] != w.part(r, c);
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("kernel: unpack gives the codes of any run of slots") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const er::plane_info& plane : er::plane_list) {
    for (const std::size_t slots : slot_counts) {
      const std::size_t group_slots = plane.of_table ? 1 + random() % slots : slots;
      const tile w(plane.type, slots, group_slots, operands::content::any_bytes, random);
      // Bits that no digit of this plane sets.
      const unsigned top = (plane.type == er::plane_type::base3 ? 3u : plane.largest()) << w.shift;
      const auto before = static_cast<std::uint8_t>(0x9d & ~top);
      const guarded::edge edge = i++ % 3 == 0 ? guarded::edge::begin : guarded::edge::end;
      const guarded::array<std::uint8_t> chunks(w.chunks, edge);
      for (int repeat = 0; repeat < 6; ++repeat) {
        const std::size_t begin = repeat == 0 ? 0 : random() % slots;
        const std::size_t end =
            std::min(repeat == 0 ? slots : begin + random() % (slots - begin + 1),
                     begin + er::detail::kernel::panel_slots);
        std::vector<std::uint8_t> expected;
        for (std::size_t s = begin; s < end; ++s) {
          for (std::size_t r = 0; r < 16; ++r) {
            for (std::size_t b = 0; b < 4; ++b) {
              expected.push_back(
                  static_cast<std::uint8_t>(w.part(r, 4 * s + b) | (w.first ? 0 : before)));
            }
          }
        }
        for (const er::kernel& k : er::available_kernels()) {
          const guarded::array<std::uint8_t> panel(
              std::vector<std::uint8_t>(64 * (end - begin), before), edge);
          k.functions->unpack[index(plane.type)](w.view(chunks.data()), begin, end, panel.data());
          CAPTURE(k.name);
          CAPTURE(plane.name);
          CAPTURE(begin);
          CAPTURE(end);
          CHECK(panel.copy() == expected);
        }
      }
    }
  }
}

TEST_CASE("kernel: panel_product, for any number of slots and tokens and any place in the group") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const er::codec_info& codec : er::codec_list) {
    for (const std::size_t slots : sizes{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64}) {
      for (const std::size_t tokens : sizes{1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 21}) {
        const operands::codes what = operands::all_codes[i % operands::all_codes.size()];
        const guarded::edge edge = i % 3 == 0 ? guarded::edge::begin : guarded::edge::end;
        const bool maximal = i % 4 == 0, first = i / 2 % 2 == 0, last = i / 3 % 2 == 0;
        ++i;
        const std::size_t stride = 4 * slots + random() % 40, group_stride = 1 + random() % 3;
        std::vector<std::uint8_t> panel(64 * slots);
        for (std::uint8_t& code : panel) {
          code = static_cast<std::uint8_t>(maximal ? codec.largest_code()
                                                   : random() % (codec.largest_code() + 1));
        }
        std::vector<std::int8_t> x((tokens - 1) * stride + 4 * slots);
        for (std::size_t c = 0; c < x.size(); ++c)
          x[c] = operands::draw_code(what, c, x.size() / 2, random);
        std::vector<std::int32_t> sums((tokens - 1) * group_stride + 1);
        for (std::int32_t& sum : sums) sum = static_cast<std::int32_t>(random() % 65536) - 32768;
        std::vector<std::int32_t> before(16 * tokens), sums_after;
        std::vector<float> y_before = operands::draw_reals(16 * tokens, i, random),
                           y_after = y_before;
        const std::vector<float> w_scales = operands::draw_reals(16, i / 5, random),
                                 w_zeros = operands::draw_reals(16, i / 3, random);
        const er::zero_kind zero = shapes::zeros[i % 3];
        const std::vector<float> x_scales = operands::draw_reals(sums.size(), i / 7, random);
        for (std::size_t n = 0; n < before.size(); ++n) {
          before[n] = static_cast<std::int32_t>(random() % 2'000'001) - 1'000'000;
          std::int64_t sum =
              first ? -std::int64_t{codec.zero_code} * sums[n / 16 * group_stride] : before[n];
          for (std::size_t c = 0; c < 4 * slots; ++c) {
            sum +=
                std::int64_t{panel[64 * (c / 4) + 4 * (n % 16) + c % 4]} * x[n / 16 * stride + c];
          }
          sums_after.push_back(static_cast<std::int32_t>(sum));
          if (last) {
            const std::size_t at = n / 16 * group_stride;
            y_after[n] = oracle::add_group(zero, static_cast<float>(sums_after.back()),
                                           w_scales[n % 16], w_zeros[n % 16], x_scales[at],
                                           static_cast<float>(sums[at]), y_before[n]);
          }
        }
        const guarded::array<std::uint8_t> codes(panel, edge);
        const guarded::array<std::int8_t> activations(x, edge);
        const guarded::array<std::int32_t> guarded_sums(sums, edge);
        const guarded::array<float> guarded_w(w_scales, edge), guarded_x(x_scales, edge),
            guarded_zeros(zero == er::zero_kind::none ? std::vector<float>{} : w_zeros, edge);
        for (const er::kernel& k : er::available_kernels()) {
          const guarded::array<std::int32_t> isum(before, edge);
          const guarded::array<float> y(y_before, edge);
          k.functions->panel_product({.codes = codes.data(),
                                      .slots = slots,
                                      .first = first,
                                      .last = last,
                                      .zero_code = codec.zero_code,
                                      .largest_code = codec.largest_code(),
                                      .scales = guarded_w.data(),
                                      .zero = zero,
                                      .zeros = guarded_zeros.data()},
                                     {.tokens = tokens,
                                      .x = activations.data(),
                                      .x_stride = stride,
                                      .sums = guarded_sums.data(),
                                      .scales = guarded_x.data(),
                                      .group_stride = group_stride,
                                      .isum = isum.data(),
                                      .y = y.data()});
          // What waits in isum after the last panel is nobody's.
          if ((last || isum.copy() == sums_after) &&
              samples::count_differences(y.span(), y_after) == 0)
            continue;
          CAPTURE(k.name);
          CAPTURE(codec.name);
          CAPTURE(slots);
          CAPTURE(tokens);
          CAPTURE(first);
          CAPTURE(last);
          FAIL_CHECK("panel_product differs from 64-bit arithmetic");
        }
      }
    }
  }
}

TEST_SUITE_END();
