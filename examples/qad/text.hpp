// SPDX-License-Identifier: Apache-2.0
/// The text a model learns and the text it is measured on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "llm/tokenizer.hpp"

namespace qad {

using llm::token_id;

/// Offset of the first byte that is not part of a UTF-8 character; the size where all are.
std::size_t first_invalid(std::string_view text);

/// The files one after the other, a line feed between two. Without files: the King James Bible, 4.2
/// MB of English in the public domain, as the packaged program `bible` prints it, each chapter one
/// line. Throws edgerazor::io_error on a file that can't be read, is empty or is not UTF-8, and
/// where the program is missing, naming its package.
std::string read_text(const std::vector<std::string>& files);

/// "Ge1:1 In the beginning ...\nGe1:2 And the earth ..." without its references, the verses of each
/// chapter joined to one line.
std::string join_verses(std::string_view verses);

/// How a text falls into two that share nothing.
struct split_rule {
  std::size_t block =
      4000;                ///< a block ends with the first line that ends after so many characters
  std::size_t every = 20;  ///< blocks every - 1, 2 * every - 1, ... are for validation
};

struct divided_text {
  std::string training, validation;
};

/// Throws std::invalid_argument where the text is too short for a validation block.
divided_text divide(std::string_view text, const split_rule& rule = {});

/// A divided text in tokens that were learned from its training part alone.
struct corpus {
  corpus(const divided_text& text, std::size_t vocabulary);
  /// With a tokenizer that exists.
  corpus(const divided_text& text, llm::vocabulary data);

  llm::tokenizer tokenizer;
  std::vector<token_id> training, validation;
};

/// What batches are made of: `sequences` windows of `length` tokens and the one that follows each
/// of them, drawn uniformly from a text.
///
/// Window i of step s begins where a hash of (seed, s, i) says. So a run that is resumed at step s
/// goes on exactly as if it had never stopped, and nothing but s has to be kept.
class batches {
 public:
  /// Refers to `text`. Throws std::invalid_argument where it has no more than `length` tokens.
  batches(std::span<const token_id> text, std::size_t sequences, std::size_t length,
          std::uint64_t seed);

  /// The windows of a step, `sequences` rows of length + 1 tokens; valid until the next call.
  std::span<const token_id> operator()(std::uint64_t step);

  [[nodiscard]] std::size_t sequences() const noexcept { return sequences_; }
  [[nodiscard]] std::size_t length() const noexcept { return length_; }

 private:
  std::span<const token_id> text_;
  std::size_t sequences_, length_;
  std::uint64_t seed_;
  std::vector<token_id> rows_;
};

}  // namespace qad
