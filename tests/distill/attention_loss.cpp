// SPDX-License-Identifier: Apache-2.0
/// Divergences between attention maps.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "distill/in_place.hpp"
#include "support/central_difference.hpp"
#include "support/golden.hpp"
#include "support/row_views.hpp"
#include <edgerazor/distill/attention_loss.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/attention_loss");

namespace {

/// `rows` distributions over `width` positions.
std::vector<float> maps(std::size_t rows, std::size_t width, std::mt19937& random) {
  std::normal_distribution<double> draw;
  std::vector<float> result(rows * width);
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<double> row(width);
    double sum = 0;
    for (double& x : row) sum += x = std::exp(draw(random));
    for (std::size_t c = 0; c < width; ++c)
      result[r * width + c] = static_cast<float>(row[c] / sum);
  }
  return result;
}

/// softmax(X X^T / sqrt(width)) of every head, as floats.
std::vector<float> relation(const std::vector<float>& states, std::size_t heads, std::size_t tokens,
                            std::size_t width) {
  std::vector<float> result(heads * tokens * tokens);
  for (std::size_t h = 0; h < heads; ++h) {
    const float* x = states.data() + h * tokens * width;
    for (std::size_t i = 0; i < tokens; ++i) {
      std::vector<double> row(tokens);
      double sum = 0;
      for (std::size_t j = 0; j < tokens; ++j) {
        double dot = 0;
        for (std::size_t c = 0; c < width; ++c)
          dot += static_cast<double>(x[i * width + c]) * static_cast<double>(x[j * width + c]);
        sum += row[j] = std::exp(dot / std::sqrt(static_cast<double>(width)));
      }
      for (std::size_t j = 0; j < tokens; ++j)
        result[(h * tokens + i) * tokens + j] = static_cast<float>(row[j] / sum);
    }
  }
  return result;
}

constexpr er::kl_direction directions[]{er::kl_direction::forward, er::kl_direction::reverse,
                                        er::kl_direction::entropy_aware};

using view = er::matrix_view<const float>;
constexpr double infinity = std::numeric_limits<double>::infinity();

struct one_row {
  double value = 0;
  std::vector<float> gradient;
};
one_row row_of(const er::attention_kl& loss, const std::vector<float>& q,
               const std::vector<float>& p) {
  one_row result{0, std::vector<float>(q.size(), -77.0f)};
  result.value =
      loss(er::head_view(view{q.data(), 1, q.size()}), er::head_view(view{p.data(), 1, p.size()}),
           {}, er::head_view<float>({result.gradient.data(), 1, q.size()}))
          .value;
  return result;
}

}  // namespace

TEST_CASE(
    "attention_kl: the value of EdgeRazor (Python) on the maps that its self-relation test makes") {
  const nlohmann::json file = golden::load("relation.json");
  int seen = 0;
  for (const auto& golden_case : file["cases"]) {
    if (golden_case["layer_index"] != nlohmann::json::parse("[0]") ||
        golden_case["component"] == "both")
      continue;
    ++seen;
    const auto shape = golden_case["shape"].get<std::vector<std::size_t>>();
    const std::size_t samples = shape[0], heads = shape[1], tokens = shape[2], width = shape[3];
    const int part = golden_case["component"] == "key" ? 0 : 1;
    const auto of = [&](const char* who) {
      return relation(golden::floats(golden_case[who][0][part]), samples * heads, tokens, width);
    };
    const std::vector<float> student = of("student"), teacher = of("teacher");
    const auto labels = golden_case["labels"].get<std::vector<std::int64_t>>();
    const std::size_t rows = samples * heads * tokens;
    for (const er::loss_mode mode : {er::loss_mode::parity, er::loss_mode::stable}) {
      const double value =
          er::attention_kl{.mode = mode}(er::head_view(view{student.data(), rows, tokens}, heads),
                                         er::head_view(view{teacher.data(), rows, tokens}, heads),
                                         {.labels = labels, .sample_tokens = tokens})
              .value;
      // Float32 logits of about 5, thus probabilities, relative 5e-7; here none is near 1e-8.
      CHECK(value == doctest::Approx(golden_case["loss"].get<double>()).epsilon(1e-6));
    }
  }
  CHECK(seen == 2);
}

