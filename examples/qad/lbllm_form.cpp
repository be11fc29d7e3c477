// SPDX-License-Identifier: Apache-2.0
/// LBLLM (arXiv 2604.19167): a sign B and a bit G of which of two scales, four free levels a group
/// of 128 columns, in three stages:
///
///     1  start        weighted means of four classes, every column alike
///     2  3/5 of the steps    W, the levels and a relaxed G by straight-through; states as they are
///     3  the rest     the levels; inputs and cache in 4 bits with a zero
///
/// A pass runs with the levels as table2 stores them, integers of -15 to 15 times the group's scale
/// in 16 bits; the rounding is the identity for gradients. So what is exported is what was trained.
///
/// Layers train together by the objective, where the paper goes layer by layer; its knee of the
/// inputs' codes is not published. Embedding, norms and head stay.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "layer_form.hpp"
#include <edgerazor/calibrate/four_levels.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/policy/bitmap_levels.hpp>
#include <edgerazor/policy/finite.hpp>

namespace qad {

namespace {

constexpr std::size_t table_columns = 128, level_count = 4;
/// What drives the relaxed map to 0 and 1: its factor grows to this, its exponent falls to 2.
constexpr double largest_factor = 1e-5, first_beta = 20, last_beta = 2;

std::size_t groups_of(std::size_t cols) { return (cols + table_columns - 1) / table_columns; }

class lbllm_form final : public block_form {
 public:
  lbllm_form(const shape& teacher, const training_options& options)
      : block_form(
            teacher,
            {{"levels", [](std::size_t rows,
                           std::size_t cols) { return rows * groups_of(cols) * level_count; }},
             {"map", [](std::size_t rows, std::size_t cols) { return rows * cols; }}}),
        weight_steps_(options.steps * 3 / 5) {}

  /// Weights move so that the inner levels' middle is 0, and the map is 1/2 where two levels are as
  /// near, so that codes are those of the classes.
  void start(parameters& master, const weight_pages<float>&) const override {
    for (const layer& l : layers()) {
      if (l.matrix == nullptr) continue;
      const auto w = master.view(*l.matrix);
      const er::four_level_matrix fit =
          er::fit_four_levels(er::matrix_view<const float>{w}, table_columns);
      for_each_group(l, master,
                     [&](std::size_t which, std::span<float> weights, std::span<float> levels,
                         std::span<float> map) {
                       const er::four_levels& found = fit.levels[which];
                       std::ranges::copy(found, levels.begin());
                       const float middle = (found[1] + found[2]) / 2;
                       for (std::size_t c = 0; c < weights.size(); ++c) {
                         const bool positive = weights[c] >= middle;
                         const float outer = positive ? found[3] : found[0],
                                     inner = positive ? found[2] : found[1];
                         const float apart = std::max(std::fabs(outer - inner), 1e-12f);
                         const float beyond = std::fabs(weights[c] - middle) -
                                              std::fabs((outer + inner) / 2 - middle);
                         map[c] = std::clamp(0.5f + beyond / apart, 0.0f, 1.0f);
                         weights[c] -= middle;
                       }
                     });
    }
  }

  state_quantization states(std::size_t step) const override {
    const bool last = step >= weight_steps_;
    return {.four_bits = last, .four_bit_cache = last};
  }

  double backward(std::size_t i, const parameters& master, parameters& gradient,
                  std::size_t step) const override {
    const layer* const l = layer_of(i);
    if (l == nullptr) return 0;
    const double part = static_cast<double>(std::min(step, weight_steps_)) /
                        static_cast<double>(std::max<std::size_t>(weight_steps_, 1));
    const er::bitmap_regularizer drive{
        .beta = static_cast<float>(first_beta + (last_beta - first_beta) * part),
        .factor = static_cast<float>(step < weight_steps_ ? largest_factor * part : 0)};
    double penalty = 0;
    const std::size_t cols = l->matrix->cols;
    std::vector<std::uint8_t> codes(table_columns);
    for_each_group(*l, master,
                   [&](std::size_t which, std::span<const float> weights,
                       std::span<const float> levels, std::span<const float> map) {
                     const std::size_t at = first_of(which, cols);
                     const std::span<float> g =
                         gradient.values().subspan(l->matrix->offset + at, weights.size());
                     const std::span<std::uint8_t> own = std::span{codes}.first(weights.size());
                     er::bitmap_codes(weights, map, own);
                     std::ranges::copy(
                         er::level_gradients(own, g),
                         l->numbers(gradient, 0).subspan(which * level_count, level_count).begin());
                     const std::span<float> to_map =
                         l->numbers(gradient, 1).subspan(at, weights.size());
                     er::bitmap_backward(weights, as_levels(levels), g, to_map);
                     penalty += drive(map, to_map);
                   });
    return penalty;
  }
  /// Weights and map rest in the last stage, the levels never.
  bool trains(std::size_t i, std::size_t step) const override {
    return step < weight_steps_ || (layer_of(i) == nullptr && !entries()[i].name.ends_with(".map"));
  }

