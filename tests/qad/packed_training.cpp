// SPDX-License-Identifier: Apache-2.0
/// Training from packed windows: texts that share a window are samples of their own, padding is
/// nothing, and a stored teacher teaches what the teacher itself does.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "qad/packed_batches.hpp"
#include "qad/training_step.hpp"
#include "tiny_shape.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/io/top_k_writer.hpp>

namespace er = edgerazor;

namespace {

qad::parameters some_weights(std::uint64_t seed) {
  qad::parameters weights(tiny);
  weights.initialise(seed);
  for (float& w : weights.values().first(tiny.vocabulary * tiny.hidden)) w *= 20;
  return weights;
}

/// Nothing is rounded: sums in another order are all that differs.
qad::training_options unrounded(std::size_t sequences, std::size_t window) {
  qad::training_options options;
  options.how = qad::method::qad;
  options.recipe = "none";
  options.sequences = sequences;
  options.window = window;
  return options;
}

/// A student that is not its teacher.
qad::trainer student_of(const qad::parameters& teacher, const qad::training_options& options) {
  qad::trainer run(tiny, options, &teacher);
  const qad::parameters other = some_weights(2);
  std::ranges::copy(other.values(), run.checkpoint().weights.begin());
  run.restore(0);
  return run;
}

struct found {
  qad::step_result step;
  std::vector<float> gradient;
};
found gradient_of(qad::trainer& run, const qad::packed_batches::batch& batch) {
  run.compute_gradients(batch.windows, batch.labels, batch.packed);
  const std::span<float> sum = run.reduce_gradients();
  std::vector<float> gradient(sum.begin(), sum.end());
  return {run.update(), std::move(gradient)};
}

/// The largest difference, as part of the largest number.
double apart(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, static_cast<double>(std::fabs(a[i])));
    worst = std::max(worst, static_cast<double>(std::fabs(a[i] - b[i])));
  }
  return worst / largest;
}

/// Texts of `sizes` tokens of which all but the first two have labels.
qad::training_data texts_of(std::initializer_list<std::size_t> sizes) {
  std::mt19937 random(3);
  qad::training_data data;
  data.sources.push_back({"texts", 1, {}});
  for (const std::size_t size : sizes) {
    qad::labelled_text text;
    for (std::size_t t = 0; t < size; ++t) {
      text.tokens.push_back(static_cast<qad::token_id>(1 + random() % (tiny.vocabulary - 1)));
      text.labels.push_back(t < 2 ? qad::no_label : text.tokens.back());
    }
    data.sources[0].texts.push_back(std::move(text));
  }
  return data;
}

/// What a teacher says after each token of a batch: log-probabilities of the whole vocabulary.
struct said {
  std::vector<std::int32_t> ids;
  std::vector<float> logs;

  said(const qad::parameters& teacher, const qad::packed_batches::batch& batch,
       std::size_t sequences, std::size_t window) {
    qad::decoder model(tiny, sequences, window, qad::pass::inference);
    std::vector<std::int32_t> tokens;
    for (std::size_t t = 0; t < sequences * window; ++t)
      tokens.push_back(batch.windows[t + t / window]);
    model.forward(teacher, tokens, {}, batch.packed.positions);
    logs.resize(tokens.size() * tiny.vocabulary);
    model.head(teacher).logits(model.head_input(), 0,
                               {logs.data(), tokens.size(), tiny.vocabulary});
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const std::span row = std::span{logs}.subspan(t * tiny.vocabulary, tiny.vocabulary);
      double sum = 0;
      for (const float x : row) sum += std::exp(static_cast<double>(x));
      for (float& x : row) x = static_cast<float>(static_cast<double>(x) - std::log(sum));
      for (std::size_t v = 0; v < tiny.vocabulary; ++v) ids.push_back(static_cast<int>(v));
    }
  }
  [[nodiscard]] qad::packing with(const qad::packing& from) const {
    const std::size_t rows = ids.size() / tiny.vocabulary;
    return {
        from.positions, {ids.data(), rows, tiny.vocabulary}, {logs.data(), rows, tiny.vocabulary}};
  }
};

}  // namespace

