// SPDX-License-Identifier: Apache-2.0
/// Models as students start from them: a run's folder, or any model that examples/llm reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "checkpoint.hpp"
#include "llm/tokenizer.hpp"
#include "parameters.hpp"
#include "run_options.hpp"

namespace qad {

/// A trained model.
struct trained_model {
  run_options options;
  llm::vocabulary words;
  parameters weights;  ///< float ones
};

/// What a folder holds: the options it was made with, the tokenizer and the weights of its last
/// checkpoint, or of its `best`. Throws edgerazor::io_error where that is not there or contradicts
/// itself.
trained_model load_run(const std::filesystem::path& folder, bool best = false);

/// The weights' fingerprint, by which a student knows its teacher.
std::uint64_t fingerprint(const weight_pages<float>& weights);

/// What a student of the recipe "calibrated" keeps of options.start_folder, if it is of that recipe
/// and there is a start, without which no options are valid. Throws edgerazor::io_error where that
/// is not the model any more that the run started from, or as read_grids does.
void claim_grids(run_options& options);

/// What students are made of.
struct teacher_model {
  run_options options;  ///< of its run; of a model that exists the shape alone means something
  llm::vocabulary words;
  std::unique_ptr<const weight_pages<float>> weights;
  bool has_run = false;
  std::string description;  ///< how its weights are held: for people
};

/// The teacher of a run's folder, or any model that examples/llm reads, whose weights stay in the
/// mapped file. Throws edgerazor::io_error where it is neither.
teacher_model open_teacher(const std::filesystem::path& path);

}  // namespace qad
