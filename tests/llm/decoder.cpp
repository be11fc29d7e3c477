// SPDX-License-Identifier: Apache-2.0
#include "llm/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>

namespace er = edgerazor;

namespace {

/// Random weights that the test can read: matrices of variance 4 / cols, norms around 1, biases for
/// every linear layer.
class known_weights final : public llm::weight_source {
 public:
  known_weights(unsigned seed, std::string format) : random_(seed), format_(std::move(format)) {}
  /// All that have `part` in their name stay float16; no biases.
  known_weights(unsigned seed, std::string format, std::string part)
      : random_(seed), format_(std::move(format)), part_(std::move(part)), biases_(false) {}

  [[nodiscard]] bool has(std::string_view name) const override {
    return (biases_ && name.ends_with(".bias")) || name == "rope_freqs.weight";
  }
  [[nodiscard]] er::any_matrix matrix(std::string_view name, std::size_t rows,
                                      std::size_t cols) override {
    std::vector<float>& values =
        fill(name, rows * cols, 0, 2 / std::sqrt(static_cast<float>(cols)));
    const er::matrix_view<const float> view{values.data(), rows, cols};
    if (format_ == "int4_g8+sparse") {
      const er::any_matrix base = er::any_matrix::pack(er::format::parse("int4_g8").value(), view);
      const er::sparse_matrix large =
          er::sparse_matrix::above(view, 3 / std::sqrt(static_cast<float>(cols)));
      return er::any_matrix::joined(er::sum_of{base, large});
    }
    const bool dense = !part_.empty() && name.find(part_) != std::string_view::npos;
    return er::any_matrix::pack(er::matrix_format::parse(dense ? "f16" : format_).value(), view);
  }
  [[nodiscard]] std::vector<float> vector(std::string_view name, std::size_t size) override {
    const bool bias = name.ends_with(".bias");
    return fill(name, size, bias ? 0.0f : 1.5f, bias ? 0.3f : 0.2f);
  }

  [[nodiscard]] const std::vector<float>& values(const std::string& name) const {
    return values_.at(name);
  }

 private:
  std::vector<float>& fill(std::string_view name, std::size_t size, float mean, float deviation) {
    std::vector<float>& values = values_[std::string{name}];
    std::normal_distribution<float> normal(mean, deviation);
    for (std::size_t i = 0; i < size; ++i) values.push_back(normal(random_));
    return values;
  }

