// SPDX-License-Identifier: Apache-2.0
/// Losses from hidden states give what the losses over whole logits give.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "support/row_views.hpp"
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/fused_head.hpp>
#include <edgerazor/distill/generalized_js.hpp>
#include <edgerazor/distill/skew_kl.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/fused_head");

namespace {

constexpr std::size_t tokens = 140, vocabulary = 1300, student_width = 20, teacher_width = 33;

std::vector<float> normal(std::size_t size, float scale, std::mt19937& random) {
  std::normal_distribution<float> draw(0, scale);
  std::vector<float> result(size);
  for (float& x : result) x = draw(random);
  return result;
}

struct models {
  std::vector<float> student, teacher, student_head, teacher_head;
  std::vector<std::int64_t> labels;
  std::vector<float> weights;

  explicit models(std::uint32_t seed) {
    std::mt19937 random{seed};
    student = normal(tokens * student_width, 1, random);
    teacher = normal(tokens * teacher_width, 1, random);
    student_head = normal(vocabulary * student_width, 0.5f, random);
    teacher_head = normal(vocabulary * teacher_width, 0.5f, random);
    for (std::size_t i = 0; i < tokens; ++i) {
      labels.push_back(i % 9 == 4 ? -100 : static_cast<std::int64_t>(random() % vocabulary));
      weights.push_back(static_cast<float>(random() % 4));
    }
  }
  [[nodiscard]] er::matrix_view<const float> student_hidden() const {
    return {student.data(), tokens, student_width};
  }
  [[nodiscard]] er::matrix_view<const float> teacher_hidden() const {
    return {teacher.data(), tokens, teacher_width};
  }
  [[nodiscard]] er::dense_head student_logits(er::matrix_view<float> gradient = {}) const {
    return {{student_head.data(), vocabulary, student_width}, gradient};
  }
  [[nodiscard]] er::dense_head teacher_logits() const {
    return {{teacher_head.data(), vocabulary, teacher_width}};
  }
  [[nodiscard]] er::token_batch batch() const {
    return {.labels = labels, .weights = weights, .sample_tokens = 10, .upstream = 1.5};
  }
};

float largest(const std::vector<float>& values) {
  float result = 0;
  for (const float x : values) result = std::max(result, std::fabs(x));
  return result;
}
/// Products of `width` terms in float, in another order: 2^-24 sqrt(terms) a term, with room.
void check_close(const std::vector<float>& result, const std::vector<float>& expected,
                 std::size_t terms) {
  float error = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    error = std::max(error, std::fabs(result[i] - expected[i]));
  CHECK(error <= 0x1p-22f * std::sqrt(static_cast<float>(terms)) * largest(expected));
}

template <class Loss>
void check(const Loss& loss, double task_weight, double loss_weight) {
  for (const std::size_t columns : {100, 1300, 4096}) {
    const models m{static_cast<std::uint32_t>(columns)};
    INFO("seed " << columns);
    const er::token_batch batch = m.batch();

    std::vector<float> s(tokens * vocabulary), t(tokens * vocabulary),
        gradient(tokens * vocabulary);
    const er::matrix_view<float> s_view{s.data(), tokens, vocabulary},
        t_view{t.data(), tokens, vocabulary};
    const er::matrix_view<float> g_view{gradient.data(), tokens, vocabulary};
    m.student_logits().logits(m.student_hidden(), 0, s_view);
    m.teacher_logits().logits(m.teacher_hidden(), 0, t_view);
    er::token_batch part = batch;
    part.accumulate = true;
    part.upstream = batch.upstream * task_weight;
    const double task = task_weight == 0 ? 0 : er::cross_entropy{}(s_view, part, g_view).value;
    part.upstream = batch.upstream * loss_weight;
    double gamma = 0, distillation = 0;
    if (loss_weight != 0) {
      const auto r = loss(s_view, t_view, part, g_view);
      distillation = r.value;
      if constexpr (requires { r.gamma; }) gamma = r.gamma;
    }
    std::vector<float> hidden(tokens * student_width, 0), head(vocabulary * student_width, 0);
    m.student_logits({head.data(), vocabulary, student_width})
        .backward(g_view, 0, m.student_hidden(), {hidden.data(), tokens, student_width});

    std::vector<float> fused_hidden(tokens * student_width, 7),
        fused_head(vocabulary * student_width, 0);
    const er::fused_head<Loss> fused{
        .loss = loss, .task_weight = task_weight, .loss_weight = loss_weight, .columns = columns};
    std::vector<float> workspace(fused.workspace_size(tokens));
    const er::fused_result r =
        fused(m.student_hidden(), m.student_logits({fused_head.data(), vocabulary, student_width}),
              m.teacher_hidden(), m.teacher_logits(), batch,
              {fused_hidden.data(), tokens, student_width}, workspace);
    CHECK(r.task == doctest::Approx(task).epsilon(1e-6));
    CHECK(r.distillation == doctest::Approx(distillation).epsilon(1e-6));
    CHECK(r.value ==
          doctest::Approx(task_weight * task + loss_weight * distillation).epsilon(1e-6));
    if constexpr (requires(const Loss& l) { l.rule(); }) {
      if (loss_weight != 0) CHECK(std::fabs(r.gamma - gamma) <= 1e-6);
    }
    check_close(fused_hidden, hidden, vocabulary);
    check_close(fused_head, head, tokens);
  }
}

}  // namespace

