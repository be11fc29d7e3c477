// SPDX-License-Identifier: Apache-2.0
/// Mean squared error and cosine distance of hidden states.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "distill/in_place.hpp"
#include "support/central_difference.hpp"
#include "support/golden.hpp"
#include "support/row_views.hpp"
#include <edgerazor/distill/hidden_loss.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/hidden_loss");

namespace {

std::vector<float> normal(std::size_t size, std::mt19937& random) {
  std::normal_distribution<float> draw;
  std::vector<float> values(size);
  for (float& x : values) x = draw(random);
  return values;
}

er::reduction reduction_named(const std::string& name) {
  if (name == "sum") return er::reduction::sum;
  if (name == "mean") return er::reduction::mean;
  if (name == "batch_mean") return er::reduction::batch_mean;
  REQUIRE(name == "none");
  return er::reduction::none;
}

/// The definition, in a plain loop.
double cosine_distance(const float* s, const float* t, std::size_t width) {
  double dot = 0, ss = 0, tt = 0;
  for (std::size_t i = 0; i < width; ++i) {
    dot += static_cast<double>(s[i]) * static_cast<double>(t[i]);
    ss += static_cast<double>(s[i]) * static_cast<double>(s[i]);
    tt += static_cast<double>(t[i]) * static_cast<double>(t[i]);
  }
  return 1 - dot / std::sqrt(ss * tt);
}

}  // namespace

TEST_CASE("hidden_mse: values and gradients of EdgeRazor (Python), hidden states and cached keys") {
  int seen = 0;
  const nlohmann::json file = golden::load("losses.json");
  for (const auto& golden_case : file["cases"]) {
    if (golden_case["function"] != "compute_mse") continue;
    ++seen;
    const auto shape = golden_case["student_shape"].get<std::vector<std::size_t>>();
    const bool with_heads = shape.size() == 4;
    const std::size_t heads = with_heads ? shape[1] : 1, samples = shape[0], width = shape.back();
    const std::size_t sample_tokens = shape[shape.size() - 2],
                      rows = samples * heads * sample_tokens;
    const std::string how = golden_case["config"]["reduction"];
    CAPTURE(how);
    CAPTURE(golden_case["tag"].get<std::string>());
    const std::vector<float> student = golden::floats(golden_case["student"]);
    const std::vector<float> teacher = golden::floats(golden_case["teacher"]);
    const std::vector<float> value = golden::floats(golden_case["value"]);
    const std::vector<float> upstream = golden::floats(golden_case["upstream"]);
    const std::vector<float> expected = golden::floats(golden_case["grad_student"]);
    std::vector<std::int64_t> labels;
    if (!golden_case["labels"].is_null())
      labels = golden_case["labels"].get<std::vector<std::int64_t>>();
    // The `sum` and `none` of EdgeRazor (Python) add features up, and heads too; l is a mean over
    // heads.
    const bool adds = how == "sum" || how == "none";
    const double scale = adds ? static_cast<double>(heads) : 1.0;
    std::vector<float> gradient(student.size(), -77.0f), token_values(samples * sample_tokens);
    const er::hidden_mse loss{.sum_features = adds};
    const er::token_batch tokens{.labels = labels,
                                 .sample_tokens = sample_tokens,
                                 .how = reduction_named(how),
                                 .upstream = scale,
                                 .token_values = token_values};
    const er::loss_result result =
        loss(er::head_view<const float>({student.data(), rows, width}, heads),
             er::head_view<const float>({teacher.data(), rows, width}, heads), tokens,
             er::head_view<float>({gradient.data(), rows, width}, heads));
    // EdgeRazor (Python) adds up to 240 float32 squares, pairwise: a few ulp of the sum, and one of
    // each gradient.
    if (how != "none") {
      CHECK(result.value * scale == doctest::Approx(value[0]).epsilon(1e-6));
      for (std::size_t i = 0; i < gradient.size(); ++i)
        CHECK(gradient[i] ==
              doctest::Approx(expected[i]).epsilon(1e-6).scale(std::fabs(expected[i]) + 1e-9));
      continue;
    }
    // Its `none` is one value a feature, each with its own upstream: ours has slope 2 (s - t) for
    // all.
    std::vector<double> sums(token_values.size());
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      CHECK(gradient[i] * upstream[i] ==
            doctest::Approx(expected[i]).epsilon(1e-6).scale(std::fabs(expected[i]) + 1e-9));
      const std::size_t row = i / width, sample = row / (heads * sample_tokens);
      sums[sample * sample_tokens + row % sample_tokens] += static_cast<double>(value[i]) / scale;
    }
    for (std::size_t i = 0; i < sums.size(); ++i)
      CHECK(token_values[i] == doctest::Approx(sums[i]).epsilon(1e-6));
  }
  CHECK(seen == 16);
}