  std::mt19937 random_;
  std::string format_, part_;
  bool biases_ = true;
  std::map<std::string, std::vector<float>> values_;
};

/// Heads that are no fraction of the hidden size, a head that turns in part, an untied head.
llm::geometry small_shape(llm::architecture arch) {
  llm::geometry shape;
  shape.arch = arch;
  shape.layers = 2;
  shape.hidden = 24;
  shape.feed_forward = 40;
  shape.heads = 6;
  shape.kv_heads = 2;
  shape.head_size = 8;
  shape.rope_size = 6;
  shape.vocabulary = 50;
  shape.context = 64;
  shape.tied_head = false;
  return shape;
}

using numbers = std::vector<double>;

numbers product(const known_weights& weights, const std::string& name, const numbers& x) {
  const std::vector<float>& w = weights.values(name + ".weight");
  numbers y(w.size() / x.size());
  for (std::size_t r = 0; r < y.size(); ++r) {
    for (std::size_t c = 0; c < x.size(); ++c)
      y[r] += static_cast<double>(w[r * x.size() + c]) * x[c];
    if (weights.has(name + ".bias") && name != "output") {
      y[r] += static_cast<double>(weights.values(name + ".bias")[r]);
    }
  }
  return y;
}

void normalise(numbers& x, std::size_t begin, std::size_t size, const std::vector<float>& weight,
               double epsilon) {
  double squares = 0;
  for (std::size_t i = 0; i < size; ++i) squares += x[begin + i] * x[begin + i];
  const double factor = 1 / std::sqrt(squares / static_cast<double>(size) + epsilon);
  for (std::size_t i = 0; i < size; ++i) x[begin + i] *= factor * static_cast<double>(weight[i]);
}

/// The equations of decoder.hpp in double, every position anew.
std::vector<numbers> reference_logits(const known_weights& weights, const llm::geometry& shape,
                                      const std::vector<llm::token_id>& tokens) {
  const double epsilon = static_cast<double>(shape.epsilon);
  std::vector<std::vector<numbers>> keys(shape.layers), values(shape.layers);
  std::vector<numbers> result;
  for (std::size_t position = 0; position < tokens.size(); ++position) {
    const auto token = static_cast<std::size_t>(tokens[position]);
    numbers x(shape.hidden);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = static_cast<double>(weights.values("token_embd.weight")[token * shape.hidden + i]);
    }
    for (std::size_t l = 0; l < shape.layers; ++l) {
      const std::string block = "blk." + std::to_string(l) + ".";
      numbers n = x;
      normalise(n, 0, n.size(), weights.values(block + "attn_norm.weight"), epsilon);
      numbers q = product(weights, block + "attn_q", n), k = product(weights, block + "attn_k", n);
      const auto place = [&](numbers& heads, const std::string& norm) {
        for (std::size_t at = 0; at < heads.size(); at += shape.head_size) {
          const bool qwen = shape.arch != llm::architecture::llama;
          if (shape.arch == llm::architecture::qwen3)
            normalise(heads, at, shape.head_size, weights.values(block + norm), epsilon);
          for (std::size_t i = 0; i < shape.rope_size / 2; ++i) {
            const std::size_t a = at + (qwen ? i : 2 * i),
                              b = qwen ? a + shape.rope_size / 2 : a + 1;
            const double exponent =
                -2.0 * static_cast<double>(i) / static_cast<double>(shape.rope_size);
            const double angle = static_cast<double>(position) *
                                 std::pow(shape.rope_base, exponent) / shape.rope_factor /
                                 static_cast<double>(weights.values("rope_freqs.weight")[i]);
            const double u = heads[a], v = heads[b];
            heads[a] = u * std::cos(angle) - v * std::sin(angle);
            heads[b] = u * std::sin(angle) + v * std::cos(angle);
          }
        }
      };
      place(q, "attn_q_norm.weight");
      place(k, "attn_k_norm.weight");
      keys[l].push_back(k);
      values[l].push_back(product(weights, block + "attn_v", n));
      numbers mixed(shape.query_size());
      for (std::size_t head = 0; head < shape.heads; ++head) {
        const std::size_t from = head / (shape.heads / shape.kv_heads) * shape.head_size;
        numbers p;
        double total = 0;
        for (const numbers& key : keys[l]) {
          double score = 0;
          for (std::size_t i = 0; i < shape.head_size; ++i)
            score += q[head * shape.head_size + i] * key[from + i];
          p.push_back(std::exp(score / std::sqrt(static_cast<double>(shape.head_size))));
          total += p.back();
        }
        for (std::size_t t = 0; t < p.size(); ++t) {
          for (std::size_t i = 0; i < shape.head_size; ++i) {
            mixed[head * shape.head_size + i] += p[t] / total * values[l][t][from + i];
          }
        }
      }
      const numbers attention = product(weights, block + "attn_output", mixed);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += attention[i];

      n = x;
      normalise(n, 0, n.size(), weights.values(block + "ffn_norm.weight"), epsilon);
      numbers gate = product(weights, block + "ffn_gate", n);
      const numbers up = product(weights, block + "ffn_up", n);
      for (std::size_t i = 0; i < gate.size(); ++i)
        gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      const numbers down = product(weights, block + "ffn_down", gate);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += down[i];
    }
    normalise(x, 0, x.size(), weights.values("output_norm.weight"), epsilon);
    result.push_back(product(weights, "output", x));
  }
  return result;
}

