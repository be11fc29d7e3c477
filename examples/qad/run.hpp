// SPDX-License-Identifier: Apache-2.0
/// One training run and the folder it lives in.
///
///     options.json   what decides the course of the run, and where its text and its teacher are
///     checkpoint     the state after some step; a finished run's has weights alone
///     best           the weights that were best on the validation text, where they are evaluated
///     log.csv        losses, gradient norm and learning rate of every step
///     quality.csv    what the evaluations found, with the tokens learned from
///     loss.svg       the same as a picture
///     result.json    what came out; there once the run is finished
///
/// The same call goes on where a run was interrupted, and returns at once where it is finished.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint.hpp"
#include "evaluate.hpp"
#include "packed_batches.hpp"
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

  /// What is learned from in place of the text, which then says what is measured on alone:
  /// training_data's identities. Empty: the text.
  std::vector<std::string> data;

  std::vector<std::string> text_files;  ///< empty: the default text
  std::vector<std::string> data_files;  ///< where the data was, as a command line names it
  std::string teacher_folder;           ///< of its run; or a model that examples/llm reads
  std::size_t checkpoint_every = 100;   ///< steps
  std::size_t validation_tokens = 0;    ///< of the validation text that are measured; 0: all
  std::size_t evaluate_every = 0;       ///< steps; 0: at the end alone
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
/// checkpoint, or of its `best`. Throws edgerazor::io_error where that is not there or contradicts
/// itself.
trained_model load_run(const std::filesystem::path& folder, bool best = false);

/// The weights' fingerprint, by which a student knows its teacher.
std::uint64_t fingerprint(const weight_pages<float>& weights);

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

/// The text of a run, divided. Throws edgerazor::io_error where it is not the one that the run was
/// made with.
divided_text text_of(const run_options& options);

/// Quality of a model on the validation text, in windows of `window` tokens, 0: those of training.
/// `teacher` may be null.
quality measure(const running_model& model, const weight_pages<float>* teacher,
                const run_options& options, const corpus& text, std::size_t window = 0);
/// The same of float weights that are rounded by a recipe.
quality measure(const parameters& master, std::string_view recipe,
                const weight_pages<float>* teacher, const run_options& options, const corpus& text,
                std::size_t window = 0);

/// Trains, or for method::rounding measures alone. `text` is the corpus of options.text, `teacher`
/// null for a teacher. `data`: batches of options.data; null: those of the text. Options that are
/// not valid are refused before the folder is made. `shared`:
/// other runs draw on the terminal too. `profile`: the table of where the time went goes to
/// standard error. Throws std::invalid_argument where the folder holds a run of other options,
/// naming the first one that differs.
run_result perform_run(const run_options& options, const corpus& text,
                       const weight_pages<float>* teacher, const std::filesystem::path& folder,
                       bool shared, bool profile = false, packed_batches* data = nullptr);

/// The seed of a run's batches: a student sees other windows than its teacher did.
std::uint64_t batch_seed(const training_options& options) noexcept;

/// One line of quality.csv.
struct evaluation {
  std::uint64_t step = 0, tokens = 0;  ///< learned from
  quality measured;
};

/// The evaluations of a run so far, in order. Throws edgerazor::io_error where the file is not
/// there.
std::vector<evaluation> read_quality(const std::filesystem::path& folder);

/// The mean over each of `bins` stretches of a column of log.csv, with the middle step: points of a
/// curve.
std::vector<std::pair<double, double>> read_log(const std::filesystem::path& folder,
                                                const std::string& column, std::size_t bins);

/// Writes the file in one step.
void write_text_file(const std::filesystem::path& path, std::string_view text);

}  // namespace qad
