// SPDX-License-Identifier: Apache-2.0
/// Every table of loops against the plain functions, bit for bit, at every length, in operands that
/// end where they end.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/guarded.hpp"
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/loops.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;
namespace policy = er::detail::policy;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(),
                smallest = std::numeric_limits<float>::denorm_min();

template <class T>
bool same_bits(const T* a, const std::vector<T>& b) {
  return std::equal(b.begin(), b.end(), a,
                    [](const T& x, const T& y) { return std::memcmp(&x, &y, sizeof(T)) == 0; });
}

std::vector<std::size_t> sizes() {
  std::vector<std::size_t> result;
  for (std::size_t n = 1; n <= 67; ++n) result.push_back(n);
  for (std::size_t n = 128; n <= 4096; n *= 2) result.insert(result.end(), {n - 1, n, n + 1});
  return result;
}

/// Of kind 0 ordinary weights, of 1 with extremes among them, of 2 multiples of a quarter, of 3 all
/// at least 0 with zeros of both signs.
std::vector<float> numbers(std::size_t count, unsigned seed, int kind) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.7f);
  const float extremes[] = {0.0f, -0.0f, smallest, -smallest, 0x1p-130f, 1e30f, -1e30f, 3e38f};
  std::vector<float> result(count);
  for (float& x : result) {
    x = normal(random);
    if (kind == 1 && random() % 3 == 0) x = extremes[random() % 8];
    if (kind == 2) x = static_cast<float>(static_cast<int>(random() % 81) - 40) / 4;
    if (kind == 3) x = random() % 4 == 0 ? extremes[random() % 2] : std::fabs(x);
  }
  return result;
}

/// Every rule of codes that there is, at scale s.
std::vector<policy::level_line> lines(float s) {
  using rule = er::zero_rule;
  const er::group_fit fit{s, 5.25f}, whole{s, 5.0f}, least{s, -1.5f};
  return {policy::line_of(er::ternary<>::levels, s, 1),
          policy::line_of(er::binary<>::levels, s, 1),
          policy::line_of(er::int4<>::levels, s, 8),
          policy::line_of(er::int8<>::levels, s, 128),
          policy::line_of(er::int8<>::levels, s),
          policy::line_of(er::int4_asymmetric<>::levels, s, 8),
          er::asymmetric<4>::code_line(fit),
          er::asymmetric<3, er::per_group<64>, float, rule::integer>::code_line(whole),
          er::asymmetric<8, er::per_group<64>, float, rule::minimum>::code_line(least)};
}

/// use(loops) for each table, named.
template <class Use>
void for_each_table(const Use& use) {
  for (const policy::loops* loops : policy::available_loops()) {
    const std::string table{loops->name};
    CAPTURE(table);
    use(*loops);
  }
}

/// test(values, count) for every table, size and kind; values end at a page that can't be touched.
template <class Test>
void for_each_group_of_numbers(const Test& test) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  for_each_table([&](const policy::loops& loops) {
    for (const std::size_t count : sizes()) {
      for (int kind = 0; kind < 4; ++kind) {
        CAPTURE(count);
        CAPTURE(kind);
        const std::vector<float> w = numbers(count, seed + static_cast<unsigned>(count), kind);
        const guarded::array<float> values(w, guarded::edge::end);
        test(loops, values.data(), w);
      }
    }
  });
}

}  // namespace

TEST_SUITE_BEGIN("policy/loops");

TEST_CASE("loops: the last table runs everywhere, and the best is the first") {
  const auto all = policy::available_loops();
  REQUIRE(!all.empty());
  CHECK(all.back()->name == "portable");
  CHECK(all.front() == &policy::best_loops());
}

TEST_CASE("loops: magnitudes, largest, range and mean of a group") {
  for_each_group_of_numbers([](const policy::loops& loops, const float* at,
                               const std::vector<float>& w) {
    const std::size_t n = w.size();
    CHECK(loops.largest_bits(at, n) == std::bit_cast<std::int32_t>(er::max_magnitude(w)));
    CHECK(loops.max_value(at, n) == er::max_value(w));
    const policy::value_range range = loops.range(at, n), expected = policy::range_of(w);
    CHECK(std::bit_cast<std::uint32_t>(range.low) == std::bit_cast<std::uint32_t>(expected.low));
    CHECK(std::bit_cast<std::uint32_t>(range.high) == std::bit_cast<std::uint32_t>(expected.high));
    CHECK(std::bit_cast<std::uint32_t>(loops.mean_magnitude(at, n)) ==
          std::bit_cast<std::uint32_t>(er::mean_magnitude(w)));
    const float most = er::max_magnitude(w);
    CHECK(!loops.all_below(at, n, most));
    if (most < 3e38f) CHECK(loops.all_below(at, n, std::nextafter(most, infinity)));
  });
}

