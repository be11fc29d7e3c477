// SPDX-License-Identifier: Apache-2.0
// SLiM (arXiv 2410.09615): one scale for a matrix, two of every four weights removed, and two thin
// matrices that take back what matters most of both errors.
#include <algorithm>

#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  const problem p(argc, argv);
  const std::vector<float> squares = p.moments.mean_squares();
  const std::vector<float> raised = er::published::slim_importance(squares);
  const std::size_t rank = std::min(p.rows, p.cols) / 10;
  const auto two_of_four = er::pruning_pattern::two_of_four();
  const auto published = [](er::matrix_view<const float> w) {
    return er::published::slim_quant(w, 4);
  };
  const auto nearest = [](er::matrix_view<const float> w) {
    return er::round_to_nearest(w, grid_of("int4_row"), er::fit_extremes{});
  };
  const auto ours = [](er::matrix_view<const float> w) {
    return er::slim_quant(w, 4, {}, {.storage = er::scale_kind::float16});
  };
  const auto packed = [](const char* format, const std::vector<float>& values, std::size_t rows) {
    return er::any_matrix::pack(
        er::matrix_format::parse(format).value(),
        er::matrix_view<const float>{values.data(), rows, values.size() / rows});
  };
  // What is stored for w without the marked weights.
  const auto base = [&](const std::vector<float>& w, const std::vector<std::uint8_t>& mask,
                        auto quantize) {
    const std::vector<float> left = er::without({w.data(), p.rows, p.cols}, mask);
    return pack("int4_row", quantize(er::matrix_view<const float>{left.data(), p.rows, p.cols}));
  };
  const auto without = [&](const er::weight_ref& stored) {
    std::vector<float> result = values_of(stored);
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = p.weights[i] - result[i];
    return result;
  };
  // By mean squares of columns, by X^T X, or, of no numbers, each weight alike.
  const auto corrected = [&](const std::vector<std::uint8_t>& mask, auto quantize,
                             const auto& importance) {
    const std::vector<float> error = without(base(p.weights, mask, quantize));
    const er::low_rank_factors f =
        er::low_rank_correction({error.data(), p.rows, p.cols}, rank, importance);
    const er::any_matrix u = packed("int4_row", f.u, p.rows), v = packed("int4_g128", f.v, f.rank);
    const er::low_rank adapter{u, v};
    const er::any_matrix rest = base(without(adapter), mask, quantize);
    return er::any_matrix::joined(er::sum_of{rest, adapter});
  };
  const std::vector<std::uint8_t> mask = er::wanda_mask(p.view(), squares, two_of_four);
  const std::vector<std::uint8_t> shifted = er::wanda_mask(p.view(), raised, two_of_four);
  report(p, "4 bits, one scale, all weights", pack("int4_row", ours(p.view())));
  report(p, "Wanda, largest weight of a row", base(p.weights, mask, nearest));
  const double wanda = report(p, "Wanda, SLiM-Quant", base(p.weights, shifted, published));
  const double plain =
      report(p, "and plain low rank", corrected(shifted, published, std::span<const float>{}));
  const double slim =
      report(p, "SLiM: low rank by saliency", corrected(shifted, published, raised));
  report(p, "rules of ours, by mean squares", corrected(mask, ours, squares));
  report(p, "rules of ours, by X^T X", corrected(mask, ours, p.moments));
  const auto pruned =
      er::prune_by_feedback(p.view(), er::damped_inverse_factor(p.moments), two_of_four);
  report(p, "SparseGPT, SLiM-Quant",
         pack("int4_row", ours({pruned.values.data(), p.rows, p.cols})));
  return verdict("low rank by saliency: less error than plain low rank, that than Wanda",
                 slim < plain && plain < wanda);
}
