// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>

#include <doctest/doctest.h>

#include "forms/results.hpp"

namespace {

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float one, float other) {
    return std::bit_cast<std::uint32_t>(one) == std::bit_cast<std::uint32_t>(other);
  });
}

}  // namespace

TEST_SUITE("forms") {
  TEST_CASE("forms: header-only and compiled give the same bits") {
    const form_results header_only = results_header_only(), compiled = results_compiled();
    CHECK(header_only.packed == compiled.packed);
    CHECK(same_bits(header_only.product, compiled.product));
    CHECK(same_bits(header_only.fake_quantized, compiled.fake_quantized));
    CHECK(same_bits(header_only.gradient, compiled.gradient));
    CHECK(std::bit_cast<std::uint64_t>(header_only.loss) ==
          std::bit_cast<std::uint64_t>(compiled.loss));

    // And they are results at all.
    CHECK(header_only.packed.size() > 33 * 576 / 4);
    CHECK(std::ranges::any_of(header_only.product, [](float y) { return std::fabs(y) > 0.01f; }));
    CHECK(std::ranges::any_of(header_only.gradient, [](float g) { return g != 0; }));
    CHECK(header_only.loss > 0);
  }
}
