// SPDX-License-Identifier: Apache-2.0
#include "llm/tokenizer_gguf.hpp"

#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "llm/temporary_folder.hpp"
#include "llm/tokenizer.hpp"
#include <edgerazor/core/contract.hpp>

namespace {

namespace er = edgerazor;
using markup = llm::tokenizer::markup;
using ids = std::vector<llm::token_id>;

/// What is read of a file that `write` has written.
llm::vocabulary read_back(const std::function<void(er::gguf_writer&)>& write) {
  const llm::temporary_folder folder{{}};
  er::gguf_writer writer;
  writer.set_string("general.architecture", "llama");
  write(writer);
  writer.write(folder.path() / "words.gguf");
  return llm::read_vocabulary(er::gguf_reader::open(folder.path() / "words.gguf"));
}

/// A SentencePiece vocabulary as a converter writes it.
void write_scored(er::gguf_writer& w) {
  w.set_string("tokenizer.ggml.model", "llama");
  w.set_string("tokenizer.ggml.pre", "default");
  w.set_strings("tokenizer.ggml.tokens",
                std::vector<std::string_view>{"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "\u2581",
                                              "a", "b", "\u2581a", "ab", "  "});
  w.set_array<float>("tokenizer.ggml.scores",
                     std::vector<float>{0, 0, 0, 0, 0, -9, -9, -9, -1, -2, 0});
  w.set_array<std::int32_t>("tokenizer.ggml.token_type",
                            std::vector<std::int32_t>{2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 4});
  w.set_u32("tokenizer.ggml.bos_token_id", 1);
  w.set_u32("tokenizer.ggml.eos_token_id", 2);
}

/// The sentence that a change of it is refused with; empty where it is not.
std::string refusal(const std::function<void(er::gguf_writer&)>& change) {
  try {
    (void)llm::tokenizer(read_back([&](er::gguf_writer& w) {
      write_scored(w);
      change(w);
    }));
    return {};
  } catch (const er::io_error& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("SentencePiece's tokens merge by their scores, a space in front") {
  const llm::tokenizer words(read_back(write_scored));
  CHECK(words.encode("ab", markup::plain) == ids{1, 8, 7});  // the best score first
  CHECK(words.encode("bab", markup::plain, false) == ids{5, 7, 9});
  CHECK(words.encode("\u00e9", markup::plain, false) == ids{5, 3, 4});
  CHECK(words.encode("?", markup::plain, false) == ids{5, 0});
  CHECK(words.encode("", markup::plain) == ids{1});
  CHECK(words.encode("a</s>a", markup::control_tokens, false) == ids{8, 2, 8});
  CHECK(words.encode("a  b", markup::plain, false) == ids{8, 10, 5, 7});  // found as text
  CHECK(words.decode(ids{8, 7, 5, 3, 4}) == "ab \u00e9");
  CHECK(words.data().unknown_token == 0);

  const llm::tokenizer bare(read_back([](er::gguf_writer& w) {
    write_scored(w);
    w.set_bool("tokenizer.ggml.add_space_prefix", false);
    w.set_bool("tokenizer.ggml.add_bos_token", false);
  }));
  CHECK(bare.encode("a", markup::plain) == ids{6});
  CHECK(bare.decode(ids{8, 7}) == " ab");
}

TEST_CASE("everything that a vocabulary says is written and read") {
  llm::vocabulary words = read_back(write_scored);
  words.compose = true;
  words.whole_words_first = true;
  words.byte_fallback = words.fuse_unknown = words.strip_leading_space = false;
  words.words = llm::pre_tokenizer::metaspace;
  words.space = llm::vocabulary::leading_space::where_missing_at_beginning;
  words.marker_rules = {{1, true, false, false}, {2, false, true, true}, {10, false, false, true}};
  words.padding = 5;
  words.other_ends = {6, 7, 8, 9};
  words.chat_template = "{{ x }}";
  words.add_bos = false;
  const llm::vocabulary same =
      read_back([&](er::gguf_writer& w) { llm::write_vocabulary(w, words); });
  CHECK(same.tokens == words.tokens);
  CHECK(same.types == words.types);
  CHECK(same.scores == words.scores);
  CHECK(same.merges.empty());
  CHECK(same.compose);
  CHECK(same.whole_words_first);
  CHECK(!same.byte_fallback);
  CHECK(!same.fuse_unknown);
  CHECK(!same.strip_leading_space);
  CHECK(!same.add_bos);
  CHECK((same.letters == words.letters));
  CHECK((same.words == words.words));
  CHECK((same.space == words.space));
  REQUIRE(same.marker_rules.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(same.marker_rules[i].token == words.marker_rules[i].token);
    CHECK(same.marker_rules[i].in_normalized_text == words.marker_rules[i].in_normalized_text);
    CHECK(same.marker_rules[i].takes_spaces_left == words.marker_rules[i].takes_spaces_left);
    CHECK(same.marker_rules[i].takes_spaces_right == words.marker_rules[i].takes_spaces_right);
  }
  CHECK(same.bos == 1);
  CHECK(same.eos == 2);
  CHECK(same.padding == 5);
  CHECK(same.unknown_token == 0);
  CHECK(same.other_ends == words.other_ends);
  CHECK(same.chat_template == words.chat_template);
}

TEST_CASE("keys of our own are written where the others would say something else") {
  const llm::temporary_folder folder{{}};
  er::gguf_writer writer;
  writer.set_string("general.architecture", "llama");
  llm::write_vocabulary(writer, read_back(write_scored));
  writer.write(folder.path() / "words.gguf");
  const er::gguf_reader file = er::gguf_reader::open(folder.path() / "words.gguf");
  for (const er::metadata_entry& entry : file.entries())
    CHECK(!std::string{entry.key}.starts_with("edgerazor."));
}

TEST_CASE("a vocabulary of another kind, or that contradicts itself, is refused") {
  CHECK(refusal([](er::gguf_writer&) {}).empty());
  CHECK(refusal([](er::gguf_writer& w) {
          w.set_string("tokenizer.ggml.model", "t5");
        }).find("'t5'") != std::string::npos);
  CHECK(refusal([](er::gguf_writer& w) {
          w.set_string("tokenizer.ggml.model", "gpt2");
        }).find("tokenizer.ggml.merges") != std::string::npos);
  CHECK(refusal([](er::gguf_writer& w) {
          w.set_string("edgerazor.tokenizer.leading_space", "sometimes");
        }).find("'sometimes'") != std::string::npos);
  CHECK(refusal([](er::gguf_writer& w) {
          w.set_array<float>("tokenizer.ggml.scores", std::vector<float>{1});
        }).find("11 tokens, but 1 scores") != std::string::npos);
  CHECK(refusal([](er::gguf_writer& w) {
          w.set_u32("tokenizer.ggml.unknown_token_id", 11);
        }).find("unknown_token_id") != std::string::npos);
  for (const char* name : {"markers_with_spaces_left", "other_ends"}) {
    CAPTURE(name);
    const std::string key = std::string{"edgerazor.tokenizer."} + name;
    CHECK(refusal([&](er::gguf_writer& w) {
            w.set_array<std::int32_t>(key, std::vector<std::int32_t>{-1});
          }).find("special token -1") != std::string::npos);
  }
}
