/// Levels and scales of each policy by hand: ties, extremes, odd groups; and vectors against single
/// weights.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/quantize_group.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// A published method is a small policy: this one, by a user, has no vector form and a scale of its
/// own.
struct power_of_two {
  using granularity = er::per_group<32>;
  using scale_type = float;
  static constexpr int min_level = -3;
  static constexpr int max_level = 3;
  [[nodiscard]] float scale(std::span<const float> group) const noexcept {
    return std::exp2(std::ceil(std::log2(er::max_magnitude(group) / 3)));
  }
  [[nodiscard]] static int level(float weight, float scale) noexcept {
    return er::round_to_level<min_level, max_level>(weight / scale);
  }
};

template <class Policy>
void check_vectors_against_single_weights() {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (std::size_t size = 1; size < 150; ++size) {
    CAPTURE(size);
    std::vector<float> w(size);
    for (float& x : w) x = normal(random);
    // Every second weight on a rounding boundary or one ulp beside it, where the last bit of the
    // division decides.
    const float scale = Policy{}.scale(w);
    for (std::size_t i = 0; i < size; i += 2) {
      w[i] = (static_cast<float>(i / 2 % 20) - 9.5f) * scale;
      if (i / 40 % 3 == 1) w[i] = std::nextafter(w[i], 1.0f);
      if (i / 40 % 3 == 2) w[i] = std::nextafter(w[i], -1.0f);
    }
    std::vector<std::int8_t> levels(size + 1, 99);
    er::quantize_levels<Policy>(w, scale, levels);
    CHECK(levels[size] == 99);
    for (std::size_t i = 0; i < size; ++i) CHECK(int{levels[i]} == Policy::level(w[i], scale));
    const float own = Policy{}.scale(w);
    CHECK(er::quantize_group<Policy>(w, levels) == own);
    for (std::size_t i = 0; i < size; ++i) CHECK(int{levels[i]} == Policy::level(w[i], own));
  }
}

}  // namespace

static_assert(er::row_quantizer<er::ternary<>> &&
              er::row_quantizer<er::ternary_absmax<er::per_channel, float>>);
static_assert(er::row_quantizer<er::int2<>> && er::row_quantizer<er::int5<>> &&
              er::row_quantizer<er::int8<>>);
static_assert(er::quantizer<er::int4<er::per_tensor>> &&
              !er::row_quantizer<er::int4<er::per_tensor>>);
static_assert(er::quantizer<er::int4<er::per_flat_group<64>>> &&
              !er::row_quantizer<er::int4<er::per_flat_group<64>>>);
static_assert(er::row_quantizer<er::int4_asymmetric<>> && er::row_quantizer<power_of_two> &&
              !er::quantizer<int>);
static_assert(er::detail::policy::lanes_quantizer<er::ternary<>, xsimd::default_arch>);
static_assert(er::detail::policy::lanes_quantizer<er::int4_asymmetric<>, xsimd::default_arch>);
static_assert(!er::detail::policy::lanes_quantizer<power_of_two, xsimd::default_arch>);
static_assert(er::row_quantizer<er::int3<>> && er::row_quantizer<er::int6<>> &&
              er::int3<>::max_level == 3 && er::int3<>::min_level == -3 &&
              er::int6<>::max_level == 31 && er::int6<>::min_level == -31);
static_assert(er::int2<>::max_level == 1 && er::int4<>::max_level == 7 &&
              er::int5<>::max_level == 15 && er::int8<>::max_level == 127 &&
              er::int8<>::min_level == -127);