std::vector<llm::token_id> some_tokens(std::size_t count) {
  std::vector<llm::token_id> tokens;
  for (std::size_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<llm::token_id>((i * 31 + 7) % 50));
  return tokens;
}

/// The logits after every token, the sequence fed in pieces of `piece`.
std::vector<std::vector<float>> logits_in_pieces(const llm::model& model, std::size_t threads,
                                                 const std::vector<llm::token_id>& tokens,
                                                 std::size_t piece) {
  llm::thread_pool pool(threads);
  llm::decoder runs(model, pool, tokens.size());
  std::vector<std::vector<float>> result;
  for (std::size_t at = 0; at < tokens.size(); at += piece) {
    const std::size_t count = std::min(piece, tokens.size() - at);
    runs.forward(std::span{tokens}.subspan(at, count));
    const er::matrix_view<const float> logits = runs.logits(0, count);
    for (std::size_t t = 0; t < count; ++t)
      result.emplace_back(logits.row(t).begin(), logits.row(t).end());
  }
  return result;
}

}  // namespace

TEST_CASE("the forward pass is the architecture's equations") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  for (const auto arch :
       {llm::architecture::llama, llm::architecture::qwen2, llm::architecture::qwen3}) {
    known_weights weights(seed, "f32");
    llm::geometry shape = small_shape(arch);
    shape.rope_factor = arch == llm::architecture::qwen2 ? 1 : 2.5;
    const llm::model model = llm::build_model(shape, weights);
    const std::vector<llm::token_id> tokens = some_tokens(20);
    const std::vector<numbers> expected = reference_logits(weights, shape, tokens);
    const auto got = logits_in_pieces(model, 2, tokens, 7);
    double largest = 0, worst = 0;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      for (std::size_t i = 0; i < shape.vocabulary; ++i) {
        largest = std::max(largest, std::fabs(expected[t][i]));
        worst = std::max(worst, std::fabs(expected[t][i] - static_cast<double>(got[t][i])));
      }
    }
    // Each of 2 layers rounds sums of up to 48 products of numbers up to about 10, and softmax
    // turns an error e of a score into a relative error e of its weight; scores reach some 100. 100
    // * 48 * 2^-24 = 3e-4 of the largest logit; a wrong pair, norm or bias changes logits by their
    // own size.
    CHECK(worst < 3e-4 * largest);
  }
}

TEST_CASE("results depend neither on threads nor on how a sequence is cut") {
  for (const char* format : {"f32", "f16", "int4_g8", "ternary2_g8",
                             "int4_g8+ternary5_g8:every_2_rows", "int4z_g8", "int4_g8+sparse"}) {
    CAPTURE(format);
    known_weights weights(3, format);
    const llm::model model = llm::build_model(small_shape(llm::architecture::llama), weights);
    const std::vector<llm::token_id> tokens = some_tokens(40);
    const auto expected = logits_in_pieces(model, 1, tokens, 1);
    CHECK(logits_in_pieces(model, 1, tokens, 40) == expected);
    CHECK(logits_in_pieces(model, 3, tokens, 13) == expected);
    CHECK(logits_in_pieces(model, 4, tokens, 1) == expected);
  }
}

