// SPDX-License-Identifier: Apache-2.0
/// The decoder's backward pass against central differences of the whole model, in double and
/// unquantized.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "qad/decoder.hpp"

namespace {

using parameters = qad::basic_parameters<double>;
using decoder = qad::basic_decoder<double>;
using view = qad::er::matrix_view<const double>;

/// Sizes that no vector divides, three query heads for a key head, more than one of everything,
/// more tokens than a tile of a product has columns.
constexpr qad::shape odd{.vocabulary = 19,
                         .hidden = 11,
                         .layers = 2,
                         .heads = 6,
                         .kv_heads = 2,
                         .head_size = 6,
                         .feed_forward = 13,
                         .context = 21,
                         .rope_base = 100};
constexpr std::size_t sequences = 2, length = 19;

struct fixture {
  explicit fixture(std::uint64_t seed) : random(seed), weights(odd), model(odd, sequences, length) {
    weights.initialise(seed);
    std::uniform_real_distribution<double> around{0.5, 1.5};
    for (const auto& e : weights.entries()) {
      if (e.is_norm())
        std::generate_n(&weights.values()[e.offset], e.size(), [&] { return around(random); });
    }
    // An embedding of the size that training gives: the norm's derivative at a state of almost zero
    // is huge.
    for (double& v : weights.values().first(odd.vocabulary * odd.hidden)) v *= 30;
    for (auto& t : tokens) t = static_cast<std::int32_t>(random() % odd.vocabulary);
    fill(logits_factors, sequences * length * odd.vocabulary);
    for (auto& f : hidden_factors) fill(f, sequences * length * odd.hidden);
  }

  void fill(std::vector<double>& out, std::size_t size) {
    std::normal_distribution<double> normal;
    out.resize(size);
    for (double& v : out) v = normal(random);
  }

  /// Linear in logits and hidden states, so that its gradients are the factors; layer 1's has none.
  double loss() {
    model.forward(weights, tokens);
    double sum = 0;
    const auto logits = model.logits();
    for (std::size_t i = 0; i < logits_factors.size(); ++i)
      sum += logits_factors[i] * logits.data[i];
    for (const std::size_t layer : {std::size_t{0}, std::size_t{2}}) {
      const view states = model.hidden(layer);
      for (std::size_t i = 0; i < states.rows * states.cols; ++i)
        sum += hidden_factors[layer][i] * states.data[i];
    }
    return sum;
  }

  void backward(parameters& gradient) {
    loss();
    const std::size_t rows = sequences * length;
    const std::array hidden{view{hidden_factors[0].data(), rows, odd.hidden}, view{},
                            view{hidden_factors[2].data(), rows, odd.hidden}};
    model.backward(weights, {logits_factors.data(), rows, odd.vocabulary}, hidden, gradient);
  }

  std::mt19937_64 random;
  parameters weights;
  decoder model;
  std::array<std::int32_t, sequences * length> tokens{};
  std::vector<double> logits_factors;
  std::array<std::vector<double>, 3> hidden_factors;
};

}  // namespace

TEST_CASE("qad decoder: gradients of every weight are those of central differences") {
  const std::uint64_t seed = 20240611;
  INFO("seed " << seed);
  fixture f(seed);
  parameters gradient(odd);
  f.backward(gradient);

  // (f(w + h) - f(w - h)) / 2h errs by h^2 f''' / 6 and by rounding, 2^-53 |f| times some hundred
  // sums, over h. Four points cancel the first to h^4: with h = 1e-3 both are near 1e-11 of |f|.
  // Gradients are compared to the largest of their matrix.
  const double h = 1e-3;
  for (const auto& e : f.weights.entries()) {
    const auto exact = gradient.values().subspan(e.offset, e.size());
    double largest = 0, worst = 0;
    for (std::size_t i = 0; i < e.size(); ++i) {
      double& w = f.weights.values()[e.offset + i];
      const double kept = w;
      const auto at = [&](double step) {
        w = kept + step;
        return f.loss();
      };
      const double difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      w = kept;
      largest = std::max(largest, std::fabs(difference));
      worst = std::max(worst, std::fabs(difference - exact[i]));
    }
    INFO(e.name);
    CHECK(largest > 1e-3);
    CHECK(worst < 1e-6 * largest);
  }
}

TEST_CASE("qad decoder: gradients are added to what is there") {
  fixture f(7);
  parameters once(odd), twice(odd);
  f.backward(once);
  f.backward(twice);
  f.backward(twice);
  double largest = 0;
  for (const double g : once.values()) largest = std::max(largest, std::fabs(g));
  for (std::size_t i = 0; i < once.values().size(); ++i) {
    CHECK(std::fabs(twice.values()[i] - 2 * once.values()[i]) <= 1e-13 * largest);
  }
}

TEST_CASE("qad decoder: a token sees none after it, and no other sequence") {
  fixture f(8);
  f.loss();
  const auto logits = f.model.logits();
  const std::vector<double> before(logits.data, logits.data + logits.rows * logits.cols);
  const std::size_t changed = 4;
  f.tokens[changed] = (f.tokens[changed] + 1) % static_cast<std::int32_t>(odd.vocabulary);
  f.loss();
  for (std::size_t t = 0; t < sequences * length; ++t) {
    const bool same =
        std::equal(logits.row(t).begin(), logits.row(t).end(), &before[t * odd.vocabulary]);
    CHECK(same == (t < changed || t >= length));
  }
}

TEST_CASE("qad decoder: a decoder for inference computes the same") {
  fixture f(9);
  decoder light(odd, sequences, length, qad::pass::inference);
  f.loss();
  light.forward(f.weights, f.tokens);
  const auto a = f.model.logits(), b = light.logits();
  CHECK(std::equal(a.data, a.data + a.rows * a.cols, b.data));
  for (std::size_t i = 0; i <= odd.layers; ++i) {
    CHECK(std::equal(f.model.hidden(i).data, f.model.hidden(i).data + a.rows * odd.hidden,
                     light.hidden(i).data));
  }
}

TEST_CASE("qad decoder: bad input is named") {
  fixture f(10);
  parameters gradient(odd);
  CHECK_THROWS_AS(decoder(odd, 1, odd.context + 1), std::invalid_argument);
  CHECK_THROWS_AS(decoder(odd, 0, 4), std::invalid_argument);
  CHECK_THROWS_AS(f.model.forward(f.weights, std::span{f.tokens}.first(3)), std::invalid_argument);
  f.tokens[3] = static_cast<std::int32_t>(odd.vocabulary);
  CHECK_THROWS_AS(f.model.forward(f.weights, f.tokens), std::invalid_argument);
  CHECK_THROWS_AS(f.model.backward(f.weights, view{nullptr, 3, 3}, {}, gradient),
                  std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(f.model.hidden(odd.layers + 1)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(f.weights.find("blk.2.attn_q.weight")), std::invalid_argument);
}
