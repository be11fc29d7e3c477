// SPDX-License-Identifier: Apache-2.0
/// What a run is asked for, as a value and as the folder's options.json.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

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
  std::uint64_t start = 0;    ///< of those that a student starts from; 0: the teacher's

  /// What is learned from in place of the text, which then says what is measured on alone:
  /// training_data's identities. Empty: the text.
  std::vector<std::string> data;

  std::vector<std::string> text_files;  ///< empty: the default text
  std::vector<std::string> data_files;  ///< where the data was, as a command line names it
  std::string teacher_folder;           ///< of its run; or a model that examples/llm reads
  std::string start_folder;             ///< empty: the teacher's
  std::size_t checkpoint_every = 100;   ///< steps
  std::size_t validation_tokens = 0;    ///< of the validation text that are measured; 0: all
  std::size_t evaluate_every = 0;       ///< steps; 0: at the end alone
  /// Of a run that goes on: from its last checkpoint on this rate holds; 0: that it has.
  double resume_learning_rate = 0;
};

/// Throws std::invalid_argument, naming the field, where a number is none or means nothing, the
/// machine has no memory for the run, or a path is not UTF-8.
void require_valid(const run_options& options);

/// All fields but training.threads, training.ranks and resume_learning_rate. Members of "run"
/// decide the course of the run, others do not.
nlohmann::ordered_json to_json(const run_options& options);
/// Throws edgerazor::io_error naming what is missing, has another type or is not valid.
run_options run_options_from_json(const nlohmann::ordered_json& json);

/// "qad", as options.json has it.
const char* name_of(method how);
/// Throws edgerazor::io_error where no method has the name.
method method_named(const std::string& name);

}  // namespace qad
