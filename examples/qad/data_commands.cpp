// SPDX-License-Identifier: Apache-2.0
#include "data_commands.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "data_journal.hpp"
#include "llm/model.hpp"
#include "progress.hpp"
#include "support/command_line.hpp"
#include "task_gradients.hpp"
#include "windows.hpp"
#include "write_data.hpp"

namespace qad {

namespace er = edgerazor;

namespace {

using support::add_number;

double rate_of(const data_progress& sums) {
  return sums.seconds > 0 ? static_cast<double>(sums.tokens) / sums.seconds : 0;
}

/// A line now and then on standard error.
class data_report {
 public:
  explicit data_report(std::string name) : name_(std::move(name)) {}

  void operator()(const data_progress& sums) {
    if (first_ == 0) first_ = sums.done;
    if (sums.seconds - last_ < 10) return;
    last_ = sums.seconds;
    const double each = sums.seconds / static_cast<double>(sums.done - first_ + 1);
    std::fprintf(
        stderr, "%s: %zu of %zu conversations, %zu tokens, %.1f tokens/s, %s left\n", name_.c_str(),
        sums.done, sums.all, sums.tokens, rate_of(sums),
        clock_text(each * static_cast<double>(sums.all - std::min(sums.all, sums.done))).c_str());
  }

 private:
  std::string name_;
  std::size_t first_ = 0;
  double last_ = 0;
};

void add_write_data(CLI::App& program) {
  const auto asked = std::make_shared<write_data_options>();
  write_data_options& o = *asked;
  o.threads = std::max<std::size_t>(1, std::thread::hardware_concurrency());
  CLI::App& command = *program.add_subcommand(
      "write-data",
      "Have a teacher answer conversations, and store what it thinks of every token; a call that "
      "was killed is gone on with by the next");
  command.add_option("--model", o.model, "Teacher: a GGUF file or a Hugging Face folder")
      ->required()
      ->type_name("PATH");
  command
      .add_option("--input", o.input,
                  "Conversations, one JSON object with \"messages\" a line (.jsonl), or a text of "
                  "prompts, one a line")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--output", o.output,
                  "File of conversations to write, .jsonl; beside it .topk with --top-k")
      ->required()
      ->type_name("FILE");
  add_number(command, "--top-k", o.answers.top_k, {0, 65536},
             "Likeliest tokens that are stored with their log-probabilities; 0: none");
  command.add_flag("--keep-answers", o.answers.keep,
                   "Answers stay as they are; the teacher only says what it thinks of them");
  command.add_flag("--raw", o.answers.raw,
                   "Continue the prompts as they stand, without a chat template");
  command.add_flag("--thinking", o.thoughts, "The teacher thinks first, if it can");
  add_rules(command, o.answers.rules);
  add_number(command, "--temperature", o.answers.how.temperature, support::not_negative_real<float>,
             "Of the draws; 0: the likeliest token");
  add_number(command, "--sample-top-k", o.answers.how.top_k, {0, 1u << 30},
             "Draw from so many likeliest tokens; 0: all");
  add_number(command, "--top-p", o.answers.how.top_p, {0.0f, 1.0f, true},
             "Of those the likeliest that together have this probability");
  add_number(command, "--min-p", o.answers.how.min_p, {0.0f, 1.0f},
             "Of those none that is less likely than this part of the likeliest");
  add_number(command, "--tokens", o.answers.most_tokens, support::positive,
             "Tokens of an answer at most");
  add_number(command, "--context", o.answers.context, {2, 1 << 20},
             "Tokens of a whole conversation at most, which take memory for each sequence");
  add_number(command, "--seed", o.answers.how.seed, support::any_seed,
             "The same seed draws the same answers");
  add_number(command, "--limit", o.limit, support::not_negative,
             "Conversations of the input that are taken, from the first; 0: all");
  add_number(command, "--sequences", o.answers.sequences, {1, llm::decoder::batch},
             "Conversations at a time; they change no answer");
  command
      .add_option("--recipe", o.recipe,
                  "Quantize the teacher in memory, as llm names recipes; none: as the file has it")
      ->capture_default_str()
      ->type_name("NAME");
  add_number(command, "--threads", o.threads, {1, 1024}, "Threads; they change no answer");
  command.add_option("--kernel", o.kernel, "Kernel by its name [the fastest]")->type_name("NAME");
  command.callback([asked] {
    const std::string name = er::printable(asked->output, er::longest_path);
    data_report report(name);
    const data_progress sums = write_data(*asked, std::ref(report));
    std::printf("%s: %zu conversations, %zu tokens written in %s (%.1f tokens/s)", name.c_str(),
                sums.done, sums.tokens, clock_text(sums.seconds).c_str(), rate_of(sums));
    if (sums.cut > 0) std::printf(", %zu cut for want of room (--context)", sums.cut);
    std::printf("\n");
    if (asked->answers.top_k > 0) {
      const auto path = data_journal::top_k_path(asked->output);
      const er::top_k_file file = er::top_k_file::open(path);
      std::printf("%s: the %zu likeliest at each of %zu tokens\n",
                  er::printable(path.string(), er::longest_path).c_str(), file.k(), file.tokens());
    }
  });
}

struct inspect_data_request {
  std::string model;
  std::vector<std::string> sources;
  conversation_rules rules;
  std::size_t window = 1024;
};

void add_inspect_data(CLI::App& program) {
  const auto asked = std::make_shared<inspect_data_request>();
  CLI::App& command = *program.add_subcommand(
      "inspect-data", "Read sources of text as training does, and say what is in them");
  command.add_option("--model", asked->model, "Whose tokenizer and chat template it is")
      ->required()
      ->type_name("PATH");
  command
      .add_option("SOURCE", asked->sources,
                  "FILE or FILE=WEIGHT: conversations (.jsonl), a teacher's top k (.topk), or text")
      ->required();
  add_rules(command, asked->rules);
  add_number(command, "--window", asked->window, {2, 1 << 20}, "Tokens of a training window");
  command.callback([asked] {
    const llm::model_file file(asked->model);
    const llm::tokenizer words = file.read_tokenizer();
    const windows draw(read_sources(asked->sources, words, asked->rules), asked->window, 1);
    double weights = 0;
    for (const text_source& one : draw.sources()) weights += one.weight;
    std::printf("%-40s %7s %9s %11s %11s %9s %6s\n", "source", "weight", "texts", "tokens",
                "learned", "windows", "full");
    for (std::size_t i = 0; i < draw.sources().size(); ++i) {
      const text_source& one = draw.sources()[i];
      const windows::account sums = draw.account_of(i);
      std::printf("%-40s %6.1f%% %9zu %11zu %11zu %9zu %5.1f%%\n",
                  er::printable(one.name, 200).c_str(), 100 * one.weight / weights,
                  one.texts.size(), sums.tokens, sums.learned, sums.windows,
                  100 * static_cast<double>(sums.tokens) /
                      static_cast<double>(sums.windows * asked->window));
    }
  });
}

void add_gradients(CLI::App& program) {
  const auto asked = std::make_shared<task_gradient_options>();
  task_gradient_options& o = *asked;
  o.threads = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 2);
  CLI::App& command = *program.add_subcommand(
      "gradients",
      "Write how much a model's loss on a text depends on each of its weights, for llm calibrate "
      "--gradients");
  command.add_option("--model", o.model, "A GGUF file or a Hugging Face folder")
      ->required()
      ->type_name("PATH");
  command
      .add_option("--text", o.text, "Text of the task [the built-in one that llm calibrate has]")
      ->type_name("FILE");
  command.add_option("--output", o.output, "safetensors file to write, 4 bytes a weight")
      ->required()
      ->type_name("FILE");
  add_number(command, "--windows", o.windows, {1, 1 << 16},
             "Pieces of the text: the samples whose gradients are added as magnitudes");
  add_number(command, "--window", o.window, {2, 1 << 20}, "Tokens of each");
  add_number(command, "--threads", o.threads, {1, 1024},
             "Windows at a time, each of which takes 4 bytes a weight; they change no number");
  command.callback([asked] {
    const std::size_t tokens = write_task_gradients(*asked);
    std::printf("%s: gradients of %zu tokens of text\n",
                er::printable(asked->output, er::longest_path).c_str(), tokens);
  });
}

}  // namespace

void add_rules(CLI::App& command, conversation_rules& rules) {
  command
      .add_option("--system", rules.system,
                  "System message of conversations that have none; empty: what the chat template "
                  "itself has")
      ->capture_default_str()
      ->type_name("TEXT");
  add_number(command, "--longest", rules.longest, {2, 1 << 20},
             "Tokens of a conversation that are learned from; the rest is cut off");
}

void add_data_commands(CLI::App& program) {
  add_write_data(program);
  add_inspect_data(program);
  add_gradients(program);
}

}  // namespace qad
