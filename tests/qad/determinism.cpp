// SPDX-License-Identifier: Apache-2.0
/// A training run depends on its seed and its batches alone: not on threads, not on being
/// interrupted.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "qad/training_step.hpp"
#include "tiny_batches.hpp"
#include "tiny_shape.hpp"

namespace {

qad::training_options options_of(qad::method how, std::string recipe = "none") {
  qad::training_options options;
  options.how = how;
  options.recipe = std::move(recipe);
  options.sequences = tiny_sequences;
  options.steps = 40;
  return options;
}

qad::parameters some_teacher() {
  qad::trainer run(tiny, options_of(qad::method::teacher));
  train_tiny(run, 20);
  return run.master();
}

}  // namespace

TEST_CASE("qad trainer: threads change nothing, the seed does") {
  const qad::parameters teacher = some_teacher();
  for (const auto how : {qad::method::teacher, qad::method::qat, qad::method::qad}) {
    qad::training_options options = options_of(how, "w1_88_a8_kv8");
    qad::trainer one(tiny, options, &teacher);
    options.threads = 2;
    qad::trainer two(tiny, options, &teacher);
    CHECK(train_tiny(one, 5) == train_tiny(two, 5));
  }
  qad::training_options options = options_of(qad::method::teacher);
  qad::trainer one(tiny, options);
  options.seed = 2;
  qad::trainer other(tiny, options);
  CHECK(train_tiny(one, 1) != train_tiny(other, 1));
}

TEST_CASE("qad trainer: a run that goes on from its state is the uninterrupted one") {
  const qad::parameters teacher = some_teacher();
  for (const qad::moment_form& form : qad::moment_forms) {
    qad::training_options options = options_of(qad::method::qad, "w1_58_a8_kv8");
    options.moments = form.type;
    qad::trainer whole(tiny, options, &teacher), first(tiny, options, &teacher),
        second(tiny, options, &teacher);
    train_tiny(first, 3);
    const auto from = first.checkpoint(), to = second.checkpoint();
    CHECK(from.steps_done == 3);
    CHECK(from.first_moments.size() == form.bytes * from.weights.size());
    std::ranges::copy(from.weights, to.weights.begin());
    std::ranges::copy(from.first_moments, to.first_moments.begin());
    std::ranges::copy(from.second_moments, to.second_moments.begin());
    second.restore(from.steps_done);
    CHECK(second.learning_rate(second.steps_done()) == whole.learning_rate(3));
    CHECK(train_tiny(second, 3) == train_tiny(whole, 6));
  }
}

TEST_CASE("qad trainer: a host may stand between the calls of a step") {
  const qad::parameters teacher = some_teacher();
  const qad::training_options options = options_of(qad::method::qad, "w1_88_a8_kv8");
  qad::trainer one(tiny, options, &teacher), two(tiny, options, &teacher);
  one.step(tiny_windows(0));
  std::size_t asked = 0;
  two.on_confidence([&](edgerazor::confidence_sums& sums) {
    ++asked;
    CHECK(sums.samples == tiny_sequences);  // of the whole batch, not of its shards
    const edgerazor::confidence_sums same = sums;
    sums.merge(same);  // another process with the same tokens
  });
  two.compute_gradients(tiny_windows(0));
  for (float& g : two.reduce_gradients()) g = (g + g) / 2;
  const qad::step_result result = two.update();
  CHECK(asked == 1);
  CHECK(result.gamma.value() >= 0);
  CHECK(std::ranges::equal(one.master().values(), two.master().values()));
  two.on_confidence([](edgerazor::confidence_sums& sums) { sums = {.sum = 3, .samples = 4}; });
  two.compute_gradients(tiny_windows(1));
  two.reduce_gradients();
  CHECK(two.update().gamma.value() == doctest::Approx(0.75));
}

