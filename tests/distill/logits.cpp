// SPDX-License-Identifier: Apache-2.0
/// What the losses over logits ask of their arguments, and vocabularies of different length.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "distill/oracle.hpp"
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/total_variation.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/logits");

namespace {

std::vector<float> normal(std::size_t size, std::uint32_t seed) {
  std::mt19937 random{seed};
  std::normal_distribution<float> draw(0, 2);
  std::vector<float> result(size);
  for (float& x : result) x = draw(random);
  return result;
}
er::matrix_view<const float> one(const std::vector<float>& row) {
  return {row.data(), 1, row.size()};
}

}  // namespace

TEST_CASE("logits: shapes and temperatures without meaning are refused") {
  const std::vector<float> x(12);
  std::vector<float> gradient(12);
  const er::matrix_view<const float> wide{x.data(), 2, 6}, tall{x.data(), 3, 4};
  const er::token_batch all;
  CHECK_THROWS_WITH(er::forward_kl{}(wide, tall, all),
                    "forward_kl: the student's logits are 2 x 6, the teacher's 3 x 4");
  CHECK_THROWS_WITH(
      er::total_variation{}(wide, wide, all, er::matrix_view<float>{gradient.data(), 3, 4}),
      "total_variation: the student's logits are 2 x 6, the gradient 3 x 4");
  const er::matrix_view<const float> none{x.data(), 2, 0};
  CHECK_THROWS_WITH(er::forward_kl{}(none, none, all), "forward_kl: logits of 0 columns");
  for (const float bad : {0.0f, -1.0f, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    CHECK_THROWS(er::forward_kl{.temperature = bad}(wide, wide, all));
  }
  CHECK(er::forward_kl{.temperature = 0, .mode = er::loss_mode::parity}(wide, wide, all).value ==
        0);
}

TEST_CASE("logits: truncated and excluded columns are those of the definition") {
  for (const auto& [s_size, t_size] : {std::pair{30, 37}, {37, 30}, {9000, 8200}}) {
    const std::vector<float> s = normal(static_cast<std::size_t>(s_size), 1),
                             t = normal(static_cast<std::size_t>(t_size), 2);
    std::vector<float> gradient(s.size(), 7);
    const er::matrix_view<float> g{gradient.data(), 1, s.size()};
    const std::size_t shared = std::min(s.size(), t.size());
    const auto log_q = oracle::log_softmax(s, shared, 1), log_p = oracle::log_softmax(t, shared, 1);
    const er::blended_result cut = er::forward_kl{.vocabulary = er::vocabulary_mismatch::truncate}(
        one(s), one(t), er::token_batch{}, g);
    CHECK(cut.value ==
          doctest::Approx(static_cast<double>(oracle::kl(log_p, log_q))).epsilon(1e-6));
    for (std::size_t i = shared; i < s.size(); ++i) CHECK(gradient[i] == 0);
    const er::blended_result all = er::forward_kl{.vocabulary = er::vocabulary_mismatch::exclude}(
        one(s), one(t), er::token_batch{}, g);
    if (t.size() > s.size()) {
      CHECK(all.value == std::numeric_limits<double>::infinity());
    } else {
      auto whole = oracle::log_softmax(s, s.size(), 1);
      whole.resize(t.size());
      CHECK(all.value ==
            doctest::Approx(static_cast<double>(oracle::kl(log_p, whole))).epsilon(1e-6));
    }
  }
  CHECK_THROWS_WITH(er::forward_kl(er::forward_kl{.mode = er::loss_mode::parity,
                                                  .vocabulary = er::vocabulary_mismatch::exclude})(
                        one(normal(3, 1)), one(normal(4, 1)), er::token_batch{}),
                    "forward_kl: parity mode knows no excluded columns");
}

TEST_SUITE_END();