  er::any_matrix packed(std::size_t i, const parameters& master) const override {
    const layer* const l = layer_of(i);
    const auto w = master.view(master.entries()[i]);
    if (l == nullptr) return er::any_matrix::pack(*er::matrix_format::parse("f16"), w);
    std::vector<std::int8_t> levels(w.rows * w.cols);
    std::vector<float> scales(w.rows * groups_of(w.cols));
    for_each_table(*l, master,
                   [&](std::size_t which, std::size_t at, const er::table_fit& table,
                       std::span<const std::uint8_t> codes) {
                     scales[which] = table.scale;
                     for (std::size_t c = 0; c < codes.size(); ++c)
                       levels[at + c] = table.levels[codes[c]];
                   });
    return er::pack_levels({er::code_type::table2, table_columns},
                           er::matrix_view<const std::int8_t>{levels.data(), w.rows, w.cols},
                           er::matrix_view<const float>{scales.data(), w.rows, groups_of(w.cols)});
  }

 protected:
  void quantize(const layer& l, const parameters& master, parameters& out) const override {
    er::detail::policy::check_finite(master.view(*l.matrix));
    er::detail::policy::check_finite(master.view(*l.beside[0]), "level");
    for_each_table(l, master,
                   [&](std::size_t, std::size_t at, const er::table_fit& table,
                       std::span<const std::uint8_t> codes) {
                     const std::span<float> to =
                         out.values().subspan(l.matrix->offset + at, codes.size());
                     for (std::size_t c = 0; c < to.size(); ++c)
                       to[c] = table.scale * static_cast<float>(table.levels[codes[c]]);
                   });
  }

 private:
  static er::four_levels as_levels(std::span<const float> levels) {
    return {levels[0], levels[1], levels[2], levels[3]};
  }

  /// visit(group counted row by row, its first weight in the matrix, its levels as stored, the
  /// codes that choose from them).
  template <class Visit>
  static void for_each_table(const layer& l, const parameters& of, Visit&& visit) {
    const std::size_t cols = l.matrix->cols;
    std::vector<std::uint8_t> codes(table_columns);
    for_each_group(l, of,
                   [&](std::size_t which, std::span<const float> weights,
                       std::span<const float> levels, std::span<const float> map) {
                     const std::span<std::uint8_t> own = std::span{codes}.first(weights.size());
                     er::bitmap_codes(weights, map, own);
                     std::array<double, level_count> counts{};
                     for (const std::uint8_t code : own) ++counts[code];
                     visit(which, first_of(which, cols), er::table_of(as_levels(levels), counts),
                           std::span<const std::uint8_t>{own});
                   });
  }
  /// Of a group counted row by row, in the matrix.
  static std::size_t first_of(std::size_t which, std::size_t cols) {
    return which / groups_of(cols) * cols + which % groups_of(cols) * table_columns;
  }
  /// visit(group counted row by row, its weights, its levels, its map).
  template <class Parameters, class Visit>
  static void for_each_group(const layer& l, Parameters& of, Visit&& visit) {
    const std::size_t cols = l.matrix->cols, groups = groups_of(cols);
    for (std::size_t which = 0; which < l.matrix->rows * groups; ++which) {
      const std::size_t at = first_of(which, cols),
                        size = std::min(table_columns, cols - which % groups * table_columns);
      visit(which, of.values().subspan(l.matrix->offset + at, size),
            l.numbers(of, 0).subspan(which * level_count, level_count),
            l.numbers(of, 1).subspan(at, size));
    }
  }

  std::size_t weight_steps_;
};

}  // namespace

std::unique_ptr<const layer_form> make_lbllm_form(const shape& teacher,
                                                  const training_options& options) {
  return std::make_unique<lbllm_form>(teacher, options);
}

}  // namespace qad