TEST_CASE("qad trainer: tokens without a label teach nothing") {
  const qad::parameters teacher = some_teacher();
  for (const auto how : {qad::method::qat, qad::method::qad}) {
    qad::training_options options = options_of(how, "w4_a8_kv8");
    options.features = false;
    qad::trainer all(tiny, options, &teacher), next(tiny, options, &teacher),
        none(tiny, options, &teacher), some(tiny, options, &teacher);
    const std::vector<std::int32_t> tokens = tiny_windows(0);
    std::vector<std::int64_t> labels;
    for (std::size_t t = 0; t < tiny_sequences * tiny.context; ++t)
      labels.push_back(tokens[t / tiny.context * (tiny.context + 1) + t % tiny.context + 1]);
    all.step(tokens);
    next.step(tokens, labels);
    CHECK(std::ranges::equal(all.master().values(), next.master().values()));
    std::fill(labels.begin() + 3, labels.end(), -100);
    CHECK(some.step(tokens, labels).loss > 0);
    std::fill(labels.begin(), labels.end(), -100);
    const qad::step_result nothing = none.step(tokens, labels);
    CHECK(nothing.loss == 0);
    CHECK(nothing.gradient_norm == 0);
    labels.pop_back();
    CHECK_THROWS_AS(none.step(tokens, labels), std::invalid_argument);
    labels.push_back(static_cast<std::int64_t>(tiny.vocabulary));
    CHECK_THROWS_AS(none.step(tokens, labels), std::invalid_argument);
  }
}

TEST_CASE("qad trainer: relative features weigh the same on a model of larger states") {
  // Twice the embedding and twice what blocks add: all hidden states double, predictions stay.
  const qad::parameters teacher = some_teacher();
  qad::parameters doubled = teacher;
  for (const auto& e : doubled.entries()) {
    const bool writes = e.name == "token_embd.weight" || e.name.ends_with("attn_output.weight") ||
                        e.name.ends_with("ffn_down.weight");
    if (!writes) continue;
    for (float& w : doubled.values().subspan(e.offset, e.size())) w *= 2;
  }
  const auto features = [](const qad::parameters& model, bool absolute) {
    qad::training_options options = options_of(qad::method::qad, "w4_a8_kv8");
    options.feature_form = absolute ? qad::features_by::absolute : qad::features_by::relative;
    qad::trainer run(tiny, options, &model);
    return run.step(tiny_windows(0)).parts[2].value;
  };
  // The norms' epsilon and the rounding of states see the factor a little.
  CHECK(features(doubled, true) == doctest::Approx(4 * features(teacher, true)).epsilon(0.05));
  CHECK(features(doubled, false) == doctest::Approx(features(teacher, false)).epsilon(0.05));
}

TEST_CASE("qad trainer: every scope of gamma trains") {
  const qad::parameters teacher = some_teacher();
  std::vector<std::vector<float>> results;
  for (const char* scope : {"batch", "sample", "token"}) {
    qad::training_options options = options_of(qad::method::qad, "w1_58_a8_kv8");
    options.gamma_scope = scope;
    options.confidence_k = tiny.vocabulary;  // no entropy is above ln k: no gamma is 0
    qad::trainer run(tiny, options, &teacher);
    const qad::step_result first = run.step(tiny_windows(0));
    CHECK(first.gamma.value() >= 0);
    CHECK(first.gamma.value() <= 1);
    results.push_back(train_tiny(run, 2));
  }
  CHECK(results[0] != results[1]);
  CHECK(results[1] != results[2]);
  qad::training_options options = options_of(qad::method::qad);
  options.gamma_scope = "world";
  CHECK_THROWS_AS(qad::trainer(tiny, options, &teacher), std::invalid_argument);
}

