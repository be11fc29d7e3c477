// SPDX-License-Identifier: Apache-2.0
#include "qad/export.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "llm/decoder.hpp"
#include "llm/model.hpp"
#include "llm/quality.hpp"
#include "qad/byte_pair_training.hpp"
#include "qad/command_line.hpp"
#include "qad/evaluate.hpp"
#include "qad/quantization.hpp"
#include "small_run.hpp"
#include "small_teacher.hpp"
#include "support/system.hpp"
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

namespace {

const char* const recipes[] = {"w4_a8_kv8", "w2_79_a8_kv8", "w1_88_a8_kv8", "w1_58_a8_kv8"};

/// Heads of 32 elements as in the real model; predictions far from uniform.
qad::parameters some_weights(std::size_t vocabulary) {
  qad::parameters weights(qad::shape{.vocabulary = vocabulary,
                                     .hidden = 128,
                                     .layers = 2,
                                     .heads = 4,
                                     .kv_heads = 2,
                                     .head_size = 32,
                                     .feed_forward = 192,
                                     .context = 32});
  weights.initialise(3);
  for (float& v : weights.view("token_embd.weight").row(0)) v *= 2;
  for (const auto& e : weights.entries()) {
    const auto view = weights.view(e);
    for (std::size_t r = 0; r < view.rows; ++r) {
      for (std::size_t c = 0; c < view.cols; ++c) {
        if (e.is_vector()) view.row(r)[c] = 1.0f + 0.25f * static_cast<float>(c % 3);
        if (e.name == "token_embd.weight") view.row(r)[c] *= 12;
      }
    }
  }
  return weights;
}

qad::parameters under(const std::string& recipe, const qad::parameters& master) {
  qad::parameters out(master.shape());
  qad::weight_quantizer(master.shape(), recipe).apply(master, out);
  return out;
}

struct exported {
  explicit exported(const std::string& recipe)
      : words(qad::train_byte_pairs(small_text(4000), 300)),
        master(some_weights(words.tokens.size())) {
    bytes = qad::export_model(master, recipe, words, "small", folder / "m.gguf");
  }
  temporary_folder folder;
  llm::vocabulary words;
  qad::parameters master;
  std::size_t bytes = 0;
};

}  // namespace

TEST_CASE("exported matrices are those that training computed with, bit for bit") {
  for (const std::string recipe : recipes) {
    CAPTURE(recipe);
    const exported file(recipe);
    const er::gguf_reader reader = er::gguf_reader::open(file.folder / "m.gguf");
    const qad::parameters trained = under(recipe, file.master);
    std::size_t packed = 0;
    for (const auto& e : trained.entries()) {
      CAPTURE(e.name);
      const er::any_matrix m = er::load_matrix(reader, e.name);
      REQUIRE(m.rows() == e.rows);
      REQUIRE(m.cols() == e.cols);
      packed += m.is_dense() ? 0 : 1;
      std::vector<float> row(e.cols);
      std::size_t differ = 0;
      for (std::size_t r = 0; r < e.rows; ++r) {
        er::look_up_row(m, r, row);
        differ += std::ranges::equal(row, trained.view(e).row(r)) ? 0 : 1;
      }
      CHECK(differ == 0);
    }
    CHECK(packed == 1 + 7 * 2);
  }
}

TEST_CASE("llm computes what training computed") {
  std::vector<std::string> names{std::begin(recipes), std::end(recipes)};
  names.emplace_back("none");
  for (const std::string& recipe : names) {
    CAPTURE(recipe);
    const exported file(recipe);
    llm::thread_pool threads(1);
    const llm::model_file model_file(file.folder / "m.gguf");
    const llm::model model = model_file.load(er::recipe{}, threads);
    CHECK(model.quantized_cache == (recipe != "none"));
    const std::vector<llm::token_id> text =
        model_file.read_tokenizer().encode(small_text(2500), llm::tokenizer::markup::plain);
    const std::size_t length = 32;
    REQUIRE(text.size() >= length);

    const qad::parameters weights = under(recipe, file.master);
    const auto states = qad::weight_quantizer(weights.shape(), recipe).states();
    qad::decoder trained(weights.shape(), 1, length, qad::pass::inference);
    trained.forward(weights, std::span{text}.first(length), states);
    std::vector<float> logits(length * weights.shape().vocabulary);
    const er::matrix_view<float> expected_logits{logits.data(), length, weights.shape().vocabulary};
    trained.head(weights).logits(trained.head_input(), 0, expected_logits);
    llm::decoder runs(model, threads, length);
    runs.forward(std::span{text}.first(length));
    const auto ours = runs.logits(0, length);
    double squares = 0, differences = 0;
    for (std::size_t t = 0; t < length; ++t) {
      for (std::size_t i = 0; i < ours.cols; ++i) {
        const double a = static_cast<double>(ours.row(t)[i]),
                     b = static_cast<double>(expected_logits.row(t)[i]);
        squares += b * b;
        differences += (a - b) * (a - b);
      }
    }
    // float16 keeps 11 bits: relative errors of 2^-12 in every weight, which random signs let grow
    // slowly over 2 blocks. Where states are int8, sums in another order move some of them over a
    // rounding boundary, by one part in 127 of the largest of their group: a few such states, not
    // all of them.
    const double relative = std::sqrt(differences / squares);
    CAPTURE(relative);
    CHECK(relative < (recipe == "none" ? 1e-3 : 1e-2));

    // The perplexity that `llm compare` would print.
    const llm::quality measured = llm::measure_quality({&model, 1}, text, length, std::nullopt,
                                                       threads, er::best_kernel())[0];
    const qad::running_model running{&weights, states};
    const qad::quality expected = qad::evaluate(running, nullptr, text, length, 1);
    CHECK(measured.perplexity == doctest::Approx(expected.perplexity).epsilon(0.01));
  }
}

