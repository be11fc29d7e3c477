// SPDX-License-Identifier: Apache-2.0
#include "qad/checkpoint.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "small_run.hpp"
#include <edgerazor/core/contract.hpp>

namespace {

qad::checkpoint some_state(qad::moment_type moments = qad::moment_type::float32) {
  qad::checkpoint state;
  state.step = 1234567890123;
  state.options = "{\"steps\": 3}";
  state.words.tokens = {"a", "b", "ab", "<|endoftext|>"};
  state.words.merges = {"a b"};
  state.words.types = {1, 1, 1, 3};
  state.words.eos = 3;
  state.weights = {1.5f, -0.0f, 1e-40f, 3e38f, 0.1f};
  state.moments = moments;
  for (std::size_t i = 0; i < state.weights.size() * qad::form_of(moments).bytes; ++i) {
    state.first_moments.push_back(static_cast<std::byte>(i + 1));
    state.second_moments.push_back(static_cast<std::byte>(50 - i));
  }
  return state;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(std::as_bytes(std::span{a}), std::as_bytes(std::span{b}));
}

bool same(const qad::checkpoint& a, const qad::checkpoint& b) {
  return a.step == b.step && a.options == b.options && a.words.tokens == b.words.tokens &&
         a.words.merges == b.words.merges && a.words.types == b.words.types &&
         a.words.eos == b.words.eos && same_bits(a.weights, b.weights) && a.moments == b.moments &&
         a.first_moments == b.first_moments && a.second_moments == b.second_moments;
}

}  // namespace

TEST_CASE("a checkpoint is read as it was written, and replaces an older one") {
  const temporary_folder folder;
  qad::checkpoint state = some_state(qad::moment_type::bfloat16);
  qad::write_checkpoint(folder / "c", state.view());
  CHECK(same(qad::read_checkpoint(folder / "c"), state));
  state = some_state();
  qad::write_checkpoint(folder / "c", state.view());
  CHECK(same(qad::read_checkpoint(folder / "c"), state));
  state.step = 2;
  state.first_moments.clear();
  state.second_moments.clear();
  qad::write_checkpoint(folder / "c", state.view());
  CHECK(same(qad::read_checkpoint(folder / "c"), state));
  CHECK(folder.files() == 1);
}

TEST_CASE("a checkpoint of which any bit has changed is refused, or is what it was") {
  const temporary_folder folder;
  const qad::checkpoint state = some_state();
  qad::write_checkpoint(folder / "c", state.view());
  const std::vector<std::byte> good = read_bytes(folder / "c");
  std::size_t refused = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const unsigned bit : {0u, 3u, 7u}) {
      CAPTURE(at);
      CAPTURE(bit);
      std::vector<std::byte> bad = good;
      bad[at] ^= static_cast<std::byte>(1u << bit);
      write_bytes(folder / "bad", bad);
      try {
        const qad::checkpoint read = qad::read_checkpoint(folder / "bad");
        CHECK(same(read, state));  // the bit is padding
      } catch (const edgerazor::io_error&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 3 * good.size() / 2);
}

TEST_CASE("files that are no checkpoint, or half of one, are refused in a sentence") {
  const temporary_folder folder;
  qad::write_checkpoint(folder / "c", some_state().view());
  const std::vector<std::byte> good = read_bytes(folder / "c");
  for (std::size_t size = 0; size + 32 < good.size(); size += 7) {
    CAPTURE(size);
    write_bytes(folder / "cut", std::span{good}.first(size));
    CHECK_THROWS_AS(qad::read_checkpoint(folder / "cut"), edgerazor::io_error);
  }
  CHECK_THROWS_AS(qad::read_checkpoint(folder / "missing"), edgerazor::io_error);
  edgerazor::gguf_writer model;
  model.set_string("general.architecture", "llama");
  model.write(folder / "model");
  CHECK_THROWS_WITH_AS(qad::read_checkpoint(folder / "model"), doctest::Contains("it is a model"),
                       edgerazor::io_error);
}

TEST_CASE(
    "fingerprints tell texts apart that differ in a byte, a zero at the end, or their order") {
  CHECK(qad::fingerprint("abc") != qad::fingerprint("abd"));
  CHECK(qad::fingerprint("abc") != qad::fingerprint(std::string_view{"abc\0", 4}));
  CHECK(qad::fingerprint("12345678abcdefgh") != qad::fingerprint("abcdefgh12345678"));
  CHECK(qad::fingerprint("") == qad::fingerprint(std::string_view{}));
}

TEST_CASE("a folder keeps to its options") {
  const temporary_folder folder;
  qad::run_options options = small_options();
  const qad::corpus text = small_corpus(options);
  const auto first = qad::perform_run(options, text, nullptr, folder / "run", true);
  const auto again = qad::perform_run(options, text, nullptr, folder / "run", true);
  CHECK(first.measured.perplexity == again.measured.perplexity);
  options.training.threads = 2;
  options.checkpoint_every = 3;
  CHECK_NOTHROW(qad::perform_run(options, text, nullptr, folder / "run", true));
  options.training.learning_rate *= 2;
  CHECK_THROWS_WITH_AS(qad::perform_run(options, text, nullptr, folder / "run", true),
                       doctest::Contains("learning_rate"), std::invalid_argument);
  const qad::trained_model model = qad::load_run(folder / "run");
  CHECK(model.words.tokens == text.tokenizer.data().tokens);
  CHECK(model.options.model == options.model);
}

TEST_CASE("a run keeps the weights that were best") {
  const temporary_folder folder;
  qad::run_options options = small_options();
  options.evaluate_every = 8;  // not at the end
  const qad::corpus text = small_corpus(options);
  qad::perform_run(options, text, nullptr, folder / "run", true);
  const auto found = qad::read_quality(folder / "run");
  REQUIRE(found.size() == 2);
  const qad::evaluation best =
      found[found[1].measured.perplexity < found[0].measured.perplexity ? 1 : 0];
  CHECK(best.tokens == best.step * options.training.sequences * options.model.context);
  const qad::trained_model kept = qad::load_run(folder / "run", true),
                           last = qad::load_run(folder / "run");
  CHECK(qad::measure(kept.weights, "none", nullptr, options, text).perplexity ==
        best.measured.perplexity);
  CHECK(!std::ranges::equal(kept.weights.values(), last.weights.values()));
}

TEST_CASE("a student knows its teacher and starts from it") {
  const temporary_folder folder;
  qad::run_options options = small_options();
  const qad::corpus text = small_corpus(options);
  options.training.steps = 60;
  qad::perform_run(options, text, nullptr, folder / "teacher", true);
  options.training.learning_rate = 1e-3;
  const qad::trained_model teacher = qad::load_run(folder / "teacher");
  options.teacher = qad::fingerprint(teacher.weights);
  options.training.how = qad::method::rounding;
  options.training.recipe = "none";
  const auto itself = qad::perform_run(options, text, &teacher.weights, folder / "itself", true);
  CHECK(itself.measured.divergence == doctest::Approx(0).epsilon(1e-6));
  options.training.recipe = "w1_58_a8_kv8";
  const auto rounded = qad::perform_run(options, text, &teacher.weights, folder / "rounded", true);
  CHECK(rounded.measured.divergence > 1e-4);
  options.training.how = qad::method::qad;
  const auto learned = qad::perform_run(options, text, &teacher.weights, folder / "learned", true);
  CHECK(learned.measured.divergence < rounded.measured.divergence);
}
