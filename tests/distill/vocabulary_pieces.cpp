// SPDX-License-Identifier: Apache-2.0
/// Chunks of the vocabulary, in any order and merged in any order, give what whole rows give.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "distill/oracle.hpp"
#include <edgerazor/distill/generalized_js.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/skew_kl.hpp>
#include <edgerazor/distill/total_variation.hpp>
#include <edgerazor/distill/vocabulary_pieces.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/vocabulary_pieces");

namespace {

struct pieces {
  std::vector<std::size_t> ends;  ///< ascending, the last is the row's

  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t i = 0, first = 0; i < ends.size(); first = ends[i++])
      visit(first, ends[i] - first);
  }
};

struct row_pair {
  std::vector<float> student, teacher;

  [[nodiscard]] std::span<const float> student_piece(std::size_t first, std::size_t count) const {
    return std::span{student}.subspan(first, count);
  }
  [[nodiscard]] std::span<const float> teacher_piece(std::size_t first, std::size_t count) const {
    return std::span{teacher}.subspan(first, count);
  }
};

/// Each piece alone, merged pairwise from both ends: an order that no single pass has.
er::logit_statistics merged(const row_pair& rows, const pieces& cut, float temperature) {
  std::vector<er::logit_statistics> parts;
  cut.for_each([&](std::size_t first, std::size_t count) {
    parts.emplace_back();
    er::observe_piece(rows.student_piece(first, count), rows.teacher_piece(first, count),
                      temperature, parts.back());
  });
  while (parts.size() > 1) {
    parts.front().merge(parts.back());
    parts.pop_back();
  }
  return parts.front();
}

template <class Run>
void for_each_case(Run&& run) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const std::uint32_t seed : {1u, 2u, 3u}) {
    for (const float scale : {0.1f, 3.0f, 50.0f}) {
      INFO("seed " << seed << ", scale " << scale);
      std::mt19937 random{seed};
      std::normal_distribution<float> draw(0, scale);
      row_pair rows;
      rows.student.resize(3000);
      rows.teacher.resize(3000);
      for (float& x : rows.student) x = draw(random);
      for (float& x : rows.teacher) x = draw(random);
      for (std::size_t i = 1000; i < 1500; ++i)
        rows.teacher[i] = rows.student[i] = -infinity;  // pieces of nothing
      const pieces cut{{1, 700, 1100, 1400, 1501, 2047, 3000}};
      run(rows, cut);
    }
  }
}

void check_close(double result, double expected) {
  CHECK(std::fabs(result - expected) <= 1e-6 * std::fabs(expected) + 1e-14);
}
void check_close(const std::vector<float>& result, const std::vector<float>& expected) {
  float largest = 0, error = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::fabs(expected[i]));
    error = std::max(error, std::fabs(result[i] - expected[i]));
  }
  // Where student and teacher are one token each, gradients are what cancelling doubles leave.
  CHECK(error <= 1e-6f * largest + 1e-15f);
}

template <class Loss>
void check_terms(const Loss& loss) {
  for_each_case([&](const row_pair& rows, const pieces& cut) {
    const std::size_t size = rows.student.size();
    std::vector<float> whole(size, 7), joined(size, 7);
    const er::loss_result r =
        loss(er::matrix_view<const float>{rows.student.data(), 1, size},
             er::matrix_view<const float>{rows.teacher.data(), 1, size}, er::token_batch{},
             er::matrix_view<float>{whole.data(), 1, size});
    const er::logit_statistics seen = merged(rows, cut, loss.temperature);
    er::piece_sums sums;
    cut.for_each([&](std::size_t first, std::size_t count) {
      er::observe_terms(loss, rows.student_piece(first, count), rows.teacher_piece(first, count),
                        seen, sums);
    });
    const double square =
        static_cast<double>(loss.temperature) * static_cast<double>(loss.temperature);
    cut.for_each([&](std::size_t first, std::size_t count) {
      er::piece_gradient(loss, rows.student_piece(first, count), rows.teacher_piece(first, count),
                         seen, sums, square, std::span{joined}.subspan(first, count));
    });
    check_close(square * sums.value, r.value);
    check_close(joined, whole);
  });
}

}  // namespace

TEST_CASE("the KL family in pieces") {
  for (const float temperature : {1.0f, 2.5f}) {
    for_each_case([&](const row_pair& rows, const pieces& cut) {
      const std::size_t size = rows.student.size();
      const er::matrix_view<const float> s{rows.student.data(), 1, size},
          t{rows.teacher.data(), 1, size};
      std::vector<float> whole(size, 7), joined(size, 7);
      const er::entropy_aware_kl loss{.temperature = temperature, .temperature_squared = false};
      const er::blended_result r =
          loss(s, t, er::token_batch{}, er::matrix_view<float>{whole.data(), 1, size});
      const er::logit_statistics seen = merged(rows, cut, temperature);
      check_close(seen.forward_kl(), r.forward);
      check_close(seen.reverse_kl(), r.reverse);
      const double confidence = 1 - seen.teacher_entropy() / std::log(16.0);
      if (temperature == 1) check_close(std::clamp(confidence, 0.0, 1.0), r.gamma);
      cut.for_each([&](std::size_t first, std::size_t count) {
        er::piece_gradient(rows.student_piece(first, count), rows.teacher_piece(first, count),
                           temperature, seen, 1 - r.gamma, r.gamma,
                           std::span{joined}.subspan(first, count));
      });
      check_close(joined, whole);
    });
  }
}

TEST_CASE("divergences that are sums, in pieces") {
  check_terms(er::generalized_js{});
  check_terms(er::generalized_js{.temperature = 2, .beta = 0.2f});
  check_terms(er::skew_kl{});
  check_terms(er::skew_reverse_kl{});
  check_terms(er::total_variation{});
}

TEST_CASE("pieces must cover the same columns") {
  std::vector<float> logits(5);
  er::logit_statistics seen;
  CHECK_THROWS_WITH(er::observe_piece(std::span{logits}, std::span{logits}.first(4), 1, seen),
                    "observe_piece: 5 of the student's logits, 4 of the teacher's");
  CHECK_THROWS_WITH(er::observe_piece(std::span{logits}, std::span{logits}, 0, seen),
                    "observe_piece: the temperature is 0.000000, expected one above 0");
}

TEST_CASE("pieces of one row have one temperature, which their statistics know") {
  std::vector<float> logits{1, 2, 3}, gradient(3, 7);
  const std::span<const float> row{logits};
  er::logit_statistics seen, other;
  er::observe_piece(row, row, 2, seen);
  er::observe_piece(row, row, 4, other);
  const er::logit_statistics before = seen;
  CHECK_THROWS_WITH(seen.merge(other),
                    "logit_statistics: pieces seen at the temperatures 2.000000 and 4.000000");
  CHECK_THROWS_WITH(er::observe_piece(row, row, 4, seen),
                    "observe_piece: the temperature is 4.000000, that of the statistics 2.000000");
  CHECK(seen.student_sum == before.student_sum);
  CHECK_THROWS_WITH(er::piece_gradient(row, row, 4, seen, 1, 0, std::span{gradient}),
                    "piece_gradient: the temperature is 4.000000, that of the statistics 2.000000");
  CHECK_THROWS_WITH(er::piece_gradient(row, row, 2, seen, std::nan(""), 0, std::span{gradient}),
                    "piece_gradient: the forward factor is nan, expected a finite one");
  CHECK(gradient == std::vector<float>(3, 7));
  er::logit_statistics nothing;
  nothing.merge(other);
  CHECK(nothing.inverse_temperature == 0.25);
}

TEST_SUITE_END();