TEST_CASE("layer by layer is the same pass, and every input is shown") {
  for (const char* format : {"f16", "int4_g8"}) {
    CAPTURE(format);
    known_weights weights(7, format);
    const llm::geometry shape = small_shape(llm::architecture::qwen3);
    const llm::model model = llm::build_model(shape, weights);
    const std::vector<llm::token_id> tokens = some_tokens(20);
    const auto expected = logits_in_pieces(model, 1, tokens, 20);

    llm::thread_pool pool(2);
    llm::decoder runs(model, pool, tokens.size());
    std::map<llm::layer_input, std::size_t> shown, cols;
    runs.observe([&](llm::layer_input which, er::matrix_view<const float> in) {
      shown[which] += in.rows;
      cols[which] = in.cols;
    });
    std::vector<float> x(tokens.size() * shape.hidden);
    const er::matrix_view<float> stream{x.data(), tokens.size(), shape.hidden};
    runs.embed(tokens, stream);
    for (std::size_t layer = 0; layer < shape.layers; ++layer) {
      for (const er::row_range part : {er::row_range{0, 13}, er::row_range{13, 20}})
        runs.run_layer(layer, part.begin, stream.rows_between(part.begin, part.end));
    }
    const er::matrix_view<const float> logits = runs.head_logits(stream);
    for (std::size_t t = 0; t < tokens.size(); ++t)
      CHECK(std::equal(logits.row(t).begin(), logits.row(t).end(), expected[t].begin()));
    for (const auto& [which, count] : shown) CHECK(count == shape.layers * tokens.size());
    CHECK(cols ==
          std::map<llm::layer_input, std::size_t>{{llm::layer_input::attention, shape.hidden},
                                                  {llm::layer_input::output, shape.query_size()},
                                                  {llm::layer_input::ffn, shape.hidden},
                                                  {llm::layer_input::down, shape.feed_forward}});
    CHECK_THROWS_AS(runs.run_layer(0, 1, stream), std::invalid_argument);
  }
}

TEST_CASE("where an override leaves a matrix as it is, the others go on together") {
  llm::geometry shape = small_shape(llm::architecture::qwen3);
  shape.head_size = 132;  // two scales of 128 columns or less
  for (const char* part : {"nothing", "attn_k", "attn_q", "ffn_up", "ffn", "blk"}) {
    CAPTURE(part);
    known_weights weights(6, "ternary5_g8", part);
    const llm::model model = llm::build_model(shape, weights);
    CHECK(model.cache_group() == 128);
    CHECK(model.quantized_cache ==
          (std::string_view{part} != "blk"));  // attention has more weights than the rest
    const std::vector<llm::token_id> tokens = some_tokens(24);
    const auto expected = logits_in_pieces(model, 1, tokens, 1);
    CHECK(logits_in_pieces(model, 3, tokens, 24) == expected);
    CHECK(logits_in_pieces(model, 2, tokens, 2) == expected);
  }
}

TEST_CASE("a truncated sequence goes on as if the rest had never been") {
  known_weights weights(4, "int4_g8");
  const llm::model model = llm::build_model(small_shape(llm::architecture::qwen3), weights);
  CHECK(model.quantized_cache);
  llm::thread_pool pool(1);
  llm::decoder runs(model, pool, 10);
  const std::vector<llm::token_id> tokens = some_tokens(10);
  const std::span<const float> last = runs.next(tokens);
  const std::vector<float> expected(last.begin(), last.end());
  runs.truncate(4);
  CHECK(runs.size() == 4);
  const std::span<const float> again = runs.next(std::span{tokens}.subspan(4));
  CHECK(std::equal(again.begin(), again.end(), expected.begin(), expected.end()));
}

