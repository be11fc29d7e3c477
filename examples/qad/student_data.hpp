// SPDX-License-Identifier: Apache-2.0
/// What a command line names for a student to learn from, in place of the text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "packed_batches.hpp"
#include "run.hpp"

namespace CLI {
class App;
}

namespace qad {

struct student_data {
  std::vector<std::string> sources;  ///< as parse_source takes them
  conversation_rules rules;
  std::string top_k_file;

  /// --data with its rules, and --top-k-file: not both.
  void add_to(CLI::App& command);
  /// Nothing where the text is learned from; else batches for the options, which are told of the
  /// data and judged with it. A line about each source goes to standard error. Throws as read_data,
  /// read_stored_teacher and require_valid do.
  [[nodiscard]] std::optional<packed_batches> claim(run_options& options,
                                                    const llm::tokenizer& words) const;
};

}  // namespace qad