TEST_CASE("blends from hidden states") {
  check(er::forward_kl{}, 0, 1);
  check(er::reverse_kl{.temperature = 2}, 0.3, 1);
  check(er::entropy_aware_kl{.confidence_k = 1000}, 0.1, 2);
  check(er::entropy_aware_kl{.confidence_k = 1000, .scope = er::gamma_scope::sample}, 0, 1);
  check(er::entropy_aware_kl{.confidence_k = 1000, .scope = er::gamma_scope::token}, 0, 1);
  check(er::confidence_aware_kl{}, 0, 1);
}

TEST_CASE("other divergences and cross-entropy alone from hidden states") {
  check(er::generalized_js{.beta = 0.3f}, 0.1, 1);
  check(er::skew_kl{}, 0, 1);
  check(er::forward_kl{}, 1, 0);
}

TEST_CASE("fused_head: the loss of a sure token keeps its digits, and has its limits") {
  // One feature of 1: the head's weights are the logits.
  const float infinity = std::numeric_limits<float>::infinity(), nan = infinity - infinity;
  const auto check_row = [](std::vector<float> logits, std::int64_t label) {
    const std::size_t cols = logits.size();
    const std::vector<float> one{1};
    const std::vector<std::int64_t> labels{label};
    for (const std::size_t columns : {std::size_t{1}, std::size_t{2}, cols}) {
      std::vector<float> expected(cols), hidden(1), head(cols, 0);
      const double value =
          er::cross_entropy{}(er::matrix_view<const float>{logits.data(), 1, cols},
                              {.labels = labels}, er::matrix_view<float>{expected.data(), 1, cols})
              .value;
      const er::fused_head<er::forward_kl> fused{
          .task_weight = 1, .loss_weight = 0, .columns = columns};
      std::vector<float> workspace(fused.workspace_size(1));
      const er::dense_head student{{logits.data(), cols, 1}, {head.data(), cols, 1}};
      const double is = fused({one.data(), 1, 1}, student, {one.data(), 1, 1}, student,
                              {.labels = labels}, {hidden.data(), 1, 1}, workspace)
                            .value;
      INFO("label " << label << " of " << cols << ", pieces of " << columns);
      const bool fits = std::isnan(value)
                            ? std::isnan(is)
                            : is == value || std::fabs(is - value) <= 1e-12 * std::fabs(value);
      CHECK_MESSAGE(fits, is, " instead of ", value);
      const float most = largest(expected);
      for (std::size_t i = 0; i < cols; ++i) {
        CHECK((std::isnan(expected[i]) ? std::isnan(head[i])
                                       : std::fabs(head[i] - expected[i]) <= 1e-6f * most));
      }
    }
  };
  for (const float sure : {0.0f, 5.0f, 20.0f, 40.0f, 100.0f, 1000.0f, 3e38f}) {
    check_row({0.5f, sure, -1, 0.25f, -0.5f}, 1);
    check_row({0.5f, sure, -1, 0.25f, -0.5f}, 0);
    check_row({0.5f, -sure, -1, 0.25f, -0.5f}, 1);
  }
  check_row({-infinity, 3, -infinity}, 1);
  check_row({-infinity, 3, -infinity}, 0);
  check_row({-infinity, -infinity}, 0);
  check_row({1, nan, 2}, 1);
  check_row({1, nan, 2}, 0);
  check_row({1, infinity, 2}, 1);
  check_row({1, infinity, 2}, 0);
}

