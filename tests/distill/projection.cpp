// SPDX-License-Identifier: Apache-2.0
/// Hidden losses through a projection to the teacher's width.
#include <cmath>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/central_difference.hpp"
#include <edgerazor/distill/projection.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/projection");

namespace {

std::vector<float> normal(std::size_t size, std::mt19937& random, float scale = 1) {
  std::normal_distribution<float> draw;
  std::vector<float> values(size);
  for (float& x : values) x = scale * draw(random);
  return values;
}

/// Student, projection and teacher of `tokens` tokens.
struct problem {
  std::size_t tokens, student_width, teacher_width;
  std::vector<float> student, projection, teacher;
  std::vector<double> workspace;

  problem(std::size_t token_count, std::size_t from, std::size_t to, std::mt19937& random)
      : tokens(token_count),
        student_width(from),
        teacher_width(to),
        student(normal(token_count * from, random)),
        projection(normal(to * from, random, 0.5f)),
        teacher(normal(token_count * to, random)),
        workspace(er::projected<>::workspace_size(from, to)) {}

  template <class Loss>
  er::loss_result operator()(const Loss& loss, const er::token_batch& batch,
                             float* to_student = nullptr, float* to_projection = nullptr) {
    return loss(er::matrix_view<const float>{student.data(), tokens, student_width},
                er::matrix_view<const float>{projection.data(), teacher_width, student_width},
                er::matrix_view<const float>{teacher.data(), tokens, teacher_width}, batch,
                er::matrix_view<float>{to_student, tokens, student_width},
                er::matrix_view<float>{to_projection, teacher_width, student_width}, workspace);
  }
};

}  // namespace

TEST_CASE("projected: the identity changes nothing") {
  std::mt19937 random(2);
  problem p(35, 5, 5, random);
  p.projection.assign(25, 0.0f);
  for (std::size_t i = 0; i < 5; ++i) p.projection[6 * i] = 1;
  std::vector<std::int64_t> labels(35, 1);
  labels[3] = labels[34] = -100;
  std::vector<float> through(35 * 5, -77.0f), direct(35 * 5, -77.0f);
  const er::token_batch batch{.labels = labels, .sample_tokens = 7};
  const er::loss_result result = p(er::projected{er::hidden_cosine{}}, batch, through.data());
  const er::loss_result expected =
      er::hidden_cosine{}(er::matrix_view<const float>{p.student.data(), 35, 5},
                          er::matrix_view<const float>{p.teacher.data(), 35, 5}, batch,
                          er::matrix_view<float>{direct.data(), 35, 5});
  CHECK(result.tokens == 33);
  CHECK(result.value ==
        doctest::Approx(expected.value).epsilon(1e-14));  // products with 0 and 1 are exact
  CHECK(through == direct);
}

TEST_CASE(
    "projected: gradients are the slopes of the value, in student and projection, over several "
    "blocks") {
  const unsigned seed = 8;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  problem p(2 * er::projected<>::block + 3, 5, 7, random);
  std::vector<float> weights(p.tokens, 1.0f);
  std::vector<std::uint8_t> mask(p.tokens, 1);
  mask[4] = mask[20] = 0, weights[7] = 2.5f;
  const er::token_batch batch{
      .mask = mask, .weights = weights, .how = er::reduction::mean, .upstream = 2};
  const auto check = [&](const auto& loss) {
    std::vector<float> to_student(p.student.size(), -77.0f),
        to_projection(p.projection.size(), -77.0f);
    const er::loss_result result = p(loss, batch, to_student.data(), to_projection.data());
    const auto value = [&] { return p(loss, batch).value; };
    CHECK(result.value == value());
    // 2^-22 times third derivatives of a few units; see central_difference.
    for (std::size_t i = 0; i < to_student.size(); ++i) {
      CHECK(std::fabs(to_student[i] - 2 * support::central_difference(p.student[i], value)) < 1e-5);
    }
    for (std::size_t i = 0; i < to_projection.size(); ++i) {
      CHECK(std::fabs(to_projection[i] - 2 * support::central_difference(p.projection[i], value)) <
            1e-5);
    }
    std::vector<float> added_student(p.student.size(), 1.0f),
        added_projection(p.projection.size(), 1.0f);
    er::token_batch adding = batch;
    adding.accumulate = true;
    p(loss, adding, added_student.data(), added_projection.data());
    for (std::size_t i = 0; i < added_student.size(); ++i) {
      CHECK(std::fabs(added_student[i] - (1 + to_student[i])) <=
            0x1p-23f * (1 + std::fabs(to_student[i])));
    }
    // Three blocks, rounded to float after each.
    for (std::size_t i = 0; i < added_projection.size(); ++i) {
      CHECK(std::fabs(added_projection[i] - (1 + to_projection[i])) <= 0x1p-20f);
    }
  };
  check(er::projected<>{});
  check(er::projected{er::hidden_mse{.sum_features = true}});
  check(er::projected{er::hidden_cosine{}});
}

TEST_CASE("projected: shapes and workspaces that don't fit are refused") {
  std::mt19937 random(1);
  problem p(4, 3, 2, random);
  p.workspace.resize(16 * 7 - 1);
  CHECK_THROWS_WITH_AS(p(er::projected<>{}, {}),
                       "projected: the workspace has 111 doubles, expected 112",
                       std::invalid_argument);
  std::vector<float> x(12);
  std::vector<double> workspace(1000);
  CHECK_THROWS_WITH_AS(
      er::projected<>{}(er::matrix_view<float>{x.data(), 4, 3},
                        er::matrix_view<const float>{x.data(), 3, 2},
                        er::matrix_view<float>{x.data(), 4, 2}, {}, {}, {}, workspace),
      "projected: the projection is 3 x 2, expected 2 x 3", std::invalid_argument);
}

TEST_SUITE_END();
