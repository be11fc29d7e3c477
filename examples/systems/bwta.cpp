// SPDX-License-Identifier: Apache-2.0
// BWTA (arXiv 2604.03957): binary weights and ternary activations: a binary code blows values near
// zero up to 1. The number of levels of activations goes down step by step, 17, 15, 13 ... 3.
#include "problem.hpp"

using namespace systems;

namespace {
/// Activations of one learned scale, of so many levels.
std::vector<float> quantized(const std::vector<float>& x, int levels, float scale) {
  std::vector<float> result(x.size());
  er::with_symmetric_levels(levels, [&](auto policy) {
    er::fake_quantize<er::learned_step<decltype(policy)>>(
        er::matrix_view<const float>{x.data(), 1, x.size()}, std::span<const float>{&scale, 1},
        er::matrix_view<float>{result.data(), 1, x.size()});
  });
  return result;
}
}  // namespace

int main(int argc, char** argv) {
  const problem p(argc, argv);
  const er::any_matrix weights =
      er::any_matrix::pack(er::matrix_format{er::format::parse("binary_row").value()}, p.view());
  report(p, "binary, a mean a row", weights);

  // What codes of activations do to the outputs of the binary weights.
  const std::vector<float> rows = values_of(weights), none(rows.size());
  const auto error = [&](const char* what, const std::vector<float>& q) {
    er::second_moments moved(p.cols), whole(p.cols);
    std::vector<float> apart = p.held_out;
    for (std::size_t i = 0; i < q.size(); ++i) apart[i] -= q[i];
    moved.add({apart.data(), p.tokens, p.cols});
    const er::matrix_view<const float> w{rows.data(), p.rows, p.cols},
        zero{none.data(), p.rows, p.cols};
    const double result =
        er::output_error(w, zero, moved) / er::output_error(w, zero, p.held_out_moments);
    std::printf("%-34s %21.4f %%\n", what, 100 * result);
    return result;
  };
  const float mean = er::mean_magnitude(p.held_out);
  std::vector<float> signs = p.held_out;
  for (float& x : signs) x = x < 0 ? -mean : mean;
  const double binary = error("binary activations", signs);
  const er::level_schedule schedule;
  float with = 2 * mean / std::sqrt(8.0f);
  const float without = with;
  double ternary = 0, plain = 0;
  for (int stage = 0; stage < schedule.stages(); ++stage) {
    const int levels = schedule.levels(stage);
    if (stage > 0)
      with *= er::projection_factor(p.held_out, with, schedule.levels(stage - 1), levels);
    const std::string name = std::to_string(levels) + " levels, scale ";
    ternary = error((name + "times p").c_str(), quantized(p.held_out, levels, with));
    plain = error((name + "kept").c_str(), quantized(p.held_out, levels, without));
  }
  std::printf("ternary: %.3f of binary's error; the projection factor takes %.3f of what is left\n",
              ternary / binary, ternary / plain);
  return verdict("ternary activations lose less than binary ones, p loses less than none",
                 ternary < binary && ternary < plain);
}
