// SPDX-License-Identifier: Apache-2.0
/// OneBit (arXiv 2402.11295): signs and two vectors in place of every matrix of the blocks.
///
///     y = LN( ((x * h) S^T) * g )        S = sign(W)
///
/// is the product with S * (g h^T), which is what a pass runs with. Embedding, norms and head stay.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "layer_form.hpp"
#include <edgerazor/calibrate/rank_one.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/smooth_sign.hpp>

namespace qad {

namespace {

/// Of the published start: W is so much times its sign.
constexpr float first_weight = 0.01f;

float stored(float g) { return static_cast<float>(er::float16{g}); }

class onebit_form final : public block_form {
 public:
  onebit_form(const shape& teacher, const training_options& options)
      : block_form(with_norms(teacher, options.output_norms),
                   {{"output_scale", [](std::size_t rows, std::size_t) { return rows; }},
                    {"input_scale", [](std::size_t, std::size_t cols) { return cols; }}}),
        norms_(options.output_norms) {}

  void start(parameters& master, const weight_pages<float>&) const override {
    for (const layer& l : layers()) {
      if (l.matrix == nullptr) continue;
      const er::matrix_view<float> w = master.view(*l.matrix);
      const er::rank_one_split split = er::split_magnitudes(er::matrix_view<const float>{w});
      std::ranges::copy(split.g, l.numbers(master, 0).begin());
      std::ranges::copy(split.h, l.numbers(master, 1).begin());
      const std::span<float> all = master.values().subspan(l.matrix->offset, l.matrix->size());
      er::smooth_sign(all, all);
      for (float& x : all) x *= first_weight;
    }
  }

  state_quantization states(std::size_t) const override { return {}; }

  /// With G the gradient of S * (g h^T): dS = G * (g h^T), dg_r = sum_c G h_c S, dh_c = sum_r G g_r
  /// S; dW is OneBit's of the sign.
  double backward(std::size_t i, const parameters& master, parameters& gradient,
                  std::size_t) const override {
    const layer* const l = layer_of(i);
    if (l == nullptr) return 0;
    const auto g = l->numbers(master, 0), h = l->numbers(master, 1);
    const auto w = master.view(*l->matrix);
    const auto to_w = gradient.view(*l->matrix);
    std::vector<double> columns(w.cols);
    std::vector<float> signs(w.cols);
    for (std::size_t r = 0; r < w.rows; ++r) {
      const std::span<float> row = to_w.row(r);
      er::smooth_sign(w.row(r), signs);
      double sum = 0;
      const float scale = stored(g[r]);
      for (std::size_t c = 0; c < w.cols; ++c) {
        const float along = row[c] * signs[c];
        sum += static_cast<double>(along * h[c]);
        columns[c] += static_cast<double>(along * scale);
        row[c] *= scale * h[c];
      }
      l->numbers(gradient, 0)[r] = static_cast<float>(sum);
      er::smooth_sign_backward(w.row(r), row, row);
    }
    std::ranges::transform(columns, l->numbers(gradient, 1).begin(),
                           [](double x) { return static_cast<float>(x); });
    return 0;
  }

  er::any_matrix packed(std::size_t i, const parameters& master) const override {
    if (norms_) {
      throw std::invalid_argument(
          "a student of the method onebit has layer norms behind its matrices, which no model that "
          "llm runs has; --no-output-norms trains one without");
    }
    const layer* const l = layer_of(i);
    const auto w = master.view(master.entries()[i]);
    if (l == nullptr) return er::any_matrix::pack(*er::matrix_format::parse("f16"), w);
    const auto g = l->numbers(master, 0), h = l->numbers(master, 1);
    const er::rounded_matrix signs = er::signs_with_scales(w, g, er::scale_kind::float16);
    const er::any_matrix rows =
        er::pack_levels(*er::format::parse("binary_row"),
                        er::matrix_view<const std::int16_t>{signs.levels.data(), w.rows, w.cols},
                        er::matrix_view<const float>{signs.scales.data(), w.rows, 1});
    return er::any_matrix::joined(er::scaled_columns{h, rows});
  }

 protected:
  void quantize(const layer& l, const parameters& master, parameters& out) const override {
    const auto g = l.numbers(master, 0), h = l.numbers(master, 1);
    const auto w = master.view(*l.matrix);
    er::detail::policy::check_finite(w);
    for (std::size_t r = 0; r < w.rows; ++r) {
      const std::span<float> row = out.view(*l.matrix).row(r);
      er::smooth_sign(w.row(r), row);
      const float scale = stored(g[r]);
      for (std::size_t c = 0; c < w.cols; ++c) row[c] *= scale * h[c];
    }
  }

 private:
  static shape with_norms(shape s, bool norms) {
    s.output_norms = norms;
    return s;
  }

  bool norms_;
};

}  // namespace

std::unique_ptr<const layer_form> make_onebit_form(const shape& teacher,
                                                   const training_options& options) {
  return std::make_unique<onebit_form>(teacher, options);
}

}  // namespace qad
