// SPDX-License-Identifier: Apache-2.0
/// Divergences between self-relations of keys and values.
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/central_difference.hpp"
#include "support/golden.hpp"
#include "support/row_views.hpp"
#include <edgerazor/distill/attention_loss.hpp>
#include <edgerazor/distill/layer_selection.hpp>
#include <edgerazor/distill/relation_loss.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/relation_loss");

namespace {

using view = er::matrix_view<const float>;

std::vector<float> normal(std::size_t size, std::mt19937& random, float scale = 1) {
  std::normal_distribution<float> draw;
  std::vector<float> values(size);
  for (float& x : values) x = scale * draw(random);
  return values;
}

/// The maps themselves, by plain loops: softmax(X X^T / sqrt(width)) of each block of `tokens`
/// rows.
std::vector<float> relations(const std::vector<float>& x, std::size_t tokens, std::size_t width) {
  std::vector<float> result(x.size() / width * tokens);
  for (std::size_t r = 0; r < x.size() / width; ++r) {
    const std::size_t first = r / tokens * tokens;
    std::vector<double> row(tokens);
    double sum = 0;
    for (std::size_t j = 0; j < tokens; ++j) {
      double dot = 0;
      for (std::size_t c = 0; c < width; ++c) {
        dot +=
            static_cast<double>(x[r * width + c]) * static_cast<double>(x[(first + j) * width + c]);
      }
      sum += row[j] = std::exp(dot / std::sqrt(static_cast<double>(width)));
    }
    for (std::size_t j = 0; j < tokens; ++j)
      result[r * tokens + j] = static_cast<float>(row[j] / sum);
  }
  return result;
}

constexpr er::kl_direction directions[]{er::kl_direction::forward, er::kl_direction::reverse,
                                        er::kl_direction::entropy_aware};

}  // namespace

TEST_CASE(
    "key_value_relation_kl: the composed objective of EdgeRazor (Python), values and gradients") {
  const nlohmann::json file = golden::load("relation.json");
  CHECK(file["cases"].size() == 9);
  for (const auto& golden_case : file["cases"]) {
    const std::string component = golden_case["component"];
    CAPTURE(component);
    CAPTURE(golden_case["layer_index"].dump());
    const auto shape = golden_case["shape"].get<std::vector<std::size_t>>();
    const std::size_t heads = shape[1], tokens = shape[2], width = shape[3],
                      rows = shape[0] * heads * tokens;
    const auto labels = golden_case["labels"].get<std::vector<std::int64_t>>();
    const std::size_t layers = golden_case["student"].size();
    std::vector<er::layer_choice> choices;
    for (const auto& choice : golden_case["layer_index"]) {
      if (choice.is_string()) {
        choices.push_back(er::layer_choice(choice.get<std::string>()));
      } else {
        choices.push_back(choice.get<std::ptrdiff_t>());
      }
    }
    std::vector<std::size_t> selected(choices.size());
    er::select_layers(choices, layers, selected);
    const er::relation_component part = component == "key"     ? er::relation_component::key
                                        : component == "value" ? er::relation_component::value
                                                               : er::relation_component::both;
    const double alpha = golden_case["alpha"];
    // The loss is the mean over layers; its gradients carry the weight alpha.
    const er::token_batch batch{.labels = labels,
                                .sample_tokens = tokens,
                                .upstream = alpha / static_cast<double>(selected.size())};
    std::vector<double> workspace(er::relation_kl::workspace_size(tokens, width, width));
    for (const er::loss_mode mode : {er::loss_mode::parity, er::loss_mode::stable}) {
      const er::key_value_relation_kl loss{.relation = {.mode = mode}, .component = part};
      double value = 0;
      for (const std::size_t layer : selected) {
        const std::vector<float> states[4]{golden::floats(golden_case["student"][layer][0]),
                                           golden::floats(golden_case["student"][layer][1]),
                                           golden::floats(golden_case["teacher"][layer][0]),
                                           golden::floats(golden_case["teacher"][layer][1])};
        std::vector<float> gradients[2]{std::vector<float>(rows * width, -77.0f),
                                        std::vector<float>(rows * width, -77.0f)};
        const auto of = [&](auto& from) {
          return er::head_view{er::matrix_view{from.data(), rows, width}, heads};
        };
        value += loss(er::key_value_views<const float>{of(states[0]), of(states[1])},
                      er::key_value_views<const float>{of(states[2]), of(states[3])}, batch,
                      er::key_value_views<float>{of(gradients[0]), of(gradients[1])}, workspace)
                     .value /
                 static_cast<double>(selected.size());
        for (int k = 0; k < 2; ++k) {
          const auto& expected = golden_case["grad"][layer][k];
          if (expected.is_null()) {
            CHECK(gradients[k] == std::vector<float>(rows * width, -77.0f));
            continue;
          }
          const std::vector<float> published = golden::floats(expected);
          // Float32 through softmax and two products of 5 and 8 terms; gradients are 0.1 at most.
          for (std::size_t i = 0; i < published.size(); ++i)
            CHECK(std::fabs(gradients[k][i] - published[i]) < 1e-7);
        }
      }
      CHECK(value == doctest::Approx(golden_case["loss"].get<double>()).epsilon(1e-6));
      const double total =
          golden_case["loss_task_alpha"].get<double>() * golden_case["task_loss"].get<double>() +
          alpha * value;
      CHECK(total == doctest::Approx(golden_case["total"][0].get<double>()).epsilon(1e-6));
    }
  }
}

