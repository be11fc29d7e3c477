// SPDX-License-Identifier: Apache-2.0
// ZeroQAT (arXiv 2509.00031): training of a quantized layer by two forward passes a step, no
// gradient; beside rounding, and beside the straight-through estimator at as many passes.
#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  const problem p(argc, argv, 16, 64, 512);
  using grid = er::clipped<er::asymmetric<4, er::per_channel, er::float16, er::zero_rule::integer>>;
  const er::as_stored<grid> policy{{.upper = 0.9526f, .lower = 0.9526f}};
  std::vector<float> q(p.weights.size());
  const er::matrix_view<float> view{q.data(), p.rows, p.cols};
  const auto round = [&](const std::vector<float>& w) {
    er::fake_quantize(er::matrix_view<const float>{w.data(), p.rows, p.cols}, view, policy);
  };
  const double energy = [&] {
    return er::output_error(p.view(), view, p.moments);  // q is 0 here
  }();
  const auto loss = [&](const std::vector<float>& w) {
    round(w);
    return er::output_error(p.view(), view, p.moments) / energy;
  };
  const auto pack_trained = [&](const std::vector<float>& w) {
    const auto packed = er::pack(er::matrix_view<const float>{w.data(), p.rows, p.cols}, policy);
    return er::any_matrix::joined(er::sum_of{packed});
  };
  const double nearest = report(p, "to nearest, range clipped", pack_trained(p.weights));

  std::vector<float> steps;
  for (std::size_t r = 0; r < p.rows; ++r) steps.push_back(policy.fit(p.view().row(r)).scale);
  const float eps = er::spsa_epsilon(steps);
  constexpr std::uint64_t count = 4000;
  const er::spsa random{1};
  // The curvature of a row is 2 H / energy; of all rows at once the trace of that limits a step.
  double trace = 0;
  for (std::size_t c = 0; c < p.cols; ++c) trace += p.moments(c, c);
  const double row_rate = 0.3 * energy / (2 * trace);
  const auto trained = [&](float width, double part) {
    std::vector<float> w = p.weights, plus(w.size()), minus(w.size());
    const float rate = static_cast<float>(part * row_rate / static_cast<double>(p.rows));
    for (std::uint64_t step = 0; step < count; ++step) {
      random.perturb(w, step, 0, width, plus);
      random.perturb(w, step, 0, -width, minus);
      const double slope = er::spsa_slope(loss(plus), loss(minus), static_cast<double>(width));
      const float left = 1 - static_cast<float>(step) / static_cast<float>(count);
      random.descend(w, step, 0, rate * left * static_cast<float>(slope));
    }
    return w;
  };
  const std::vector<float> zeroth = trained(eps, 1);
  const double ours = report(p, "ZeroQAT, eps of the grid's step", pack_trained(zeroth));
  const double far = report(p, "ZeroQAT, eps 1e-4", pack_trained(trained(1e-4f, 1e-3)));

  // d loss / d q = 2 (q - w) H, passed to w.
  std::vector<float> w = p.weights;
  for (std::uint64_t step = 0; step < count; ++step) {
    round(w);
    const double left = 1 - static_cast<double>(step) / count;
    for (std::size_t r = 0; r < p.rows; ++r) {
      for (std::size_t c = 0; c < p.cols; ++c) {
        double g = 0;
        for (std::size_t k = 0; k < p.cols; ++k)
          g += static_cast<double>(q[r * p.cols + k] - p.weights[r * p.cols + k]) * p.moments(k, c);
        w[r * p.cols + c] -= static_cast<float>(0.03 * left * row_rate * 2 * g / energy);
      }
    }
  }
  report(p, "straight-through", pack_trained(w));
  std::printf("training loss %.5f -> %.5f\n", loss(p.weights), loss(zeroth));
  return verdict("less error than rounding, without a backward pass", ours < nearest && ours < far);
}
