// SPDX-License-Identifier: Apache-2.0
/// Students by the related systems' forms: what a pass runs with, the gradients of that, what
/// changes with the step, and what is stored.
#include "qad/layer_form.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "qad/run_options.hpp"
#include "qad/training_step.hpp"
#include "tiny_batches.hpp"
#include "tiny_shape.hpp"
#include <edgerazor/calibrate/four_levels.hpp>
#include <edgerazor/calibrate/rank_one.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace {

namespace er = edgerazor;

constexpr std::array own_methods{qad::method::onebit, qad::method::bwta, qad::method::lbllm,
                                 qad::method::zeroqat};

qad::training_options options_of(qad::method how) {
  qad::training_options options;
  options.how = how;
  options.sequences = tiny_sequences;
  options.steps = 40;
  qad::take_objective(options, tiny);
  if (how == qad::method::zeroqat) options.learning_rate = 0.1;
  return options;
}

qad::parameters some_teacher() {
  qad::parameters teacher(tiny);
  teacher.initialise(3);
  return teacher;
}

std::size_t entry_of(const qad::parameters& of, std::string_view name) {
  return static_cast<std::size_t>(&of.find(name) - of.entries().data());
}

/// A form and a student at its start.
struct started {
  explicit started(const qad::training_options& options, const qad::parameters& teacher)
      : form(qad::make_form(tiny, options)), master(form->extended(tiny), teacher), out(master) {
    form->start(master, teacher);
  }
  void apply(std::size_t step = 0) {
    for (std::size_t i = 0; i < master.entries().size(); ++i) form->apply(i, master, out, step);
  }
  [[nodiscard]] std::size_t entry(const char* name) const { return entry_of(master, name); }

  std::unique_ptr<const qad::layer_form> form;
  qad::parameters master, out;
};

}  // namespace

TEST_CASE("qad forms: neither threads nor an interruption change a run, whatever its method") {
  const qad::parameters teacher = some_teacher();
  for (const qad::method how : own_methods) {
    INFO(qad::name_of(how));
    qad::training_options options = options_of(how);
    options.steps = 8;  // as many as bwta has stages, so that levels change after each
    qad::trainer whole(tiny, options, &teacher), first(tiny, options, &teacher);
    options.threads = 2;
    qad::trainer second(tiny, options, &teacher);
    const std::vector<float> expected = train_tiny(whole, 6);
    CHECK(expected != train_tiny(first, 3));
    const auto from = first.checkpoint(), to = second.checkpoint();
    std::ranges::copy(from.weights, to.weights.begin());
    std::ranges::copy(from.first_moments, to.first_moments.begin());
    std::ranges::copy(from.second_moments, to.second_moments.begin());
    second.restore(from.steps_done);
    CHECK(train_tiny(second, 3) == expected);
  }
}

TEST_CASE("qad forms: only the blocks' matrices change") {
  const qad::parameters teacher = some_teacher();
  for (const qad::method how : own_methods) {
    INFO(qad::name_of(how));
    started one(options_of(how), teacher);
    one.apply();
    for (const auto& e : teacher.entries()) {
      INFO(e.name);
      const auto before = teacher.values().subspan(e.offset, e.size());
      const auto& same = one.out.find(e.name);
      const auto after = one.out.values().subspan(same.offset, same.size());
      CHECK(std::ranges::equal(before, after) != (e.name.starts_with("blk.") && !e.is_vector()));
    }
  }
}

TEST_CASE("qad forms: onebit starts from the rank-1 split") {
  const qad::parameters teacher = some_teacher();
  started one(options_of(qad::method::onebit), teacher);
  one.apply();
  CHECK(one.master.shape().output_norms);
  const auto w = teacher.view("blk.1.ffn_up.weight");
  const er::rank_one_split split = er::split_magnitudes(w);
  const auto got = one.out.view("blk.1.ffn_up.weight");
  for (std::size_t r = 0; r < w.rows; ++r) {
    const float g = static_cast<float>(er::float16{split.g[r]});
    for (std::size_t c = 0; c < w.cols; ++c)
      CHECK(got.row(r)[c] == (w.row(r)[c] < 0 ? -1.0f : 1.0f) * (g * split.h[c]));
  }
}

