// SPDX-License-Identifier: Apache-2.0
/// The options by which a student's method is chosen, and what follows from it.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "run_options.hpp"

namespace qad {

struct method_options {
  std::string how = "qad", feature_form;
  bool no_features = false, no_output_norms = false;

  /// --method, --no-output-norms, --no-features and --feature-form.
  void add_to(CLI::App& command);
  /// Method, recipe and objective in `o`, whose model is known: the method's own, but for what the
  /// command line says. Throws std::invalid_argument where it names a recipe for a method that has
  /// none.
  void take(run_options& o, const std::string& asked_recipe, bool stored_teacher,
            const CLI::App& command) const;
};

}  // namespace qad
