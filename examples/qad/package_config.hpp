// SPDX-License-Identifier: Apache-2.0
/// The configuration files of EdgeRazor (Python), YAML or JSON: which weights become what, and what
/// a student is trained on. Every key is obeyed or refused by its name.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "package_function.hpp"
#include <edgerazor/distill/layer_selection.hpp>
#include <edgerazor/distill/published_objectives.hpp>
#include <edgerazor/distill/tokens.hpp>
#include <edgerazor/policy/recipe.hpp>

namespace qad {

/// What `qat_configuration` says of a decoder's matrices. Names are those of modules in a
/// checkpoint, without ".weight"; patterns match from where a name begins (Python's re.match).
struct package_quantization {
  bool linear = false, embedding = false;      ///< of target_types without exclude_types
  bool attention = false;                      ///< keys and values, likewise
  std::vector<std::string> targets, excluded;  ///< patterns
  package_function function;
  /// One of `overrides`: where (both, where both are there), and which keys it replaces by what.
  struct exception {
    std::optional<std::string> name;  ///< pattern
    std::optional<bool> embedding;    ///< its type is embedding, else linear
    package_function function;        ///< of which these keys are there
    std::vector<std::string> keys;
  };
  std::vector<exception> overrides;

  /// The format of a module's weight, empty where it is not quantized; `is_embedding`: it is no
  /// linear layer. Throws std::invalid_argument where overrides together make a function that has
  /// no format.
  [[nodiscard]] std::string format_of(std::string_view module, bool is_embedding) const;
  /// The library's recipe for a decoder of so many layers: the named one where every weight gets
  /// what that gives, else a rule for each weight, by its name in a checkpoint and in a GGUF file.
  [[nodiscard]] edgerazor::recipe recipe(std::size_t layers) const;
};

/// A loss between logits (`loss_type: logits`).
struct package_logits {
  /// KL(teacher || student), KL(student || teacher), or their blend by the teacher's entropy or by
  /// its probability of the label.
  enum class divergence { forward, reverse, by_entropy, by_confidence };
  divergence what = divergence::by_entropy;
  double weight = 0.5, temperature = 2;
  std::size_t confidence_k = 5;
  edgerazor::reduction how = edgerazor::reduction::batch_mean;
};

/// Mean squared error between hidden states (`loss_type: hidden_states`).
struct package_features {
  struct all_layers {};
  double weight = 0.5;
  bool normalize = false;  ///< both states are divided by their norms first
  std::variant<all_layers, std::vector<edgerazor::layer_choice>, edgerazor::adaptive_layers> layers;
  edgerazor::reduction how = edgerazor::reduction::batch_mean;
};

/// What `kd_configuration` says: task * cross-entropy and these.
struct package_objective {
  double task = 1;
  std::optional<package_logits> logits;
  std::optional<package_features> features;

  /// The same as the library's recipe of the paper's objective. Throws std::invalid_argument,
  /// naming the key, where it is of another form: another divergence, temperature, reduction or
  /// choice of layers.
  [[nodiscard]] edgerazor::distillation_recipe published_form() const;
};

struct package_config {
  std::optional<package_quantization> quantization;
  std::optional<package_objective> objective;
};

/// A configuration in the words of this program's trainer.
struct configured_training {
  std::string recipe = "none";       ///< a name of edgerazor::find_recipe
  std::size_t group = 0;             ///< columns that share a scale; 0: nothing is quantized
  std::size_t kv_group = 0;          ///< likewise, of cached keys and values
  bool distils = false;              ///< else the task alone: qat
  std::string logits_loss = "none";  ///< "eakld", "forward", "reverse" or "none"
  bool features = false;             ///< mean squared error, in its published absolute form
  double task_weight = 1, logits_weight = 0, feature_weight = 0;
  std::size_t confidence_k = 16, feature_layers = 3;
};

/// Throws std::invalid_argument, naming the key, where a decoder of so many layers can't be trained
/// so: formats that no named recipe has, a blend by confidence, another temperature than 1, another
/// reduction than batch_mean, features that are normalised or not selected by cosine similarity.
configured_training training_of(const package_config& config, std::size_t layers);

/// Reads a file with `qat_configuration` and `kd_configuration`, or one of the two without its
/// name. Throws edgerazor::io_error with the file, the line and the key: where it can't be read or
/// is no YAML, a key is unknown or there twice, a value is none of its kind, two values contradict
/// each other, or one asks for what a decoder of this program does not have.
package_config read_package_config(const std::filesystem::path& path);

}  // namespace qad
