// SPDX-License-Identifier: Apache-2.0
// OneBit (arXiv 2402.11295), the start of its training: signs, and two vectors in place of |W|.
// (Its layer norm over the outputs comes behind the product.)
#include "problem.hpp"

using namespace systems;

int main(int argc, char** argv) {
  const problem p(argc, argv);
  const auto signs = [&](const std::vector<float>& g) {
    return pack("binary_row", er::signs_with_scales(p.view(), g, er::scale_kind::float16));
  };
  std::vector<float> means(p.rows), one(p.rows, er::mean_magnitude(p.weights));
  for (std::size_t r = 0; r < p.rows; ++r) means[r] = er::mean_magnitude(p.view().row(r));
  report(p, "signs, one mean of the matrix", signs(one));
  const double by_row = report(p, "signs, a mean a row", signs(means));
  const auto split = [&](const er::rank_one_split& found) {
    const er::any_matrix packed = signs(found.g);
    return er::any_matrix::joined(er::scaled_columns{found.h, packed});
  };
  const er::rank_one_split plain = er::split_magnitudes(p.view());
  const er::rank_one_split counted = er::split_magnitudes(p.view(), p.moments.mean_squares());
  const double onebit = report(p, "OneBit: signs, g and h", split(plain));
  report(p, "g and h by mean squares of inputs", split(counted));
  report(
      p, "ternary, mean rule",
      er::any_matrix::pack(er::matrix_format{er::format::parse("ternary2_row").value()}, p.view()));
  double squares = 0;
  for (std::size_t r = 0; r < p.rows; ++r) {
    for (std::size_t c = 0; c < p.cols; ++c) {
      const float w = std::fabs(p.weights[r * p.cols + c]);
      squares += static_cast<double>((w - means[r]) * (w - means[r]));
    }
  }
  std::printf(
      "error of the weights: %.4f with g and h, %.4f with a mean a row; outputs: %+.1f %%\n",
      std::sqrt(plain.squared_error), std::sqrt(squares), 100 * (onebit / by_row - 1));
  const std::vector<float> h(4096);
  const auto large =
      er::any_matrix::empty(er::matrix_format::parse("binary_row").value(), 4096, 4096);
  std::printf("at 4096 x 4096 as stored: %.3f bits\n",
              er::any_matrix::joined(er::scaled_columns{h, large}).bits_per_weight());
  return verdict("two vectors lose less of the weights than one", plain.squared_error < squares);
}
