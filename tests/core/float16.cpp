// SPDX-License-Identifier: Apache-2.0
/// The two 16-bit types against formulations of their own: values by powers of two in double,
/// rounding by the distance to the two neighbours.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/core/float16.hpp>

namespace er = edgerazor;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// What the bits of a small float mean (IEEE 754, section 3.4): `ExponentBits`, then
/// `MantissaBits`.
template <int ExponentBits, int MantissaBits>
double value_of(unsigned bits) {
  const int bias = (1 << (ExponentBits - 1)) - 1, special = (1 << ExponentBits) - 1;
  const double mantissa = bits % (1u << MantissaBits);
  const int exponent = static_cast<int>(bits >> MantissaBits) & special;
  const double sign = bits >> (ExponentBits + MantissaBits) & 1u ? -1.0 : 1.0;
  if (exponent == special)
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * HUGE_VAL;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - MantissaBits);
  return sign * std::ldexp(mantissa + (1u << MantissaBits), exponent - bias - MantissaBits);
}

struct half_traits {
  using type = er::float16;
  static constexpr unsigned infinity_bits = 0x7c00;
  static double value(unsigned bits) { return value_of<5, 10>(bits); }
};
struct bfloat_traits {
  using type = er::bfloat16;
  static constexpr unsigned infinity_bits = 0x7f80;
  static double value(unsigned bits) { return value_of<8, 7>(bits); }
};

/// Finite magnitudes in ascending order have ascending bits, so the nearest lies between the two
/// bits that enclose x. Infinity takes the place of the value after the largest, at the distance
/// that value would have.
template <class Traits>
unsigned nearest_bits(float x) {
  const unsigned sign = std::signbit(x) ? 0x8000u : 0u;
  const double magnitude = std::fabs(static_cast<double>(x));
  const double beyond =
      2 * Traits::value(Traits::infinity_bits - 1) - Traits::value(Traits::infinity_bits - 2);
  const auto value = [&](unsigned bits) {
    return bits == Traits::infinity_bits ? beyond : Traits::value(bits);
  };
  if (magnitude >= beyond) return sign | Traits::infinity_bits;
  unsigned low = 0, high = Traits::infinity_bits;
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    (value(middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - value(low), above = value(high) - magnitude;
  const bool up = above < below || (above == below && low % 2 == 1);
  return sign | (up ? high : low);
}

template <class Traits>
void check_all_values() {
  using type = typename Traits::type;
  std::size_t wrong = 0;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const type small = type::from_bits(static_cast<std::uint16_t>(bits));
    const float wide = small;
    const double expected = Traits::value(bits);
    if (std::isnan(expected)) {
      wrong += !std::isnan(wide) || std::signbit(wide) != (bits >= 0x8000u);
      const unsigned back = type{wide}.bits;
      wrong += !std::isnan(Traits::value(back)) || (back & 0x8000u) != (bits & 0x8000u);
    } else {
      wrong += static_cast<double>(wide) != expected || std::signbit(wide) != (bits >= 0x8000u);
      wrong += type{wide}.bits != bits;
    }
  }
  CHECK(wrong == 0);
}

/// At each midpoint between neighbours, and one float to either side of it.
template <class Traits>
void check_all_ties() {
  using type = typename Traits::type;
  std::size_t wrong = 0;
  for (unsigned low = 0; low < Traits::infinity_bits; ++low) {
    const unsigned even = low + low % 2;
    // Exact: a midpoint has one significant bit more than its neighbours.
    const double next = low + 1 == Traits::infinity_bits
                            ? 2 * Traits::value(low) - Traits::value(low - 1)
                            : Traits::value(low + 1);
    const float tie = static_cast<float>((Traits::value(low) + next) / 2);
    for (const unsigned sign : {0u, 0x8000u}) {
      const float signed_tie = sign ? -tie : tie, outwards = sign ? -infinity : infinity;
      wrong += type{signed_tie}.bits != (sign | even);
      wrong += type{std::nextafter(signed_tie, outwards)}.bits != (sign | (low + 1));
      wrong += type{std::nextafter(signed_tie, 0.0f)}.bits != (sign | low);
    }
  }
  CHECK(wrong == 0);
}

template <class Traits>
void check_random_floats() {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 200'000; ++i) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(x)) continue;
    const unsigned bits = typename Traits::type{x}.bits;
    if (bits == nearest_bits<Traits>(x)) continue;
    CAPTURE(x);
    CHECK(bits == nearest_bits<Traits>(x));
  }
}