TEST_CASE("qad forms: onebit's gradients of both vectors are differences, that of W its rule") {
  const qad::parameters teacher = some_teacher();
  started one(options_of(qad::method::onebit), teacher);
  const std::size_t at = one.entry("blk.0.attn_k.weight");
  const auto& e = one.master.entries()[at];
  // A loss that is linear in the product's matrix, so that its gradient is the factors.
  qad::parameters factors(one.master.shape());
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  for (float& x : factors.values().subspan(e.offset, e.size())) x = normal(random);
  qad::parameters gradient = factors;
  one.form->backward(at, one.master, gradient, 0);
  const auto loss = [&] {
    one.form->apply(at, one.master, one.out, 0);
    double sum = 0;
    for (std::size_t i = e.offset; i < e.offset + e.size(); ++i)
      sum += static_cast<double>(factors.values()[i]) * static_cast<double>(one.out.values()[i]);
    return sum;
  };
  for (const char* const name : {"blk.0.attn_k.output_scale", "blk.0.attn_k.input_scale"}) {
    const auto& beside = one.master.find(name);
    for (std::size_t i = 0; i < beside.size(); ++i) {
      float& x = one.master.values()[beside.offset + i];
      // A step that float16 holds: the loss is linear in each vector, but for the rounding of g, so
      // that the difference over what storage makes of the step is exact to float's digits.
      const float before = x, low = static_cast<float>(er::float16{before}), high = 2 * low;
      x = low;
      const double less = loss();
      x = high;
      const double more = loss();
      x = before;
      const double slope = (more - less) / static_cast<double>(high - low);
      CHECK(static_cast<double>(gradient.values()[beside.offset + i]) ==
            doctest::Approx(slope).epsilon(1e-3).scale(0.01));
    }
  }
  const auto g = one.master.view("blk.0.attn_k.output_scale").row(0),
             h = one.master.view("blk.0.attn_k.input_scale").row(0);
  for (std::size_t r = 0; r < e.rows; ++r) {
    for (std::size_t c = 0; c < e.cols; ++c) {
      const double w = static_cast<double>(one.master.view(e).row(r)[c]), t = std::tanh(w);
      const double expected = static_cast<double>(factors.view(e).row(r)[c]) *
                              static_cast<double>(static_cast<float>(er::float16{g[r]})) *
                              static_cast<double>(h[c]) * (1.001 - t * t);
      CHECK(static_cast<double>(gradient.view(e).row(r)[c]) ==
            doctest::Approx(expected).epsilon(1e-5));
    }
  }
}

TEST_CASE("qad forms: bwta's levels go down, and its steps follow") {
  const qad::parameters teacher = some_teacher();
  qad::training_options options = options_of(qad::method::bwta);
  options.steps = 16;
  const auto form = qad::make_form(tiny, options);
  for (std::size_t step = 0; step < 16; ++step) {
    CHECK(form->states(step).input_levels == 17 - 2 * static_cast<int>(step / 2));
    const bool last = step % 2 == 1 && step != 15;
    CHECK(form->states(step).notes == (last ? qad::noted::projection : qad::noted::nothing));
  }
  options.learning_rate = 1e-12;  // nothing but the projection moves a step
  qad::trainer run(tiny, options, &teacher);
  const auto steps = [&] {
    const auto all = run.master().view("blk.2.input_steps").row(0);
    return std::vector<float>(all.begin(), all.end());
  };
  train_tiny(run, 1);
  const std::vector<float> first = steps();
  for (const float x : first) CHECK(x > 0);
  train_tiny(run, 14);
  const std::vector<float> last = steps();
  // From 17 levels of a step to 3: magnitudes that were clipped come back by larger steps.
  for (std::size_t i = 0; i < last.size(); ++i) CHECK(last[i] > 1.2f * first[i]);
  train_tiny(run, 1);
  CHECK(steps()[0] == doctest::Approx(last[0]).epsilon(1e-5));
}

TEST_CASE("qad forms: bwta's weights are two numbers a row, about its mean") {
  const qad::parameters teacher = some_teacher();
  started one(options_of(qad::method::bwta), teacher);
  one.apply();
  const auto w = teacher.view("blk.0.ffn_down.weight");
  const auto got = one.out.view("blk.0.ffn_down.weight");
  for (std::size_t r = 0; r < w.rows; ++r) {
    double mean = 0, size = 0;
    for (const float x : w.row(r)) {
      mean += static_cast<double>(x) / static_cast<double>(w.cols);
      size += std::fabs(static_cast<double>(x)) / static_cast<double>(w.cols);
    }
    for (std::size_t c = 0; c < w.cols; ++c) {
      if (std::fabs(static_cast<double>(w.row(r)[c]) - mean) < 1e-6) continue;
      const double expected = static_cast<double>(w.row(r)[c]) < mean ? -size : size;
      CHECK(static_cast<double>(got.row(r)[c]) == doctest::Approx(expected).epsilon(1e-3));
    }
  }
}

