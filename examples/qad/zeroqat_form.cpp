// SPDX-License-Identifier: Apache-2.0
/// ZeroQAT (arXiv 2509.00031): weights and inputs of 4 bits, trained by two forward passes a step.
///
///     W    codes 0 to 15 with an integer zero, of each row, between sigmoid(b) min(w) and
///          sigmoid(a) max(w); a and b are trained too, from 3 on
///     x    the same between the extremes of each token
///
/// A weight moves by 0.7 of the mean step of its matrix's grid, a and b by 1/2. Embedding, norms,
/// cache and head stay.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "layer_form.hpp"
#include <edgerazor/distill/spsa.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/clipped.hpp>
#include <edgerazor/policy/fake_quantize.hpp>

namespace qad {

namespace {

using grid = er::clipped<er::asymmetric<4, er::per_channel, er::float16, er::zero_rule::integer>>;

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

class zeroqat_form final : public block_form {
 public:
  explicit zeroqat_form(const shape& teacher)
      : block_form(teacher, {{"upper", [](std::size_t rows, std::size_t) { return rows; }},
                             {"lower", [](std::size_t rows, std::size_t) { return rows; }}}) {}

  void start(parameters& master, const weight_pages<float>&) const override {
    for (const layer& l : layers()) {
      for (std::size_t which = 0; which < l.beside.size(); ++which)
        std::ranges::fill(l.numbers(master, which), 3.0f);
    }
  }
  state_quantization states(std::size_t) const override { return {.four_bits = true}; }

  bool without_backward() const override { return true; }
  float perturbation(std::size_t i, const parameters& master) const override {
    if (const layer* const l = layer_of(i)) {
      const auto w = master.view(*l->matrix);
      std::vector<float> steps;
      for (std::size_t r = 0; r < w.rows; ++r)
        steps.push_back(policy(*l, master, r).fit(w.row(r)).scale);
      return er::spsa_epsilon(steps);
    }
    const std::string& name = entries()[i].name;
    return name.ends_with(".upper") || name.ends_with(".lower") ? 0.5f : 0.0f;
  }

  er::any_matrix packed(std::size_t i, const parameters& master) const override {
    const layer* const l = layer_of(i);
    const auto w = master.view(master.entries()[i]);
    if (l == nullptr) return er::any_matrix::pack(*er::matrix_format::parse("f16"), w);
    // Codes are those of scales that are not yet rounded, as in a pass.
    std::vector<std::uint8_t> codes;
    std::vector<float> scales, zeros;
    for (std::size_t r = 0; r < w.rows; ++r) {
      const grid rule = policy(*l, master, r);
      const er::group_fit fit = rule.fit(w.row(r));
      scales.push_back(fit.scale);
      zeros.push_back(fit.zero);
      for (const float x : w.row(r)) codes.push_back(static_cast<std::uint8_t>(grid::code(x, fit)));
    }
    return er::pack_levels(*er::format::parse("int4z_row"),
                           er::matrix_view<const std::uint8_t>{codes.data(), w.rows, w.cols},
                           er::matrix_view<const float>{scales.data(), w.rows, 1},
                           er::matrix_view<const float>{zeros.data(), w.rows, 1});
  }

 protected:
  void quantize(const layer& l, const parameters& master, parameters& out) const override {
    const auto w = master.view(*l.matrix);
    const auto to = out.view(*l.matrix);
    for (std::size_t r = 0; r < w.rows; ++r) {
      er::fake_quantize(w.rows_between(r, r + 1), to.rows_between(r, r + 1),
                        er::as_stored<grid>{policy(l, master, r)});
    }
  }

 private:
  static grid policy(const layer& l, const parameters& master, std::size_t row) {
    return {.upper = sigmoid(l.numbers(master, 0)[row]),
            .lower = sigmoid(l.numbers(master, 1)[row])};
  }
};

}  // namespace

std::unique_ptr<const layer_form> make_zeroqat_form(const shape& teacher, const training_options&) {
  return std::make_unique<zeroqat_form>(teacher);
}

}  // namespace qad
