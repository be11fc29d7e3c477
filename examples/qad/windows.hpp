// SPDX-License-Identifier: Apache-2.0
/// What a trainer is given: windows of one length, packed with whole texts of several sources.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "conversations.hpp"
#include <edgerazor/core/views.hpp>
#include <edgerazor/io/top_k_file.hpp>

namespace qad {

/// Texts that are drawn from together.
struct text_source {
  std::string name;   ///< for messages
  double weight = 1;  ///< its part of the windows, before weights are divided by their sum
  std::vector<labelled_text> texts;
};

/// One text, or a part of one, in a window. Tokens of different segments must not see each other:
/// attention of token i of a segment is over tokens 0 to i of the segment, and positions count from
/// 0 in each.
struct segment {
  std::size_t begin, end;    ///< in the window
  std::size_t text, offset;  ///< which text of the source, and which token of it is `begin`
};

/// Refers to the `windows` that made it.
struct window {
  /// Padded with token 0 and no_label. A segment's first token has no label either.
  std::span<const token_id> tokens, labels;
  std::span<const segment> segments;  ///< without the padding, which is behind them all
  std::size_t source = 0;
};

/// Windows of `length` tokens. Texts of a source are packed once, the longest first, each into the
/// window in which it leaves least room (best-fit decreasing); longer texts than a window are cut.
/// Texts in which nothing is learned are left out.
///
/// Window n of a run is of a source drawn by weight, from (seed, n), and is that source's next one
/// in an order that is drawn anew when all have been used. So a run goes on at any n exactly as if
/// it had never stopped.
class windows {
 public:
  /// Throws std::invalid_argument where there is no source, a source has nothing to learn (naming
  /// it), a weight is not more than 0 and finite, or the length is less than 2.
  windows(std::vector<text_source> sources, std::size_t length, std::uint64_t seed);

  /// Valid until the next call.
  window operator()(std::uint64_t n);

  [[nodiscard]] std::size_t length() const noexcept { return length_; }
  /// Of a source: windows it was packed into, tokens in them and tokens that are learned.
  struct account {
    std::size_t windows = 0, tokens = 0, learned = 0;
  };
  [[nodiscard]] account account_of(std::size_t source) const;
  [[nodiscard]] std::span<const text_source> sources() const noexcept { return sources_; }

 private:
  /// A source's windows, and where drawing has got to.
  struct packed {
    std::vector<std::vector<segment>> windows;
    std::vector<std::size_t> order;
    std::uint64_t drawn = 0;
  };

  void pack(const text_source& source, packed& out) const;
  /// Draws window n, which is the next one, and returns its source.
  std::size_t advance();

  std::vector<text_source> sources_;
  std::size_t length_;
  std::uint64_t seed_, next_ = 0;
  std::vector<packed> packed_;
  std::size_t source_ = 0, index_ = 0;  ///< of window next_ - 1
  std::vector<token_id> tokens_, labels_;
};

/// The texts of a teacher's top k (`write-data --top-k`); text i is the file's sequence i.
std::vector<labelled_text> texts_of(const edgerazor::top_k_file& file);

/// What the teacher said at a window's tokens, of a source of texts_of(file): rows of `ids` and
/// `log_probabilities`, length x K, as `top_k_teacher` takes them. Padding has ids of -1.
void read_teacher(const window& from, const edgerazor::top_k_file& file,
                  edgerazor::matrix_view<std::int32_t> ids,
                  edgerazor::matrix_view<float> log_probabilities);

/// A source as a command line names it: a file, and behind an equals sign its weight. Files that
/// end in .jsonl are conversations, in .topk a teacher's top k, others plain text.
struct source_name {
  std::string path;
  double weight = 1;
};
/// Throws std::invalid_argument where the weight is no number more than 0.
source_name parse_source(const std::string& text);

/// Reads a source. `format` may be null where it is no file of conversations. Texts are of at most
/// `longest` tokens. Throws edgerazor::io_error where it can't be read, a line is none (naming
/// file, line and what was expected), and where a teacher's file has another vocabulary.
text_source read_source(const source_name& name, const llm::tokenizer& words,
                        const llm::chat_format* format, const conversation_rules& rules);

/// All sources of a command line; conversations take the layout of the model's chat template.
/// Throws as parse_source, read_source and layout_of do.
std::vector<text_source> read_sources(std::span<const std::string> names,
                                      const llm::tokenizer& words, const conversation_rules& rules);

}  // namespace qad
