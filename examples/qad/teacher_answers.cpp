// SPDX-License-Identifier: Apache-2.0
#include "teacher_answers.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "llm/utf8.hpp"
#include "mixed_hash.hpp"

namespace qad {

namespace er = edgerazor;

void likeliest_tokens(std::span<const float> logits, std::span<std::int32_t> ids,
                      std::span<float> log_probabilities) {
  if (logits.size() < ids.size() || log_probabilities.size() != ids.size() || ids.empty())
    throw std::invalid_argument("likeliest_tokens: fewer logits than tokens that are wanted");
  if (!llm::all_finite(logits))
    throw std::invalid_argument("the teacher gave a logit that is not finite");
  thread_local std::vector<std::int32_t> order;
  order.resize(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [logits](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(ids.size());
  std::nth_element(order.begin(), end - 1, order.end(), likelier);
  std::sort(order.begin(), end, likelier);
  const double most = static_cast<double>(logits[static_cast<std::size_t>(order[0])]);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  const double all = most + std::log(sum);
  for (std::size_t j = 0; j < ids.size(); ++j) {
    ids[j] = order[j];
    const double log = static_cast<double>(logits[static_cast<std::size_t>(ids[j])]) - all;
    log_probabilities[j] = std::min(0.0f, static_cast<float>(log));
  }
}

teacher_answers::teacher_answers(const llm::model& weights, const llm::tokenizer& words,
                                 const llm::chat_format* format, llm::thread_pool& threads,
                                 const answer_options& options, const er::kernel& kernel)
    : words_(words),
      format_(format),
      threads_(threads),
      options_(options),
      decoder_(weights, threads, options.context, kernel, options.sequences),
      slots_(options.sequences) {
  if (options.sequences > llm::decoder::batch) {
    throw std::invalid_argument("more than " + std::to_string(llm::decoder::batch) +
                                " conversations at a time");
  }
  if (format == nullptr && !options.raw)
    throw std::invalid_argument("answering conversations takes the model's chat template");
  if (options.context < 2 || options.most_tokens == 0)
    throw std::invalid_argument("no room for an answer");
  if (options.top_k > weights.shape.vocabulary) {
    throw std::invalid_argument("the " + std::to_string(options.top_k) +
                                " likeliest tokens of a vocabulary of " +
                                std::to_string(weights.shape.vocabulary));
  }
  options_.rules.longest = std::min(options_.rules.longest, options.context);
  (void)llm::sampler(options.how);  // checks its numbers
}

std::vector<token_id> teacher_answers::history_of(const slot& one) const {
  const conversation& messages = one.so_far.messages;
  if (!options_.raw) return encode_history(messages, *format_, words_, options_.rules);
  std::string text;
  for (const auto& message : messages) text += message.text;
  return words_.encode(text, llm::tokenizer::markup::plain);
}

/// A token of the answer; false where it ends it.
bool teacher_answers::take(slot& one, token_id token) {
  ++one.so_far.tokens;
  if (words_.ends_text(token)) return false;
  one.answer.push_back(token);
  return one.answer.size() < options_.most_tokens && one.cached.size() < options_.context;
}

/// The message that the answer's tokens are: without control tokens, and without a character that
/// was cut in two.
void teacher_answers::end_answer(slot& one) {
  llm::utf8_stream characters;
  std::string text;
  for (const token_id token : one.answer) {
    if (!words_.is_control(token)) text += characters.push(words_.bytes_of(token));
  }
  one.so_far.messages.push_back({"assistant", std::move(text)});
  one.answer.clear();
}

/// Begins the next answer of a conversation, and those after it while they end with their first
/// token; false where none is left.
bool teacher_answers::go_on(std::size_t index) {
  slot& one = slots_[index];
  const conversation& asked = one.asked.messages;
  conversation& messages = one.so_far.messages;
  while (messages.size() < asked.size()) {
    const auto& next = asked[messages.size()];
    if (next.role != "assistant" || options_.keep) {
      messages.push_back(next);
      continue;
    }
    const std::vector<token_id> history = history_of(one);
    if (history.empty() || history.size() >= options_.context) {
      one.so_far.cut = true;
      return false;
    }
    one.choose.emplace([&] {
      llm::sampling how = options_.how;
      how.seed = mixed(mixed(mixed(how.seed) ^ one.asked.number) ^ messages.size());
      return how;
    }());
    // What the cache has of it already need not be read again; the last token must, for its logits.
    const auto same =
        std::mismatch(one.cached.begin(), one.cached.end(), history.begin(), history.end() - 1);
    const auto kept = static_cast<std::size_t>(same.second - history.begin());
    decoder_.select(index);
    decoder_.truncate(kept);
    const token_id token = (*one.choose)(decoder_.next(std::span{history}.subspan(kept)));
    one.cached = history;
    if (take(one, token)) return true;
    end_answer(one);
  }
  return false;
}

/// What the teacher says at each token that is followed by one with a label.
void teacher_answers::look_at(std::size_t index) {
  answered_conversation& done = slots_[index].so_far;
  const std::size_t k = options_.top_k, n = done.text.tokens.size();
  done.rows.ids.assign(n * k, -1);
  done.rows.log_probabilities.assign(n * k, 0);
  decoder_.select(index);
  decoder_.truncate(0);
  constexpr std::size_t rows_at_a_time = 16;  // logits are as wide as the vocabulary
  for (std::size_t begin = 0; begin < n; begin += llm::decoder::batch) {
    const std::size_t count = std::min(llm::decoder::batch, n - begin);
    decoder_.forward(std::span{done.text.tokens}.subspan(begin, count));
    const auto is_wanted = [&](std::size_t i) {
      return begin + i + 1 < n && done.text.labels[begin + i + 1] != no_label;
    };
    for (std::size_t i = 0; i < count;) {
      std::size_t run = 0;
      while (run < rows_at_a_time && i + run < count && is_wanted(i + run)) ++run;
      if (run > 0) {
        const er::matrix_view<const float> logits = decoder_.logits(i, run);
        threads_.run(run, [&](std::size_t row) {
          const std::size_t at = (begin + i + row) * k;
          likeliest_tokens(logits.row(row), std::span{done.rows.ids}.subspan(at, k),
                           std::span{done.rows.log_probabilities}.subspan(at, k));
        });
      }
      i += std::max<std::size_t>(run, 1);
    }
  }
}

void teacher_answers::finish(std::size_t index,
                             const std::function<void(answered_conversation&&)>& done) {
  slot& one = slots_[index];
  answered_conversation& result = one.so_far;
  result.number = one.asked.number;
  // Questions that nobody answers teach nothing.
  if (result.cut) {
    while (!result.messages.empty() && result.messages.back().role != "assistant")
      result.messages.pop_back();
  }
  if (options_.top_k > 0 && !result.messages.empty()) {
    if (options_.raw) {
      result.text.tokens = history_of(one);
      result.text.labels = result.text.tokens;
      const std::string& prompt = result.messages.front().text;
      const std::size_t read = words_.encode(prompt, llm::tokenizer::markup::plain).size();
      std::fill_n(result.text.labels.begin(),
                  static_cast<std::ptrdiff_t>(std::min(read, result.text.labels.size())), no_label);
      const std::size_t kept = std::min(options_.rules.longest, result.text.tokens.size());
      result.text.tokens.resize(kept);
      result.text.labels.resize(kept);
    } else {
      result.text = encode_conversation(result.messages, *format_, words_, options_.rules);
    }
    look_at(index);
    one.cached.clear();
  }
  done(std::exchange(result, {}));
  one.busy = false;
}

void teacher_answers::run(const std::function<std::optional<numbered_conversation>()>& next,
                          const std::function<void(answered_conversation&&)>& done) {
  for (bool more = true;;) {
    std::vector<std::size_t> active;
    std::vector<token_id> tokens;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      slot& one = slots_[i];
      while (!one.busy && more) {
        std::optional<numbered_conversation> asked = next();
        if (!(more = asked.has_value())) break;
        one.asked = std::move(*asked);
        one.so_far = {};
        one.answer.clear();
        one.busy = true;
        if (!go_on(i)) finish(i, done);
      }
      if (!one.busy) continue;
      active.push_back(i);
      tokens.push_back(one.answer.back());
    }
    if (active.empty()) return;
    const er::matrix_view<const float> logits = decoder_.next_each(active, tokens);
    std::vector<token_id> drawn(active.size());
    threads_.run(active.size(), [&](std::size_t row) {
      drawn[row] = (*slots_[active[row]].choose)(logits.row(row));
    });
    for (std::size_t row = 0; row < active.size(); ++row) {
      slot& one = slots_[active[row]];
      one.cached.push_back(tokens[row]);
      if (take(one, drawn[row])) continue;
      end_answer(one);
      if (!go_on(active[row])) finish(active[row], done);
    }
  }
}

}  // namespace qad