TEST_CASE("hidden_cosine: values of the definition, any width, and 0 distance from itself") {
  std::mt19937 random(5);
  for (const std::size_t width : {1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 65, 576}) {
    CAPTURE(width);
    const std::vector<float> s = normal(width, random), t = normal(width, random);
    const er::matrix_view<const float> student{s.data(), 1, width}, teacher{t.data(), 1, width};
    const std::vector<std::int64_t> all;
    const double value = er::hidden_cosine{}(student, teacher, all, er::reduction::mean).value;
    // Two sums of `width` products in different orders, each within width 2^-53 of the norms.
    CHECK(std::fabs(value - cosine_distance(s.data(), t.data(), width)) <=
          4 * (static_cast<double>(width) + 4) * 0x1p-53);
    CHECK(er::hidden_cosine{}(student, student, all, er::reduction::mean).value == 0);
    std::vector<float> opposite = s;
    for (float& x : opposite) x *= -3;
    CHECK(er::hidden_cosine{}(student, er::matrix_view<const float>{opposite.data(), 1, width}, all,
                              er::reduction::mean)
              .value == doctest::Approx(2).epsilon(1e-14));
  }
}

TEST_CASE("hidden_cosine: nearly parallel vectors keep their digits") {
  // Rotated by the angle a in a plane: 1 - cos a = 2 sin^2(a / 2), of which 1 - cos in double has
  // lost half its digits.
  const float a = 0x1p-20f;
  const std::vector<float> s{1, 0}, t{1, a};
  const double angle = std::atan(static_cast<double>(a)), sine = std::sin(angle / 2);
  const double value =
      er::hidden_cosine{}(er::matrix_view<const float>{s.data(), 1, 2},
                          er::matrix_view<const float>{t.data(), 1, 2}, {}, er::reduction::sum)
          .value;
  CHECK(value == doctest::Approx(2 * sine * sine).epsilon(1e-9).scale(0));
}

TEST_CASE(
    "hidden_cosine: vectors of zeros have cosine 0 and no gradient; extreme lengths are no "
    "matter") {
  const std::vector<float> zero(5, 0.0f), some{1, -2, 3, 4, 5};
  std::vector<float> gradient(5, -77.0f);
  const auto value = [&](const std::vector<float>& s, const std::vector<float>& t) {
    return er::hidden_cosine{}(er::matrix_view<const float>{s.data(), 1, 5},
                               er::matrix_view<const float>{t.data(), 1, 5}, {},
                               er::reduction::mean, er::matrix_view<float>{gradient.data(), 1, 5})
        .value;
  };
  for (const bool student_is_zero : {true, false}) {
    CHECK(value(student_is_zero ? zero : some, student_is_zero ? some : zero) == 1);
    CHECK(gradient == zero);
    std::fill(gradient.begin(), gradient.end(), -77.0f);
  }
  CHECK(value(zero, zero) == 1);
  CHECK(gradient == zero);
  std::vector<float> huge(5, std::numeric_limits<float>::max()),
      tiny(5, std::numeric_limits<float>::denorm_min());
  CHECK(value(huge, tiny) == doctest::Approx(0).epsilon(1e-15));
  for (const float g : gradient) CHECK(std::isfinite(g));
}

TEST_CASE("hidden losses: gradients are the slopes of the values") {
  const unsigned seed = 11;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  // Two samples of three tokens, one token padding; two heads in either order; weights and an
  // upstream.
  const std::size_t tokens = 6, width = 7, heads = 2, rows = tokens * heads;
  std::vector<float> student = normal(rows * width, random);
  const std::vector<float> teacher = normal(rows * width, random);
  const std::vector<std::int64_t> labels{1, 2, -100, 4, 5, 6};
  const std::vector<float> weights{1, 0.5f, 1, 2, 0, 1};
  for (const er::head_order order : {er::head_order::by_head, er::head_order::by_token}) {
    const bool by_head = order == er::head_order::by_head;
    const auto view = [&](auto* data) {
      return er::head_view{
          er::matrix_view{data, by_head ? rows : tokens, by_head ? width : width * heads}, heads,
          order};
    };
    for (const er::reduction how :
         {er::reduction::sum, er::reduction::mean, er::reduction::batch_mean}) {
      const er::token_batch batch{
          .labels = labels, .weights = weights, .sample_tokens = 3, .how = how, .upstream = 3};
      const auto check = [&](const auto& loss) {
        std::vector<float> gradient(student.size(), -77.0f);
        const auto value = [&] {
          return loss(view(student.data()), view(teacher.data()), batch).value;
        };
        const er::loss_result result =
            loss(view(student.data()), view(teacher.data()), batch, view(gradient.data()));
        CHECK(result.value == value());
        CHECK(result.tokens == 5);
        for (std::size_t i = 0; i < student.size(); ++i) {
          // Third derivatives of the cosine are a few units for rows of length sqrt(7); see
          // central_difference.
          CHECK(std::fabs(gradient[i] - 3 * support::central_difference(student[i], value)) < 1e-5);
        }
        // Added to what is there.
        std::vector<float> sum(student.size(), 1.0f);
        er::token_batch adding = batch;
        adding.accumulate = true;
        CHECK(loss(view(student.data()), view(teacher.data()), adding, view(sum.data())).value ==
              result.value);
        for (std::size_t i = 0; i < student.size(); ++i)
          CHECK(std::fabs(sum[i] - (1 + gradient[i])) <= 0x1p-23f * (1 + std::fabs(sum[i])));
      };
      check(er::hidden_mse{});
      check(er::hidden_mse{.sum_features = true});
      check(er::hidden_cosine{});
    }
  }
}

