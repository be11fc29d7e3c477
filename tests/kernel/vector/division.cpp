// SPDX-License-Identifier: Apache-2.0
/// Division of vectors rounds as the division of floats does.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>

#include <doctest/doctest.h>

#include <edgerazor/kernel/vector/division.hpp>

namespace er = edgerazor;

namespace {
/// Any sign and mantissa with that exponent; 0: subnormal.
float number(std::mt19937& random, std::uint32_t exponent) {
  return std::bit_cast<float>((static_cast<std::uint32_t>(random()) & 0x807fffffu) | exponent
                                                                                         << 23);
}
}  // namespace

TEST_SUITE_BEGIN("kernel/vector/division");

TEST_CASE("quotient: to the last bit, by subnormal numbers too") {
  using reals = xsimd::batch<float>;
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t wrong = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    float a[reals::size], b[reals::size], result[reals::size];
    for (std::size_t i = 0; i < reals::size; ++i) {
      // Exponents whose quotient is finite, those of b down to subnormal.
      a[i] = number(random, static_cast<std::uint32_t>(random() % 100 + 20));
      b[i] = number(random, static_cast<std::uint32_t>(random() % 120));
      if (b[i] == 0) b[i] = 1;
    }
    er::detail::kernel::vector::portable::quotient(reals::load_unaligned(a),
                                                   reals::load_unaligned(b))
        .store_unaligned(result);
    for (std::size_t i = 0; i < reals::size; ++i)
      wrong += std::bit_cast<std::uint32_t>(result[i]) != std::bit_cast<std::uint32_t>(a[i] / b[i]);
  }
  CHECK(wrong == 0);
}

TEST_SUITE_END();
