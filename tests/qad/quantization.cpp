// SPDX-License-Identifier: Apache-2.0
/// What training computes with is what storage gives back, and gradients pass the rounding
/// unchanged.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "qad/adamw.hpp"
#include "qad/training_step.hpp"
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/policy/recipe.hpp>
#include <edgerazor/product/quantize_activations.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace {

namespace er = edgerazor;

/// Rows of several groups, the last one shorter.
const qad::shape small{.vocabulary = 30,
                       .hidden = 96,
                       .layers = 2,
                       .heads = 4,
                       .kv_heads = 2,
                       .head_size = 8,
                       .feed_forward = 136,
                       .context = 10};

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

TEST_CASE("qad quantization: weights are those a packed model has, bit for bit") {
  qad::parameters master(small), out(small);
  master.initialise(3);
  for (const std::string name :
       {"none", "w4_a8_kv8", "w2_79_a8_kv8", "w1_88_a8_kv8", "w1_58_a8_kv8"}) {
    INFO(name);
    const qad::weight_quantizer rule(small, name);
    rule.apply(master, out);
    const er::recipe how = *er::find_recipe(name, {.group = qad::group_columns});
    CHECK(rule.states().activation_group == (name == "none" ? 0 : qad::group_columns));
    CHECK(rule.states().cache == (name != "none"));
    for (const auto& e : master.entries()) {
      INFO(e.name);
      const std::string_view format = how.weight_format(e.name);
      if (format.empty()) {
        CHECK(same_bits(master.values().subspan(e.offset, e.size()),
                        out.values().subspan(e.offset, e.size())));
        continue;
      }
      const er::any_matrix packed =
          er::any_matrix::pack(*er::matrix_format::parse(format), std::as_const(master).view(e));
      std::vector<float> row(e.cols);
      bool same = true;
      for (std::size_t r = 0; r < e.rows; ++r) {
        er::look_up_row(packed, r, row);
        same = same && same_bits(row, out.view(e).row(r));
      }
      CHECK(same);
    }
  }
}

TEST_CASE("qad quantization: int3 and int2 have so many levels in a group") {
  qad::parameters master(small), out(small);
  master.initialise(4);
  for (const auto& [name, most] :
       {std::pair{"int3", std::size_t{7}}, std::pair{"int2", std::size_t{3}}}) {
    qad::weight_quantizer(small, name).apply(master, out);
    const auto group = out.view("blk.1.ffn_up.weight").row(5).first(qad::group_columns);
    std::vector<float> values(group.begin(), group.end());
    std::sort(values.begin(), values.end());
    CHECK(static_cast<std::size_t>(std::unique(values.begin(), values.end()) - values.begin()) ==
          most);
  }
}

TEST_CASE("qad quantization: a weight that is not finite is refused") {
  qad::parameters master(small), out(small);
  master.initialise(5);
  master.view("blk.0.attn_k.weight").row(1)[2] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(qad::weight_quantizer(small, "w1_88_a8_kv8").apply(master, out),
                  std::invalid_argument);
}

TEST_CASE(
    "qad quantization: the head's input is what the kernels quantize, and takes part in the "
    "gradient so") {
  qad::parameters weights(small), gradient(small);
  weights.initialise(6);
  qad::decoder model(small, 1, small.context);
  std::vector<std::int32_t> tokens(small.context);
  for (std::size_t t = 0; t < tokens.size(); ++t) tokens[t] = static_cast<std::int32_t>(t);
  model.forward(weights, tokens, {.activation_group = qad::group_columns, .cache = true});

  // Norm weights are 1 still.
  std::vector<float> input;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const auto x = model.hidden(small.layers).row(t);
    double squares = 0;
    for (const float v : x) squares += static_cast<double>(v) * static_cast<double>(v);
    const double factor = 1 / std::sqrt(squares / static_cast<double>(small.hidden) + 1e-5);
    for (const float v : x) input.push_back(static_cast<float>(static_cast<double>(v) * factor));
  }
  er::packed_activations room(small.hidden, qad::group_columns, tokens.size());
  const er::activation_view codes =
      er::quantize_activations({input.data(), tokens.size(), small.hidden}, room,
                               {.scales = er::activation_scales::of_groups});
  const auto quantized = [&](std::size_t t, std::size_t c) {
    return static_cast<double>(room.codes(t)[c]) *
           static_cast<double>(room.scales(t)[c / qad::group_columns]);
  };
  CHECK(codes.tokens == tokens.size());
  // The norm's last bit may differ, and with it a rare code: half a level, 1/127 of the largest of
  // about 3.
  const double level = 3.0 / 127;
  const auto head = weights.view("token_embd.weight");
  std::vector<float> logits(tokens.size() * small.vocabulary);
  const er::matrix_view<float> predictions{logits.data(), tokens.size(), small.vocabulary};
  model.head(weights).logits(model.head_input(), 0, predictions);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    for (std::size_t v = 0; v < small.vocabulary; ++v) {
      double sum = 0;
      for (std::size_t c = 0; c < small.hidden; ++c)
        sum += quantized(t, c) * static_cast<double>(head.row(v)[c]);
      CHECK(std::fabs(static_cast<double>(predictions.row(t)[v]) - sum) < 1e-5 + 0.04 * level);
    }
  }

  // A word that is no input has a gradient of the head alone: that of the logits times the
  // quantized input.
  const std::size_t word = small.vocabulary - 1, token = 4;
  std::vector<float> logits_gradient(tokens.size() * small.vocabulary);
  logits_gradient[token * small.vocabulary + word] = 2;
  std::vector<float> input_gradient(tokens.size() * small.hidden);
  const er::matrix_view<float> to_input{input_gradient.data(), tokens.size(), small.hidden};
  model.head(weights, &gradient)
      .backward({logits_gradient.data(), tokens.size(), small.vocabulary}, 0, model.head_input(),
                to_input);
  model.backward(weights, to_input, {}, gradient);
  std::size_t differing = 0;
  for (std::size_t c = 0; c < small.hidden; ++c) {
    const double g = static_cast<double>(gradient.view("token_embd.weight").row(word)[c]);
    if (std::fabs(g - 2 * quantized(token, c)) > 1e-5) ++differing;
  }
  CHECK(differing <= 1);
  CHECK(gradient.view("blk.0.attn_q.weight").row(0)[0] != 0);
}

