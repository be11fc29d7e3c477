// SPDX-License-Identifier: Apache-2.0
/// One matrix that all systems are tried on, and how what they make of it is judged.
///
/// Weights are heavy-tailed, rows of different size. Inputs are correlated along columns and by
/// factors that all share, and every 64th column is hot. Made of counters: the same everywhere.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string_view>
#include <vector>

#include <edgerazor/calibrate.hpp>
#include <edgerazor/distill/spsa.hpp>
#include <edgerazor/quant.hpp>

namespace systems {
namespace er = edgerazor;

struct problem {
  std::size_t rows, cols, tokens;
  std::vector<float> weights, x, held_out;
  er::second_moments moments, held_out_moments;
  er::column_statistics columns;

  explicit problem(std::size_t row_count = 256, std::size_t col_count = 512,
                   std::size_t token_count = 2048)
      : rows(row_count),
        cols(col_count),
        tokens(token_count),
        weights(rows * cols),
        x(inputs(2)),
        held_out(inputs(3)),
        moments(cols),
        held_out_moments(cols),
        columns(cols) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      // Student's t of three degrees of freedom, and a size of the row.
      const float a = normal(0, 4 * i), b = normal(0, 4 * i + 1), c = normal(0, 4 * i + 2),
                  d = normal(0, 4 * i + 3);
      const float tail = std::sqrt((b * b + c * c + d * d) / 3) + 0.1f;
      weights[i] = 0.02f * a / tail * std::exp(0.4f * normal(1, i / cols));
    }
    moments.add({x.data(), tokens, cols});
    columns.add({x.data(), tokens, cols});
    held_out_moments.add({held_out.data(), tokens, cols});
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }

  /// A number of about a normal distribution.
  [[nodiscard]] static float normal(std::uint64_t stream, std::uint64_t i) {
    const er::spsa random{2026, er::spsa_direction::normals};
    return random.element(stream, 3 * i) + random.element(stream, 3 * i + 1) / 4 +
           random.element(stream, 3 * i + 2) / 16;
  }

 private:
  [[nodiscard]] std::vector<float> inputs(std::uint64_t stream) const {
    constexpr std::size_t factors = 8;
    std::vector<float> result(tokens * cols);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t c = 0; c < cols; ++c) {
        float value = normal(stream, t * cols + c);
        if (c > 0) value += 0.6f * result[t * cols + c - 1];
        for (std::size_t k = 0; k < factors; ++k)
          value += 0.4f * normal(stream + 100, t * factors + k) * normal(50, c * factors + k);
        result[t * cols + c] = value;
      }
      for (std::size_t c = 7; c < cols; c += 64) result[t * cols + c] *= 8;
    }
    return result;
  }
};

/// The grid that a format stores.
[[nodiscard]] inline er::level_grid grid_of(std::string_view format,
                                            er::group_zero zero = er::group_zero::real) {
  const er::format fmt = er::format::parse(format).value();
  const er::codec_info& codec = er::codec_of(fmt.code);
  if (fmt.zero != er::zero_kind::none)
    return {0, static_cast<int>(codec.largest_code()), zero, fmt.group, fmt.scale};
  return {codec.min_level, codec.max_level(), er::group_zero::none,
          fmt.group,       fmt.scale,         codec.level_step};
}

[[nodiscard]] inline er::any_matrix pack(std::string_view format,
                                         const er::rounded_matrix& chosen) {
  er::matrix_view<const float> zeros;
  if (!chosen.zeros.empty()) zeros = {chosen.zeros.data(), chosen.rows, chosen.groups()};
  return er::pack_levels(
      er::format::parse(format).value(),
      er::matrix_view<const std::int16_t>{chosen.levels.data(), chosen.rows, chosen.cols},
      er::matrix_view<const float>{chosen.scales.data(), chosen.rows, chosen.groups()}, zeros);
}

/// tr((W - Q) H (W - Q)^T) / tr(W H W^T) on tokens that no method has seen. Of stored bytes: Q is
/// what the matrix gives back.
[[nodiscard]] inline double output_error(const problem& p, const er::any_matrix& stored) {
  std::vector<float> q(p.weights.size()), none(p.weights.size());
  for (std::size_t r = 0; r < p.rows; ++r)
    er::look_up_row(stored, r, std::span{q}.subspan(r * p.cols, p.cols));
  return er::output_error(p.view(), {q.data(), p.rows, p.cols}, p.held_out_moments) /
         er::output_error(p.view(), {none.data(), p.rows, p.cols}, p.held_out_moments);
}

/// One row of a system's table; the error in it.
inline double report(const problem& p, const char* method, const er::any_matrix& stored) {
  const double error = output_error(p, stored);
  std::printf("%-34s %-22s %6.3f bits  %8.4f %%\n", method, stored.fmt().name().c_str(),
              stored.bits_per_weight(), 100 * error);
  return error;
}

/// The end of a program: what its paper claims, and whether that came out.
[[nodiscard]] inline int verdict(const char* claim, bool came_out) {
  std::printf("%s: %s\n", claim, came_out ? "yes" : "no");
  return came_out && std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace systems