TEST_CASE("qad trainer: texts that share a window teach what they teach in windows of their own") {
  const qad::parameters teacher = some_weights(1);
  for (const char* scope : {"batch", "sample", "token"}) {
    CAPTURE(std::string{scope});
    // Two windows of two texts of 6 tokens, and four windows of one.
    qad::packed_batches two(texts_of({6, 6, 6, 6}), tiny.vocabulary, 2, 12, 1);
    const qad::packed_batches::batch packed = two(0);
    std::vector<qad::token_id> tokens;
    for (std::size_t i = 0; i < 4; ++i) {
      const auto from =
          packed.windows.begin() + static_cast<std::ptrdiff_t>(i / 2 * 13 + i % 2 * 6);
      tokens.insert(tokens.end(), from, from + 6);
      tokens.push_back(0);
    }
    qad::training_options options = unrounded(2, 12), single = unrounded(4, 6);
    options.gamma_scope = single.gamma_scope = scope;
    options.confidence_k = single.confidence_k = tiny.vocabulary;
    qad::trainer together = student_of(teacher, options), alone = student_of(teacher, single);
    const found a = gradient_of(together, packed),
                b = gradient_of(alone, {tokens, packed.labels, {}});
    CHECK(a.step.gamma.value() > 0);
    CHECK(a.step.gamma.value() == doctest::Approx(b.step.gamma.value()).epsilon(1e-5));
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(a.step.parts[i].value > 0);
      CHECK(a.step.parts[i].value == doctest::Approx(b.step.parts[i].value).epsilon(1e-5));
    }
    // Some hundred sums of floats: 2^-24 of the largest number times a hundred, at most.
    CHECK(apart(a.gradient, b.gradient) < 1e-5);
  }
}

TEST_CASE("qad trainer: shards with more texts weigh more") {
  // One window of three texts of 4, one of a text of 12: four samples, a quarter each.
  const qad::parameters teacher = some_weights(1);
  qad::training_options options = unrounded(2, 12);
  options.how = qad::method::qat;
  qad::packed_batches draw(texts_of({12, 4, 4, 4}), tiny.vocabulary, 2, 12, 1);
  const qad::packed_batches::batch batch = draw(0);
  qad::trainer run = student_of(teacher, options);
  const double all = gradient_of(run, batch).step.loss;
  std::vector<double> each;
  for (std::size_t sample = 0; sample < 4; ++sample) {
    std::vector<std::int64_t> labels(batch.labels.size(), -100);
    std::size_t at = 0;
    for (std::size_t t = 0; t < labels.size(); ++t) {
      at += t != 0 && batch.packed.positions[t] == 0;
      if (at == sample) labels[t] = batch.labels[t];
    }
    qad::trainer one = student_of(teacher, options);
    each.push_back(gradient_of(one, {batch.windows, labels, batch.packed}).step.loss);
  }
  CHECK(all == doctest::Approx(each[0] + each[1] + each[2] + each[3]).epsilon(1e-9));
  for (const double loss : each) CHECK(loss > 0.1);  // each is a mean of its text over 4
}

TEST_CASE("qad trainer: padding changes nothing") {
  const qad::parameters teacher = some_weights(1);
  qad::packed_batches draw(texts_of({7, 9}), tiny.vocabulary, 2, 12, 1);
  const qad::packed_batches::batch batch = draw(0);
  std::vector<std::int32_t> other(batch.windows.begin(), batch.windows.end());
  std::size_t changed = 0;
  for (std::int32_t& token : other) {
    if (token == 0) token = 17, ++changed;
  }
  CHECK(changed == 5 + 3 + 2);  // and what would follow the windows
  for (const bool absolute : {false, true}) {
    qad::training_options options = unrounded(2, 12);
    options.feature_form = absolute ? qad::features_by::absolute : qad::features_by::relative;
    qad::trainer one = student_of(teacher, options), two = student_of(teacher, options);
    CHECK(gradient_of(one, batch).gradient ==
          gradient_of(two, {other, batch.labels, batch.packed}).gradient);
  }
}

