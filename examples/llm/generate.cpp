// SPDX-License-Identifier: Apache-2.0
/// The sub-command `generate`: text from a model, as it comes.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "chat.hpp"
#include "decoder.hpp"
#include "model.hpp"
#include "options.hpp"
#include "sampler.hpp"
#include "support/kernel_choice.hpp"
#include "support/system.hpp"
#include "tools_json.hpp"
#include "utf8.hpp"

namespace llm {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

using support::print;

/// Tokens and seconds of prompts and answers.
struct account {
  std::size_t prompt_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;

  void print_to_stderr() const {
    const auto rate = [](std::size_t count, double time) {
      return time > 0 ? static_cast<double>(count) / time : 0;
    };
    std::fprintf(stderr, "[prompt: %zu tokens, %.1f a second; text: %zu tokens, %.1f a second]\n",
                 prompt_tokens, rate(prompt_tokens, prompt_seconds), tokens, rate(tokens, seconds));
  }
};

struct written {
  token_id last = 0;  ///< with that which ends the text
  std::string text;   ///< without
};

/// Prints what the model says to `prompt`, at most `limit` tokens.
written answer(decoder& runs, const tokenizer& words, sampler& choose,
               std::span<const token_id> prompt, std::size_t limit, account& sums) {
  auto start = std::chrono::steady_clock::now();
  std::span<const float> logits = runs.next(prompt);
  sums.prompt_seconds += seconds_since(start);
  sums.prompt_tokens += prompt.size();

  start = std::chrono::steady_clock::now();
  utf8_stream characters;
  const bool terminal = support::output_is_terminal();
  const auto shown = [terminal](std::string text) {
    return terminal ? without_controls(text) : text;
  };
  written result{prompt.back(), {}};
  token_id& token = result.last;
  for (std::size_t i = 0; i < limit && runs.size() < runs.max_positions(); ++i) {
    token = choose(logits);
    if (words.ends_text(token)) break;
    const std::string bytes = words.bytes_of(token);
    result.text += bytes;
    if (!words.is_control(token)) print(shown(characters.push(bytes)));
    ++sums.tokens;
    if (i + 1 < limit) logits = runs.next({&token, 1});
  }
  print(shown(characters.finish()) + "\n");
  sums.seconds += seconds_since(start);
  return result;
}

/// The format in which to talk; nothing: the prompt is continued as it stands, and where the model
/// has a chat template that is not understood, the user is told so.
std::optional<chat_format> format_of(const generate_options& options, const tokenizer& words) {
  if (options.raw) return std::nullopt;
  std::string why;
  std::optional<chat_format> format = options.layout.empty()
                                          ? chat_format::detect(words, why)
                                          : chat_format::named(words, options.layout);
  const std::string reason = why.empty() ? "the model has no chat template"
                                         : "the model's chat template is not understood: " + why;
  const std::string ways = "; --template NAME talks in one of " + layout_names();
  const bool asked = options.system || options.no_thinking || !options.tools.empty();
  if (!format && (options.chat || asked))
    throw std::invalid_argument(reason + ways + ", --raw --prompt continues a text");
  if (!format && !why.empty()) {
    std::fprintf(stderr, "[%s; the prompt is continued as it stands%s]\n", reason.c_str(),
                 ways.c_str());
  }
  if (format && options.system) format->set_system_message(*options.system);
  if (format && options.no_thinking) format->turn_thoughts_off();
  if (format && !options.tools.empty()) format->set_tools(read_tools(options.tools));
  return format;
}

}  // namespace

void generate(const generate_options& options) {
  const er::kernel& kernel = support::chosen_kernel(options.run.kernel);
  const model_file file(options.model);
  const tokenizer words = file.read_tokenizer();
  const auto format = format_of(options, words);
  sampler choose(options.how);

  file.require_complete();
  thread_pool threads(options.run.threads);
  const model weights =
      file.load(recipe_for(options.quantize.recipe, options.quantize, file.shape), threads);
  const std::size_t room = std::min(options.context, file.shape.context);
  account sums;

  if (!options.chat) {
    std::vector<token_id> prompt;
    if (format) {
      prompt = format->opening();
      const std::vector<token_id> question = format->question(options.prompt);
      prompt.insert(prompt.end(), question.begin(), question.end());
    } else {
      prompt = words.encode(options.prompt, tokenizer::markup::control_tokens);
    }
    if (prompt.empty()) throw std::invalid_argument("the prompt is empty");
    if (prompt.size() >= room) {
      throw std::invalid_argument("the prompt has " + std::to_string(prompt.size()) +
                                  " tokens and the context room for " + std::to_string(room) +
                                  "; see --context");
    }
    const std::size_t positions =
        prompt.size() + std::min(options.tokens, room - prompt.size());  // which can't wrap
    decoder runs(weights, threads, positions, kernel);
    if (!format) print(options.prompt);
    answer(runs, words, choose, prompt, options.tokens, sums);
    sums.print_to_stderr();
    return;
  }

  decoder runs(weights, threads, room, kernel);
  std::vector<token_id> waiting = format->opening();
  bool first = true;
  for (std::string line; print("> "), std::getline(std::cin, line);) {
    if (line.empty()) continue;
    const std::vector<token_id> question = format->question(line, first);
    const std::size_t begin = runs.size() + waiting.size();
    waiting.insert(waiting.end(), question.begin(), question.end());
    if (waiting.size() >= runs.max_positions() - runs.size()) {
      throw std::invalid_argument("the conversation has filled the context of " +
                                  std::to_string(room) + " tokens");
    }
    const auto [last, text] = answer(runs, words, choose, waiting, options.tokens, sums);
    const bool was_first = std::exchange(first, false);
    if (format->forgets(text)) {
      runs.truncate(begin);
      waiting = format->past(line, text, was_first);
      continue;
    }
    // The last token of an answer has not been through the model, whether it ended the text or was
    // the last one allowed.
    waiting.clear();
    const std::vector<token_id> end = format->end_of_answer(last);
    waiting.push_back(last);
    waiting.insert(waiting.end(), end.begin(), end.end());
  }
  print("\n");
  sums.print_to_stderr();
}

}  // namespace llm
