// SPDX-License-Identifier: Apache-2.0
/// BWTA (arXiv 2604.03957): binary weights, and activations whose levels go down in training, 17,
/// 15 ... 3.
///
///     W    sign(w - mean(w)) mean|w|, of each row; rounding is the identity backward
///     x    learned steps, one for each input of a block, from 2 mean|x| / sqrt(8) on; at a change
///          of the levels times the projection factor
///
/// Attention, embedding, norms and head stay.
#include <cmath>
#include <stdexcept>

#include "layer_form.hpp"
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/level_schedule.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/mean.hpp>

namespace qad {

namespace {

class bwta_form final : public block_form {
 public:
  bwta_form(const shape& teacher, const training_options& options)
      : block_form(with_steps(teacher), {}), steps_(options.steps) {
    if (steps_ >= static_cast<std::size_t>(schedule.stages())) return;
    throw std::invalid_argument("the method bwta lowers the levels of inputs in " +
                                std::to_string(schedule.stages()) + " stages, and has " +
                                std::to_string(steps_) + " steps");
  }

  state_quantization states(std::size_t step) const override {
    const int stage = schedule.stage_at(step, steps_);
    const bool last = step + 1 < steps_ && schedule.stage_at(step + 1, steps_) != stage;
    return {.input_levels = schedule.levels(stage),
            .notes = last ? noted::projection : noted::nothing};
  }
  noted first_notes() const override { return noted::magnitude; }
  void take_notes(parameters& master, noted what, std::span<const double> notes) const override {
    const std::size_t layers = master.shape().layers;
    for (std::size_t i = 0; i < layers; ++i) {
      const auto at = master.view("blk." + std::to_string(i) + "." + input_steps).row(0);
      for (std::size_t j = 0; j < inputs_of_block; ++j) {
        const double note = notes[i * inputs_of_block + j];
        const double most = (schedule.first - 1) / 2;
        at[j] = static_cast<float>(what == noted::magnitude ? 2 * note / std::sqrt(most)
                                                            : static_cast<double>(at[j]) * note);
      }
    }
  }

  er::any_matrix packed(std::size_t, const parameters&) const override {
    throw std::invalid_argument(
        "a student of the method bwta has ternary inputs under trained steps, and llm runs every "
        "packed matrix on int8 inputs: that would be another model");
  }

 protected:
  void quantize(const layer& l, const parameters& master, parameters& out) const override {
    const auto w = master.view(*l.matrix);
    er::detail::policy::check_finite(w);
    for (std::size_t r = 0; r < w.rows; ++r) {
      const std::span<const float> row = w.row(r);
      double sum = 0;
      for (const float x : row) sum += static_cast<double>(x);
      const float mean = static_cast<float>(sum / static_cast<double>(w.cols));
      const float scale = static_cast<float>(er::float16{er::mean_magnitude(row)});
      const std::span<float> to = out.view(*l.matrix).row(r);
      for (std::size_t c = 0; c < w.cols; ++c) to[c] = row[c] < mean ? -scale : scale;
    }
  }

 private:
  static constexpr er::level_schedule schedule{};

  static shape with_steps(shape s) {
    s.beside.push_back({input_steps, inputs_of_block});
    return s;
  }

  std::size_t steps_;
};

}  // namespace

std::unique_ptr<const layer_form> make_bwta_form(const shape& teacher,
                                                 const training_options& options) {
  return std::make_unique<bwta_form>(teacher, options);
}

}  // namespace qad
