// SPDX-License-Identifier: Apache-2.0
#include "qad/write_data.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "llm/conversations.hpp"
#include "llm/model.hpp"
#include "qad/data_journal.hpp"
#include "qad/windows.hpp"
#include "small_teacher.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/io/top_k_file.hpp>

namespace er = edgerazor;

namespace {

std::string text_of_file(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_bytes(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_text(const std::filesystem::path& path, std::string_view text) {
  write_bytes(path, std::as_bytes(std::span{text}));
}

/// Conversations of one to three questions, some with a system message, one without an answer.
std::string questions(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    qad::conversation one;
    if (i % 3 == 0) one.push_back({"system", "Be " + std::to_string(i)});
    for (std::size_t turn = 0; turn < 1 + i % 3; ++turn) {
      one.push_back({"user", "q" + std::to_string(i) + std::string(i % 5, '?')});
      if (i != 4) one.push_back({"assistant", "human"});
    }
    text += qad::conversation_line(one) + "\n" + (i == 2 ? "\n" : "");
  }
  return text;
}

struct run_folder {
  temporary_folder folder;
  qad::write_data_options options;

  explicit run_folder(std::size_t count = 9) {
    write_small_teacher(folder / "teacher.gguf");
    write_text(folder / "in.jsonl", questions(count));
    options.model = (folder / "teacher.gguf").string();
    options.input = (folder / "in.jsonl").string();
    options.answers.most_tokens = 12;
    options.answers.context = 200;
    options.answers.rules.longest = 180;
    options.answers.rules.system = "S";
    options.answers.top_k = 5;
  }
  /// Both files of a whole run.
  std::vector<std::string> write(const char* name, const qad::write_data_options& how) const {
    qad::write_data_options named = how;
    named.output = (folder / name).string();
    (void)qad::write_data(named);
    return files(name);
  }
  [[nodiscard]] std::vector<std::string> files(const char* name) const {
    const std::filesystem::path output = folder / name;
    return {text_of_file(output), text_of_file(qad::data_journal::top_k_path(output))};
  }
};

struct stopped {};

}  // namespace

TEST_CASE("answers depend neither on the sequences beside them nor on threads") {
  const run_folder run;
  const std::vector<std::string> expected = run.write("one.jsonl", [&] {
    qad::write_data_options how = run.options;
    how.answers.sequences = 1;
    return how;
  }());
  // All lines in order, questions as they were, answers new, and as long as was allowed.
  qad::conversation_file in(run.options.input), out(run.folder / "one.jsonl");
  std::size_t changed = 0, longest = 0;
  for (auto asked = in.next(); asked; asked = in.next()) {
    const auto answered = out.next();
    REQUIRE(answered);
    REQUIRE(answered->size() == asked->size());
    for (std::size_t i = 0; i < asked->size(); ++i) {
      CHECK((*answered)[i].role == (*asked)[i].role);
      if ((*asked)[i].role != "assistant") {
        CHECK((*answered)[i].text == (*asked)[i].text);
      } else {
        changed += (*answered)[i].text != "human";
        longest = std::max(longest, (*answered)[i].text.size());
      }
    }
  }
  CHECK(!out.next());
  CHECK(changed > 10);
  CHECK(longest > 3);
  for (const std::size_t sequences : {std::size_t{2}, std::size_t{5}, std::size_t{64}}) {
    qad::write_data_options how = run.options;
    how.answers.sequences = sequences;
    how.threads = sequences == 5 ? 3 : 1;
    const std::string name = "of_" + std::to_string(sequences) + ".jsonl";
    CHECK(run.write(name.c_str(), how) == expected);
  }
  // The seed decides; without chance it decides nothing.
  qad::write_data_options other = run.options;
  other.answers.how.seed = 2;
  CHECK(run.write("seed.jsonl", other)[0] != expected[0]);
  other.answers.how.temperature = 0;
  const std::vector<std::string> cold = run.write("cold_2.jsonl", other);
  other.answers.how.seed = 1;
  CHECK(run.write("cold_1.jsonl", other) == cold);
}

TEST_CASE("each answer is what the teacher says to the history of its own answers") {
  const run_folder run;
  qad::write_data_options how = run.options;
  how.answers.how.temperature = 0;
  (void)run.write("a.jsonl", how);
  const llm::model_file file(how.model);
  const llm::tokenizer words = file.read_tokenizer();
  const llm::chat_format format = qad::layout_of(words, false);
  llm::thread_pool threads(1);
  const llm::model weights = file.load(er::recipe{}, threads);
  qad::conversation_file out(run.folder / "a.jsonl");
  std::size_t answers = 0;
  for (auto one = out.next(); one; one = out.next()) {
    for (std::size_t i = 0; i < one->size(); ++i) {
      if ((*one)[i].role != "assistant") continue;
      ++answers;
      llm::decoder alone(weights, threads, 300);
      auto logits = alone.next(
          qad::encode_history(std::span{*one}.first(i), format, words, how.answers.rules));
      llm::utf8_stream text;
      std::string expected;
      for (std::size_t t = 0; t < 12; ++t) {
        const llm::token_id token = llm::likeliest(logits);
        if (words.ends_text(token)) break;
        if (!words.is_control(token)) expected += text.push(words.bytes_of(token));
        logits = alone.next({&token, 1});
      }
      CHECK((*one)[i].text == expected);
    }
  }
  CHECK(answers > 12);
}

TEST_CASE("a run that is killed goes on, and writes the file of one that was not") {
  const run_folder run;
  qad::write_data_options how = run.options;
  how.answers.sequences = 3;
  const std::vector<std::string> expected = run.write("whole.jsonl", how);
  how.output = (run.folder / "cut.jsonl").string();
  const std::filesystem::path partial = run.folder / "cut.jsonl.partial",
                              rows = run.folder / "cut.topk.partial";
  // After each conversation; what was being written next is there in part.
  std::size_t done = 0;
  for (std::size_t stop = 1; stop < 9; ++stop) {
    CHECK_THROWS_AS((void)qad::write_data(how,
                                          [&](const qad::data_progress& now) {
                                            CHECK(now.done == done + 1);
                                            ++done;
                                            throw stopped{};
                                          }),
                    stopped);
    CHECK(!std::filesystem::exists(how.output));
    std::string text = text_of_file(partial), numbers = text_of_file(rows);
    // A line that was cut off is forgotten, and so is a sequence whose line is not there.
    write_text(partial, text + (stop % 2 == 0 ? "{\"line\": 9, \"mess" : ""));
    write_text(rows, numbers + numbers.substr(64, stop % 3 == 0 ? 64 : stop % 3));
  }
  std::size_t calls = 0;
  (void)qad::write_data(how, [&](const qad::data_progress&) { ++calls; });
  CHECK(calls == 1);
  CHECK(run.files("cut.jsonl") == expected);
  CHECK(!std::filesystem::exists(partial));
  CHECK(!std::filesystem::exists(rows));
  CHECK_THROWS_WITH_AS((void)qad::write_data(how), doctest::Contains("is there already"),
                       er::io_error);
}

TEST_CASE("what was begun with other settings is not gone on with") {
  const run_folder run;
  qad::write_data_options how = run.options;
  how.output = (run.folder / "a.jsonl").string();
  CHECK_THROWS_AS((void)qad::write_data(how, [](const qad::data_progress&) { throw stopped{}; }),
                  stopped);
  const std::string before = text_of_file(run.folder / "a.jsonl.partial");
  how.answers.how.seed = 7;
  CHECK_THROWS_WITH_AS((void)qad::write_data(how), doctest::Contains("begun with other settings"),
                       er::io_error);
  CHECK(text_of_file(run.folder / "a.jsonl.partial") == before);
  how.answers.how.seed = 1;
  write_text(run.folder / "a.jsonl.partial", before + "nonsense\n");
  CHECK_THROWS_WITH_AS((void)qad::write_data(how), doctest::Contains("line 3: expected"),
                       er::io_error);
}

TEST_CASE("the stored top k is the teacher's, at the tokens that are learned") {
  const run_folder run(4);
  (void)run.write("a.jsonl", run.options);
  const llm::model_file file(run.options.model);
  const llm::tokenizer words = file.read_tokenizer();
  const llm::chat_format format = qad::layout_of(words, false);
  llm::thread_pool threads(1);
  const llm::model weights = file.load(er::recipe{}, threads);
  const er::top_k_file stored = er::top_k_file::open(run.folder / "a.topk");
  CHECK(stored.k() == 5);
  CHECK(stored.vocabulary() == file.shape.vocabulary);
  qad::conversation_file out(run.folder / "a.jsonl");
  std::size_t looked = 0;
  for (std::size_t s = 0; s < stored.sequences(); ++s) {
    const qad::labelled_text text =
        qad::encode_conversation(out.next().value(), format, words, run.options.answers.rules);
    const er::top_k_sequence one = stored.sequence(s);
    CHECK(std::ranges::equal(one.tokens, text.tokens));
    CHECK(std::ranges::equal(one.labels, text.labels));
    llm::decoder alone(weights, threads, 300);
    for (std::size_t i = 0; i < text.tokens.size(); ++i) {
      const auto logits = alone.next({&text.tokens[i], 1});
      const bool wanted = i + 1 < text.tokens.size() && text.labels[i + 1] != qad::no_label;
      CHECK((one.ids.row(i)[0] >= 0) == wanted);
      if (!wanted) continue;
      ++looked;
      double sum = 0;
      for (const float x : logits) sum += std::exp(static_cast<double>(x));
      for (std::size_t j = 0; j < 5; ++j) {
        const auto id = static_cast<std::size_t>(one.ids.row(i)[j]);
        const double log = static_cast<double>(logits[id]) - std::log(sum);
        // 16 bits, rounded down, and a float's logarithm.
        const double is = static_cast<double>(static_cast<float>(one.log_probabilities.row(i)[j]));
        CHECK(is == doctest::Approx(log).epsilon(0.0011));
        CHECK(std::ranges::count_if(logits, [&](float x) { return x > logits[id]; }) ==
              static_cast<std::ptrdiff_t>(j));
      }
    }
  }
  CHECK(!out.next());
  CHECK(looked > 30);
  // It is a source of windows.
  const qad::windows draw(
      {qad::read_source({(run.folder / "a.topk").string(), 1}, words, nullptr, {})}, 64, 1);
  CHECK(draw.account_of(0).learned > 0);
}

TEST_CASE("answers that are kept get a top k, prompts are answered or continued") {
  const run_folder run(4);
  qad::write_data_options keep = run.options;
  keep.answers.keep = true;
  CHECK(run.write("kept.jsonl", keep)[0] == [] {
    std::string text = questions(4);
    return text.erase(text.find("\n\n"), 1);
  }());
  CHECK(er::top_k_file::open(run.folder / "kept.topk").sequences() == 4);

  write_text(run.folder / "prompts.txt", "One thing\n\nAnother\n");
  qad::write_data_options prompts = run.options;
  prompts.input = (run.folder / "prompts.txt").string();
  prompts.answers.how.temperature = 0;
  std::vector<std::string> seen;
  for (const bool raw : {false, true}) {
    prompts.answers.raw = raw;
    const char* const name = raw ? "raw.jsonl" : "chat.jsonl";
    (void)run.write(name, prompts);
    qad::conversation_file out(run.folder / name);
    const qad::conversation first = out.next().value(), second = out.next().value();
    CHECK(!out.next());
    CHECK(first[0].text == "One thing");
    CHECK(second[0].text == "Another");
    CHECK(second[1].role == "assistant");
    seen.push_back(first[1].text);
  }
  CHECK(seen[0] != seen[1]);
  // Of a text that was continued its continuation is learned, and its tokens are the text's own.
  const er::top_k_file raw = er::top_k_file::open(run.folder / "raw.topk");
  const er::top_k_sequence one = raw.sequence(0);
  CHECK(one.labels[8] == qad::no_label);
  CHECK(one.labels[9] == one.tokens[9]);
}

TEST_CASE("a conversation without room is cut where its context ends") {
  const run_folder run;
  qad::write_data_options how = run.options;
  how.answers.context = 60;
  how.answers.rules.longest = 60;
  how.output = (run.folder / "a.jsonl").string();
  const qad::data_progress sums = qad::write_data(how);
  CHECK(sums.cut > 0);
  CHECK(sums.done == 9);
  qad::conversation_file out(how.output);
  std::size_t lines = 0;
  while (const auto one = out.next()) {
    ++lines;
    CHECK((one->back().role == "assistant" || one->size() < 4));
  }
  CHECK(lines > 0);
  CHECK(er::top_k_file::open(run.folder / "a.topk").sequences() == lines);
}

TEST_CASE("what is asked is judged before anything is written") {
  const run_folder run(2);
  const auto refuses = [&](const char* sentence, auto&& change) {
    qad::write_data_options how = run.options;
    how.output = (run.folder / "a.jsonl").string();
    change(how);
    const std::size_t before = run.folder.files();
    std::string said = "nothing";
    try {
      (void)qad::write_data(how);
    } catch (const std::exception& error) {
      said = error.what();
    }
    CAPTURE(said);
    CHECK(said.find(sentence) != std::string::npos);
    CHECK(run.folder.files() == before);
  };
  write_text(run.folder / "bad.jsonl", questions(2) + "{}\n");
  write_text(run.folder / "empty.jsonl", "\n");
  write_text(run.folder / "latin.txt", "caf\xe9\n");
  const auto in = [&](const char* name) { return (run.folder / name).string(); };
  refuses("bad.jsonl', line 3: expected", [&](auto& o) { o.input = in("bad.jsonl"); });
  refuses("has no lines", [&](auto& o) { o.input = in("empty.jsonl"); });
  refuses("latin.txt', line 1: expected UTF-8", [&](auto& o) { o.input = in("latin.txt"); });
  refuses("can't read", [&](auto& o) { o.input = in("none.jsonl"); });
  refuses("can't read", [&](auto& o) { o.model = in("none.gguf"); });
  refuses("no name that ends in .jsonl", [&](auto& o) { o.output = in("a.txt"); });
  refuses("can't write", [&](auto& o) { o.output = in("no/folder.jsonl"); });
  refuses("lines of a text", [](auto& o) { o.answers.raw = true; });
  refuses("nothing is asked about them", [](auto& o) {
    o.answers.keep = true;
    o.answers.top_k = 0;
  });
  refuses("no recipe is called", [](auto& o) { o.recipe = "w9"; });
  refuses("likeliest tokens of a vocabulary", [](auto& o) { o.answers.top_k = 4000; });
  refuses("top-p must be", [](auto& o) { o.answers.how.top_p = 2; });
  refuses("no kernel", [](auto& o) { o.kernel = "abacus"; });
}

TEST_CASE("the likeliest tokens of equals are the first ones, and nothing is above certainty") {
  std::array<std::int32_t, 3> ids{};
  std::array<float, 3> logs{};
  qad::likeliest_tokens(std::array<float, 5>{1, 2, 2, 0, 2}, ids, logs);
  CHECK(ids == std::array<std::int32_t, 3>{1, 2, 4});
  const double all = std::log(3 + std::exp(-1.0) + std::exp(-2.0));
  for (const float log : logs) CHECK(static_cast<double>(log) == doctest::Approx(-all));
  qad::likeliest_tokens(std::array<float, 3>{3e38f, -3e38f, 0}, ids, logs);
  CHECK(logs[0] == 0);
  CHECK(logs[1] < -1e38f);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(qad::likeliest_tokens(std::array<float, 3>{0, nan, 1}, ids, logs),
                  std::invalid_argument);
  CHECK_THROWS_AS(qad::likeliest_tokens(std::array<float, 2>{0, 1}, ids, logs),
                  std::invalid_argument);
}
