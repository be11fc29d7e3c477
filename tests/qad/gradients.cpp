// SPDX-License-Identifier: Apache-2.0
/// The decoder's backward pass against central differences of the whole model, in double and
/// unquantized.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "qad/decoder.hpp"

namespace {

using parameters = qad::basic_parameters<double>;
using decoder = qad::basic_decoder<double>;
using view = qad::er::matrix_view<const double>;

/// Sizes that no vector divides, three query heads for a key head, more than one of everything,
/// more tokens than a tile of a product has columns.
const qad::shape odd{.vocabulary = 19,
                     .hidden = 11,
                     .layers = 2,
                     .heads = 6,
                     .kv_heads = 2,
                     .head_size = 6,
                     .feed_forward = 13,
                     .context = 21,
                     .rope_base = 100};
constexpr std::size_t sequences = 2, length = 19;

/// Every architecture, with the head and the turns that its small models have, and others.
std::vector<std::pair<const char*, qad::shape>> all_shapes() {
  std::vector<std::pair<const char*, qad::shape>> shapes{{"llama", odd}};
  qad::shape s = odd;
  s.rope_size = 4;
  s.rope_factor = 2;
  s.rope_divisors = true;
  s.tied_head = false;
  shapes.emplace_back("llama, part of a head turns, positions scaled, its own head", s);
  s = odd;
  s.arch = llm::architecture::qwen2;
  s.biases = true;
  shapes.emplace_back("qwen2", s);
  s.output_norms = true;
  shapes.emplace_back("qwen2, layer norms behind matrices", s);
  s.output_norms = false;
  s.biases = false;
  s.arch = llm::architecture::qwen3;
  s.norm_epsilon = 1e-2f;
  s.tied_head = false;
  s.head_size = 8;
  shapes.emplace_back("qwen3, its own head", s);
  return shapes;
}

struct fixture {
  explicit fixture(std::uint64_t seed, const qad::shape& s = odd,
                   qad::pass use = qad::pass::training)
      : size(s), random(seed), weights(s), model(s, sequences, length, use) {
    weights.initialise(seed);
    std::uniform_real_distribution<double> around{0.5, 1.5};
    for (const auto& e : weights.entries()) {
      if (e.is_vector())
        std::generate_n(&weights.values()[e.offset], e.size(), [&] { return around(random); });
    }
    // An embedding of the size that training gives: the norm's derivative at a state of almost zero
    // is huge.
    for (double& v : weights.values().first(s.vocabulary * s.hidden)) v *= 30;
    for (auto& t : tokens) t = static_cast<std::int32_t>(random() % s.vocabulary);
    fill(logits_factors, sequences * length * s.vocabulary);
    for (auto& f : hidden_factors) fill(f, sequences * length * s.hidden);
    logits.resize(logits_factors.size());
  }

  void fill(std::vector<double>& out, std::size_t count) {
    std::normal_distribution<double> normal;
    out.resize(count);
    for (double& v : out) v = normal(random);
  }

  [[nodiscard]] qad::er::matrix_view<double> logits_view() {
    return {logits.data(), sequences * length, size.vocabulary};
  }

  /// Linear in logits and hidden states, so that its gradients are the factors; layer 1's has none.
  double loss() {
    model.forward(weights, tokens, {}, positions);
    model.head(weights).logits(model.head_input(), 0, logits_view());
    double sum = 0;
    for (std::size_t i = 0; i < logits_factors.size(); ++i) sum += logits_factors[i] * logits[i];
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
    const std::array hidden{view{hidden_factors[0].data(), rows, size.hidden}, view{},
                            view{hidden_factors[2].data(), rows, size.hidden}};
    std::vector<double> input_gradient(rows * size.hidden);
    // In two pieces of the vocabulary, as losses ask for it.
    const std::size_t cut = 7;
    for (const auto& [first, count] :
         {std::pair{std::size_t{0}, cut}, std::pair{cut, size.vocabulary - cut}}) {
      model.head(weights, &gradient)
          .backward({logits_factors.data() + first, rows, count, size.vocabulary}, first,
                    model.head_input(), {input_gradient.data(), rows, size.hidden});
    }
    model.backward(weights, {input_gradient.data(), rows, size.hidden}, hidden, gradient);
  }

