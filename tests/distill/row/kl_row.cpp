// SPDX-License-Identifier: Apache-2.0
/// One row's passes: what is kept between them, and rows that are the gradient's own memory.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/kl_row.hpp>

namespace er = edgerazor;
namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/kl_row");

TEST_CASE("kl_row: a gradient over the student's or the teacher's memory is the same") {
  for (const std::size_t size : {500, 9000, 9216}) {
    for (const float apart : {1.0f, 0.05f}) {
      std::mt19937 random{static_cast<std::uint32_t>(size)};
      std::normal_distribution<float> draw;
      std::vector<float> s(size), t(size), g(size);
      for (std::size_t i = 0; i < size; ++i) {
        t[i] = 2 * draw(random) + 0.002f * static_cast<float>(i);  // references move
        s[i] = t[i] + apart * draw(random);
      }
      const row::kl_blend blend{.forward = 0.25, .reverse = 0.75};
      const auto run = [&](std::vector<float>& out) {
        return row::kl_row({{s.data(), size}, {t.data(), size}, 1}, {}, blend,
                           {out.data(), size, false});
      };
      const row::kl_divergences apart_from_both = run(g);
      const row::kl_divergences value =
          row::kl_row({{s.data(), size}, {t.data(), size}, 1}, {}, blend, {});
      CHECK(value.forward == doctest::Approx(apart_from_both.forward).epsilon(1e-6));
      const std::vector<float> student = s;
      run(s);
      // e^a was made again instead of kept: a rounding of float.
      for (std::size_t i = 0; i < size; ++i) CHECK(s[i] == doctest::Approx(g[i]).epsilon(2e-6));
      s = student;
      run(t);
      for (std::size_t i = 0; i < size; ++i) CHECK(t[i] == doctest::Approx(g[i]).epsilon(2e-6));
    }
  }
}

TEST_CASE("kl_row: known statistics of the teacher change nothing") {
  for (const std::size_t size : {500, 9000}) {
    std::mt19937 random{3};
    std::normal_distribution<float> draw;
    std::vector<float> s(size), t(size), g(size), again(size);
    for (float& x : s) x = draw(random);
    for (float& x : t) x = draw(random);
    t[7] = -std::numeric_limits<float>::infinity();
    const er::logit_statistics known = row::teacher_statistics({t.data(), size}, size, 1);
    CHECK(known.teacher_guarded);
    const row::kl_blend blend{.forward = 1};
    const auto a =
        row::kl_row({{s.data(), size}, {t.data(), size}, 1}, {}, blend, {g.data(), size, false});
    const auto b = row::kl_row({{s.data(), size}, {t.data(), size}, 1}, known, blend,
                               {again.data(), size, false});
    CHECK(a.forward == b.forward);
    CHECK(g == again);
  }
}

TEST_SUITE_END();