TEST_CASE("qad forms: lbllm starts at its four classes, and rests in its last stage") {
  const qad::parameters teacher = some_teacher();
  const qad::training_options options = options_of(qad::method::lbllm);
  started one(options, teacher);
  one.apply();
  const auto w = teacher.view("blk.1.attn_q.weight");
  const er::four_level_matrix fit = er::fit_four_levels(w, 128);
  const auto got = one.out.view("blk.1.attn_q.weight");
  REQUIRE(fit.groups() == 1);
  std::size_t differing = 0;
  for (std::size_t r = 0; r < w.rows; ++r) {
    const std::span<const std::uint8_t> codes{fit.codes.data() + r * w.cols, w.cols};
    std::array<double, 4> counts{};
    for (const std::uint8_t code : codes) ++counts[code];
    const er::table_fit table = er::table_of(fit.levels[r], counts);
    for (std::size_t c = 0; c < w.cols; ++c)
      differing += got.row(r)[c] != table.scale * static_cast<float>(table.levels[codes[c]]);
  }
  CHECK(differing <= 2);  // halfway between two levels rounding decides

  CHECK_FALSE(one.form->states(23).four_bits);
  CHECK(one.form->states(24).four_bits);
  CHECK(one.form->states(24).four_bit_cache);
  qad::trainer run(tiny, options, &teacher);
  train_tiny(run, 24);
  const qad::parameters before = run.master();
  train_tiny(run, 2);
  const auto moved = [&](const char* name) {
    const auto& e = before.find(name);
    return !std::ranges::equal(before.values().subspan(e.offset, e.size()),
                               run.master().values().subspan(e.offset, e.size()));
  };
  CHECK_FALSE(moved("blk.1.attn_q.weight"));
  CHECK_FALSE(moved("blk.1.attn_q.map"));
  CHECK(moved("blk.1.attn_q.levels"));
  CHECK(moved("blk.1.attn_norm.weight"));
}

TEST_CASE("qad forms: zeroqat moves along one direction, by the slope between two losses") {
  const qad::parameters teacher = some_teacher();
  qad::training_options options = options_of(qad::method::zeroqat);
  options.learning_rate = 10;  // far above what float makes of a small step
  qad::trainer run(tiny, options, &teacher);
  const qad::parameters before = run.master();
  run.step(tiny_windows(0));
  std::size_t still = 0, matrices = 0;
  for (const auto& e : before.entries()) {
    INFO(e.name);
    const auto a = before.values().subspan(e.offset, e.size()),
               b = run.master().values().subspan(e.offset, e.size());
    const bool trained = e.name.starts_with("blk.") && !e.name.ends_with("norm.weight");
    if (!trained) {
      CHECK(std::ranges::equal(a, b));
      ++still;
      continue;
    }
    // Every number by the same amount, up or down.
    ++matrices;
    const double amount = std::fabs(static_cast<double>(b[0] - a[0]));
    CHECK(amount > 0);
    std::size_t up = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      CHECK(std::fabs(static_cast<double>(b[i] - a[i])) ==
            doctest::Approx(amount).epsilon(1e-3).scale(1e-4));
      up += b[i] > a[i] ? 1 : 0;
    }
    CHECK(up > 0);
    CHECK(up < a.size());
  }
  CHECK(still == 2 + 2 * tiny.layers);
  CHECK(matrices == 7 * 3 * tiny.layers);
}

TEST_CASE("qad forms: without a backward pass there are neither gradients nor moments") {
  const qad::parameters teacher = some_teacher();
  for (const qad::method how : own_methods) {
    INFO(qad::name_of(how));
    qad::training_options options = options_of(how);
    options.shards = 2;
    options.moments = qad::moment_type::bfloat16;
    qad::trainer run(tiny, options, &teacher);
    run.step(tiny_windows(0));
    const std::size_t weights = run.master().values().size(),
                      moments = run.checkpoint().first_moments.size() +
                                run.checkpoint().second_moments.size();
    const bool forward_alone = how == qad::method::zeroqat;
    // Weights and what they become; moved ones, or two shards' gradients and two moments.
    CHECK(moments == (forward_alone ? 0 : 2 * 2 * weights));
    CHECK(run.buffer_bytes() == weights * (forward_alone ? 4 * 3 : 4 * (2 + 2) + 2 * 2));
    CHECK(run.reduce_gradients().size() == (forward_alone ? 0 : weights));
  }
}

