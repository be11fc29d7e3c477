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
#include <string_view>

#include "evaluate.hpp"
#include "layer_form.hpp"
#include "packed_batches.hpp"
#include "parameters.hpp"
#include "run_logs.hpp"
#include "run_options.hpp"
#include "text.hpp"
#include "trained_model.hpp"

namespace qad {

struct run_result {
  quality measured;
  double training_seconds = 0;  ///< of the session that finished it; 0 for rounding
  double tokens_per_second = 0;
};

/// The text of a run, divided. Throws edgerazor::io_error where it is not the one that the run was
/// made with.
divided_text text_of(const run_options& options);

/// Quality of a model on the validation text, in windows of `window` tokens, 0: those of training.
/// `teacher` may be null.
quality measure(const running_model& model, const weight_pages<float>* teacher,
                const run_options& options, const corpus& text, std::size_t window = 0);
/// The same of trained weights, as the form of their run or of a recipe makes them at the end.
quality measure(const parameters& master, const layer_form& form,
                const weight_pages<float>* teacher, const run_options& options, const corpus& text,
                std::size_t window = 0);
/// The same of float weights that are rounded by a recipe.
quality measure(const parameters& master, std::string_view recipe,
                const weight_pages<float>* teacher, const run_options& options, const corpus& text,
                std::size_t window = 0);

/// Trains, or for method::rounding measures alone. `text` is the corpus of options.text, `teacher`
/// null for a teacher. `data`: batches of options.data; null: those of the text. Options that are
/// not valid are refused before the folder is made. `shared`: other runs draw on the terminal too.
/// `profile`: the table of where the time went goes to standard error. Throws
/// std::invalid_argument where the folder holds a run of other options, naming the first one that
/// differs. With options.resume_learning_rate a run goes on from its last checkpoint at another
/// rate, which options.json notes with the step. Of options.training.ranks the first process alone
/// touches the folder, and the result of the others is empty.
run_result perform_run(const run_options& options, const corpus& text,
                       const weight_pages<float>* teacher, const std::filesystem::path& folder,
                       bool shared, bool profile = false, packed_batches* data = nullptr,
                       const weight_pages<float>* start = nullptr);

/// The seed of a run's batches: a student sees other windows than its teacher did.
std::uint64_t batch_seed(const training_options& options) noexcept;

}  // namespace qad