TEST_CASE("qad trainer: a teacher learns to count, and a student to follow it") {
  qad::training_options options = options_of(qad::method::teacher);
  options.steps = 150;
  options.learning_rate = 1e-2;
  qad::trainer teacher(tiny, options);
  const double before = teacher.step(tiny_windows(0)).loss;
  double after = 0;
  while (teacher.steps_done() < options.steps)
    after = teacher.step(tiny_windows(teacher.steps_done())).loss;
  CHECK(std::fabs(before - std::log(40.0)) < 0.5);  // it knows nothing
  CHECK(after < 1.2);                               // the stride is known after two tokens only

  qad::training_options follow = options_of(qad::method::qad, "w1_58_a8_kv8");
  follow.steps = 150;
  qad::trainer student(tiny, follow, &teacher.master());
  const qad::step_result start = student.step(tiny_windows(1000));
  qad::step_result end;
  while (student.steps_done() < follow.steps)
    end = student.step(tiny_windows(1000 + student.steps_done()));
  REQUIRE(end.parts.size() == 3);
  CHECK(end.parts[1].name == "logits");
  CHECK(end.parts[1].value < 0.5 * start.parts[1].value);
  const double sum = 0.1 * end.parts[0].value + 2 * end.parts[1].value + 0.1 * end.parts[2].value;
  CHECK(end.loss == doctest::Approx(sum));
}

TEST_CASE("qad trainer: every logits loss trains, and parts can be left out") {
  const qad::parameters teacher = some_teacher();
  for (const char* loss : {"eakld", "forward", "reverse", "none"}) {
    qad::training_options options = options_of(qad::method::qad, "w2_79_a8_kv8");
    options.logits_loss = loss;
    options.features = false;
    qad::trainer run(tiny, options, &teacher);
    const qad::step_result result = run.step(tiny_windows(0));
    CHECK(result.parts.size() == (std::string{loss} == "none" ? 1 : 2));
    CHECK(result.gradient_norm > 0);
  }
}

TEST_CASE("qad trainer: the learning rate rises, then falls to a tenth") {
  qad::training_options options = options_of(qad::method::teacher);
  options.steps = 100;
  options.warmup_fraction = 0.1;
  options.learning_rate = 1;
  const qad::trainer run(tiny, options);
  CHECK(run.learning_rate(0) == doctest::Approx(0.1));
  CHECK(run.learning_rate(9) == doctest::Approx(1));
  CHECK(run.learning_rate(55) == doctest::Approx(0.55));
  CHECK(run.learning_rate(100) == doctest::Approx(0.1));
}

TEST_CASE("qad trainer: bad input is named") {
  const qad::parameters teacher(tiny);
  CHECK_THROWS_AS(qad::trainer(tiny, options_of(qad::method::rounding, "int3"), &teacher),
                  std::invalid_argument);
  CHECK_THROWS_AS(qad::trainer(tiny, options_of(qad::method::qat, "w1_58_a8_kv8")),
                  std::invalid_argument);
  CHECK_THROWS_AS(qad::trainer(tiny, options_of(qad::method::qat, "w5"), &teacher),
                  std::invalid_argument);
  qad::shape wider = tiny;
  wider.feed_forward += 1;
  CHECK_THROWS_AS(qad::trainer(wider, options_of(qad::method::qat, "int3"), &teacher),
                  std::invalid_argument);
  qad::training_options options = options_of(qad::method::qad, "int2");
  options.logits_loss = "sideways";
  CHECK_THROWS_AS(qad::trainer(tiny, options, &teacher), std::invalid_argument);
  options = options_of(qad::method::teacher);
  options.sequences = 3;
  CHECK_THROWS_AS(qad::trainer(tiny, options), std::invalid_argument);

  qad::trainer run(tiny, options_of(qad::method::teacher));
  std::vector<std::int32_t> tokens = tiny_windows(0);
  tokens.pop_back();
  CHECK_THROWS_AS(run.step(tokens), std::invalid_argument);
  tokens.push_back(-1);
  CHECK_THROWS_AS(run.step(tokens), std::invalid_argument);
  run.checkpoint().weights[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(run.step(tiny_windows(0)), std::invalid_argument);
  CHECK(run.steps_done() == 0);
}