TEST_CASE(
    "attention_kl: values of the definition, heads averaged or added, groups of the teacher's "
    "heads averaged") {
  const unsigned seed = 21;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const std::size_t samples = 2, tokens = 3, heads = 2, group = 3;
  for (const std::size_t width : {1, 2, 3, 5, 8, 33}) {
    const std::vector<float> student = maps(samples * heads * tokens, width, random);
    const std::vector<float> teacher = maps(samples * heads * group * tokens, width, random);
    const std::vector<std::int64_t> labels{1, 1, -100, 1, -100, 1};
    double forward = 0, reverse = 0, entropy = 0;  // of batch_mean: each sample counts two tokens
    for (std::size_t b = 0; b < samples; ++b) {
      for (std::size_t h = 0; h < heads; ++h) {
        for (std::size_t i = 0; i < tokens; ++i) {
          if (labels[b * tokens + i] < 0) continue;
          for (std::size_t c = 0; c < width; ++c) {
            double p = 0;
            for (std::size_t g = 0; g < group; ++g) {
              p += static_cast<double>(
                       teacher[((b * heads * group + h * group + g) * tokens + i) * width + c]) /
                   3;
            }
            const double q = static_cast<double>(
                             student[((b * heads + h) * tokens + i) * width + c]),
                         share = 1.0 / 8;
            forward += share * p * std::log(p / q);
            reverse += share * q * std::log(q / p);
            entropy -= share * p * std::log(p);
          }
        }
      }
    }
    const er::head_view s(view{student.data(), samples * heads * tokens, width}, heads);
    const er::head_view t(view{teacher.data(), samples * heads * group * tokens, width},
                          heads * group);
    std::vector<float> values(samples * tokens, -77.0f);
    const er::token_batch batch{.labels = labels, .sample_tokens = tokens, .token_values = values};
    const double gamma = std::clamp(1 - entropy / std::log(7.0), 0.0, 1.0);
    const double expected[]{forward, reverse, gamma * reverse + (1 - gamma) * forward};
    for (int d = 0; d < 3; ++d) {
      er::attention_kl loss{.direction = directions[d], .confidence_k = 7};
      const er::blended_result result = loss(s, t, batch);
      // Sums in double, of terms of up to a few units that partly cancel.
      const auto near = [](double x) { return doctest::Approx(x).epsilon(1e-13).scale(1); };
      CHECK(result.value == near(expected[d]));
      CHECK(result.forward == near(forward));
      CHECK(result.reverse == near(reverse));
      CHECK(result.gamma == near(d == 0 ? 0 : d == 1 ? 1 : gamma));
      CHECK(result.tokens == 4);
      double sum = 0;
      for (const float x : values) sum += static_cast<double>(x);
      CHECK(sum / 4 == doctest::Approx(expected[d]).epsilon(1e-6).scale(1));
      CHECK(values[2] == 0);
      loss.sum_heads = true;
      CHECK(loss(s, t, batch).value == near(2 * expected[d]));
    }
  }
}