TEST_CASE("hidden losses: 16-bit features are the floats they stand for; strides") {
  std::mt19937 random(3);
  const std::size_t tokens = 5, width = 19, stride = 23;
  std::vector<er::float16> half(tokens * stride);
  std::vector<er::bfloat16> brain(tokens * stride);
  std::vector<float> of_half(tokens * width), of_brain(tokens * width);
  for (std::size_t r = 0; r < tokens; ++r) {
    const std::vector<float> a = normal(stride, random), b = normal(stride, random);
    for (std::size_t c = 0; c < stride; ++c) {
      half[r * stride + c] = er::float16(a[c]), brain[r * stride + c] = er::bfloat16(b[c]);
      if (c < width)
        of_half[r * width + c] = half[r * stride + c],
                            of_brain[r * width + c] = brain[r * stride + c];
    }
  }
  const auto check = [&](const auto& loss) {
    const er::token_batch batch{.sample_tokens = 5};
    std::vector<float> a(tokens * width), b(tokens * width);
    const double plain = loss(er::matrix_view<const float>{of_half.data(), tokens, width},
                              er::matrix_view<const float>{of_brain.data(), tokens, width}, batch,
                              er::matrix_view<float>{a.data(), tokens, width})
                             .value;
    const double mixed =
        loss(er::matrix_view<er::float16>{half.data(), tokens, width, stride},
             er::matrix_view<const er::bfloat16>{brain.data(), tokens, width, stride}, batch,
             er::matrix_view<float>{b.data(), tokens, width})
            .value;
    CHECK(plain == mixed);
    CHECK(a == b);
  };
  check(er::hidden_mse{});
  check(er::hidden_cosine{});
}

TEST_CASE("hidden losses: shapes that don't fit are refused") {
  std::vector<float> x(24);
  const er::matrix_view<const float> four_of_six{x.data(), 4, 6}, six_of_four{x.data(), 6, 4};
  const er::token_batch batch;
  CHECK_THROWS_WITH_AS(er::hidden_mse{}(four_of_six, six_of_four, batch),
                       "hidden_mse: the student has 4 tokens of width 6, the teacher 6 of width 4",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(
      er::hidden_cosine{}(four_of_six, four_of_six, batch, er::matrix_view<float>{x.data(), 6, 4}),
      "hidden_cosine: the student has 4 tokens of width 6, the gradient 6 of width 4",
      std::invalid_argument);
  CHECK_THROWS_WITH_AS(er::hidden_mse{}(er::head_view<const float>(four_of_six, 3),
                                        er::head_view<const float>(four_of_six, 3), batch),
                       "hidden_mse: the student has 4 rows, no multiple of its 3 heads",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(
      er::hidden_mse{}(er::head_view<const float>(four_of_six, 2),
                       er::head_view<const float>(er::matrix_view<const float>{x.data(), 2, 6}),
                       batch),
      "hidden_mse: the student has 2 heads, the teacher 1", std::invalid_argument);
  CHECK_THROWS_AS(
      er::hidden_mse{}(er::matrix_view<const float>{x.data(), 4, 6, 5}, four_of_six, batch),
      std::invalid_argument);
  // No tokens: nothing to say.
  CHECK(er::hidden_mse{}(er::matrix_view<const float>{}, er::matrix_view<const float>{}, batch)
            .value == 0);
}

TEST_CASE(
    "hidden losses: an upstream of 0 leaves the value alone where the gradient is the student's "
    "memory") {
  using row_views::view;
  const std::vector<float> student{1, 2, 3, 0, 1, 5}, teacher{3, 1, 0, 2, 2, 1};
  const std::array<float, 2> upstream{0, 1};
  const er::token_batch batch{.how = er::reduction::none, .token_upstream = upstream};
  check_in_place("hidden_mse", student, [&](const auto& s, const auto& g) {
    return er::hidden_mse{}(s, view(teacher, 2), batch, g);
  });
  check_in_place("hidden_cosine", student, [&](const auto& s, const auto& g) {
    return er::hidden_cosine{}(s, view(teacher, 2), batch, g);
  });
}

TEST_SUITE_END();