/// `convert_elements` of all `in`, and of fewer from any place, is the conversion one by one;
/// nothing else is written.
template <class From, class To>
void check_converted(const std::vector<From>& in) {
  std::vector<To> expected(in.size()), out(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) expected[i] = To{static_cast<float>(in[i])};
  er::detail::core::convert_elements(in.data(), in.size(), out.data());
  CHECK(std::memcmp(out.data(), expected.data(), in.size() * sizeof(To)) == 0);
  for (std::size_t count = 0; count < 70; ++count) {
    std::vector<To> part(count + 1, To{7.0f});
    er::detail::core::convert_elements(in.data() + count, count, part.data());
    CAPTURE(count);
    CHECK(std::memcmp(part.data(), expected.data() + count, count * sizeof(To)) == 0);
    CHECK(static_cast<float>(part[count]) == 7.0f);
  }
}

}  // namespace

static_assert(er::float16{1.0f}.bits == 0x3c00 && er::bfloat16{1.0f}.bits == 0x3f80,
              "conversions are constant expressions");
static_assert(float{er::float16::from_bits(0x0001)} == 0x1p-24f &&
              float{er::float16::from_bits(0x7bff)} == 65504.0f);
static_assert(er::real_element<float> && er::real_element<const er::float16> &&
              er::real_element<er::bfloat16>);
static_assert(!er::real_element<double> && !er::real_element<int>);

TEST_SUITE_BEGIN("core/float16");

TEST_CASE("float16: all 65536 values, to float and back") { check_all_values<half_traits>(); }
TEST_CASE("bfloat16: all 65536 values, to float and back") { check_all_values<bfloat_traits>(); }
TEST_CASE("float16: ties go to even, their neighbours to the nearer") {
  check_all_ties<half_traits>();
}
TEST_CASE("bfloat16: ties go to even, their neighbours to the nearer") {
  check_all_ties<bfloat_traits>();
}
TEST_CASE("float16: random floats round to the nearest") { check_random_floats<half_traits>(); }
TEST_CASE("bfloat16: random floats round to the nearest") { check_random_floats<bfloat_traits>(); }

TEST_CASE("float16 and bfloat16: out of range is infinity, NaN stays NaN and becomes quiet") {
  CHECK(er::float16{65519.996f}.bits == 0x7bff);
  CHECK(er::float16{65520.0f}.bits == 0x7c00);
  CHECK(er::float16{-1e30f}.bits == 0xfc00);
  CHECK(er::float16{infinity}.bits == 0x7c00);
  CHECK(er::float16{0x1p-25f}.bits == 0);
  CHECK(er::float16{-0x1p-25f}.bits == 0x8000);
  CHECK(er::float16{std::numeric_limits<float>::denorm_min()}.bits == 0);
  CHECK(er::bfloat16{std::numeric_limits<float>::max()}.bits == 0x7f80);
  CHECK(er::bfloat16{-infinity}.bits == 0xff80);
  for (const std::uint32_t payload : {1u, 0x1fffu, 0xffffu, 0x10000u, 0x400000u, 0x7fffffu}) {
    for (const std::uint32_t sign : {0u, 0x80000000u}) {
      const float nan = std::bit_cast<float>(sign | 0x7f800000u | payload);
      const unsigned half = er::float16{nan}.bits, bfloat = er::bfloat16{nan}.bits;
      CHECK((half & 0x7e00u) == 0x7e00u);
      CHECK((bfloat & 0x7fc0u) == 0x7fc0u);
      CHECK((half & 0x8000u) == sign >> 16);
      CHECK((bfloat & 0x8000u) == sign >> 16);
    }
  }
}

TEST_CASE("convert_elements: as one by one, all 65536 values of 16 bits") {
  std::vector<er::float16> halves;
  std::vector<er::bfloat16> bfloats;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    halves.push_back(er::float16::from_bits(static_cast<std::uint16_t>(bits)));
    bfloats.push_back(er::bfloat16::from_bits(static_cast<std::uint16_t>(bits)));
  }
  check_converted<er::float16, float>(halves);
  check_converted<er::float16, er::bfloat16>(halves);
  check_converted<er::bfloat16, float>(bfloats);
  check_converted<er::bfloat16, er::float16>(bfloats);
}

TEST_CASE("convert_elements: as one by one, floats of all magnitudes") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::vector<float> floats;
  for (int i = 0; i < 200'000; ++i)
    floats.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  check_converted<float, er::float16>(floats);
  check_converted<float, er::bfloat16>(floats);
  check_converted<float, float>(floats);
}

TEST_SUITE_END();