TEST_CASE("attention_kl: gradients are the slopes of the values") {
  const unsigned seed = 22;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const std::size_t samples = 2, tokens = 3, heads = 2, width = 5, rows = samples * heads * tokens;
  std::vector<float> student = maps(rows, width, random);
  const std::vector<float> teacher = maps(2 * rows, width, random);
  const std::vector<std::int64_t> labels{1, 1, -100, 1, 1, 1};
  const er::head_view t(view{teacher.data(), 2 * rows, width}, 2 * heads);
  for (const er::kl_direction direction : directions) {
    for (const er::loss_mode mode : {er::loss_mode::stable, er::loss_mode::parity}) {
      const er::attention_kl loss{.direction = direction, .mode = mode};
      er::token_batch batch{.labels = labels, .sample_tokens = tokens, .upstream = 0.5};
      std::vector<float> gradient(student.size(), -77.0f), added(student.size(), 1.0f);
      const auto run = [&](float* out) {
        return loss(er::head_view(view{student.data(), rows, width}, heads), t, batch,
                    er::head_view<float>({out, rows, width}, heads))
            .value;
      };
      run(gradient.data());
      batch.accumulate = true;
      run(added.data());
      for (std::size_t i = 0; i < student.size(); ++i) {
        // p / q and ln q have third derivatives of 2 p / q^3, and q is 0.01 and more: 2e4 times the
        // step's square.
        const double slope =
            0.5 * support::central_difference(student[i], [&] { return run(nullptr); }, 0x1p-16f);
        CHECK(gradient[i] == doctest::Approx(slope).epsilon(1e-4).scale(0.1));
        CHECK(added[i] == doctest::Approx(1 + gradient[i]).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE(
    "attention_kl: zeros have their limits: 0 ln 0 is 0, infinite stays infinite, nothing is NaN") {
  const float inf = std::numeric_limits<float>::infinity();
  const er::attention_kl forward{.direction = er::kl_direction::forward},
      reverse{.direction = er::kl_direction::reverse};
  const er::attention_kl blend{.direction = er::kl_direction::entropy_aware};
  // Both 0 behind the causal diagonal.
  one_row r = row_of(forward, {0.5f, 0.5f, 0}, {0.25f, 0.75f, 0});
  CHECK(r.value == doctest::Approx(0.25 * std::log(0.5) + 0.75 * std::log(1.5)));
  CHECK(r.gradient == std::vector<float>{-0.5f, -1.5f, 0});
  r = row_of(reverse, {0.5f, 0.5f, 0}, {0.25f, 0.75f, 0});
  CHECK(r.value == doctest::Approx(0.5 * std::log(2.0) + 0.5 * std::log(0.5 / 0.75)));
  CHECK(r.gradient[2] == 0);
  // The student lacks what the teacher has.
  r = row_of(forward, {1, 0}, {0.5f, 0.5f});
  CHECK(r.value == infinity);
  CHECK(r.gradient == std::vector<float>{-0.5f, -inf});
  r = row_of(reverse, {1, 0}, {0.5f, 0.5f});
  CHECK(r.value == doctest::Approx(std::log(2.0)));
  CHECK(r.gradient[1] == -inf);
  // The student has what the teacher lacks.
  r = row_of(forward, {0.5f, 0.5f}, {1, 0});
  CHECK(r.value == doctest::Approx(std::log(2.0)));
  CHECK(r.gradient == std::vector<float>{-2, 0});
  r = row_of(reverse, {0.5f, 0.5f}, {1, 0});
  CHECK(r.value == infinity);
  CHECK(r.gradient[1] == inf);
  // A sure teacher has gamma 1, an unsure one 0: the direction without weight, infinite, adds
  // nothing.
  CHECK(row_of(blend, {1, 0}, {1, 0}).value == 0);
  CHECK(row_of(blend, {0.5f, 0.5f}, {1, 0}).value == infinity);
  std::vector<float> even(17, 1.0f / 16), sure(17, 0.0f);
  even[16] = 0, sure[16] = 1;
  CHECK(row_of(blend, even, even).value == doctest::Approx(0));
  for (const float g : row_of(blend, sure, even).gradient) CHECK_FALSE(std::isnan(g));
  // Clamped: finite, and no gradient through a clamped probability.
  r = row_of({.mode = er::loss_mode::parity}, {1, 0}, {0.5f, 0.5f});
  CHECK(r.value == doctest::Approx(0.5 * std::log(0.5) + 0.5 * std::log(0.5e8)));
  CHECK(r.gradient == std::vector<float>{-0.5f, 0});
  // A token of no weight, infinite or not, adds nothing.
  const std::vector<float> q{1, 0}, p{0.5f, 0.5f}, weight{0};
  std::vector<float> gradient(2, -77.0f);
  CHECK(forward(er::head_view(view{q.data(), 1, 2}), er::head_view(view{p.data(), 1, 2}),
                {.weights = weight}, er::head_view<float>({gradient.data(), 1, 2}))
            .value == 0);
  CHECK(gradient == std::vector<float>{0, 0});
}

TEST_CASE("attention_kl: heads and shapes that don't fit are refused") {
  const std::vector<float> x(48);
  const auto heads = [&](std::size_t count, std::size_t tokens, std::size_t width) {
    return er::head_view(view{x.data(), count * tokens, width}, count);
  };
  CHECK_THROWS_WITH_AS(
      er::attention_kl{}(heads(2, 4, 4), heads(3, 4, 4), {}),
      "attention_kl: the teacher has 3 heads, expected a multiple of the student's 2",
      std::invalid_argument);
  CHECK_THROWS_AS(er::attention_kl{}(heads(2, 4, 4), heads(1, 4, 4), {}), std::invalid_argument);
  CHECK_THROWS_WITH_AS(
      er::attention_kl{}(heads(2, 4, 4), heads(2, 4, 5), {}),
      "attention_kl: the student has 4 tokens of width 4, the teacher 4 of width 5",
      std::invalid_argument);
  CHECK_THROWS_WITH_AS(er::attention_kl{.confidence_k = 1}(heads(2, 4, 4), heads(2, 4, 4), {}),
                       "attention_kl: confidence_k is 1, expected at least 2",
                       std::invalid_argument);
}

TEST_CASE(
    "attention_kl: an upstream of 0 leaves the value alone where the gradient is the student's "
    "memory") {
  using row_views::view;
  const std::vector<float> maps{.1f, .2f, .7f, .5f, .2f, .3f}, others{.3f, .3f, .4f, .2f, .2f, .6f};
  const std::array<float, 2> upstream{0, 1};
  const er::token_batch batch{.how = er::reduction::none, .token_upstream = upstream};
  check_in_place("attention_kl", maps, [&](const auto& s, const auto& g) {
    return er::attention_kl{}(s, view(others, 2), batch, g);
  });
}

TEST_CASE("attention_kl: an entry below 0 is NaN in a group of heads too") {
  using row_views::view;
  const std::vector<float> student{.2f, .3f, .5f}, teacher{-.2f, .5f, .7f, .4f, .3f, .3f};
  CHECK(std::isnan(er::attention_kl{}(view(student, 1),
                                      er::head_view<const float>{view(teacher, 2), 2},
                                      er::token_batch{})
                       .value));
}

TEST_CASE("attention_kl: a gradient too small for a double is 0, not what was there") {
  using row_views::view, row_views::into;
  const std::vector<float> s{.2f, .8f, .5f, .5f}, t{.4f, .6f, .1f, .9f};
  std::vector<float> g(4, 7);
  er::attention_kl{}(er::head_view<const float>{view(s, 2), 2},
                     er::head_view<const float>{view(t, 2), 2}, er::token_batch{.upstream = 5e-324},
                     er::head_view<float>{into(g, 2), 2});
  CHECK(g == std::vector<float>(4, 0));
}

TEST_SUITE_END();