TEST_CASE("qad forms: what is stored is what a pass ran with, or says why it can't be") {
  const qad::parameters teacher = some_teacher();
  for (const qad::method how : own_methods) {
    INFO(qad::name_of(how));
    qad::training_options options = options_of(how);
    options.output_norms = how != qad::method::onebit;
    started one(options, teacher);
    const std::size_t at = one.entry("blk.2.ffn_gate.weight");
    if (how == qad::method::bwta) {
      CHECK_THROWS_AS(static_cast<void>(one.form->packed(at, one.master)), std::invalid_argument);
      continue;
    }
    // A row whose factor turned.
    if (how == qad::method::onebit) one.master.view("blk.2.ffn_gate.output_scale").row(0)[1] *= -1;
    one.apply();
    const er::any_matrix packed = one.form->packed(at, one.master);
    const auto expected = one.out.view("blk.2.ffn_gate.weight");
    std::vector<float> row(expected.cols);
    for (std::size_t r = 0; r < expected.rows; ++r) {
      er::look_up_row(packed, r, row);
      for (std::size_t c = 0; c < row.size(); ++c)
        CHECK(static_cast<double>(row[c]) ==
              doctest::Approx(static_cast<double>(expected.row(r)[c])).epsilon(1e-6));
    }
  }
  started norms(options_of(qad::method::onebit), teacher);
  CHECK_THROWS_WITH_AS(
      static_cast<void>(norms.form->packed(norms.entry("blk.0.attn_q.weight"), norms.master)),
      "a student of the method onebit has layer norms behind its matrices, which no model that llm "
      "runs has; --no-output-norms trains one without",
      std::invalid_argument);
}

TEST_CASE("qad forms: what lbllm has trained is stored to the bit, levels that crossed too") {
  const qad::parameters teacher = some_teacher();
  const qad::training_options options = options_of(qad::method::lbllm);
  const auto form = qad::make_form(tiny, options);
  qad::trainer run(tiny, options, &teacher);
  qad::parameters master(run.master());
  for (const std::size_t steps : {3u, 24u}) {  // in the weights' stage, and in that of the levels
    train_tiny(run, steps);
    master = run.master();
    const qad::parameters& in_use = run.weights_in_use();
    for (const auto& e : teacher.entries()) {
      if (e.is_vector() || !e.name.starts_with("blk.")) continue;
      INFO(e.name);
      const er::any_matrix packed = form->packed(entry_of(master, e.name), master);
      CHECK(packed.fmt().name() == "table2_g128");
      const auto expected = in_use.view(e.name);
      std::vector<float> row(expected.cols);
      for (std::size_t r = 0; r < expected.rows; ++r) {
        er::look_up_row(packed, r, row);
        CHECK(std::ranges::equal(row, expected.row(r)));
      }
    }
  }
  // The upper two change places: codes stay, and so do the products.
  const auto numbers = master.view("blk.2.ffn_up.levels").row(0);
  std::swap(numbers[2], numbers[3]);
  const std::size_t i = entry_of(master, "blk.2.ffn_up.weight");
  qad::parameters out(master);
  form->apply(i, master, out, options.steps - 1);
  std::vector<float> row(tiny.hidden);
  er::look_up_row(form->packed(i, master), 0, row);
  CHECK(std::ranges::equal(row, out.view("blk.2.ffn_up.weight").row(0)));
  // A level that is no number is named before a pass.
  numbers[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(form->apply(i, master, out, 0),
                       "level at row 0, column 1 is NaN: expected finite values",
                       std::invalid_argument);
}

TEST_CASE("qad forms: options come back, and what contradicts a method is refused") {
  qad::run_options options;
  options.model = tiny;
  options.training = options_of(qad::method::onebit);
  options.training.output_norms = false;
  const qad::run_options back = qad::run_options_from_json(qad::to_json(options));
  CHECK(back.training.how == qad::method::onebit);
  CHECK(back.training.feature_form == qad::features_by::cosine);
  CHECK_FALSE(back.training.output_norms);
  CHECK(back.model == tiny);

  options.training.recipe = "w4_a8_kv8";
  CHECK_THROWS_WITH_AS(qad::require_valid(options),
                       "the method onebit has a form of its own, and no recipe",
                       std::invalid_argument);
  options.training = options_of(qad::method::zeroqat);
  options.training.logits_loss = "eakld";
  CHECK_THROWS_WITH_AS(qad::require_valid(options),
                       "the method zeroqat has no backward pass, and no gamma of a batch",
                       std::invalid_argument);
  options.training = options_of(qad::method::bwta);
  options.training.steps = 7;
  CHECK_THROWS_WITH_AS(qad::require_valid(options),
                       "the method bwta lowers the levels of inputs in 8 stages, and has 7 steps",
                       std::invalid_argument);
  options.training = options_of(qad::method::bwta);
  options.training.output_norms = false;
  CHECK_THROWS_WITH_AS(qad::require_valid(options),
                       "layer norms behind matrices are the method onebit's alone",
                       std::invalid_argument);
}