TEST_CASE("loops: NaN and infinity are found wherever they stand") {
  for_each_table([](const policy::loops& loops) {
    for (const std::size_t count : sizes()) {
      if (count > 300) continue;
      std::vector<float> w(count, -0.5f);
      std::vector<std::uint16_t> halves(count, 0xb800);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < count; ++i) {
        for (const float x : {std::nanf(""), -std::nanf(""), infinity, -infinity}) {
          w[i] = x;
          wrong += loops.all_below(w.data(), count, infinity);
          wrong +=
              loops.largest_bits(w.data(), count) != (std::bit_cast<std::int32_t>(x) & 0x7fffffff);
          const float largest = loops.max_value(w.data(), count);
          wrong += std::isnan(x) ? !std::isnan(largest)
                   : x > 0       ? largest != x
                                 : count > 1 && largest != -0.5f;
          wrong += std::isnan(loops.mean_magnitude(w.data(), count)) != std::isnan(x);
        }
        w[i] = -0.5f;
        halves[i] = 0xfc01;
        wrong += loops.largest_half_bits(halves.data(), count) != 0x7c01;
        halves[i] = 0xb800;
      }
      CAPTURE(count);
      CHECK(wrong == 0);
    }
    CHECK(loops.largest_bits(nullptr, 0) == 0);
    CHECK(loops.largest_half_bits(nullptr, 0) == 0);
    CHECK(loops.all_below(nullptr, 0, 1.0f));
  });
}

TEST_CASE("loops: codes and values by every rule, at every scale, in place too") {
  for_each_group_of_numbers(
      [](const policy::loops& loops, const float* at, const std::vector<float>& w) {
        if (w.size() > 300) return;
        using guarded::edge;
        const guarded::array<std::uint8_t> c(std::vector<std::uint8_t>(w.size()), edge::end);
        const guarded::array<float> v(w, edge::end);
        const guarded::array<er::float16> h(std::vector<er::float16>(w.size()), edge::end);
        const guarded::array<er::bfloat16> b(std::vector<er::bfloat16>(w.size()), edge::end);
        for (const float scale : {0.25f, 0.1f, smallest, 1e30f}) {
          for (const policy::level_line& line : lines(scale)) {
            for (const bool add_last : {false, true}) {
              const policy::value_line value{scale, add_last ? -0.7f : 5.25f,
                                             add_last && !line.by_sign};
              std::vector<std::uint8_t> codes;
              std::vector<float> values;
              std::vector<er::float16> halves;
              std::vector<er::bfloat16> bfloats;
              for (const float x : w) {
                const int code = line(x);
                codes.push_back(static_cast<std::uint8_t>(code));
                const auto level = static_cast<float>(code);
                const float quantized = value.add_last ? level * value.unit + value.zero
                                                       : (level - value.zero) * value.unit;
                values.push_back(quantized);
                halves.emplace_back(quantized);
                bfloats.emplace_back(quantized);
              }
              std::copy(w.begin(), w.end(), v.data());
              loops.codes(line, at, w.size(), c.data());
              loops.values_float16(line, value, at, w.size(), h.data());
              loops.values_bfloat16(line, value, at, w.size(), b.data());
              loops.values(line, value, v.data(), w.size(), v.data());
              const bool right = same_bits(c.data(), codes) && same_bits(v.data(), values) &&
                                 same_bits(h.data(), halves) && same_bits(b.data(), bfloats);
              CAPTURE(scale);
              CAPTURE(line.high);
              CAPTURE(add_last);
              CHECK(right);
            }
          }
        }
      });
}

TEST_CASE("loops: what is not finite has the code that the plain rule gives it") {
  std::vector<float> w{std::nanf(""), -std::nanf(""), infinity, -infinity,
                       1e38f,         -1e38f,         0.0f,     -0.0f};
  w.resize(40, infinity);
  for_each_table([&](const policy::loops& loops) {
    for (const float scale : {1.0f, smallest, std::nanf("")}) {
      for (const policy::level_line& line : lines(scale)) {
        std::vector<std::uint8_t> codes(w.size());
        loops.codes(line, w.data(), w.size(), codes.data());
        std::size_t wrong = 0;
        for (std::size_t i = line.by_sign ? 2 : 0; i < w.size(); ++i)
          wrong += codes[i] != static_cast<std::uint8_t>(line(w[i]));
        CAPTURE(scale);
        CAPTURE(line.high);
        CHECK(wrong == 0);
      }
    }
  });
}

