// SPDX-License-Identifier: Apache-2.0
/// Everything that docs/results.md reports: teachers, rounding, QAT and QAD at every width, and the
/// ablation, for several seeds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "run.hpp"

namespace qad {

struct experiment_options {
  run_options teacher;  ///< training.seed, text and text_files aside, what every teacher does
  std::size_t student_steps = 300;
  double student_learning_rate = 2e-3;
  double student_weight_decay = 0.1;
  double feature_weight = 0.1;  ///< of QAD's loss between hidden states, the published one
  std::size_t seeds = 3;        ///< 1, 2, ... so many
  std::size_t jobs = 2;         ///< runs at a time, of one thread each
  std::string folder;
  std::string
      teacher_folder;  ///< a finished run that teaches all seeds; empty: each seed trains its own
};

/// One folder a run: <folder>/seed_<n>/<run>. Runs that are finished are not repeated, interrupted
/// ones go on. At the end <folder> has results.json, results.md (the table) and loss.svg (training
/// losses, mean over the seeds). Throws what the first run that fails throws, once the others have
/// stopped.
void perform_experiment(const experiment_options& options);

}  // namespace qad
