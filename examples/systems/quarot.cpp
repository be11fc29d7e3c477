// SPDX-License-Identifier: Apache-2.0
// QuaRot (arXiv 2404.00456): weights and activations of 4 bits, both rotated by a Hadamard matrix,
// which spreads the few hot columns over all.
#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  const problem p(argc, argv);
  const char* const format = "int4_row";
  const er::prepare_options real{.quantized = false}, eight{}, four{.policy = er::int4<>{}};
  const auto moments_of = [&](const er::hadamard& h) {
    std::vector<float> x = p.x;
    er::rotate_rows({x.data(), p.tokens, p.cols}, h);
    er::second_moments result(p.cols);
    result.add({x.data(), p.tokens, p.cols});
    return result;
  };
  const auto feedback = [&](er::matrix_view<const float> w, const er::second_moments& moments) {
    return pack(format, er::round_by_feedback(w, er::damped_inverse_factor(moments),
                                              grid_of(format), er::fit_squared_error{})
                            .rounded);
  };
  const auto nearest = [&](er::matrix_view<const float> w) {
    return pack(format, er::round_to_nearest(w, grid_of(format), er::fit_extremes{}));
  };
  // Order 1 is no rotation.
  const auto stored = [&](std::size_t order, bool by_feedback) {
    const er::hadamard h(order);
    std::vector<float> w = p.weights;
    er::rotate_rows({w.data(), p.rows, p.cols}, h);
    const er::matrix_view<const float> view{w.data(), p.rows, p.cols};
    const er::any_matrix packed = by_feedback ? feedback(view, moments_of(h)) : nearest(view);
    return er::any_matrix::joined(er::rotated{h, packed});
  };
  const er::any_matrix plain = nearest(p.view()), gptq = feedback(p.view(), p.moments);
  const er::any_matrix blocks = stored(64, false), whole = stored(p.cols, false),
                       quarot = stored(p.cols, true);
  report(p, "to nearest, real activations", plain, real);
  report(p, "rotated, real activations", whole, real);
  report(p, "GPTQ, real activations", gptq, real);
  report(p, "rotated, GPTQ, real activations", quarot, real);
  report(p, "to nearest, 8 bits", plain, eight);
  report(p, "rotated, 8 bits", whole, eight);
  const double nearest_four = report(p, "to nearest, 4 bits", plain, four);
  const double gptq_four = report(p, "GPTQ, 4 bits", gptq, four);
  report(p, "rotated by blocks of 64, 4 bits", blocks, four);
  const double rotated_four = report(p, "QuaRot, to nearest, 4 bits", whole, four);
  const double quarot_four = report(p, "QuaRot, GPTQ, 4 bits", quarot, four);
  return verdict("activations of 4 bits: rotated, less than half of the error, GPTQ or not",
                 rotated_four < 0.5 * nearest_four && quarot_four < 0.5 * gptq_four);
}
