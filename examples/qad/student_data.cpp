// SPDX-License-Identifier: Apache-2.0
#include "student_data.hpp"

#include <cstdio>
#include <filesystem>
#include <utility>

#include "data_commands.hpp"
#include "support/command_line.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

void student_data::add_to(CLI::App& command) {
  CLI::Option* const data =
      command
          .add_option("--data", sources,
                      "FILE or FILE=WEIGHT to learn from in place of the text, which is then "
                      "measured on alone: conversations (.jsonl), a teacher's top k (.topk), or "
                      "text; see inspect-data")
          ->type_name("SOURCE...");
  add_rules(command, rules);
  for (const char* const name : {"--system", "--longest"}) command.get_option(name)->needs(data);
  command
      .add_option("--top-k-file", top_k_file,
                  "qad: a teacher's top k (write-data --top-k) to learn from in place of the "
                  "text; the teacher does not run, so there is no loss between hidden states")
      ->excludes(data)
      ->type_name("FILE");
}

std::optional<packed_batches> student_data::claim(run_options& options,
                                                  const llm::tokenizer& words) const {
  const std::size_t window = window_of(options.model, options.training);
  training_data data;
  if (!top_k_file.empty()) {
    data = read_stored_teacher(top_k_file, options.model.vocabulary, window);
    options.data_files = {std::filesystem::absolute(top_k_file).string()};
  } else if (!sources.empty()) {
    data = read_data(sources, words, rules);
    for (const std::string& name : sources)
      options.data_files.push_back(std::filesystem::absolute(name).string());
  } else {
    return std::nullopt;
  }
  options.data = data.identities;
  require_valid(options);
  const std::size_t cut = data.cut;
  packed_batches batches(std::move(data), options.model.vocabulary, options.training.sequences,
                         window, batch_seed(options.training));
  for (std::size_t i = 0; i < options.data.size(); ++i) {
    const windows::account sums = batches.source().account_of(i);
    std::fprintf(stderr, "data: %s: %zu windows of %zu tokens, %zu of which are learned",
                 er::printable(options.data_files[i], er::longest_path).c_str(), sums.windows,
                 window, sums.learned);
    if (cut > 0) std::fprintf(stderr, "; %zu sequences end with their window", cut);
    std::fputc('\n', stderr);
  }
  return batches;
}

}  // namespace qad
