// SPDX-License-Identifier: Apache-2.0
#include "trained_model.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "layer_form.hpp"
#include "stored_weights.hpp"
#include "text_file.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

trained_model load_run(const std::filesystem::path& folder, bool best) {
  if (!std::filesystem::exists(folder / "options.json")) {
    throw er::io_error(er::quoted(folder.string(), er::longest_path) +
                       " is not the folder of a run: it has no options.json");
  }
  run_options options = run_options_from_json(read_json(folder / "options.json"));
  if (best && !std::filesystem::exists(folder / "best")) {
    throw er::io_error(er::quoted(folder.string(), er::longest_path) +
                       " has no best weights: a run keeps them with --evaluate-every alone");
  }
  checkpoint saved = read_checkpoint(folder / (best ? "best" : "checkpoint"));
  parameters weights(student_shape(options.model, options.training));
  if (saved.weights.size() != weights.values().size()) {
    throw er::io_error(er::quoted(folder.string(), er::longest_path) + ": the checkpoint holds " +
                       std::to_string(saved.weights.size()) + " weights, options.json describes " +
                       std::to_string(weights.values().size()));
  }
  std::copy(saved.weights.begin(), saved.weights.end(), weights.values().begin());
  claim_grids(options);
  return {std::move(options), std::move(saved.words), std::move(weights)};
}

std::uint64_t fingerprint(const weight_pages<float>& weights) {
  const shape& s = weights.shape();
  const std::vector<weight_entry> layout = weight_layout(s);
  const std::size_t all = layout.back().offset + layout.back().size();
  std::vector<float> room;
  std::uint64_t hash = fingerprint(std::span{weights.embedding(), block_offset(s, 0)});
  for (std::size_t i = 0; i < s.layers; ++i) {
    const std::size_t count = block_offset(s, i + 1) - block_offset(s, i);
    hash = fingerprint(std::span{weights.block(i, room), count}, hash);
  }
  return fingerprint(std::span{weights.tail(), all - block_offset(s, s.layers)}, hash);
}

void claim_grids(run_options& options) {
  if (options.training.recipe != calibrated_recipe || options.start == 0) return;
  const std::filesystem::path& path = options.start_folder;
  if (fingerprint(*open_teacher(path).weights) != options.start) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " is not the model any more that the run started from");
  }
  options.training.grids = read_grids(path, options.model);
}

teacher_model open_teacher(const std::filesystem::path& path) {
  teacher_model teacher;
  if (std::filesystem::exists(path / "options.json")) {
    trained_model run = load_run(path);
    if (has_own_form(run.options.training.how)) {
      throw er::io_error(er::quoted(path.string(), er::longest_path) +
                         " holds a student of the method " + name_of(run.options.training.how) +
                         ", whose trained weights are no model without its form");
    }
    teacher.options = std::move(run.options);
    teacher.words = std::move(run.words);
    teacher.weights = std::make_unique<parameters>(std::move(run.weights));
    teacher.has_run = true;
    teacher.description = "weights of its run in memory";
    return teacher;
  }
  auto weights = std::make_unique<stored_weights>(llm::checkpoint::open(path));
  teacher.options.model = weights->shape();
  teacher.words = weights->file().read_vocabulary();
  teacher.description = weights->description();
  teacher.weights = std::move(weights);
  return teacher;
}

}  // namespace qad
