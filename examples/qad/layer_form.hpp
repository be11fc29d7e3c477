// SPDX-License-Identifier: Apache-2.0
/// How linear layers are quantized in training: what products use in place of the weights that are
/// trained, how gradients come back to those, what is trained beside them, and what of all this
/// changes with the step.
///
/// A recipe of er::find_recipe is one form, a model that was calibrated another
/// (calibrated_form.cpp), and each related system one of its own, in a file of its own:
///
///     onebit    onebit_form.cpp
///     bwta      bwta_form.cpp
///     zeroqat   zeroqat_form.cpp
///     lbllm     lbllm_form.cpp
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "decoder.hpp"
#include "parameters.hpp"
#include "training_options.hpp"
#include <edgerazor/matrix/any_matrix.hpp>

namespace qad {

/// Refers to nothing. Const members may be called from several threads at once, `apply` and
/// `backward` for different entries. Steps count from 0.
class layer_form {
 public:
  virtual ~layer_form() = default;

  /// The student's shape: that of its teacher, and what is trained beside the weights.
  [[nodiscard]] virtual shape extended(const shape& teacher) const { return teacher; }
  /// The start of a student, from the weights of what it starts from, its teacher where nobody says
  /// another model; what is beside them is 0.
  virtual void start(parameters&, const weight_pages<float>&) const {}

  /// Whether the pass runs with the trained weights as they are, `apply` being a copy.
  [[nodiscard]] virtual bool identity() const { return false; }
  /// What entry i of the trained weights becomes in a step's pass. Fails where a weight is not
  /// finite.
  virtual void apply(std::size_t i, const parameters& master, parameters& out,
                     std::size_t step) const = 0;
  [[nodiscard]] virtual state_quantization states(std::size_t step) const = 0;

  /// From the gradient of what `apply` made of entry i to that of the trained weights, in place,
  /// and to those of the vectors beside them, which nobody else writes. Returns the value of a loss
  /// beside the objective's, whose gradient is added. Here: rounding is the identity.
  virtual double backward(std::size_t, const parameters&, parameters&, std::size_t) const {
    return 0;
  }
  /// Whether a step moves entry i.
  [[nodiscard]] virtual bool trains(std::size_t, std::size_t) const { return true; }

  /// What to note of the first batch's inputs before the first step, for `take_notes`.
  [[nodiscard]] virtual noted first_notes() const { return noted::nothing; }
  /// After a step whose states have notes, and before the first one: means over the shards, as
  /// basic_decoder::noted_of_inputs has them.
  virtual void take_notes(parameters&, noted, std::span<const double>) const {}

  /// A step has two passes forward and none backward: entry i moves by `perturbation` along a
  /// random direction and against it, and the difference of both losses is its gradient. Entries of
  /// 0 stay. A step is plain descent in units of the perturbations:
  /// w -= rate * perturbation^2 * gradient. There are no buffers of gradients, and no optimizer.
  [[nodiscard]] virtual bool without_backward() const { return false; }
  [[nodiscard]] virtual float perturbation(std::size_t, const parameters&) const { return 0; }

  /// Entry i, a matrix, as it is stored. Throws std::invalid_argument, saying why, where no format
  /// holds what was trained.
  [[nodiscard]] virtual er::any_matrix packed(std::size_t i, const parameters& master) const = 0;
};

/// The form of options.how and what else decides it. Throws std::invalid_argument where no recipe
/// has the name (a method with a form of its own has none), or the method needs more steps.
std::unique_ptr<const layer_form> make_form(const shape& teacher, const training_options& options);

/// Whether a method has a form of its own, and so no recipe.
bool has_own_form(method how) noexcept;

/// The shape of what the options train.
shape student_shape(const shape& teacher, const training_options& options);

/// The objective of a method's paper, in place of qad's: task, logits and feature losses and their
/// weights. Others are left as they are.
void take_objective(training_options& options, const shape& teacher);

/// A form of the blocks' matrices, with vectors beside each of them; all else stays as it is.
class block_form : public layer_form {
 public:
  [[nodiscard]] shape extended(const shape&) const final { return student_; }
  void apply(std::size_t i, const parameters& master, parameters& out,
             std::size_t step) const final;

 protected:
  /// A vector beside every matrix: "attn_q." and the name.
  struct beside_rule {
    const char* name;
    std::function<std::size_t(std::size_t rows, std::size_t cols)> size;
  };
  /// Entries of the student's shape: the matrix, and the vectors in the order of the rules.
  struct layer {
    const weight_entry* matrix = nullptr;
    std::vector<const weight_entry*> beside;

    template <class Parameters>
    [[nodiscard]] auto numbers(Parameters& of, std::size_t which) const {
      return of.values().subspan(beside[which]->offset, beside[which]->size());
    }
  };

  /// `student`: the teacher's shape, and what a block has beside all of its matrices.
  block_form(shape student, const std::vector<beside_rule>& rules);

  [[nodiscard]] const std::vector<weight_entry>& entries() const noexcept { return entries_; }
  /// Null where entry i is no matrix of a block.
  [[nodiscard]] const layer* layer_of(std::size_t i) const noexcept {
    return layers_[i].matrix == nullptr ? nullptr : &layers_[i];
  }
  [[nodiscard]] const std::vector<layer>& layers() const noexcept { return layers_; }
  virtual void quantize(const layer& l, const parameters& master, parameters& out) const = 0;

 private:
  shape student_;
  std::vector<weight_entry> entries_;
  std::vector<layer> layers_;  ///< one for each entry
};

// Each in its file.
std::unique_ptr<const layer_form> make_onebit_form(const shape&, const training_options&);
std::unique_ptr<const layer_form> make_bwta_form(const shape&, const training_options&);
std::unique_ptr<const layer_form> make_zeroqat_form(const shape&, const training_options&);
std::unique_ptr<const layer_form> make_lbllm_form(const shape&, const training_options&);
std::unique_ptr<const layer_form> make_calibrated_form(const shape&, const training_options&);

}  // namespace qad
