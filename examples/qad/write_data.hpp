// SPDX-License-Identifier: Apache-2.0
/// Distilled data: the conversations of a file as a teacher would have had them, and what it thinks
/// of every token.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "teacher_answers.hpp"

namespace qad {

struct write_data_options {
  std::string model;            ///< a GGUF file or a Hugging Face folder
  std::string recipe = "none";  ///< to quantize the teacher by, in memory
  std::string input;            ///< .jsonl: conversations; else a text of prompts, one a line
  std::string output;           ///< .jsonl
  answer_options answers;
  bool thoughts = false;  ///< the teacher may think, where its template has a switch for that
  std::size_t limit = 0;  ///< conversations of the input that are taken, from the first; 0: all
  std::size_t threads = 1;
  std::string kernel;  ///< empty: the fastest
};

struct data_progress {
  std::size_t done = 0, all = 0;  ///< conversations, with those of calls before
  std::size_t cut = 0;            ///< of this call, that had no room for an answer
  std::size_t tokens = 0;         ///< that the teacher has written in this call
  double seconds = 0;             ///< of this call, without loading
};

/// Answers every line of the input, or goes on where a call before was killed, and writes the
/// output when all are done: the same file however often it was stopped, and whatever the numbers
/// of sequences and threads. `see` is called after each conversation.
///
/// The whole input is read first: what is wrong with a line is said before anything is written.
/// Throws edgerazor::io_error and std::invalid_argument, one sentence each.
data_progress write_data(const write_data_options& options,
                         const std::function<void(const data_progress&)>& see = {});

/// The prompt of each line that is not empty, as a conversation of a user's message and an answer
/// to come; or the lines of a file of conversations.
class question_file {
 public:
  explicit question_file(const std::string& path);
  std::optional<numbered_conversation> next();

 private:
  conversation_file file_;
  bool conversations_;
};

}  // namespace qad
