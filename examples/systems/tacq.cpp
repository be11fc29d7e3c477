// SPDX-License-Identifier: Apache-2.0
// TaCQ (arXiv 2504.07389): 2 bits, and the weights that matter for a task kept in 16: those where
// expected change times gradient times magnitude is largest.
#include <algorithm>
#include <numeric>

#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  problem p(argc, argv);
  // A task to which a quarter of the outputs matters: a sample's gradient is d x^T.
  const auto matters = [](std::size_t r) { return r % 4 == 0 ? 1.0f : 0.05f; };
  er::gradient_magnitudes gradients(p.rows, p.cols);
  std::vector<float> one(p.weights.size());
  for (std::size_t s = 0; s < 64; ++s) {
    for (std::size_t i = 0; i < one.size(); ++i) {
      const std::size_t r = i / p.cols;
      one[i] = matters(r) * normal(60, s * p.rows + r) * p.x[s * p.cols + i % p.cols];
    }
    gradients.add({one.data(), p.rows, p.cols});
  }
  const er::level_grid grid =
      er::level_grid::with_zero(2, 0, er::group_zero::integer, er::scale_kind::float16);
  const er::inverse_factor factor = er::damped_inverse_factor(p.moments);
  const er::published::gptq_search fit;
  const auto uniform = er::round_by_feedback(p.view(), factor, grid, fit);
  const std::vector<float> values = uniform.values();
  const std::vector<float> tacq =
      er::tacq_scores(gradients, p.view(), {values.data(), p.rows, p.cols});
  std::vector<float> magnitude = p.weights, random(p.weights.size());
  for (std::size_t i = 0; i < random.size(); ++i) {
    magnitude[i] = std::fabs(magnitude[i]);
    random[i] = normal(61, i);
  }
  const auto kept = [&](const std::vector<float>& score) {
    const std::span<const float> all[] = {score};
    const auto mask = er::keep_largest(all, 0.0035);
    const er::kept_result result = er::round_by_feedback_keeping(
        p.view(), {mask[0].data(), p.rows, p.cols}, factor, grid, fit);
    const er::any_matrix packed = pack("int2z_row", result.rounded);
    const er::sparse_matrix beside(p.rows, p.cols, result.kept);
    return er::any_matrix::joined(er::sum_of{packed, beside});
  };
  // Errors count as the task does: rows of both by how much they matter.
  const auto task_report = [&](const char* method, const er::any_matrix& stored) {
    double error = 0, all = 0;
    std::vector<float> q(p.cols), none(p.cols);
    for (std::size_t r = 0; r < p.rows; ++r) {
      er::look_up_row(stored, r, q);
      const auto row = p.view().rows_between(r, r + 1);
      const double counts = static_cast<double>(matters(r) * matters(r));
      error += counts * er::output_error(row, {q.data(), 1, p.cols}, p.held_out_moments);
      all += counts * er::output_error(row, {none.data(), 1, p.cols}, p.held_out_moments);
    }
    report(p, method, stored);
    std::printf("%-34s %21.4f %% of the task\n", "", 100 * error / all);
    return error / all;
  };
  task_report("GPTQ, 2 bits", pack("int2z_row", uniform.rounded));
  const double best = task_report("0.35 % kept by TaCQ's score", kept(tacq));
  const double large = task_report("0.35 % kept by magnitude", kept(magnitude));
  const double drawn = task_report("0.35 % kept at random", kept(random));
  return verdict("the score keeps what the task needs, better than magnitude and chance",
                 best < large && best < drawn);
}
