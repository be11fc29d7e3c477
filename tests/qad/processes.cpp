// SPDX-License-Identifier: Apache-2.0
/// Several processes train the model that one does, bit for bit. Here threads stand for them;
/// tests/mpi has processes.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "qad/layer_form.hpp"
#include "qad/packed_batches.hpp"
#include "qad/process_group.hpp"
#include "qad/run_options.hpp"
#include "qad/training_step.hpp"
#include "small_run.hpp"
#include "thread_group.hpp"
#include "tiny_shape.hpp"

namespace {

constexpr std::size_t sequences = 8, steps = 4;

/// Texts of which several share a window, so that shards have different numbers of samples.
qad::training_data some_texts() {
  std::mt19937 random(11);
  qad::training_data data;
  data.sources.push_back({"texts", 1, {}});
  for (std::size_t i = 0; i < 40; ++i) {
    qad::labelled_text text;
    for (std::size_t t = 0, size = 3 + random() % 10; t < size; ++t) {
      text.tokens.push_back(static_cast<qad::token_id>(1 + random() % (tiny.vocabulary - 1)));
      text.labels.push_back(t < 2 ? qad::no_label : text.tokens.back());
    }
    data.sources[0].texts.push_back(std::move(text));
  }
  return data;
}

struct trained {
  std::vector<float> weights;
  std::vector<std::byte> moments;
  std::vector<double> numbers;  ///< of every step
  friend bool operator==(const trained&, const trained&) = default;
};

trained train(qad::training_options options, const qad::parameters& teacher,
              qad::process_group* group) {
  options.ranks = group;
  qad::trainer run(tiny, options, &teacher);
  qad::packed_batches draw(some_texts(), tiny.vocabulary, sequences, tiny.context, 3);
  trained result;
  while (run.steps_done() < steps) {
    const qad::packed_batches::batch batch = draw(run.steps_done());
    const qad::step_result one = run.step(batch.windows, batch.labels, batch.packed);
    result.numbers.insert(result.numbers.end(),
                          {one.loss, one.gamma.value_or(-1), one.gradient_norm});
    for (const auto& part : one.parts) result.numbers.push_back(part.value);
  }
  const qad::trainer::state state = run.checkpoint();
  result.weights.assign(state.weights.begin(), state.weights.end());
  result.moments.assign(state.second_moments.begin(), state.second_moments.end());
  return result;
}

qad::parameters some_teacher() {
  qad::parameters teacher(tiny);
  teacher.initialise(5);
  for (float& w : teacher.values().first(tiny.vocabulary * tiny.hidden)) w *= 20;
  return teacher;
}

}  // namespace

TEST_CASE("process_group: sums in the order of halves, gathers by rank, hands out from the first") {
  // More than a piece, and no multiple of one.
  constexpr std::size_t count = 300'000;
  const auto value = [](std::size_t rank, std::size_t i) {
    const auto mixed = static_cast<std::uint32_t>((i + 1) * (2654435761u + 40503u * rank));
    return static_cast<float>(mixed >> (rank % 4 * 3)) * 1e-3f;
  };
  for (const std::size_t size : {1u, 2u, 4u, 8u}) {
    CAPTURE(size);
    std::vector<float> expected(count);
    std::vector<float> of(size);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t r = 0; r < size; ++r) of[r] = value(r, i);
      for (std::size_t n = size; n > 1; n /= 2) {
        for (std::size_t r = 0; r < n / 2; ++r) of[r] = of[2 * r] + of[2 * r + 1];
      }
      expected[i] = of[0];
    }
    std::vector<int> right(size);
    in_threads(size, [&](thread_group& group) {
      std::vector<float> values(count);
      for (std::size_t i = 0; i < count; ++i) values[i] = value(group.rank(), i);
      group.add_up(values);
      const double mine[2] = {static_cast<double>(group.rank()), 0.5};
      std::vector<double> all(2 * size);
      group.gather(mine, all);
      bool good = values == expected && group.fits();
      for (std::size_t r = 0; r < size; ++r)
        good = good && all[2 * r] == static_cast<double>(r) && all[2 * r + 1] == 0.5;
      std::vector<float> given(count, group.rank() == 0 ? 7.5f : 0);
      group.broadcast(std::as_writable_bytes(std::span{given}));
      good = good && group.fits() && std::ranges::count(given, 7.5f) == count;
      right[group.rank()] = good;
    });
    CHECK(std::accumulate(right.begin(), right.end(), 0) == static_cast<int>(size));
  }
}