TEST_CASE(
    "relation_kl: equals attention_kl on the relations, groups of the teacher's heads and other "
    "widths included") {
  const unsigned seed = 31;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const std::size_t heads = 2, group = 3, width = 6, teacher_width = 9;
  for (const std::size_t tokens : {1, 2, 7, 64, 65}) {
    CAPTURE(tokens);
    const std::size_t rows = 2 * heads * tokens;
    const std::vector<float> student = normal(rows * width, random);
    const std::vector<float> teacher = normal(group * rows * teacher_width, random);
    const std::vector<float> q = relations(student, tokens, width),
                             p = relations(teacher, tokens, teacher_width);
    std::vector<std::int64_t> labels(2 * tokens, 1);
    labels[tokens / 2] = -100;
    std::vector<double> workspace(
        er::relation_kl::workspace_size(tokens, width, teacher_width, group));
    std::vector<float> values(2 * tokens, -77.0f), expected_values(2 * tokens);
    for (const er::kl_direction direction : directions) {
      for (const er::loss_mode mode : {er::loss_mode::stable, er::loss_mode::parity}) {
        er::token_batch batch{.labels = labels, .sample_tokens = tokens, .token_values = values};
        const er::blended_result result =
            er::relation_kl{.direction = direction, .mode = mode, .confidence_k = 64}(
                er::head_view(view{student.data(), rows, width}, heads),
                er::head_view(view{teacher.data(), group * rows, teacher_width}, group * heads),
                batch, {}, workspace);
        batch.token_values = expected_values;
        const er::blended_result expected =
            er::attention_kl{.direction = direction, .mode = mode, .confidence_k = 64}(
                er::head_view(view{q.data(), rows, tokens}, heads),
                er::head_view(view{p.data(), group * rows, tokens}, group * heads), batch);
        // The maps are rounded to float: relative 2^-24 of each probability, times (1 + ln p / q)
        // of a few units.
        CHECK(result.value == doctest::Approx(expected.value).epsilon(1e-6).scale(1));
        CHECK(result.gamma == doctest::Approx(expected.gamma).epsilon(1e-6).scale(1));
        CHECK(result.forward == doctest::Approx(expected.forward).epsilon(1e-6).scale(1));
        CHECK(result.reverse == doctest::Approx(expected.reverse).epsilon(1e-6).scale(1));
        CHECK(result.tokens == expected.tokens);
        for (std::size_t i = 0; i < values.size(); ++i) {
          CHECK(values[i] == doctest::Approx(expected_values[i]).epsilon(1e-6).scale(1));
        }
      }
    }
  }
}

TEST_CASE(
    "relation_kl: gradients are the slopes of the values, samples of different length, either "
    "order of heads") {
  const unsigned seed = 32;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const std::size_t tokens = 7, heads = 2, group = 2, width = 5;
  const std::vector<std::size_t> ends{3, 7};
  const std::vector<std::int64_t> labels{1, -100, 1, 1, 1, 1, -100};
  std::vector<float> student = normal(tokens * heads * width, random);
  const std::vector<float> teacher = normal(tokens * heads * group * width, random);
  std::vector<double> workspace(er::relation_kl::workspace_size(4, width, width, group));
  for (const er::head_order order : {er::head_order::by_head, er::head_order::by_token}) {
    const bool by_head = order == er::head_order::by_head;
    const auto of = [&](auto* data, std::size_t count) {
      return er::head_view{
          er::matrix_view{data, by_head ? tokens * count : tokens, by_head ? width : width * count},
          count, order};
    };
    for (const er::kl_direction direction : directions) {
      for (const er::loss_mode mode : {er::loss_mode::stable, er::loss_mode::parity}) {
        const er::relation_kl loss{.direction = direction, .mode = mode};
        er::token_batch batch{.labels = labels, .sample_ends = ends, .upstream = 2};
        const auto run = [&](float* out) {
          return loss(of(student.data(), heads), of(teacher.data(), heads * group), batch,
                      of(out, heads), workspace)
              .value;
        };
        std::vector<float> gradient(student.size(), -77.0f), added(student.size(), 1.0f);
        const double value = run(gradient.data());
        CHECK(value == run(nullptr));
        batch.accumulate = true;
        CHECK(value == run(added.data()));
        for (std::size_t i = 0; i < student.size(); ++i) {
          // Third derivatives of some tens at most, times 2^-22; see central_difference.
          CHECK(std::fabs(gradient[i] - 2 * support::central_difference(
                                                student[i], [&] { return run(nullptr); })) < 5e-5);
          CHECK(std::fabs(added[i] - (1 + gradient[i])) <= 0x1p-22f);
        }
      }
    }
  }
}

