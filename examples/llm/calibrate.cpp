// SPDX-License-Identifier: Apache-2.0
/// The command `calibrate`.
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "calibration.hpp"
#include "calibration_report.hpp"
#include "checkpoint.hpp"
#include "options.hpp"
#include "report.hpp"
#include "support/named_files.hpp"
#include "support/system.hpp"
#include "table.hpp"
#include <edgerazor/io/atomic_file.hpp>

namespace llm {

void calibrate(const calibrate_options& options) {
  if (!options.gradients.empty() && options.method != "tacq" && options.method != "auto")
    throw std::invalid_argument("--gradients is for --method auto or tacq; " + options.method +
                                " reads none");
  support::require_apart(
      {{"--output", options.output}, {"--json", options.json}, {"--picture", options.picture}},
      {{"--text", options.text}, {"--gradients", options.gradients}});
  support::require_apart({{"--json", options.json}, {"--picture", options.picture}},
                         files_of_model("--model", options.model));
  support::require_apart({{"--output", options.output}}, parts_of_model("--model", options.model));
  const model_file input(options.model);
  input.require_complete();
  // Can they be written? Before the work.
  static_cast<void>(er::atomic_file(options.output));
  report_file report(options.json);
  std::unique_ptr<er::atomic_file> picture;
  if (!options.picture.empty()) picture = std::make_unique<er::atomic_file>(options.picture);

  thread_pool threads(options.run.threads);
  known_sensitivity sensitivity;
  const calibration done = calibrate_model(input, options, options.output, threads, sensitivity);

  const std::string name{input.source->model_name().value_or(options.model)};
  print_calibration(done);
  const std::string summary = megabytes(done.file_bytes) + " MB, " +
                              decimal(done.bits_per_weight(), 2) +
                              " bits a weight, the whole file counted";
  support::print("\n");  // by itself: g++ 12 warns falsely at a literal before a string, with -O3
  support::print(er::printable(options.output, er::longest_path) + ": " + summary + "\n" +
                 er::printable(name) + " by " + options.method + ", " +
                 std::to_string(done.text_tokens) + " tokens of text, " + decimal(done.seconds, 0) +
                 " s\n");
  if (picture) {
    const std::string svg = calibration_picture(done, name + ": " + summary);
    picture->write(std::as_bytes(std::span{svg}));
    picture->commit();
  }
  report.write(to_json(done));
}

}  // namespace llm