TEST_CASE("what a fused head refuses") {
  const models m{1};
  const er::fused_head<er::forward_kl> loss{};
  std::vector<float> workspace(loss.workspace_size(tokens)), gradient(tokens * student_width);
  const er::matrix_view<float> g{gradient.data(), tokens, student_width};
  CHECK_THROWS_WITH(loss(m.student_hidden(), m.student_logits(), m.teacher_hidden(),
                         m.teacher_logits(), m.batch(), g, std::span{workspace}.first(10)),
                    "fused_head: a workspace of 10 floats, expected 786572");
  CHECK_THROWS_WITH(
      loss(m.student_hidden(), m.teacher_logits(), m.teacher_hidden(), m.teacher_logits(),
           m.batch(), g, workspace),
      "fused_head: hidden states are 140 x 20 and 140 x 33, the heads take 33 and 33 columns");
}

TEST_CASE("fused_head: weights and sizes without meaning are refused") {
  const std::vector<float> one(4, 1.0f);
  std::vector<float> room(1000);
  const er::matrix_view<const float> hidden{one.data(), 1, 2};
  const er::dense_head head{{one.data(), 2, 2}};
  const auto run = [&](const er::fused_head<er::forward_kl>& loss) {
    return loss(hidden, head, hidden, head, er::token_batch{}, er::matrix_view<float>{}, room);
  };
  CHECK(run({.columns = 2}).value == 0);
  CHECK_THROWS_WITH(run({.loss_weight = -1, .columns = 2}),
                    "fused_head: the loss's weight is -1.000000, expected a finite one, not "
                    "negative");
  CHECK_THROWS(run({.task_weight = std::nan(""), .columns = 2}));
  // 96 of them are 2^64, and no room at all.
  CHECK_THROWS_WITH(run({.columns = std::size_t{1} << 59}),
                    "fused_head: a workspace of 1000 floats, expected 18446744073709551615");
}

TEST_CASE("fused_head: a teacher that holds NaN gives NaN, as whole rows do") {
  using row_views::view, row_views::into;
  const float not_a_number = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> hidden{1, 2, 3, 4}, teacher{1, 1, not_a_number, 2}, w{1, 0, 0, 1, 1, 1};
  std::vector<float> gradient(4, 7);
  const er::fused_head<er::entropy_aware_kl> loss{.columns = 2};
  std::vector<float> room(loss.workspace_size(2));
  const er::dense_head head{view(w, 3)};
  er::fused_result r;
  CHECK_NOTHROW(r = loss(view(hidden, 2), head, view(teacher, 2), head, er::token_batch{},
                         into(gradient, 2), room));
  CHECK(std::isnan(r.value));
  CHECK(std::isnan(r.gamma));
  for (const float g : gradient) CHECK(std::isnan(g));
}

TEST_CASE("fused_head, pieces: parameters without meaning are refused before anything is written") {
  using row_views::view, row_views::into;
  const float not_a_number = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> hidden{1, 2, 3, 4}, teacher{1, 1, 0, 2}, w{1, 0, 0, 1, 1, 1};
  const auto refused = [&](const auto& of) {
    std::vector<float> gradient(4, 7);
    const er::fused_head<std::remove_cvref_t<decltype(of)>> loss{.loss = of};
    std::vector<float> room(loss.workspace_size(2));
    const er::dense_head head{view(w, 3)};
    CHECK_THROWS_AS(loss(view(hidden, 2), head, view(teacher, 2), head, er::token_batch{},
                         into(gradient, 2), room),
                    std::invalid_argument);
    CHECK(gradient == std::vector<float>(4, 7));
  };
  refused(er::symmetric_kl{.gamma = 2});
  refused(er::symmetric_kl{.gamma = not_a_number});
  refused(er::skew_kl{.alpha = 2});
  refused(er::skew_reverse_kl{.alpha = not_a_number});
  er::logit_statistics seen;
  er::piece_sums sums;
  er::observe_piece(std::span{hidden}, std::span{teacher}, 1, seen);
  CHECK_THROWS_AS(
      er::observe_terms(er::skew_kl{.alpha = 2}, std::span{hidden}, std::span{teacher}, seen, sums),
      std::invalid_argument);
}

TEST_SUITE_END();