TEST_CASE("relation_kl: far tails keep their logarithms, and are clamped in parity mode") {
  // Token 0 of two tokens of one feature: the student's z are 400 and 0, the teacher's 1 and 300.
  // So ln q = (0, -400) and ln p = (-299, 0), and each divergence is the other's tail.
  const std::vector<float> student{20, 0}, teacher{1, 300};
  std::vector<double> workspace(er::relation_kl::workspace_size(2, 1, 1));
  const std::vector<std::uint8_t> mask{1, 0};
  const auto run = [&](er::kl_direction direction, er::loss_mode mode) {
    return er::relation_kl{.direction = direction, .mode = mode}(
               er::head_view(view{student.data(), 2, 1}), er::head_view(view{teacher.data(), 2, 1}),
               {.mask = mask}, {}, workspace)
        .value;
  };
  CHECK(run(er::kl_direction::forward, er::loss_mode::stable) ==
        doctest::Approx(400).epsilon(1e-14));
  CHECK(run(er::kl_direction::reverse, er::loss_mode::stable) ==
        doctest::Approx(299).epsilon(1e-14));
  // ln 1e8 from the one, less 1e-8 ln 1e8 from the other.
  const double clamped = std::log(1e8) * (1 - 1e-8);
  CHECK(run(er::kl_direction::forward, er::loss_mode::parity) ==
        doctest::Approx(clamped).epsilon(1e-14));
  CHECK(run(er::kl_direction::reverse, er::loss_mode::parity) ==
        doctest::Approx(clamped).epsilon(1e-14));
}

TEST_CASE("relation_kl: an infinite feature is NaN for all that it is related to, of either sign") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<double> workspace(er::relation_kl::workspace_size(3, 1, 1));
  for (const float bad : {infinity, -infinity}) {
    for (const int k : {0, 1, 2, 3}) {
      const bool of_student = k % 2 == 0;
      const er::loss_mode mode = k / 2 == 0 ? er::loss_mode::stable : er::loss_mode::parity;
      // Token 0 has a relation of minus infinity to token 2, of one sign, and of plus infinity of
      // the other.
      std::vector<float> student{1, 2, 3}, teacher{1, 1, 3};
      (of_student ? student : teacher)[2] = bad;
      const std::vector<std::uint8_t> mask{1, 0, 0};
      std::vector<float> gradient(3, 7);
      const er::loss_result r = er::relation_kl{.mode = mode}(
          er::head_view(view{student.data(), 3, 1}), er::head_view(view{teacher.data(), 3, 1}),
          {.mask = mask}, er::head_view(er::matrix_view{gradient.data(), 3, 1}), workspace);
      CHECK(std::isnan(r.value));
      CHECK(std::isnan(gradient[0]));
    }
  }
}

TEST_CASE("relation_kl: heads, shapes and workspaces that don't fit are refused") {
  const std::vector<float> x(48);
  std::vector<double> workspace(er::relation_kl::workspace_size(4, 4, 4) - 1), plenty(10000);
  const auto heads = [&](std::size_t count, std::size_t tokens, std::size_t width) {
    return er::head_view(view{x.data(), count * tokens, width}, count);
  };
  CHECK_THROWS_WITH_AS(
      er::relation_kl{}(heads(2, 4, 4), heads(3, 4, 4), {}, {}, plenty),
      "relation_kl: the teacher has 3 heads, expected a multiple of the student's 2",
      std::invalid_argument);
  CHECK_THROWS_WITH_AS(er::relation_kl{}(heads(2, 4, 4), heads(2, 4, 4), {}, {}, workspace),
                       "relation_kl: the workspace has 239 doubles, expected 240",
                       std::invalid_argument);
  CHECK_THROWS_AS(er::relation_kl{}(heads(2, 4, 4), heads(2, 3, 4), {}, {}, plenty),
                  std::invalid_argument);
  CHECK_NOTHROW(er::relation_kl{}(heads(2, 4, 4), heads(2, 4, 5), {}, {}, plenty));
}

TEST_CASE("key_value_relation_kl: nothing is written where the values don't fit") {
  using row_views::view, row_views::into;
  const std::vector<float> keys{1, 2, 3, 4}, values{1, 2, 3, 4, 5, 6};
  std::vector<float> to_keys(4, 7), to_values(6, 7), each(2, 7);
  std::vector<double> room(er::relation_kl::workspace_size(2, 2, 2));  // of keys
  const er::key_value_views<const float> all{view(keys, 2), view(values, 2)};
  CHECK_THROWS_AS((er::key_value_relation_kl{.component = er::relation_component::both}(
                      all, all, er::token_batch{.token_values = each},
                      {into(to_keys, 2), into(to_values, 2)}, room)),
                  std::invalid_argument);
  CHECK(to_keys == std::vector<float>(4, 7));
  CHECK(each == std::vector<float>(2, 7));
}

TEST_SUITE_END();