TEST_CASE("loops: codes of a grid, and the first element that lies on none") {
  std::mt19937 random(5);
  for_each_table([&](const policy::loops& loops) {
    for (const policy::level_range levels :
         {policy::level_range{-7, 7, 1}, {-1, 1, 1}, {-1, 1, 2}}) {
      for (std::size_t count = 1; count < 70; ++count) {
        const float scale = 0.0371f;
        std::vector<float> w(count);
        std::vector<std::uint8_t> expected(count), codes(count);
        for (std::size_t i = 0; i < count; ++i) {
          const int span = (levels.high - levels.low) / levels.step + 1;
          const int level = levels.low + levels.step * static_cast<int>(random() % unsigned(span));
          w[i] = static_cast<float>(level) * scale;
          expected[i] = static_cast<std::uint8_t>(level + 9);
        }
        CHECK(loops.exact_codes(levels, scale, 9, w.data(), count, codes.data()) == count);
        CHECK(codes == expected);
        for (std::size_t i = 0; i < count; ++i) {
          const float before = w[i];
          for (const float off : {std::nextafter(before, 9.0f), 100 * scale, std::nanf(""),
                                  levels.step == 2 ? 0.0f : 0.5f * scale}) {
            w[i] = off;
            if (off == before) continue;
            CHECK(loops.exact_codes(levels, scale, 9, w.data(), count, codes.data()) == i);
          }
          w[i] = before;
        }
      }
    }
  });
}

TEST_CASE("loops: gradients, in place too") {
  for_each_group_of_numbers([](const policy::loops& loops, const float* at,
                               const std::vector<float>& w) {
    if (w.size() > 300) return;
    const std::vector<float> g = numbers(w.size(), 3, 0);
    for (const policy::level_range levels :
         {policy::level_range{-7, 7, 1}, {-1, 1, 2}, {-8, 7, 1}, {-3, 3, 2}}) {
      for (const float scale : {0.25f, 0.7f, 1e-30f}) {
        const er::level_rule rule{levels.low, levels.high, levels.low == -8 ? 8 : 0,
                                  levels.step == 2 && levels.low == -1};
        const policy::level_line line = policy::line_of(rule, scale);
        std::vector<float> passed, learned(w.size());
        policy::slope_sums sums;
        for (std::size_t i = 0; i < w.size(); ++i) {
          const bool inside =
              policy::within_levels(w[i], scale, levels.low, levels.high, levels.step);
          passed.push_back(inside ? g[i] : 0.0f);
          sums.add(i, g[i], policy::step_slope(w[i] / scale, line(w[i]), levels, g[i], learned[i]));
        }
        const guarded::array<float> to(g, guarded::edge::end), in_place(g, guarded::edge::end);
        loops.pass_within(levels, scale, at, w.size(), in_place.data(), in_place.data());
        const double sum = loops.step_gradient(line, levels, at, w.size(), to.data(), to.data());
        const bool right = same_bits(in_place.data(), passed) && same_bits(to.data(), learned);
        CAPTURE(scale);
        CAPTURE(levels.low);
        CHECK(right);
        CHECK(std::bit_cast<std::uint64_t>(sum) == std::bit_cast<std::uint64_t>(sums.total()));
      }
    }
  });
}

TEST_CASE("loops: conversions to 16 bits and back, one by one, every value of 16 bits among them") {
  std::vector<float> floats = numbers(70000, 1, 1);
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits)
    floats[bits] = std::bit_cast<float>(bits << 16 | (bits * 2654435761u >> 16));
  std::vector<er::float16> halves;
  std::vector<er::bfloat16> bfloats;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    halves.push_back(er::float16::from_bits(static_cast<std::uint16_t>(bits)));
    bfloats.push_back(er::bfloat16::from_bits(static_cast<std::uint16_t>(bits)));
  }
  for_each_table([&](const policy::loops& loops) {
    for (const std::size_t count :
         {std::size_t{65536}, std::size_t{65521}, std::size_t{1}, std::size_t{13}}) {
      std::vector<float> wide(count), as_wide(count);
      std::vector<er::float16> half(count), as_half(count);
      std::vector<er::bfloat16> bfloat(count), as_bfloat(count);
      const auto same = [](float a, float b) {
        return std::isnan(a) ? std::isnan(b)
                             : std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
      };
      std::size_t wrong = 0;
      loops.from_float16(halves.data(), count, wide.data());
      for (std::size_t i = 0; i < count; ++i)
        wrong += !same(wide[i], static_cast<float>(halves[i]));
      loops.from_bfloat16(bfloats.data(), count, wide.data());
      for (std::size_t i = 0; i < count; ++i)
        wrong += !same(wide[i], static_cast<float>(bfloats[i]));
      loops.to_float16(floats.data(), count, half.data());
      for (std::size_t i = 0; i < count; ++i) wrong += !same(half[i], er::float16{floats[i]});
      loops.to_bfloat16(floats.data(), count, bfloat.data());
      for (std::size_t i = 0; i < count; ++i) wrong += !same(bfloat[i], er::bfloat16{floats[i]});
      CAPTURE(count);
      CHECK(wrong == 0);
    }
  });
}

TEST_SUITE_END();