TEST_CASE("evaluation depends neither on threads nor on how windows fill a batch") {
  const exported file("w4_a8_kv8");
  const qad::parameters teacher = file.master, student = under("w1_58_a8_kv8", file.master);
  const llm::tokenizer tokens{llm::vocabulary(file.words)};
  const auto text = tokens.encode(small_text(3000), llm::tokenizer::markup::plain);
  const qad::running_model a{&student,
                             qad::weight_quantizer(student.shape(), "w1_58_a8_kv8").states()},
      b{&teacher, {}};
  const qad::quality one = qad::evaluate(a, &b, text, 32, 1),
                     two = qad::evaluate(a, &b, text, 32, 2);
  CHECK(one.perplexity == two.perplexity);
  CHECK(one.divergence == two.divergence);
  CHECK(one.divergence > 0);
  CHECK(qad::evaluate(b, &b, text, 32, 1).divergence == 0);
  // One more token is one more position; the windows before it are what they were.
  const std::size_t whole = 32 * 9;
  const auto sum = [&](std::size_t size) {
    return std::log(qad::evaluate(a, nullptr, std::span{text}.first(size), 32, 1).perplexity) *
           static_cast<double>(size - 1);
  };
  const double before = sum(whole), after = sum(whole + 1);
  CHECK(after > before);
  CHECK(after - before < 40);
  CHECK_THROWS_AS(qad::evaluate(a, nullptr, std::span{text}.first(1), 32, 1),
                  std::invalid_argument);
  CHECK_THROWS_AS(qad::evaluate(a, nullptr, text, 33, 1), std::invalid_argument);
}

TEST_CASE("storage is what the file takes") {
  for (const std::string recipe :
       {"w4_a8_kv8", "w2_79_a8_kv8", "w1_88_a8_kv8", "w1_58_a8_kv8", "none"}) {
    CAPTURE(recipe);
    const exported file(recipe);
    const er::gguf_reader reader = er::gguf_reader::open(file.folder / "m.gguf");
    std::size_t bytes = 0;
    for (const er::tensor_info& tensor : reader.tensors()) {
      if (tensor.type != er::ggml_type::f32) bytes += tensor.bytes.size();
    }
    CHECK(qad::storage_of(file.master.shape(), recipe).bytes() == bytes);
    CHECK(file.bytes > bytes);
  }
  const qad::shape s = some_weights(300).shape();
  CHECK(qad::storage_of(s, "int3").linear_bits() == doctest::Approx(3 + 16.0 / 64));
  CHECK(qad::storage_of(s, "int2").linear_bits() == doctest::Approx(2 + 16.0 / 64));
}

TEST_CASE("a student of a method with a form of its own names that, and no recipe") {
  const temporary_folder folder;
  const std::string teacher = (folder / "teacher.gguf").string(), text = (folder / "text").string(),
                    run = (folder / "run").string(), out = (folder / "out.gguf").string();
  write_small_teacher(teacher);
  const std::string words = small_text(6000);
  write_bytes(text, std::as_bytes(std::span{words}));
  REQUIRE(qad::run({"student", "--teacher", teacher, "--text", text, "--split-block", "200",
                    "--window", "16", "--steps", "3", "--split-every", "5", "--folder", run,
                    "--no-features", "--method", "zeroqat"})
              .code == 0);
  REQUIRE(qad::run({"export", run, "--output", out}).code == 0);
  CHECK(er::gguf_reader::open(out).get_string("edgerazor.recipe") == "zeroqat");
}

TEST_CASE("what can't be exported is refused") {
  const exported file("w4_a8_kv8");
  const auto output = file.folder / "other.gguf";
  CHECK_THROWS_AS(qad::export_model(file.master, "int3", file.words, "x", output),
                  std::invalid_argument);
  CHECK_THROWS_WITH_AS(qad::export_model(file.master, "w4_a8_kv8", file.words, "x", output, 6),
                       doctest::Contains("recipe: groups of 6 columns, expected a multiple of 4"),
                       std::invalid_argument);
  llm::vocabulary fewer = file.words;
  fewer.tokens.pop_back();
  CHECK_THROWS_AS(qad::export_model(file.master, "w4_a8_kv8", fewer, "x", output),
                  std::invalid_argument);
  CHECK(!std::filesystem::exists(output));
  CHECK(qad::recipe_name("w1_88") == "w1_88_a8_kv8");
  CHECK(qad::recipe_name("w1_88_a8_kv8") == "w1_88_a8_kv8");
  CHECK(qad::recipe_name("int3") == "int3");
  CHECK(qad::recipe_name("none") == "none");
  CHECK_THROWS_WITH_AS(qad::recipe_name("w3"), doctest::Contains("w2_79"), std::invalid_argument);
}
