// SPDX-License-Identifier: Apache-2.0
/// Models that exist: what this trainer makes of them is what examples/llm makes of them.
#include "qad/stored_weights.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "llm/decoder.hpp"
#include "llm/model.hpp"
#include "qad/byte_pair_training.hpp"
#include "qad/export.hpp"
#include "qad/training_step.hpp"
#include "small_run.hpp"
#include <edgerazor/core/float16.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

namespace {

/// One shape of each architecture, with what its published models have.
std::vector<std::pair<std::string, qad::shape>> all_shapes(std::size_t vocabulary) {
  const qad::shape llama{.vocabulary = vocabulary,
                         .hidden = 96,
                         .layers = 2,
                         .heads = 3,
                         .kv_heads = 1,
                         .head_size = 32,
                         .feed_forward = 160,
                         .context = 64,
                         .rope_base = 1000};
  qad::shape scaled = llama, qwen2 = llama, qwen3 = llama;
  scaled.rope_size = 16;
  scaled.rope_factor = 4;
  scaled.rope_divisors = true;
  scaled.tied_head = false;
  qwen2.arch = llm::architecture::qwen2;
  qwen2.biases = true;
  qwen3.arch = llm::architecture::qwen3;
  qwen3.heads = 4;
  qwen3.kv_heads = 2;  // more query columns than the model is wide
  qwen3.norm_epsilon = 1e-6f;
  return {{"llama", llama}, {"llama, turns scaled", scaled}, {"qwen2", qwen2}, {"qwen3", qwen3}};
}

/// Predictions far from uniform, norms and biases that count.
qad::parameters some_weights(const qad::shape& s) {
  qad::parameters weights(s);
  weights.initialise(5);
  for (const auto& e : weights.entries()) {
    const auto values = weights.values().subspan(e.offset, e.size());
    for (std::size_t i = 0; i < e.size(); ++i) {
      if (e.is_vector()) values[i] += 0.25f * static_cast<float>(i % 3);
      if (e.name == "token_embd.weight") values[i] *= 12;
    }
  }
  return weights;
}

const llm::vocabulary& words() {
  static const llm::vocabulary made = qad::train_byte_pairs(small_text(4000), 300);
  return made;
}

struct written {
  written(const qad::shape& s, const std::string& recipe) : master(some_weights(s)) {
    qad::export_model(master, recipe, words(), "small", folder / "m.gguf");
  }
  [[nodiscard]] std::shared_ptr<const llm::checkpoint> open() const {
    return llm::checkpoint::open(folder / "m.gguf");
  }
  temporary_folder folder;
  qad::parameters master;
};

std::vector<std::int32_t> some_tokens(std::size_t count, std::size_t vocabulary) {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>(i * i * 7 % vocabulary));
  return tokens;
}

}  // namespace

TEST_CASE("a model's file gives its shape and its weights, a block at a time") {
  for (const auto& one : all_shapes(words().tokens.size())) {
    INFO(one.first);
    const written file(one.second, "none");
    const qad::stored_weights stored(file.open());
    qad::shape expected = one.second;
    expected.rope_size = 2 * expected.rope_pairs();
    CHECK(stored.shape() == expected);
    const qad::parameters read(stored);
    std::size_t differ = 0;
    for (const auto& e : read.entries()) {
      for (std::size_t i = e.offset; i < e.offset + e.size(); ++i) {
        const float master = file.master.values()[i];
        const float kept = e.is_vector() ? master : static_cast<float>(er::float16{master});
        differ += read.values()[i] == kept ? 0 : 1;
      }
    }
    CHECK(differ == 0);
  }
}

TEST_CASE("a model computes in this trainer what it computes in llm") {
  for (const auto& one : all_shapes(words().tokens.size())) {
    INFO(one.first);
    const written file(one.second, "none");
    const std::size_t length = 40, vocabulary = one.second.vocabulary;
    const std::vector<std::int32_t> tokens = some_tokens(length, vocabulary);

    const qad::stored_weights stored(file.open());
    qad::decoder ours(stored.shape(), 1, length, qad::pass::inference);
    ours.forward(stored, tokens);
    std::vector<float> room(length * vocabulary);
    const er::matrix_view<float> logits{room.data(), length, vocabulary};
    ours.head(stored).logits(ours.head_input(), 0, logits);

    llm::thread_pool threads(1);
    const llm::model_file model_file(file.folder / "m.gguf");
    const llm::model model = model_file.load(er::recipe{}, threads);
    llm::decoder runs(model, threads, length);
    runs.forward(tokens);
    const er::matrix_view<const float> theirs = runs.logits(0, length);
    double squares = 0, differences = 0;
    for (std::size_t t = 0; t < length; ++t) {
      for (std::size_t v = 0; v < vocabulary; ++v) {
        const double a = static_cast<double>(theirs.row(t)[v]),
                     b = static_cast<double>(logits.row(t)[v]);
        squares += b * b;
        differences += (a - b) * (a - b);
      }
    }
    // The same float16 weights in float sums of other orders: those of 160 terms err by about
    // sqrt(160) 2^-24 = 8e-7, and there are 15 products and norms in a row. Were all to add up:
    // 1e-5.
    const double relative = std::sqrt(differences / squares);
    CAPTURE(relative);
    CHECK(relative < 1e-5);
    CHECK(squares > 0);
  }
}

