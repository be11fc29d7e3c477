// SPDX-License-Identifier: Apache-2.0
/// One training run and the folder it lives in.
///
///     options.json   what decides the course of the run, and where its text and its teacher are
///     checkpoint     the state after some step; a finished run's has weights alone
///     log.csv        losses, gradient norm and learning rate of every step
///     loss.svg       the same as a picture
///     result.json    what came out; there once the run is finished
///
/// The same call goes on where a run was interrupted, and returns at once where it is finished.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint.hpp"
#include "evaluate.hpp"
#include "parameters.hpp"
#include "text.hpp"
#include "training_step.hpp"

namespace qad {

struct run_options {
  shape model;
  training_options training;
  split_rule split;
  std::uint64_t text = 0;     ///< fingerprint of the whole text
  std::uint64_t teacher = 0;  ///< fingerprint of the teacher's weights; 0 for a teacher

  std::vector<std::string> text_files;  ///< empty: the default text
  std::string teacher_folder;
  std::size_t checkpoint_every = 100;  ///< steps
  std::size_t validation_tokens = 0;   ///< of the validation text that are measured; 0: all
};

/// Throws std::invalid_argument, naming the field, where a number is none or means nothing, the
/// machine has no memory for the run, or a path is not UTF-8.
void require_valid(const run_options& options);

/// All fields but training.threads. Members of "run" decide the course of the run, others do not.
nlohmann::ordered_json to_json(const run_options& options);
/// Throws edgerazor::io_error naming what is missing, has another type or is not valid.
run_options run_options_from_json(const nlohmann::ordered_json& json);

struct run_result {
  quality measured;
  double training_seconds = 0;  ///< of the session that finished it; 0 for rounding
  double tokens_per_second = 0;
};

/// A trained model.
struct trained_model {
  run_options options;
  llm::vocabulary words;
  parameters weights;  ///< float ones
};

/// What a folder holds: the options it was made with, the tokenizer and the weights of its last
/// checkpoint. Throws edgerazor::io_error where that is not there or contradicts itself.
trained_model load_run(const std::filesystem::path& folder);

/// The weights' fingerprint, by which a student knows its teacher.
inline std::uint64_t fingerprint(const trained_model& model) noexcept {
  return fingerprint(model.weights.values());
}

/// The text of a run, divided. Throws edgerazor::io_error where it is not the one that the run was
/// made with.
divided_text text_of(const run_options& options);

/// Quality of a model under a recipe on the validation text, in windows of `window` tokens, 0: the
/// context's. `teacher` may be null.
quality measure(const parameters& master, std::string_view recipe, const parameters* teacher,
                const run_options& options, const corpus& text, std::size_t window = 0);

/// Trains, or for method::rounding measures alone. `text` is the corpus of options.text, `teacher`
/// null for a teacher. Options that are not valid are refused before the folder is made. `shared`:
/// other runs draw on the terminal too. Throws std::invalid_argument where the folder holds a run
/// of other options, naming the first one that differs.
run_result perform_run(const run_options& options, const corpus& text, const trained_model* teacher,
                       const std::filesystem::path& folder, bool shared);

/// The mean over each of `bins` stretches of a column of log.csv, with the middle step: points of a
/// curve.
std::vector<std::pair<double, double>> read_log(const std::filesystem::path& folder,
                                                const std::string& column, std::size_t bins);

/// Writes the file in one step.
void write_text_file(const std::filesystem::path& path, std::string_view text);

}  // namespace qad