TEST_CASE("round_to_level: ties to even, clamped, defined for everything") {
  const auto round = [](float x) { return er::round_to_level<-7, 7>(x); };
  for (int i = -20; i <= 20; ++i) {
    const float x = 0.5f * static_cast<float>(i);
    CHECK(round(x) == std::clamp(static_cast<int>(std::nearbyint(x)), -7, 7));
  }
  CHECK(round(0.49999997f) == 0);
  CHECK(round(2.5f) == 2);
  CHECK(round(std::nextafter(2.5f, 3.0f)) == 3);
  CHECK(round(-3.5f) == -4);
  CHECK(round(std::nextafter(-3.5f, 0.0f)) == -3);
  CHECK(round(1e38f) == 7);
  CHECK(round(-infinity) == -7);
  CHECK(round(infinity) == 7);
  CHECK(round(std::nanf("")) == -7);
  CHECK(round(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(round(-0.0f) == 0);
}

TEST_CASE("round_to_level: vectors, also of what is not finite, as single numbers") {
  using reals = xsimd::batch<float>;
  std::vector<float> x{std::nanf(""), -std::nanf(""), infinity, -infinity,
                       1e38f,         -1e38f,         0.0f,     -0.0f};
  for (int i = -40; i <= 40; ++i) x.push_back(0.25f * static_cast<float>(i));
  x.resize((x.size() + reals::size - 1) / reals::size * reals::size);
  for (std::size_t i = 0; i < x.size(); i += reals::size) {
    std::int32_t levels[reals::size];
    er::detail::policy::round_lanes<-8, 7>(reals::load_unaligned(x.data() + i))
        .store_unaligned(levels);
    for (std::size_t j = 0; j < reals::size; ++j) {
      CAPTURE(x[i + j]);
      CHECK(levels[j] == er::round_to_level<-8, 7>(x[i + j]));
    }
  }
}

TEST_CASE("vectors of weights get the levels of single weights") {
  check_vectors_against_single_weights<er::ternary<>>();
  check_vectors_against_single_weights<er::ternary_absmax<>>();
  check_vectors_against_single_weights<er::int2<>>();
  check_vectors_against_single_weights<er::int3<>>();
  check_vectors_against_single_weights<er::int4<>>();
  check_vectors_against_single_weights<er::int5<>>();
  check_vectors_against_single_weights<er::int6<>>();
  check_vectors_against_single_weights<er::int8<>>();
  check_vectors_against_single_weights<er::int4_asymmetric<>>();
  check_vectors_against_single_weights<power_of_two>();
}

TEST_CASE("ternary: scale is factor times the mean magnitude, levels by ties to even") {
  const std::vector<float> group{1, -1, 0.5f, -0.5f, 2, -1, 0, 0};  // mean magnitude 0.75
  CHECK(er::ternary<>{}.scale(group) == 1.5f);
  CHECK(er::ternary<>{.factor = 1.5f}.scale(group) == 1.125f);
  CHECK(er::ternary<>{.epsilon = 2.0f}.scale(group) == 2.0f);
  CHECK(er::ternary<>::level(0.75f, 1.5f) == 0);  // |w| = s / 2 is a tie, and 0 is even
  CHECK(er::ternary<>::level(std::nextafter(0.75f, 1.0f), 1.5f) == 1);
  CHECK(er::ternary<>::level(-9.0f, 1.5f) == -1);
}

TEST_CASE("ternary: a true division decides at the boundary, where a reciprocal would not") {
  // Looks for a weight whose level differs between w / s and w * (1 / s), and expects the level of
  // the division.
  int differing = 0;
  for (float s = 0.011f; s < 0.09f; s += 0.0007f) {
    for (const float w : {s / 2, std::nextafter(s / 2, 1.0f)}) {
      const float reciprocal = 1.0f / s;
      differing += std::nearbyint(w / s) != std::nearbyint(w * reciprocal);
      CHECK(er::ternary<>::level(w, s) == static_cast<int>(std::nearbyint(w / s)));
    }
  }
  CHECK(differing > 0);
}

TEST_CASE_TEMPLATE("symmetric: scale, levels and values of every width by brute force", Policy,
                   er::int2<>, er::int3<>, er::int4<>, er::int5<>, er::int6<>, er::int8<>) {
  constexpr int top = Policy::max_level;
  std::vector<float> w;  // quarters of a level, all of them exact, as is the scale
  for (int i = -4 * top; i <= 4 * top; ++i) w.push_back(0.5f * 0.25f * static_cast<float>(i));
  CHECK(Policy{}.scale(w) == 0.5f);
  w.resize(w.size() / 256 * 256 + 256);
  for (std::size_t i = 0; i < w.size(); i += 256) w[i] = 0.5f * static_cast<float>(top);
  std::vector<float> out(w.size());
  er::fake_quantize<Policy>(er::matrix_view<const float>{w.data(), 1, w.size()},
                            er::matrix_view<float>{out.data(), 1, w.size()});
  for (std::size_t i = 0; i < w.size(); ++i) {
    int nearest = -top;  // of two as near, the even one
    for (int level = -top; level <= top; ++level) {
      const float here = std::fabs(w[i] - 0.5f * static_cast<float>(level)),
                  best = std::fabs(w[i] - 0.5f * static_cast<float>(nearest));
      if (here < best || (here == best && level % 2 == 0)) nearest = level;
    }
    CHECK(Policy::level(w[i], 0.5f) == nearest);
    CHECK(out[i] == 0.5f * static_cast<float>(nearest));
  }
  CHECK(Policy::level(static_cast<float>(top), 0.5f) == top);
  CHECK(Policy::level(-static_cast<float>(top), 0.5f) == -top);
}

TEST_CASE("symmetric: epsilon bounds the maximum before the division") {
  CHECK(er::int4<>{}.scale(std::vector<float>{7, -14, 3}) == 2.0f);
  CHECK(er::int8<>{}.scale(std::vector<float>{-127}) == 1.0f);
  CHECK(er::int4<>{}.scale(std::vector<float>{0, 0}) == 1e-5f / 7);
  CHECK(er::int2<>{.epsilon = 3.0f}.scale(std::vector<float>{1}) == 3.0f);
}

TEST_CASE(
    "asymmetric: the maximum is level 7, below -8/7 of it is clipped, a negative group takes its "
    "magnitude") {
  using policy = er::int4_asymmetric<>;
  CHECK(policy{}.scale(std::vector<float>{7, -100}) == 1.0f);
  CHECK(policy::level(7.0f, 1.0f) == 7);
  CHECK(policy::level(-100.0f, 1.0f) == -8);
  CHECK(policy{}.scale(std::vector<float>{-7, -14}) == 2.0f);
  CHECK(policy{}.scale(std::vector<float>{0, -14}) == 1e-5f);
  // 1.5 - 2^-23 has one bit more than a sum with 8 keeps: the sum is 9.5, a tie, and 10 is even.
  CHECK(policy::level(std::nextafter(1.5f, 0.0f), 1.0f) == 2);
  CHECK(er::int4<>::level(std::nextafter(1.5f, 0.0f), 1.0f) == 1);
  CHECK(policy::level(2.5f, 1.0f) == 2);
}

TEST_CASE("groups of one weight, of zeros, of denormals, of one nonzero") {
  constexpr float denormal = std::numeric_limits<float>::denorm_min();
  std::int8_t levels[64];
  for (const float x : {3.0f, -3.0f}) {
    CHECK(er::quantize_group<er::int4<>>(std::vector<float>{x}, levels) == 3.0f / 7);
    CHECK(levels[0] == (x > 0 ? 7 : -7));
    CHECK(er::quantize_group<er::ternary<>>(std::vector<float>{x}, levels) == 6.0f);
    CHECK(levels[0] == 0);  // 3 is half of 6
  }
  for (const float x : {0.0f, -0.0f, denormal, -1000 * denormal}) {
    CHECK(er::quantize_group<er::int8<>>(std::vector<float>(64, x), levels) == 1e-5f / 127);
    for (const std::int8_t level : levels) CHECK(level == 0);
    CHECK(er::quantize_group<er::ternary<>>(std::vector<float>(64, x), levels) == 1e-5f);
    for (const std::int8_t level : levels) CHECK(level == 0);
  }
  for (std::size_t i = 0; i < 64; ++i) {
    std::vector<float> w(64, 0.0f);
    w[i] = -0.64f;
    CHECK(er::quantize_group<er::ternary<>>(w, levels) == 2 * (0.64f / 64));
    for (std::size_t j = 0; j < 64; ++j) CHECK(int{levels[j]} == (i == j ? -1 : 0));
  }
}
