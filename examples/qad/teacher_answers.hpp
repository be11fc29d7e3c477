// SPDX-License-Identifier: Apache-2.0
/// A model that answers many conversations at once, and says what it thinks of every token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "conversations.hpp"
#include "llm/decoder.hpp"
#include "llm/sampler.hpp"

namespace qad {

/// What EdgeRazor (Python) distils its data with. `seed` is mixed with the number of a conversation
/// and of a message, so that an answer depends on nothing beside it.
inline constexpr llm::sampling published_sampling{
    .temperature = 0.7f, .top_k = 20, .top_p = 0.95f, .seed = 1, .min_p = 0};

struct answer_options {
  llm::sampling how = published_sampling;
  std::size_t most_tokens = 1024;  ///< of an answer
  std::size_t sequences = 16;      ///< conversations at a time, at most decoder::batch
  std::size_t context = 2048;      ///< tokens of a conversation; none has more
  conversation_rules rules = {};   ///< its system message is what the model sees
  bool raw = false;                ///< the first message is a text that is continued as it stands
  bool keep = false;               ///< answers stay as they are
  std::size_t top_k = 0;           ///< of every token that is learned, these are wanted; 0: none
};

/// A conversation and its number, by which its random draws are told from those of others.
struct numbered_conversation {
  std::size_t number = 0;
  conversation messages;
};

/// K ids and log-probabilities of each token, as top_k_writer takes them.
struct teacher_rows {
  std::vector<std::int32_t> ids;
  std::vector<float> log_probabilities;
};

struct answered_conversation {
  std::size_t number = 0;
  /// With the model's answers. Where one had no room in the context, it and what follows is left
  /// out; empty where not one answer is left.
  conversation messages;
  bool cut = false;        ///< something was left out
  std::size_t tokens = 0;  ///< that the model wrote
  labelled_text text;      ///< of `messages`, and what the model says to it; with top_k alone
  teacher_rows rows;
};

/// Writes to `ids` and `log_probabilities` the largest logits' tokens, likeliest first, of equals
/// the lowest id, and their logarithms of probabilities at temperature 1, none above 0. Throws
/// std::invalid_argument where a logit is not finite or there are fewer than ids.
void likeliest_tokens(std::span<const float> logits, std::span<std::int32_t> ids,
                      std::span<float> log_probabilities);

/// Refers to all it is given.
class teacher_answers {
 public:
  /// `format` may be null where texts are raw. Memory for all sequences is taken now. Throws
  /// std::invalid_argument where an option has no meaning or the machine has too little memory.
  teacher_answers(const llm::model& weights, const llm::tokenizer& words,
                  const llm::chat_format* format, llm::thread_pool& threads,
                  const answer_options& options, const llm::er::kernel& kernel);

  /// Answers what `next` gives until it gives nothing, and hands each to `done` when it is
  /// finished, which is in no order. What comes out depends neither on the number of sequences nor
  /// on that of threads.
  void run(const std::function<std::optional<numbered_conversation>()>& next,
           const std::function<void(answered_conversation&&)>& done);

 private:
  /// One conversation that is being answered, in the decoder's sequence of the same number.
  struct slot {
    bool busy = false;
    numbered_conversation asked;
    answered_conversation so_far;
    std::vector<token_id> cached;  ///< what the decoder has seen
    std::vector<token_id> answer;  ///< of the message under way
    std::optional<llm::sampler> choose;
  };

  [[nodiscard]] bool go_on(std::size_t index);
  void end_answer(slot& one);
  [[nodiscard]] bool take(slot& one, token_id token);
  void finish(std::size_t index, const std::function<void(answered_conversation&&)>& done);
  void look_at(std::size_t index);
  [[nodiscard]] std::vector<token_id> history_of(const slot& one) const;

  const llm::tokenizer& words_;
  const llm::chat_format* format_;
  llm::thread_pool& threads_;
  answer_options options_;
  llm::decoder decoder_;
  std::vector<slot> slots_;
};

}  // namespace qad
