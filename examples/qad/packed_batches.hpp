// SPDX-License-Identifier: Apache-2.0
/// Batches of packed windows, as a trainer takes them, and the files that they come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llm/tokenizer.hpp"
#include "training_step.hpp"
#include "windows.hpp"
#include <edgerazor/io/top_k_file.hpp>

namespace qad {

/// What a run learns from in place of a plain text.
struct training_data {
  std::vector<text_source> sources;
  /// Of each source its weight and a fingerprint of what is learned from it: by which a run that
  /// goes on knows its data.
  std::vector<std::string> identities;
  /// Set where the one source is this file, and what it says of the teacher is learned.
  std::optional<edgerazor::top_k_file> teacher;
  std::size_t cut = 0;  ///< its sequences of which the end is left out
};

/// The sources of a command line; see parse_source and read_sources, whose errors it throws.
training_data read_data(std::span<const std::string> names, const llm::tokenizer& words,
                        const conversation_rules& rules);

/// A teacher's top k, of whose sequences the first `window` tokens are taken: what the teacher said
/// later it said of more than the window shows. Throws edgerazor::io_error where the file can't be
/// read, or its vocabulary has another number of tokens than the model's.
training_data read_stored_teacher(const std::filesystem::path& path, std::size_t vocabulary,
                                  std::size_t window);

/// Batch s of a run is windows s * sequences to (s + 1) * sequences - 1: it depends on the data,
/// the seed and s alone.
class packed_batches {
 public:
  /// Throws std::invalid_argument as `windows` does, and where a token is none of a vocabulary of
  /// `vocabulary` tokens, naming its source.
  packed_batches(training_data data, std::size_t vocabulary, std::size_t sequences,
                 std::size_t length, std::uint64_t seed);

  /// The arguments of trainer::step.
  struct batch {
    std::span<const token_id> windows;
    std::span<const std::int64_t> labels;
    packing packed;
  };
  /// Valid until the next call.
  batch operator()(std::uint64_t step);

  [[nodiscard]] const windows& source() const noexcept { return draw_; }

 private:
  std::optional<edgerazor::top_k_file> teacher_;
  windows draw_;
  std::size_t sequences_;
  std::vector<token_id> rows_;
  std::vector<std::int64_t> labels_;
  std::vector<std::uint32_t> positions_;
  std::vector<std::int32_t> ids_;
  std::vector<float> log_probabilities_;
};

}  // namespace qad
