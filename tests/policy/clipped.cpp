// SPDX-License-Identifier: Apache-2.0
/// Ranges with two factors: the published quantizer's codes, and the policy in use.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/clipped.hpp>
#include <edgerazor/policy/fake_quantize.hpp>

namespace er = edgerazor;

namespace {
template <int Bits>
using published = er::clipped<er::asymmetric<Bits, er::per_channel, float, er::zero_rule::integer>>;

template <int Bits>
void compare(const nlohmann::json& weight, const nlohmann::json& c) {
  const std::size_t rows = weight["shape"][0], cols = weight["shape"][1], group = c["group"];
  const std::vector<float> w = golden::floats(weight["weights_f32"]);
  const auto sigmoid = [](float a) { return 1 / (1 + std::exp(-a)); };
  published<Bits> policy;
  policy.upper = sigmoid(c["upper"].get<float>());
  policy.lower = sigmoid(c["lower"].get<float>());
  policy.grid.epsilon = 1e-4f;
  const std::vector<float> values = golden::floats(c["value_f32"]);
  std::vector<float> out(w.size());
  er::fake_quantize(er::matrix_view<const float>{w.data(), rows, cols},
                    er::matrix_view<float>{out.data(), rows, cols}, policy, {.group = group});
  for (std::size_t i = 0; i < w.size(); ++i) {
    const er::group_fit fit = policy.fit(std::span{w}.subspan(i / group * group, group));
    CHECK(fit.scale == doctest::Approx(c["scale_f32"][i / group].get<float>()).epsilon(1e-6));
    CHECK(fit.zero == c["zero"][i / group].get<float>());
    CHECK(published<Bits>::code(w[i], fit) == c["codes"][i].get<int>());
    CHECK(out[i] == doctest::Approx(values[i]).epsilon(1e-6));
  }
}
}  // namespace

TEST_SUITE_BEGIN("policy/clipped");

TEST_CASE("golden: scales, zeros, codes and values of both factors") {
  const nlohmann::json weight = golden::load("zeroth_order.json")["weight"];
  for (const auto& c : weight["cases"]) {
    const int bits = c["bits"];
    CAPTURE(bits);
    if (bits == 4) compare<4>(weight, c);
    if (bits == 3) compare<3>(weight, c);
    if (bits == 2) compare<2>(weight, c);
  }
}

TEST_CASE("clipped: factors of 1 change nothing, for every rule of the zero; it packs") {
  std::vector<float> w;
  for (int i = 0; i < 128; ++i) w.push_back(0.01f * static_cast<float>(i * 37 % 101 - 20));
  const er::matrix_view<const float> view{w.data(), 2, 64};
  const auto same = [&](auto grid) {
    er::clipped<decltype(grid)> whole, part{.upper = 0.5f, .lower = 0.75f};
    std::vector<float> a(w.size()), b(w.size()), c(w.size());
    er::fake_quantize(view, er::matrix_view<float>{a.data(), 2, 64}, grid);
    er::fake_quantize(view, er::matrix_view<float>{b.data(), 2, 64}, whole);
    CHECK(a == b);
    er::fake_quantize(view, er::matrix_view<float>{c.data(), 2, 64}, part);
    for (std::size_t r = 0; r < 2; ++r) {
      const auto row = view.row(r);
      const er::group_fit fit = part.fit(row);
      const float step = fit.scale;
      for (std::size_t i = 0; i < 64; ++i) {
        CHECK(c[r * 64 + i] <= 0.5f * er::max_value(row) + step);
        CHECK(c[r * 64 + i] >= -0.75f * 0.2f - step);
      }
    }
    const auto packed = er::pack(view, er::as_stored<er::clipped<decltype(grid)>>{part});
    CHECK(packed.rows() == 2);
  };
  same(er::asymmetric<4, er::per_channel>{});
  same(er::asymmetric<4, er::per_channel, er::float16, er::zero_rule::integer>{});
  same(er::asymmetric<4, er::per_channel, er::float16, er::zero_rule::minimum>{});
  const float positive[] = {1, 2, 3};  // of one sign: the range contains 0, the zero is a code
  const er::group_fit fit =
      er::clipped<er::asymmetric<4, er::per_channel, er::float16, er::zero_rule::integer>>{.upper =
                                                                                               0.5f}
          .fit(positive);
  CHECK(fit.zero == 0);
  CHECK(fit.scale == 1.5f / 15);
}

TEST_SUITE_END();