TEST_CASE("qad trainer: a stored teacher of the whole vocabulary teaches what the teacher does") {
  const qad::parameters teacher = some_weights(1);
  qad::packed_batches draw(texts_of({12, 5, 7, 4, 4, 3}), tiny.vocabulary, 4, 12, 1);
  const qad::packed_batches::batch batch = draw(0);
  const said rows(teacher, batch, 4, 12);
  struct setting {
    const char *loss, *scope;
    double task;
  };
  for (const setting& one : {setting{"eakld", "batch", 0.1},
                             {"eakld", "sample", 0.1},
                             {"eakld", "token", 0.1},
                             {"forward", "batch", 0},
                             {"reverse", "batch", 1}}) {
    CAPTURE(std::string{one.loss} + " " + one.scope);
    qad::training_options options = unrounded(4, 12);
    options.features = false;
    options.logits_loss = one.loss;
    options.gamma_scope = one.scope;
    options.task_weight = one.task;
    options.confidence_k = tiny.vocabulary;
    qad::trainer live = student_of(teacher, options);
    options.stored_teacher = true;
    qad::trainer stored = student_of(teacher, options);
    const found a = gradient_of(live, batch),
                b = gradient_of(stored, {batch.windows, batch.labels, rows.with(batch.packed)});
    CHECK(a.step.parts[1].value > 0.1);
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(a.step.parts[i].value == doctest::Approx(b.step.parts[i].value).epsilon(1e-5));
    }
    CHECK(a.step.gamma.has_value() == (std::string{one.loss} == "eakld"));
    CHECK(std::fabs(a.step.gamma.value_or(0) - b.step.gamma.value_or(0)) < 1e-5);
    // Log-probabilities are floats, up to 16 in size: 2^-20 of a probability, and the sums of
    // the products.
    CHECK(apart(a.gradient, b.gradient) < 1e-5);
  }
}

TEST_CASE("qad trainer: a file of the whole vocabulary is the teacher to 16 bits") {
  const temporary_folder folder;
  const qad::parameters teacher = some_weights(1);
  // The last is longer than the window.
  qad::training_data plain = texts_of({12, 5, 6, 20});
  const std::string path = (folder / "t.topk").string();
  double size = 0;
  {
    er::top_k_writer writer(path, tiny.vocabulary, tiny.vocabulary);
    for (const qad::labelled_text& text : plain.sources[0].texts) {
      qad::shape longer = tiny;
      longer.context = 32;
      const std::size_t n = text.tokens.size();
      qad::decoder model(longer, 1, n, qad::pass::inference);
      qad::parameters same(longer);
      std::ranges::copy(teacher.values(), same.values().begin());
      model.forward(same, text.tokens);
      std::vector<float> logs(n * tiny.vocabulary);
      std::vector<std::int32_t> ids;
      model.head(same).logits(model.head_input(), 0, {logs.data(), n, tiny.vocabulary});
      for (std::size_t t = 0; t < n; ++t) {
        const std::span row = std::span{logs}.subspan(t * tiny.vocabulary, tiny.vocabulary);
        double sum = 0;
        for (const float x : row) sum += std::exp(static_cast<double>(x));
        for (float& x : row) x = static_cast<float>(static_cast<double>(x) - std::log(sum));
        for (const float x : row) size = std::max(size, -static_cast<double>(x));
        for (std::size_t v = 0; v < tiny.vocabulary; ++v) ids.push_back(static_cast<int>(v));
      }
      writer.add(text.tokens, text.labels, {ids.data(), n, tiny.vocabulary},
                 {logs.data(), n, tiny.vocabulary});
    }
  }
  qad::training_data data = qad::read_stored_teacher(path, tiny.vocabulary, 12);
  CHECK(data.cut == 1);
  REQUIRE(data.identities.size() == 1);
  CHECK(data.identities == qad::read_stored_teacher(path, tiny.vocabulary, 12).identities);
  CHECK(data.identities != qad::read_stored_teacher(path, tiny.vocabulary, 11).identities);
  CHECK_THROWS_WITH_AS((void)qad::read_stored_teacher(path, tiny.vocabulary + 1, 12),
                       doctest::Contains("a vocabulary of 40, and the model one of 41"),
                       er::io_error);
  qad::packed_batches draw(std::move(data), tiny.vocabulary, 4, 12, 1);
  qad::training_options options = unrounded(4, 12);
  options.features = false;
  options.logits_loss = "forward";
  qad::trainer live = student_of(teacher, options);
  options.stored_teacher = true;
  qad::trainer stored = student_of(teacher, options);
  for (std::uint64_t step = 0; step < 3; ++step) {
    const qad::packed_batches::batch batch = draw(step);
    const double exact = live.step(batch.windows, batch.labels, {batch.packed.positions, {}, {}})
                             .parts[1]
                             .value,
                 kept = stored.step(batch.windows, batch.labels, batch.packed).parts[1].value;
    // A 16-bit logarithm of size l is at most l 2^-10 too low, so after division by their sum
    // each ln p is that far off, up or down: KL(p||q) = sum of p (ln p - ln q) by twice that of its
    // terms and of 1. Both students have gone on from other gradients by as little.
    const double off = 2 * size * 0x1p-10;
    CAPTURE(off);
    CHECK(exact > 0.1);
    CHECK(std::fabs(exact - kept) < off * (1 + 2 * size));
    CHECK(exact != kept);
  }
}