  qad::shape size;
  std::mt19937_64 random;
  parameters weights;
  decoder model;
  std::array<std::int32_t, sequences * length> tokens{};
  std::vector<std::uint32_t> positions;  ///< empty: each sequence is one text
  std::vector<double> logits_factors, logits;
  std::array<std::vector<double>, 3> hidden_factors;
};

}  // namespace

TEST_CASE("qad decoder: gradients of every weight are those of central differences") {
  const std::uint64_t seed = 20240611;
  INFO("seed " << seed);
  for (const auto& one : all_shapes()) {
    INFO(std::string{one.first});
    const qad::shape& size = one.second;
    fixture f(seed, size);
    parameters gradient(size);
    f.backward(gradient);

    // (f(w + h) - f(w - h)) / 2h errs by h^2 f''' / 6 and by rounding, 2^-53 |f| times some hundred
    // sums, over h. Four points cancel the first to h^4: with h = 1e-3 both are near 1e-11 of |f|.
    // Gradients are compared to the largest of their matrix, of whose elements every third is
    // taken: no row has a multiple of three.
    const double h = 1e-3;
    for (const auto& e : f.weights.entries()) {
      INFO(e.name);
      const auto exact = gradient.values().subspan(e.offset, e.size());
      if (e.name == "rope_freqs.weight") {  // never trained
        CHECK(std::ranges::count(exact, 0.0) == static_cast<std::ptrdiff_t>(e.size()));
        continue;
      }
      double largest = 0, worst = 0;
      for (std::size_t i = 0; i < e.size(); i += e.is_vector() ? 1 : 3) {
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
      CHECK(largest > 1e-3);
      CHECK(worst < 1e-6 * largest);
    }
  }
}

TEST_CASE("qad decoder: states that are computed again give the same gradients, to the bit") {
  for (const auto& one : all_shapes()) {
    INFO(std::string{one.first});
    fixture kept(11, one.second), again(11, one.second, qad::pass::recomputed);
    parameters first(one.second), second(one.second);
    kept.backward(first);
    again.backward(second);
    for (const auto& e : first.entries()) {
      INFO(e.name);
      CHECK(std::ranges::equal(first.values().subspan(e.offset, e.size()),
                               second.values().subspan(e.offset, e.size())));
    }
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
  const std::vector<double> before = f.logits;
  const auto logits = f.logits_view();
  const std::size_t changed = 4;
  f.tokens[changed] = (f.tokens[changed] + 1) % static_cast<std::int32_t>(odd.vocabulary);
  f.loss();
  for (std::size_t t = 0; t < sequences * length; ++t) {
    const bool same =
        std::equal(logits.row(t).begin(), logits.row(t).end(), &before[t * odd.vocabulary]);
    CHECK(same == (t < changed || t >= length));
  }
}

TEST_CASE("qad decoder: texts of one sequence have the numbers of texts on their own") {
  const std::uint64_t seed = 20261127;
  INFO("seed " << seed);
  // First and number of tokens of the texts: two and three in a sequence.
  constexpr std::array<std::pair<std::size_t, std::size_t>, 5> texts{
      {{0, 7}, {7, 12}, {length, 1}, {length + 1, 5}, {length + 6, 13}}};
  for (const qad::pass use : {qad::pass::training, qad::pass::recomputed}) {
    for (const auto& one : all_shapes()) {
      INFO(std::string{one.first});
      const qad::shape& size = one.second;
      fixture packed(seed, size, use);
      for (const auto& text : texts) {
        for (std::size_t t = 0; t < text.second; ++t)
          packed.positions.push_back(static_cast<std::uint32_t>(t));
      }
      parameters together(size), apart(size);
      packed.backward(together);
      for (const auto& text : texts) {
        const std::size_t first = text.first, rows = text.second;
        decoder alone(size, 1, rows, use);
        alone.forward(packed.weights, std::span{packed.tokens}.subspan(first, rows));
        const view states = alone.head_input();
        const double* const same = packed.model.head_input().data + first * size.hidden;
        double worst = 0;
        for (std::size_t i = 0; i < rows * size.hidden; ++i)
          worst = std::max(worst, std::fabs(states.data[i] - same[i]));
        CHECK(worst < 1e-12);  // sums of some hundred numbers near 1, in another order
        const auto part = [&](std::size_t layer) {
          return view{packed.hidden_factors[layer].data() + first * size.hidden, rows, size.hidden};
        };
        const std::array hidden{part(0), view{}, part(2)};
        std::vector<double> input_gradient(rows * size.hidden);
        alone.head(packed.weights, &apart)
            .backward(
                {packed.logits_factors.data() + first * size.vocabulary, rows, size.vocabulary}, 0,
                states, {input_gradient.data(), rows, size.hidden});
        alone.backward(packed.weights, {input_gradient.data(), rows, size.hidden}, hidden, apart);
      }
      double largest = 0, worst = 0;
      for (std::size_t i = 0; i < apart.values().size(); ++i) {
        largest = std::max(largest, std::fabs(apart.values()[i]));
        worst = std::max(worst, std::fabs(apart.values()[i] - together.values()[i]));
      }
      CHECK(worst < 1e-12 * largest);
    }
  }
}

TEST_CASE("qad decoder: a decoder for inference computes the same") {
  fixture f(9);
  decoder light(odd, sequences, length, qad::pass::inference);
  f.loss();
  light.forward(f.weights, f.tokens);
  const auto a = f.model.head_input(), b = light.head_input();
  CHECK(std::equal(a.data, a.data + a.rows * a.cols, b.data));
  for (std::size_t i = 0; i <= odd.layers; ++i) {
    CHECK(std::equal(f.model.hidden(i).data, f.model.hidden(i).data + a.rows * a.cols,
                     light.hidden(i).data));
  }
}

TEST_CASE("qad decoder: bad input is named") {
  fixture f(10);
  parameters gradient(odd);
  CHECK_THROWS_AS(decoder(odd, 1, odd.context + 1), std::invalid_argument);
  CHECK_THROWS_AS(decoder(odd, 0, 4), std::invalid_argument);
  CHECK_THROWS_AS(f.model.forward(f.weights, std::span{f.tokens}.first(3)), std::invalid_argument);
  const auto refuses = [&](std::size_t at, std::uint32_t position) {
    std::vector<std::uint32_t> positions;
    for (std::size_t t = 0; t < sequences * length; ++t)
      positions.push_back(static_cast<std::uint32_t>(t % length));
    positions[at] = position;
    CHECK_THROWS_WITH_AS(f.model.forward(f.weights, f.tokens, {}, positions),
                         doctest::Contains("position"), std::invalid_argument);
  };
  refuses(length, length);  // a sequence begins with the end of the one before it
  refuses(4, 3);
  refuses(length - 1, length);
  f.positions.assign(3, 0);
  CHECK_THROWS_AS(f.loss(), std::invalid_argument);
  f.tokens[3] = static_cast<std::int32_t>(odd.vocabulary);
  CHECK_THROWS_AS(f.model.forward(f.weights, f.tokens), std::invalid_argument);
  CHECK_THROWS_AS(f.model.backward(f.weights, view{nullptr, 3, 3}, {}, gradient),
                  std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(f.model.hidden(odd.layers + 1)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(f.weights.find("blk.2.attn_q.weight")), std::invalid_argument);
}
