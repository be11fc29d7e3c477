// SPDX-License-Identifier: Apache-2.0
/// Columns of two rows: nothing cancels, what is impossible adds what the limit adds, NaN stays.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/comparison_impl.hpp>
#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/terms.hpp>

namespace er = edgerazor;
namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/comparison");

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

row::logit_pair pair_of(const std::vector<float>& s, const std::vector<float>& t,
                        double inverse_temperature = 1) {
  return {{s.data(), s.size()}, {t.data(), t.size()}, inverse_temperature};
}

}  // namespace

TEST_CASE("comparison: rows a float's last digit apart, at any temperature, far from 0") {
  // s = t but for one column: KL is p (1 - p) x^2 / 2 to first order, x the column's difference.
  for (const float offset : {0.0f, 256.0f, -4096.0f}) {
    for (const double inverse : {1.0, 1e-5, 1e-9}) {
      const std::vector<float> t{offset, offset + 1, offset - 1};
      std::vector<float> s = t;
      s[1] = std::nextafter(s[1], infinity);
      double sum = 0;
      for (const float x : t) sum += std::exp((x - t[1]) * inverse);
      const double p = 1 / sum,
                   x = (static_cast<double>(s[1]) - static_cast<double>(t[1])) * inverse;
      const double expected = p * (1 - p) * x * x / 2;
      const er::logit_statistics seen = row::row_statistics(pair_of(s, t, inverse), true);
      // The next order is x / 3 of it.
      CHECK(seen.forward_kl() == doctest::Approx(expected).epsilon(1e-6 + std::fabs(x)));
      CHECK(seen.reverse_kl() == doctest::Approx(expected).epsilon(1e-6 + std::fabs(x)));
    }
  }
}

TEST_CASE("comparison: logits a billion temperatures from 0 have a softmax that sums to 1") {
  const std::vector<float> s{1e12f, 1e12f, -3e38f}, t{1e12f, -1e12f, 3e38f};
  const er::logit_statistics seen = row::row_statistics(pair_of(s, t, 1e3), true);
  // The teacher is sure of the last column, of which the student has nothing.
  const er::detail::row::divergence_term term{row::term_kind::total_variation};
  CHECK(row::sum_terms(term, pair_of(s, t, 1e3), seen).value == doctest::Approx(1));
  std::vector<float> gradient(3);
  row::kl_gradient(pair_of(s, t, 1e3), seen, {.forward = 1e-3}, {gradient.data(), 3, false});
  CHECK(gradient == std::vector<float>{0.5f, 0.5f, -1.0f});
}

TEST_CASE("comparison: infinite stays infinite through other references and merges") {
  // The column of which the student has nothing is e^-900 of the teacher's mass.
  const std::vector<float> s{-infinity, 0}, t{-900, 0}, more_s{950, 0}, more_t{950, 0};
  const er::logit_statistics alone = row::row_statistics(pair_of(s, t), true),
                             beside = row::row_statistics(pair_of(more_s, more_t), true);
  CHECK(alone.forward_kl() == static_cast<double>(infinity));
  CHECK(std::isfinite(alone.reverse_kl()));
  for (const bool swapped : {false, true}) {
    er::logit_statistics all = swapped ? beside : alone;
    all.merge(swapped ? alone : beside);
    CHECK(all.forward_kl() == static_cast<double>(infinity));
    CHECK(std::isfinite(all.reverse_kl()));
  }
}

TEST_CASE("comparison: nothing is written past the columns that are compared") {
  for (const std::size_t size : {1, 29, 513}) {
    const std::vector<float> s(size + 3, 1.0f), t(size + 3, 0.5f);
    std::vector<float> g(size + 3, 7.0f);
    row::kl_row({{s.data(), size}, {t.data(), size}, 1}, {}, {.forward = 1},
                {g.data(), size + 3, false});
    for (std::size_t i = size; i < size + 3; ++i) CHECK(g[i] == 7);
  }
}

TEST_CASE("comparison: NaN in either row is NaN in value and gradient, whatever the length") {
  for (const std::size_t size : {1, 7, 513, 9000}) {
    for (const bool of_student : {false, true}) {
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity}) {
        std::vector<float> s(size, 1.0f), t(size, 2.0f), g(size, 7.0f);
        (of_student ? s : t)[size / 2] = bad;
        const auto both = row::kl_row(pair_of(s, t), {}, {.forward = 0.5, .reverse = 0.5},
                                      {g.data(), size, false});
        CHECK(std::isnan(both.forward));
        CHECK(std::isnan(both.reverse));
        for (const float x : g) REQUIRE(std::isnan(x));
      }
    }
  }
}

TEST_SUITE_END();