TEST_CASE("qad trainer: 1, 2 and 4 processes train the same bits") {
  const qad::parameters teacher = some_teacher();
  struct setting {
    const char *method, *scope;
    std::size_t shards;
  };
  for (const setting& one : {setting{"qad", "batch", 4},
                             {"qad", "sample", 4},
                             {"qad", "batch", 8},
                             {"qat", "batch", 4}}) {
    CAPTURE(std::string{one.method} + " " + one.scope);
    qad::training_options options;
    options.how = one.method == std::string{"qad"} ? qad::method::qad : qad::method::qat;
    options.recipe = "w1_88_a8_kv8";
    options.gamma_scope = one.scope;
    options.confidence_k = tiny.vocabulary;
    options.sequences = sequences;
    options.window = tiny.context;
    options.steps = 10;
    options.shards = one.shards;
    const trained alone = train(options, teacher, nullptr);
    CHECK(alone.numbers[0] > 0);
    for (const std::size_t size : {1u, 2u, 4u}) {
      CAPTURE(size);
      std::vector<trained> each(size);
      in_threads(
          size, [&](thread_group& group) { each[group.rank()] = train(options, teacher, &group); });
      for (const trained& found : each) CHECK(found == alone);
    }
    // Other shards are another sum: the same to rounding, and what features select by.
    options.shards = 2;
    CHECK(train(options, teacher, nullptr) != alone);
  }
}

TEST_CASE("a run of several processes leaves the folder that one leaves, and goes on from it") {
  const temporary_folder folder;
  qad::run_options options = small_options();
  options.training.shards = 4;
  options.training.steps = 12;
  options.evaluate_every = 4;
  options.validation_tokens = 100;
  const qad::corpus text = small_corpus(options);
  qad::perform_run(options, text, nullptr, folder / "alone", true);
  const auto run = [&](std::size_t size, const char* name) {
    in_threads(size, [&](thread_group& group) {
      qad::run_options shared = options;
      shared.training.ranks = &group;
      qad::perform_run(shared, text, nullptr, folder / name, true);
    });
  };
  run(2, "two");
  run(4, "four");
  run(4, "four");  // it is finished
  for (const char* name : {"two", "four"}) {
    for (const char* file : {"checkpoint", "best", "log.csv", "quality.csv", "options.json"}) {
      CAPTURE(std::string{name} + "/" + file);
      CHECK(read_bytes(folder / name / file) == read_bytes(folder / "alone" / file));
    }
  }
}

TEST_CASE("processes and shards that do not fit are named") {
  std::vector<mailbox> boxes(16);
  thread_group three(0, 3, boxes), four(0, 4, boxes);
  qad::run_options options = small_options();
  (void)small_corpus(options);
  const auto refused = [&](std::size_t shards, qad::process_group& group, const char* sentence) {
    options.training.shards = shards;
    options.training.ranks = &group;
    CHECK_THROWS_WITH_AS(qad::require_valid(options), doctest::Contains(sentence),
                         std::invalid_argument);
  };
  refused(2, four, "4 processes share 2 shards of a batch, expected 1, 2, 4, 8, ... processes");
  options.training.sequences = 6;
  refused(6, three, "3 processes share 6 shards");
  refused(4, four, "a batch of 6 sequences in 4 shards, expected a multiple of their number");
  refused(0, four, "shards");
}

TEST_CASE("qad forms: two processes train what one does") {
  const qad::parameters teacher = some_teacher();
  for (const qad::method how :
       {qad::method::onebit, qad::method::bwta, qad::method::lbllm, qad::method::zeroqat}) {
    INFO(qad::name_of(how));
    qad::training_options options;
    options.how = how;
    options.sequences = sequences;
    options.shards = 4;
    options.steps = 8;  // bwta's levels change after each
    qad::take_objective(options, tiny);
    const trained alone = train(options, teacher, nullptr);
    std::vector<int> same(2);
    in_threads(2, [&](thread_group& group) {
      same[group.rank()] = train(options, teacher, &group) == alone ? 1 : 0;
    });
    CHECK(same == std::vector<int>{1, 1});
  }
}
