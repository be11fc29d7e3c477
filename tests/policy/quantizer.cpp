// SPDX-License-Identifier: Apache-2.0
/// What is a quantizer and what is not; and `as_stored`: the values that storage gives back.
#include <cmath>
#include <cstddef>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "support/policy_data.hpp"
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_exact.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;
using policy_data::random_values;
using policy_data::view;

namespace {

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

std::string sentence_of(const auto& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
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
// Whose groups have the vector loops.
static_assert(er::detail::policy::has_level_rule<er::ternary<>> &&
              er::detail::policy::has_level_rule<er::int4_asymmetric<>> &&
              er::detail::policy::has_level_rule<er::binary<>> &&
              er::detail::policy::has_level_rule<er::as_stored<er::int8<>>> &&
              er::detail::policy::has_level_rule<er::learned_step<er::int4<>>> &&
              !er::detail::policy::has_level_rule<power_of_two> &&
              !er::detail::policy::has_level_rule<er::learned_step<power_of_two>>);
static_assert(er::row_quantizer<er::int3<>> && er::row_quantizer<er::int6<>> &&
              er::int3<>::max_level == 3 && er::int3<>::min_level == -3 &&
              er::int6<>::max_level == 31 && er::int6<>::min_level == -31);
static_assert(er::int2<>::max_level == 1 && er::int4<>::max_level == 7 &&
              er::int5<>::max_level == 15 && er::int8<>::max_level == 127 &&
              er::int8<>::min_level == -127);

TEST_SUITE_BEGIN("policy/quantizer");

TEST_CASE_TEMPLATE("as_stored: exactly what packing gives back", Policy,
                   er::ternary<er::per_group<64>>, er::int4<er::per_group<64>, er::bfloat16>,
                   er::int4_asymmetric<er::per_channel>, er::int8<er::per_group<64>, float>) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t rows = 19, cols = 200;
  std::vector<float> w = random_values(rows * cols, seed);
  for (float& x : w) x *= 0.02f;
  const auto packed = er::pack<Policy>(view(w, rows, cols));
  std::vector<float> expected(w.size()), result(w.size()), unrounded(w.size());
  er::dequantize(packed.view(), er::matrix_view<float>{expected.data(), rows, cols});
  er::fake_quantize<er::as_stored<Policy>>(view(w, rows, cols),
                                           er::matrix_view<float>{result.data(), rows, cols});
  CHECK(result == expected);
  er::fake_quantize<Policy>(view(w, rows, cols),
                            er::matrix_view<float>{unrounded.data(), rows, cols});
  CHECK((result == unrounded) == std::is_same_v<typename Policy::scale_type, float>);

  // The parameters of the policy are kept.
  const auto rough = er::pack<Policy>(view(w, rows, cols), Policy{.epsilon = 1.0f});
  er::dequantize(rough.view(), er::matrix_view<float>{expected.data(), rows, cols});
  er::fake_quantize(view(w, rows, cols), er::matrix_view<float>{result.data(), rows, cols},
                    er::as_stored<Policy>{Policy{.epsilon = 1.0f}});
  CHECK(result == expected);
}

TEST_CASE("as_stored: mixed precision, and a scale that its type can't hold") {
  using high = er::int4<er::per_group<64>>;
  using low = er::ternary<er::per_group<64>>;
  const std::size_t rows = 16, cols = 130;
  std::vector<float> w = random_values(rows * cols, 5);
  const auto packed = er::pack_mixed<high, low>(view(w, rows, cols), er::every_nth_row{8});
  std::vector<float> expected(w.size()), result(w.size());
  er::dequantize(packed, er::matrix_view<float>{expected.data(), rows, cols});
  er::fake_quantize_mixed<er::as_stored<high>, er::as_stored<low>>(
      view(w, rows, cols), er::matrix_view<float>{result.data(), rows, cols}, er::every_nth_row{8});
  CHECK(result == expected);

  w[3 * cols + 70] = 1e6f;
  const auto stored = [&](auto policy) {
    er::fake_quantize(view(w, rows, cols), er::matrix_view<float>{result.data(), rows, cols},
                      policy);
  };
  CHECK(sentence_of([&] { stored(er::as_stored<er::int4<er::per_group<64>>>{}); }) ==
        "fake_quantize: the scale of the group at row 3, column 64 is out of the output's range");
  CHECK(sentence_of([&] { stored(er::int4<er::per_group<64>>{}); }) == "nothing was thrown");
  CHECK(sentence_of([&] { stored(er::as_stored<er::int4<er::per_group<64>, er::bfloat16>>{}); }) ==
        "nothing was thrown");
}

TEST_SUITE_END();