TEST_CASE(
    "qad quantization: a step takes the gradient at the quantized weights and applies it to the "
    "float ones") {
  qad::parameters teacher(small);
  teacher.initialise(7);
  qad::training_options options;
  options.how = qad::method::qat;
  options.recipe = "w2_79_a8_kv8";
  options.sequences = 2;
  options.steps = 10;
  options.clip = 1e9;
  qad::trainer run(small, options, &teacher);
  std::vector<std::int32_t> windows(2 * (small.context + 1));
  for (std::size_t i = 0; i < windows.size(); ++i)
    windows[i] = static_cast<std::int32_t>(i * 7 % small.vocabulary);

  const qad::weight_quantizer rule(small, options.recipe);
  qad::parameters quantized(small), gradient(small), expected = teacher;
  rule.apply(teacher, quantized);
  CHECK_FALSE(same_bits(quantized.values(), teacher.values()));
  for (std::size_t s = 0; s < 2; ++s) {
    const std::size_t first = s * (small.context + 1);
    const auto tokens = std::span{windows}.subspan(first, small.context);
    const auto next = std::span{windows}.subspan(first + 1, small.context);
    const std::vector<std::int64_t> labels(next.begin(), next.end());
    qad::decoder model(small, 1, small.context);
    qad::matrix logits_gradient(small.context, small.vocabulary);
    const er::matrix_view<float> view{logits_gradient.data(), small.context, small.vocabulary};
    model.forward(quantized, tokens, rule.states());
    const er::token_batch batch{.labels = labels, .upstream = 0.5};
    qad::parameters part(small);
    const auto head = model.head(quantized, &part);
    head.logits(model.head_input(), 0, view);
    er::cross_entropy{}(er::matrix_view<const float>{view}, batch, view);
    std::vector<float> input_gradient(small.context * small.hidden);
    const er::matrix_view<float> to_input{input_gradient.data(), small.context, small.hidden};
    head.backward(view, 0, model.head_input(), to_input);
    model.backward(quantized, to_input, {}, part);
    for (std::size_t i = 0; i < part.values().size(); ++i) gradient.values()[i] += part.values()[i];
  }
  qad::adamw optimizer(small);
  optimizer.step(expected, gradient, 1, run.learning_rate(0), options.weight_decay, 1);
  run.step(windows);
  // Losses over whole rows and over pieces agree to a relative 1e-6, and a compiler may fuse the
  // optimizer's multiplications here and not there.
  double largest = 0, gradients_differ = 0, weights_differ = 0;
  for (std::size_t i = 0; i < gradient.values().size(); ++i) {
    const auto at = [i](std::span<const float> values) { return static_cast<double>(values[i]); };
    largest = std::max(largest, std::fabs(at(gradient.values())));
    float moment;
    std::memcpy(&moment, run.checkpoint().first_moments.data() + i * sizeof moment, sizeof moment);
    gradients_differ = std::max(gradients_differ, std::fabs(moment - 0.1 * at(gradient.values())));
    weights_differ =
        std::max(weights_differ, std::fabs(at(run.master().values()) - at(expected.values())));
  }
  CHECK(largest > 1e-3);
  CHECK(gradients_differ < 1e-6 * largest);
  CHECK(weights_differ < 1e-6);
  rule.apply(run.master(), quantized);
  CHECK(same_bits(run.weights_in_use().values(), quantized.values()));
}
