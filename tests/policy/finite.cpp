// SPDX-License-Identifier: Apache-2.0
/// The search for numbers that are not finite, or too large: at every place, beside every limit.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/finite.hpp>

namespace er = edgerazor;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// `value` and its negative at each place among elements of magnitude 1, of which there are fewer
/// and more than vectors and unrolled loops take at once.
template <class T>
void check_every_place(float value, float limit, bool below) {
  for (std::size_t count = 1; count <= 150; ++count) {
    std::vector<T> elements(count, T{-1.0f});
    std::size_t wrong = er::detail::policy::all_below(elements.data(), count, limit) ? 0 : 1;
    for (std::size_t i = 0; i < count; ++i) {
      for (const float signed_value : {value, -value}) {
        elements[i] = T{signed_value};
        wrong += er::detail::policy::all_below(elements.data(), count, limit) != below;
        // An element past the last does not count.
        wrong += i + 1 == count && !er::detail::policy::all_below(elements.data(), i, limit);
      }
      elements[i] = T{-1.0f};
    }
    CAPTURE(count);
    CHECK(wrong == 0);
  }
}

}  // namespace

TEST_SUITE_BEGIN("policy/finite");

TEST_CASE_TEMPLATE("all_below: infinity and NaN, at every place", T, float, er::float16,
                   er::bfloat16) {
  check_every_place<T>(infinity, infinity, false);
  check_every_place<T>(std::nanf(""), infinity, false);
  check_every_place<T>(65504.0f, infinity, true);
}

TEST_CASE("all_below: a finite limit is not below itself, the number before it is") {
  for (const float limit : {65520.0f, 0x1.ffp127f, std::numeric_limits<float>::max()}) {
    check_every_place<float>(limit, limit, false);
    check_every_place<float>(std::nextafter(limit, 0.0f), limit, true);
    check_every_place<float>(std::nanf(""), limit, false);
  }
  check_every_place<er::bfloat16>(65536.0f, 65520.0f, false);
  check_every_place<er::bfloat16>(65280.0f, 65520.0f, true);
}

TEST_CASE("check_finite: the largest magnitude, of any count") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> w(150);
  for (float& x : w) x = normal(random);
  const std::vector<er::float16> halves(w.begin(), w.end());
  float largest = 0, largest_half = 0;
  for (std::size_t count = 0; count <= w.size(); ++count) {
    CAPTURE(count);
    CHECK(er::detail::policy::check_finite(er::matrix_view<const float>{w.data(), 1, count}) ==
          largest);
    CHECK(er::detail::policy::check_finite(
              er::matrix_view<const er::float16>{halves.data(), 1, count}) == largest_half);
    if (count == w.size()) break;
    largest = std::max(largest, std::fabs(w[count]));
    largest_half = std::max(largest_half, std::fabs(static_cast<float>(halves[count])));
  }
}

TEST_SUITE_END();