TEST_CASE("qad trainer: a run that goes on at any step sees the batches of an unbroken one") {
  const qad::parameters teacher = some_weights(1);
  const auto made = [] {
    return qad::packed_batches(texts_of({12, 5, 7, 4, 4, 3, 9, 11}), tiny.vocabulary, 2, 12, 5);
  };
  qad::training_options options = unrounded(2, 12);
  options.recipe = "w1_58_a8_kv8";
  const auto train = [](qad::trainer& run, qad::packed_batches draw, std::size_t steps) {
    for (std::size_t i = 0; i < steps; ++i) {
      const qad::packed_batches::batch batch = draw(run.steps_done());
      run.step(batch.windows, batch.labels, batch.packed);
    }
  };
  qad::trainer whole(tiny, options, &teacher), first(tiny, options, &teacher),
      second(tiny, options, &teacher);
  train(whole, made(), 9);
  train(first, made(), 4);
  const auto from = first.checkpoint(), to = second.checkpoint();
  std::ranges::copy(from.weights, to.weights.begin());
  std::ranges::copy(from.first_moments, to.first_moments.begin());
  std::ranges::copy(from.second_moments, to.second_moments.begin());
  second.restore(from.steps_done);
  train(second, made(), 5);
  CHECK(std::ranges::equal(whole.master().values(), second.master().values()));
}

TEST_CASE("qad trainer: what does not fit a stored teacher or the vocabulary is named") {
  const qad::parameters teacher = some_weights(1);
  qad::training_options options = unrounded(2, 12);
  qad::packed_batches draw(texts_of({12, 5}), tiny.vocabulary, 2, 12, 1);
  const qad::packed_batches::batch batch = draw(0);
  const said rows(teacher, batch, 2, 12);
  qad::trainer live(tiny, options, &teacher);
  CHECK_THROWS_AS(live.step(batch.windows, batch.labels, rows.with(batch.packed)),
                  std::invalid_argument);
  CHECK_THROWS_AS(live.step(batch.windows, batch.labels, {batch.packed.positions.first(5), {}, {}}),
                  std::invalid_argument);
  options.stored_teacher = true;
  CHECK_THROWS_AS(qad::trainer(tiny, options, &teacher), std::invalid_argument);  // features
  options.features = false;
  qad::trainer stored(tiny, options, &teacher);
  CHECK_THROWS_AS(stored.step(batch.windows, batch.labels, batch.packed), std::invalid_argument);
  CHECK_NOTHROW(stored.step(batch.windows, batch.labels, rows.with(batch.packed)));
  options.how = qad::method::qat;
  CHECK_THROWS_AS(qad::trainer(tiny, options, &teacher), std::invalid_argument);
  CHECK_THROWS_WITH_AS(qad::packed_batches(texts_of({12}), 5, 2, 12, 1),
                       doctest::Contains("'texts' has the token"), std::invalid_argument);
}
