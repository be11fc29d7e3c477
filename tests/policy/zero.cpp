// SPDX-License-Identifier: Apache-2.0
/// Values of codes with a zero: two roundings each; and what is a policy that chooses one.
#include <span>
#include <string>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/zero.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/zero");

namespace {

/// Everything that a policy needs: a grid of quarters.
struct quarters {
  using granularity = er::per_group<32>;
  using scale_type = er::float16;
  static constexpr int bits = 2;
  static constexpr er::zero_kind zero = er::zero_kind::minimum;

  [[nodiscard]] er::group_fit fit(std::span<const float>) const noexcept { return {0.25f, 0.0f}; }
  [[nodiscard]] static int code(float weight, const er::group_fit&) noexcept {
    return weight > 0.125f ? 1 : 0;
  }
};
struct without_fit : quarters {
  void fit(std::span<const float>) const noexcept {}
};
struct too_wide : quarters {
  static constexpr int bits = 9;
};

static_assert(er::zero_quantizer<quarters> && er::group_policy<quarters>);
static_assert(!er::quantizer<quarters>);
static_assert(!er::zero_quantizer<without_fit> && !er::zero_quantizer<too_wide>);
static_assert(!er::zero_quantizer<er::int4<>> && er::group_policy<er::int4<>>);
static_assert(er::zero_quantizer<er::asymmetric<4>>);
static_assert(er::zero_quantizer<er::as_stored<er::asymmetric<4>>>);

}  // namespace

TEST_CASE("zero: a value is rounded twice, whatever the build fuses") {
  using er::detail::policy::value_of;
  const float scale = 1.0f + 0x1p-23f, zero = -3.0f - 0x1p-20f;
  const auto product = static_cast<float>(3.0 * double{scale});
  CHECK(value_of<er::zero_kind::minimum>(3.0f, scale, zero) ==
        static_cast<float>(double{product} + double{zero}));
  CHECK(value_of<er::zero_kind::minimum>(3.0f, scale, zero) !=
        static_cast<float>(3.0 * double{scale} + double{zero}));
  const auto difference = static_cast<float>(15.0 - 0.1234567);
  CHECK(value_of<er::zero_kind::point>(15.0f, scale, 0.1234567f) ==
        static_cast<float>(double{scale} * double{difference}));
  CHECK(value_of<er::zero_kind::none>(15.0f, scale, 8.0f) == 7.0f * scale);
}

TEST_CASE("zero: each kind is handed on") {
  std::string kinds;
  for (const er::zero_kind kind :
       {er::zero_kind::minimum, er::zero_kind::none, er::zero_kind::point}) {
    er::detail::policy::with_zero_kind(
        kind, [&](auto constant) { kinds += constant.kind == kind ? "same " : "other "; });
  }
  CHECK(kinds == "same same same ");
}

TEST_SUITE_END();
