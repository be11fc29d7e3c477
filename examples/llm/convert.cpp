// SPDX-License-Identifier: Apache-2.0
#include "convert.hpp"

#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>

#include "checkpoint.hpp"
#include "options.hpp"
#include "support/named_files.hpp"
#include "support/system.hpp"
#include "table.hpp"
#include <edgerazor/io/atomic_file.hpp>

namespace llm {

namespace {

[[nodiscard]] bool is_folder(const std::string& path) {
  std::error_code ignored;
  return path.ends_with('/') || std::filesystem::is_directory(path, ignored);
}

void print_losses(const conversion& done) {
  std::vector<std::vector<std::string>> table{{"not copied exactly", "was", "is", "loss"}};
  for (const conversion::loss& one : done.losses)
    table.push_back(
        {er::printable(one.tensor), er::printable(one.from), one.to, significant(one.relative, 3)});
  if (!done.losses.empty()) print_table(table);
  support::print(std::to_string(done.exact) + " tensors copied exactly, " +
                 std::to_string(done.losses.size()) +
                 (done.losses.empty()
                      ? " not\n"
                      : " not (loss: squares of the errors, divided by those of the "
                        "numbers)\n"));
}

}  // namespace

void convert(const convert_options& options) {
  const model_file input(options.model);
  input.require_complete();
  const er::recipe how = recipe_for(options.quantize.recipe, options.quantize, input.shape);
  const auto folder = find_folder_kind(options.target);
  if (!folder && !options.target.empty()) {
    throw std::invalid_argument(er::quoted(options.target) + " is no kind of folder; there are " +
                                folder_kind_names());
  }
  if (!folder && is_folder(options.output)) {
    throw std::invalid_argument(er::quoted(options.output, er::longest_path) +
                                " is a folder: --to says which of " + folder_kind_names() +
                                " is written there");
  }
  if (!folder) {
    support::require_apart({{"--output", options.output}},
                           parts_of_model("--model", options.model));
    static_cast<void>(er::atomic_file(options.output));  // can it be written? Before the work.
  }
  thread_pool threads(options.run.threads);
  const conversion done =
      folder ? write_folder(input, how, *folder, options.output, threads)
      : options.exported.empty()
          ? write_quantized(input, how, options.output, threads)
          : write_exported(input, how, export_type(options.exported), options.output, threads);
  print_losses(done);
  support::print(er::printable(options.output, er::longest_path) + ": " +
                 megabytes(done.bytes_after) + " MB, from " + megabytes(done.bytes_before) +
                 " MB of tensors\n");
}

}  // namespace llm
