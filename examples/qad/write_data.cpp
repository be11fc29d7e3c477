// SPDX-License-Identifier: Apache-2.0
#include "write_data.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "checkpoint.hpp"
#include "data_journal.hpp"
#include "llm/model.hpp"
#include "llm/options.hpp"
#include "support/kernel_choice.hpp"
#include "support/number.hpp"
#include "text.hpp"
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/mapped_file.hpp>

namespace qad {

namespace er = edgerazor;

namespace {

bool is_jsonl(const std::string& path) {
  return std::filesystem::path(path).extension() == ".jsonl";
}

/// All that decides what is written, but for the number of conversations.
std::string settings_of(const write_data_options& o, const llm::model_file& teacher) {
  const auto number = [](auto value) { return support::number_text(value); };
  const answer_options& a = o.answers;
  const er::mapped_file input = er::mapped_file::open(o.input);
  std::string text = "input " + number(fingerprint(input.bytes())) + ", teacher of " +
                     number(teacher.source->file_bytes()) + " bytes as " + o.recipe;
  if (a.keep) {
    text += ", answers kept";
  } else {
    text += ", temperature " + number(a.how.temperature) + ", top-k " + number(a.how.top_k) +
            ", top-p " + number(a.how.top_p) + ", min-p " + number(a.how.min_p) + ", tokens " +
            number(a.most_tokens) + ", seed " + number(a.how.seed);
  }
  text += ", context " + number(a.context) + (a.raw ? ", raw" : "") +
          (o.thoughts ? ", thoughts" : "") + ", system " + er::quoted(a.rules.system, 1000);
  if (a.top_k > 0) text += ", K " + number(a.top_k) + " of texts of " + number(a.rules.longest);
  return text;
}

}  // namespace

question_file::question_file(const std::string& path)
    : file_(path), conversations_(is_jsonl(path)) {}

std::optional<numbered_conversation> question_file::next() {
  if (conversations_) {
    auto messages = file_.next();
    if (!messages) return std::nullopt;
    return numbered_conversation{file_.line(), *std::move(messages)};
  }
  const auto line = file_.next_line();
  if (!line) return std::nullopt;
  if (first_invalid(*line) != line->size()) file_.refuse("expected UTF-8");
  return numbered_conversation{file_.line(), {{"user", std::string{*line}}, {"assistant", ""}}};
}

data_progress write_data(const write_data_options& options,
                         const std::function<void(const data_progress&)>& see) {
  const answer_options& asked = options.answers;
  if (!is_jsonl(options.output)) {
    throw std::invalid_argument("the output " + er::quoted(options.output, er::longest_path) +
                                " has no name that ends in .jsonl");
  }
  if (asked.keep && asked.top_k == 0)
    throw std::invalid_argument("answers that are kept, and nothing is asked about them (--top-k)");
  if (asked.raw && is_jsonl(options.input))
    throw std::invalid_argument("prompts that are continued as they stand are lines of a text");

  data_progress sums;
  {
    question_file questions(options.input);
    while ((options.limit == 0 || sums.all < options.limit) && questions.next()) ++sums.all;
  }
  if (sums.all == 0) {
    throw er::io_error(er::quoted(options.input, er::longest_path) + " has no lines");
  }
  const er::kernel& kernel = support::chosen_kernel(options.kernel);
  const llm::model_file file(options.model);
  const llm::tokenizer words = file.read_tokenizer();
  std::optional<llm::chat_format> format;
  if (!asked.raw) format.emplace(layout_of(words, options.thoughts));
  file.require_complete();

  answer_options answers = asked;
  answers.context = std::min(asked.context, file.shape.context);
  answers.sequences = std::min(asked.sequences, sums.all);
  llm::thread_pool threads(options.threads);
  const llm::model weights =
      file.load(llm::recipe_for(options.recipe, llm::quantize_options{}, file.shape), threads);
  teacher_answers teacher(weights, words, format ? &*format : nullptr, threads, answers, kernel);
  data_journal journal(options.output, settings_of(options, file), answers.top_k,
                       file.shape.vocabulary);

  using clock = std::chrono::steady_clock;
  const clock::time_point start = clock::now();
  question_file questions(options.input);
  std::size_t read = 0;
  const auto next = [&]() -> std::optional<numbered_conversation> {
    while (read++ < sums.all) {
      auto one = questions.next();
      if (!one || !journal.has(one->number)) return one;
    }
    return std::nullopt;
  };
  teacher.run(next, [&](answered_conversation&& one) {
    journal.add(one);
    sums.done = journal.size();
    sums.tokens += one.tokens;
    sums.cut += one.cut ? 1u : 0u;
    sums.seconds = std::chrono::duration<double>(clock::now() - start).count();
    if (see) see(sums);
  });
  sums.done = journal.size();
  (void)journal.finish();
  return sums;
}

}  // namespace qad