TEST_CASE("every architecture's student is exported with the codes that were trained") {
  for (const auto& one : all_shapes(words().tokens.size())) {
    for (const std::string recipe : {"w4_a8_kv8", "w1_88_a8_kv8"}) {
      INFO(one.first << ", " << recipe);
      const written file(one.second, recipe);
      const er::gguf_reader reader = er::gguf_reader::open(file.folder / "m.gguf");
      qad::parameters trained(one.second);
      qad::weight_quantizer(one.second, recipe).apply(file.master, trained);
      std::size_t differ = 0, packed = 0;
      for (const auto& e : trained.entries()) {
        if (e.is_vector()) continue;
        const er::any_matrix m = er::load_matrix(reader, e.name);
        packed += m.is_dense() ? 0 : 1;
        std::vector<float> row(e.cols);
        for (std::size_t r = 0; r < e.rows; ++r) {
          er::look_up_row(m, r, row);
          differ += std::ranges::equal(row, trained.view(e).row(r)) ? 0 : 1;
        }
      }
      CHECK(differ == 0);
      CHECK(packed == (one.second.tied_head ? 1 : 2) + 7 * 2);
      llm::thread_pool threads(1);
      CHECK(llm::model_file(file.folder / "m.gguf").load(er::recipe{}, threads).quantized_cache);
    }
  }
}

TEST_CASE("students do not know whether their teacher is mapped, nor whether states are kept") {
  for (const auto& one : all_shapes(words().tokens.size())) {
    INFO(one.first);
    const written file(one.second, "none");
    const qad::stored_weights stored(file.open());
    const qad::parameters copied(stored);
    qad::training_options options;
    options.how = qad::method::qad;
    options.recipe = "w4_a8_kv8";
    options.sequences = 2;
    options.window = 16;
    options.steps = 10;
    options.learning_rate = 1e-3;
    const auto train = [&](const qad::weight_pages<float>& teacher, bool recompute) {
      qad::training_options o = options;
      o.recompute = recompute;
      o.threads = recompute ? 2 : 1;
      qad::trainer run(stored.shape(), o, &teacher);
      for (std::size_t i = 0; i < 3; ++i) run.step(some_tokens(2 * 17, one.second.vocabulary));
      const auto values = run.master().values();
      return std::vector<float>(values.begin(), values.end());
    };
    const std::vector<float> kept = train(copied, false);
    CHECK(kept == train(stored, false));
    CHECK(kept == train(stored, true));
    CHECK(!std::ranges::equal(kept, copied.values()));
  }
}

TEST_CASE("a model with weights that would not be trained is refused by name") {
  const temporary_folder folder;
  const auto shapes = all_shapes(words().tokens.size());
  const written file(shapes[0].second, "none");
  const er::gguf_reader reader = er::gguf_reader::open(file.folder / "m.gguf");
  er::gguf_writer writer;
  writer.copy_metadata(reader, {});
  for (const er::tensor_info& tensor : reader.tensors()) {
    const std::vector<std::size_t> dims =
        tensor.rows() == 1 ? std::vector<std::size_t>{tensor.cols()}
                           : std::vector<std::size_t>{tensor.cols(), tensor.rows()};
    writer.add_tensor(tensor.name, tensor.type, dims, tensor.bytes);
  }
  const std::vector<float> bias(shapes[0].second.feed_forward);
  writer.add_tensor("blk.1.ffn_up.bias", er::ggml_type::f32, {bias.size()},
                    std::as_bytes(std::span{bias}));
  writer.write(folder / "biased.gguf");
  CHECK_THROWS_WITH_AS(qad::stored_weights(llm::checkpoint::open(folder / "biased.gguf")),
                       doctest::Contains("blk.1.ffn_up.bias"), er::io_error);
}
