// SPDX-License-Identifier: Apache-2.0
/// Conversations that are finished in any order, on the disk as soon as they are, and the file of
/// them in order when all are there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "conversations.hpp"
#include "teacher_answers.hpp"
#include <edgerazor/io/top_k_writer.hpp>

namespace qad {

/// Keeps OUTPUT.partial, a line for each conversation that is done:
///
///     {"settings": "..."}                             first
///     {"line": 12, "messages": [...]}                 then; no messages: nothing came of it
///
/// and beside it, for a teacher's top k, a file with a sequence for each line. A process that is
/// killed leaves both as they are; what was being written last is taken away when they are opened
/// again. finish() puts all in order and removes them.
class data_journal {
 public:
  /// Throws edgerazor::io_error where `output` is there already, where the files can't be read or
  /// written or are none of ours, and where they were begun with other settings (naming both).
  /// `top_k` 0: without that file.
  data_journal(std::filesystem::path output, const std::string& settings, std::size_t top_k,
               std::size_t vocabulary);

  /// Whether that conversation is done.
  [[nodiscard]] bool has(std::size_t line) const { return places_.contains(line); }
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  void add(const answered_conversation& one);
  /// Returns how many conversations there are in OUTPUT. May be called again after a failure.
  std::size_t finish();

  /// Where a teacher's top k of `output` is: the same name with .topk in place of its extension.
  [[nodiscard]] static std::filesystem::path top_k_path(const std::filesystem::path& output);

 private:
  struct closer {
    void operator()(std::FILE* stream) const noexcept { std::fclose(stream); }
  };
  struct place {
    std::size_t sequence;  ///< in the order of the journal
    std::string line;      ///< as OUTPUT has it; empty: nothing came of it
  };

  /// Takes in what is there; returns where the last whole line ends.
  std::size_t read_lines(const std::string& settings);
  void write_line(const std::string& line);
  void finish_top_k();

  std::filesystem::path output_, partial_, top_k_partial_;
  std::size_t top_k_, vocabulary_;
  std::map<std::size_t, place> places_;
  std::unique_ptr<std::FILE, closer> stream_;
  std::optional<edgerazor::top_k_writer> rows_;
};

}  // namespace qad
