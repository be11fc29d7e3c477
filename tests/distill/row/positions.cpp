// SPDX-License-Identifier: Apache-2.0
/// Distributions over keys and over the tokens of a sample.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/positions.hpp>

namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/positions");

TEST_CASE("positions: a group of rows stands for its mean") {
  // Two of the teacher's heads, 600 keys apart by a stride of 700.
  std::vector<float> p(1400), q(600, 1.0f / 600), g(600);
  for (std::size_t i = 0; i < 600; ++i) {
    p[i] = i < 300 ? 1.0f / 300 : 0;
    p[700 + i] = i < 300 ? 0 : 1.0f / 300;
  }
  const row::row_group mean{{p.data(), 600}, 2, 700}, first{{p.data(), 600}, 1, 0};
  CHECK(row::attention_entropy(mean, false) == doctest::Approx(std::log(600.0)).epsilon(1e-6));
  CHECK(row::attention_entropy(first, false) == doctest::Approx(std::log(300.0)).epsilon(1e-6));
  const row::kl_divergences none =
      row::attention_row({q.data(), 600}, mean, {.forward = 1}, false, {});
  CHECK(std::fabs(none.forward) <= 1e-6);
  const row::kl_divergences half =
      row::attention_row({q.data(), 600}, first, {.forward = 1}, false, {g.data(), 600, false});
  CHECK(half.forward == doctest::Approx(std::log(2.0)).epsilon(1e-6));
  CHECK(g[0] == doctest::Approx(-2.0f).epsilon(1e-5));  // -p / q
  CHECK(g[599] == 0.0f);
}

TEST_CASE("positions: relations are a softmax, padded by what adds nothing") {
  const std::vector<double> x{1, 0, 0, 2, -1, 1};  // three tokens of width 2
  std::vector<double> ln(row::relation_cols(3));
  CHECK(ln.size() == row::relation_padding);
  row::relate(x.data(), 3, 2, 0, ln.data());
  const double z[] = {1 / std::sqrt(2.0), 0, -1 / std::sqrt(2.0)};
  const double sum = std::exp(z[0]) + std::exp(z[1]) + std::exp(z[2]);
  double entropy = 0;
  for (std::size_t j = 0; j < 3; ++j) {
    CHECK(ln[j] == doctest::Approx(z[j] - std::log(sum)).epsilon(1e-14));
    entropy -= std::exp(ln[j]) * ln[j];
  }
  CHECK(row::relation_entropy(ln.data(), 3, false) == doctest::Approx(entropy).epsilon(1e-13));
  std::vector<double> slopes(ln.size(), 7);
  const auto both = row::relation_row(ln.data(), ln.data(), 3, {1, 1}, false, slopes.data());
  CHECK(both.forward == 0);
  CHECK(both.reverse == 0);
  for (std::size_t j = 0; j < 3; ++j) CHECK(slopes[j] == 0);
  slopes = {1, 0, 2};
  std::vector<double> back(6, 0);
  row::relate_back(x.data(), 3, 2, 0, slopes.data(), back.data());
  // dx_0 = x_0 + x_0 + 2 x_2, dx_2 = 2 x_0, over the root of 2.
  CHECK(back[0] == doctest::Approx(0.0));
  CHECK(back[1] == doctest::Approx(2 / std::sqrt(2.0)));
  CHECK(back[4] == doctest::Approx(2 / std::sqrt(2.0)));
}

TEST_CASE("positions: a NaN or a negative entry is NaN in value and gradient, in both directions") {
  for (const float bad : {std::nanf(""), -0.25f}) {
    for (const bool of_student : {false, true}) {
      for (const row::kl_blend blend : {row::kl_blend{1, 0}, row::kl_blend{0, 1}}) {
        std::vector<float> q{0.5f, 0.25f, 0.25f, 0}, p{0.25f, 0.5f, 0, 0.25f}, g(4, 7);
        (of_student ? q : p)[2] = bad;
        const row::row_group teacher{{p.data(), 4}, 1, 0};
        const auto both =
            row::attention_row({q.data(), 4}, teacher, blend, false, {g.data(), 4, false});
        CHECK(std::isnan(both.forward));
        CHECK(std::isnan(both.reverse));
        CHECK(std::isnan(g[2]));
        if (!of_student) CHECK(std::isnan(row::attention_entropy(teacher, false)));
      }
    }
  }
}

TEST_CASE("positions: attention a float's last digit apart keeps its digits") {
  // Sums of 1 exactly: KL is the sum of x^2 / 2p to first order, x the differences.
  const double x = 0x1p-24;
  const std::vector<float> p{0.25f, 0.25f, 0.5f},
      q{0.25f + static_cast<float>(x), 0.25f - static_cast<float>(x), 0.5f};
  const auto both = row::attention_row({q.data(), 3}, {{p.data(), 3}, 1, 0}, {}, false, {});
  CHECK(both.forward == doctest::Approx(4 * x * x).epsilon(1e-6));
  CHECK(both.reverse == doctest::Approx(4 * x * x).epsilon(1e-6));
}

TEST_SUITE_END();
