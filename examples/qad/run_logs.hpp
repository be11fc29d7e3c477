// SPDX-License-Identifier: Apache-2.0
/// The records of a run: log.csv, a line for every step, and quality.csv, one for every evaluation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "evaluate.hpp"
#include "training_step.hpp"

namespace qad {

/// log.csv, continued after step `steps`: lines of later steps, and one that a kill cut off, are
/// dropped. Where no loss blends by gamma, its cell is empty. Members throw edgerazor::io_error
/// where the file can't be written.
class run_log {
 public:
  run_log(const std::filesystem::path& path, std::uint64_t steps);

  void add(std::uint64_t step, const step_result& result);
  void flush();

 private:
  struct file_closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, file_closer> file_;
};

/// One line of quality.csv.
struct evaluation {
  std::uint64_t step = 0, tokens = 0;  ///< learned from
  quality measured;
};

/// quality.csv and which weights are the best. Evaluations of steps after `steps`, which a run has
/// not done or has to do again, are dropped.
class quality_log {
 public:
  quality_log(const std::filesystem::path& folder, std::uint64_t steps);

  /// Whether it is the best so far.
  bool add(const evaluation& found);

 private:
  bool note(const evaluation& found);
  /// The distance to the teacher; for want of one the perplexity.
  static double score(const quality& found) {
    return found.divergence > 0 ? found.divergence : found.perplexity;
  }

  std::filesystem::path path_;
  std::string text_;
  double best_ = std::numeric_limits<double>::infinity();
};

/// The evaluations of a run so far, in order. Throws edgerazor::io_error where the file is not
/// there.
std::vector<evaluation> read_quality(const std::filesystem::path& folder);

/// The mean over each of `bins` stretches of a column of log.csv, with the middle step: points of a
/// curve.
std::vector<std::pair<double, double>> read_log(const std::filesystem::path& folder,
                                                const std::string& column, std::size_t bins);

}  // namespace qad
