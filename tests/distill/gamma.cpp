// SPDX-License-Identifier: Apache-2.0
/// gamma: of EdgeRazor (Python), given by the caller, and merged from parts of a batch.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include "support/row_views.hpp"
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/kl.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/gamma");

namespace {

/// EdgeRazor (Python) works in float32: see kl.cpp.
constexpr double rounding = 2.2e-6;

struct batch {
  static constexpr std::size_t samples = 6, length = 4, tokens = samples * length, cols = 50;
  std::vector<float> student, teacher;
  std::vector<std::int64_t> labels;

  batch() : student(tokens * cols), teacher(tokens * cols) {
    std::mt19937 random{9};
    std::normal_distribution<float> draw(0, 3);
    for (float& x : student) x = draw(random);
    for (float& x : teacher) x = draw(random);
    for (std::size_t i = 0; i < tokens; ++i)
      labels.push_back(i % 5 == 2 || i / length == 3 ? -100 : static_cast<std::int64_t>(i));
  }
  /// Samples [begin, end).
  [[nodiscard]] er::matrix_view<const float> part(const std::vector<float>& of, std::size_t begin,
                                                  std::size_t end) const {
    return {of.data() + begin * length * cols, (end - begin) * length, cols};
  }
  [[nodiscard]] er::token_batch part_of_tokens(std::size_t begin, std::size_t end) const {
    return {.labels = std::span{labels}.subspan(begin * length, (end - begin) * length),
            .sample_tokens = length,
            .denominator = static_cast<double>(samples)};
  }
};

/// Micro-batches with the gamma of the whole give its value and its gradient, to the bit.
template <class Loss>
void check_parts(const Loss& loss) {
  const batch b;
  std::vector<float> whole(b.student.size(), 7), parts(b.student.size(), 7);
  const auto gradient = [&](std::vector<float>& of, std::size_t begin, std::size_t end) {
    return er::matrix_view<float>{of.data() + begin * batch::length * batch::cols,
                                  (end - begin) * batch::length, batch::cols};
  };
  const er::blended_result expected = loss(b.part(b.student, 0, 6), b.part(b.teacher, 0, 6),
                                           b.part_of_tokens(0, 6), gradient(whole, 0, 6));
  const std::vector<std::size_t> cut{0, 1, 4, 6};
  er::confidence_sums all;
  for (std::size_t i = 3; i-- > 0;) {
    all.merge(loss.confidence(b.part(b.teacher, cut[i], cut[i + 1]),
                              b.part_of_tokens(cut[i], cut[i + 1])));
  }
  CHECK(all.samples == 6);
  CHECK(all.gamma() == doctest::Approx(expected.gamma).epsilon(1e-14));
  double value = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const er::blended_result r =
        loss(b.part(b.student, cut[i], cut[i + 1]), b.part(b.teacher, cut[i], cut[i + 1]),
             b.part_of_tokens(cut[i], cut[i + 1]), gradient(parts, cut[i], cut[i + 1]),
             {.gamma = expected.gamma});
    CHECK(r.gamma == expected.gamma);
    value += r.value;
  }
  CHECK(value == doctest::Approx(expected.value).epsilon(1e-14));
  CHECK(parts == whole);
}

}  // namespace

TEST_CASE("gamma is that of EdgeRazor (Python)") {
  std::size_t checked = 0;
  const nlohmann::json file = golden::load("teacher_confidence.json");
  for (const nlohmann::json& data : file.at("cases")) {
    const auto teacher = golden::floats(data.at("teacher"));
    const auto labels = data.at("labels").get<std::vector<std::int64_t>>();
    const auto shape = data.at("teacher_shape").get<std::vector<std::size_t>>();
    const er::matrix_view<const float> logits{teacher.data(), shape[0] * shape[1], shape[2]};
    const er::token_batch batch{.labels = labels, .sample_tokens = shape[1]};
    const float gamma = golden::floats(data.at("gamma")).at(0);
    for (const er::loss_mode mode : {er::loss_mode::parity, er::loss_mode::stable}) {
      double result = 0;
      if (data.at("use_entropy")) {
        result = er::entropy_aware_kl{.mode = mode, .confidence_k = data.at("confidence_k")}(
                     logits, logits, batch)
                     .gamma;
      } else {
        result = er::confidence_aware_kl{.mode = mode}(logits, logits, batch).gamma;
      }
      // ln(p + 1e-8) instead of ln p: at most 1e-8 a column.
      CHECK(std::fabs(result - static_cast<double>(gamma)) <= rounding + 23 * 1e-8);
    }
    ++checked;
  }
  CHECK(checked == 24);
}

TEST_CASE("micro-batches share the gamma of the whole batch") {
  check_parts(er::entropy_aware_kl{.confidence_k = 60});
  check_parts(er::confidence_aware_kl{});
}

TEST_CASE("a given gamma is what symmetric_kl has, and must lie in [0, 1]") {
  const batch b;
  const auto s = b.part(b.student, 0, 6), t = b.part(b.teacher, 0, 6);
  const er::token_batch tokens = b.part_of_tokens(0, 6);
  for (const float gamma : {0.0f, 0.25f, 1.0f}) {
    const er::blended_result r =
        er::entropy_aware_kl{}(s, t, tokens, {}, {.gamma = static_cast<double>(gamma)});
    CHECK(r.value == er::symmetric_kl{.gamma = gamma}(s, t, tokens).value);
  }
  CHECK_THROWS_WITH(er::entropy_aware_kl{}(s, t, tokens, {}, {.gamma = 1.5}),
                    "entropy_aware_kl: gamma is 1.500000, expected 0 to 1");
  CHECK_THROWS_WITH(
      er::entropy_aware_kl{}(s, t, tokens, {}, {.gamma = std::numeric_limits<double>::quiet_NaN()}),
      "entropy_aware_kl: gamma is nan, expected 0 to 1");
}

TEST_CASE("a teacher that is NaN makes gamma and the blend NaN") {
  batch b;
  b.teacher[5] = std::numeric_limits<float>::quiet_NaN();
  const er::blended_result r =
      er::entropy_aware_kl{}(b.part(b.student, 0, 6), b.part(b.teacher, 0, 6), er::token_batch{});
  CHECK(std::isnan(r.gamma));
  CHECK(std::isnan(r.value));
}

TEST_CASE("what has no token: gamma is that of entropy 0, of probability 0, or 0.5") {
  const er::matrix_view<const float> none{nullptr, 0, 5};
  CHECK(er::entropy_aware_kl{}(none, none, er::token_batch{}).gamma == 1);
  CHECK(er::entropy_aware_kl{}.confidence(none, er::token_batch{}).gamma() == 1);
  CHECK(er::confidence_aware_kl{}(none, none, er::token_batch{}).gamma == 0.5);
  CHECK(er::confidence_aware_kl{}.confidence(none, er::token_batch{}).gamma() == 0.5);
}

TEST_CASE("entropy_aware_kl: any confidence_k of at least 2") {
  using row_views::view;
  const std::vector<float> s{1, 2, 3};
  CHECK_NOTHROW(er::entropy_aware_kl{.confidence_k = std::numeric_limits<std::size_t>::max()}(
      view(s, 1), view(s, 1), er::token_batch{}));
}

TEST_SUITE_END();