TEST_CASE("sequences side by side have the bits that each has alone") {
  const llm::geometry shape = small_shape(llm::architecture::qwen3);
  constexpr unsigned seed = 11;
  CAPTURE(seed);
  for (const char* const format : {"f16", "int4_g8", "ternary2_g8", "int4_g8+sparse"}) {
    CAPTURE(format);
    known_weights weights(seed, format);
    llm::model model = llm::build_model(shape, weights);
    for (const bool quantized : {false, true}) {
      model.quantized_cache = quantized;
      std::mt19937 random(seed);
      constexpr std::size_t count = 7, steps = 6;
      std::vector<std::vector<llm::token_id>> texts(count);
      for (std::size_t s = 0; s < count; ++s) {
        for (std::size_t t = 0; t < 1 + s + steps; ++t)
          texts[s].push_back(static_cast<llm::token_id>(random() % shape.vocabulary));
      }
      for (const std::size_t pool : {std::size_t{1}, std::size_t{3}}) {
        llm::thread_pool threads(pool);
        llm::decoder together(model, threads, 20, er::best_kernel(), count);
        CHECK(together.sequences() == count);
        for (std::size_t s = 0; s < count; ++s) {  // prompts of different sizes
          together.select(s);
          (void)together.next(std::span{texts[s]}.first(1 + s));
        }
        for (std::size_t step = 0; step < steps; ++step) {
          // All, or every second one, from the last to the first.
          std::vector<std::size_t> which;
          std::vector<llm::token_id> tokens;
          for (std::size_t s = count; s-- > 0;) {
            if (step % 2 == 1 && s % 2 == 1) continue;
            which.push_back(s);
            together.select(s);
            tokens.push_back(texts[s][together.size()]);
          }
          const auto logits = together.next_each(which, tokens);
          for (std::size_t row = 0; row < which.size(); ++row) {
            together.select(which[row]);
            llm::decoder alone(model, threads, 20);
            const auto expected = alone.next(std::span{texts[which[row]]}.first(together.size()));
            CHECK(std::ranges::equal(logits.row(row), expected));
          }
        }
      }
    }
  }
}

TEST_CASE("sequences that are none, full or there twice are refused, and the others go on") {
  const llm::geometry shape = small_shape(llm::architecture::llama);
  known_weights weights(3, "f16");
  const llm::model model = llm::build_model(shape, weights);
  llm::thread_pool threads(1);
  llm::decoder runs(model, threads, 2, er::best_kernel(), 3);
  using ids = std::vector<std::size_t>;
  using words = std::vector<llm::token_id>;
  CHECK_THROWS_AS((void)runs.next_each(ids{}, words{}), std::invalid_argument);
  CHECK_THROWS_AS((void)runs.next_each(ids{0}, words{1, 2}), std::invalid_argument);
  CHECK_THROWS_AS((void)runs.next_each(ids{3}, words{1}), std::invalid_argument);
  CHECK_THROWS_AS((void)runs.next_each(ids{1, 1}, words{1, 2}), std::invalid_argument);
  CHECK_THROWS_AS((void)runs.next_each(ids{0, 1}, words{1, 50}), std::invalid_argument);
  CHECK_THROWS_AS(runs.select(3), std::invalid_argument);
  CHECK_THROWS_AS(llm::decoder(model, threads, 2, er::best_kernel(), 0), std::invalid_argument);
  runs.select(1);
  (void)runs.next(words{1, 2});
  CHECK_THROWS_AS((void)runs.next_each(ids{0, 1}, words{1, 2}), std::invalid_argument);
  const auto logits = runs.next_each(ids{0, 2}, words{4, 5});
  llm::decoder alone(model, threads, 2);
  CHECK(std::ranges::equal(logits.row(1), alone.next(words{5})));
}

TEST_CASE("what can't be run is refused") {
  known_weights weights(5, "f32");
  const llm::model model = llm::build_model(small_shape(llm::architecture::llama), weights);
  llm::thread_pool pool(1);
  llm::decoder runs(model, pool, 3);
  CHECK_THROWS_AS(runs.next({}), std::invalid_argument);
  CHECK_THROWS_AS(runs.next(std::vector<llm::token_id>{50}), std::invalid_argument);
  CHECK_THROWS_AS(runs.next(std::vector<llm::token_id>{-1}), std::invalid_argument);
  CHECK_THROWS_AS(runs.next(std::vector<llm::token_id>{1, 2, 3, 4}), std::invalid_argument);
  CHECK_THROWS_AS(runs.logits(0, 1), std::invalid_argument);
  (void)runs.next(std::vector<llm::token_id>{1, 2, 3});
  CHECK_THROWS_AS(runs.next(std::vector<llm::token_id>{1}), std::invalid_argument);
}
