// SPDX-License-Identifier: Apache-2.0
/// Better levels, scales and zeros for a matrix that has been rounded: what rounding column by
/// column could not know, because it never looks back.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct refine_options {
  int rounds = 1;         ///< of levels and then scales; levels once more at the end
  bool levels = true;     ///< change levels
  bool scales = true;     ///< change scales and real zeros
  double damping = 0.01;  ///< added to the diagonal of H, relative to its mean; at least 0
  executor_ref executor{};
};

namespace detail::calibrate {

/// What all strips share: H, damped, divided by its mean diagonal; 1_g^T H for each group.
struct refine_problem {
  using matrix_type = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using index = Eigen::Index;

  matrix_view<const float> weights;
  const level_grid& grid;
  const refine_options& options;
  std::size_t columns = 0;  ///< of a group
  std::size_t groups = 0;
  matrix_type moments;
  matrix_type ones;  ///< groups x groups: 1_g^T H 1_h, where there is a real zero

  refine_problem(matrix_view<const float> w, const level_grid& levels, const second_moments& h,
                 const refine_options& chosen)
      : weights(w),
        grid(levels),
        options(chosen),
        columns(levels.group_columns(w.cols)),
        groups(levels.groups(w.cols)) {
    const double mean = h.cols() == 0 ? 0 : h.matrix().diagonal().mean();
    moments = (mean > 0 ? h.matrix() / mean : h.matrix()).cast<float>();
    moments.diagonal().array() += static_cast<float>(mean > 0 ? chosen.damping : 1);
    if (!fits_zeros()) return;
    ones.resize(static_cast<index>(groups), static_cast<index>(groups));
    for (std::size_t g = 0; g < groups; ++g)
      for (std::size_t k = 0; k < groups; ++k)
        ones(static_cast<index>(g), static_cast<index>(k)) =
            moments.block(first(g), first(k), size(g), size(k)).sum();
  }
  [[nodiscard]] bool fits_zeros() const noexcept { return grid.zero == group_zero::real; }
  [[nodiscard]] index first(std::size_t g) const noexcept {
    return static_cast<index>(g * columns);
  }
  [[nodiscard]] index size(std::size_t g) const noexcept {
    const std::size_t begin = g * columns;
    return static_cast<index>(columns < weights.cols - begin ? columns : weights.cols - begin);
  }
};

/// A strip of rows: e = w - value and e H, kept in step with the levels.
class refine_strip {
 public:
  using matrix_type = refine_problem::matrix_type;
  using index = Eigen::Index;

  refine_strip(const refine_problem& problem, row_range rows, rounded_matrix& rounded)
      : problem_(problem), rows_(rows), rounded_(rounded) {
    update();
  }
  void run() {
    const refine_options& options = problem_.options;
    for (int round = 0; round < options.rounds; ++round) {
      bool changed = options.levels && change_levels();
      if (options.scales) changed = change_scales() || changed;
      if (!changed) return;
    }
    if (options.levels && options.scales) change_levels();
  }

 private:
  [[nodiscard]] index count() const noexcept { return static_cast<index>(rows_.size()); }
  [[nodiscard]] std::size_t row(index r) const noexcept {
    return rows_.begin + static_cast<std::size_t>(r);
  }

  void update() {
    const std::size_t cols = problem_.weights.cols;
    errors_.resize(count(), static_cast<index>(cols));
    for (index r = 0; r < count(); ++r) {
      const std::span<const float> w = problem_.weights.row(row(r));
      const std::int16_t* const levels = rounded_.levels.data() + row(r) * cols;
      for (std::size_t g = 0, c = 0; g < problem_.groups; ++g) {
        const group_fit fit = rounded_.fit(row(r), g);
        const std::size_t end = c + static_cast<std::size_t>(problem_.size(g));
        for (; c < end; ++c) {
          errors_(r, static_cast<index>(c)) =
              w[c] - static_cast<float>(level_grid::value(levels[c], fit));
        }
      }
    }
    products_.noalias() = errors_ * problem_.moments;
  }

  /// Coordinate descent: each level moves to where the row's error is least while all others stay,
  /// e_j' = e_j - (e H)_j / H_jj, until none moves.
  bool change_levels() {
    const std::size_t cols = problem_.weights.cols;
    const level_grid& grid = problem_.grid;
    bool changed = false;
    for (index r = 0; r < count(); ++r) {
      std::int16_t* const levels = rounded_.levels.data() + row(r) * cols;
      bool moved = true;
      for (int pass = 0; moved && pass < 8; ++pass) {
        moved = false;
        for (std::size_t c = 0; c < cols; ++c) {
          const group_fit fit = rounded_.fit(row(r), c / problem_.columns);
          const float step = fit.scale * static_cast<float>(grid.level_step);
          const auto at = static_cast<index>(c);
          const float own = problem_.moments(at, at), slope = products_(r, at);
          if (std::fabs(slope) <= 0.5f * std::fabs(step) * own) continue;
          const int low = (grid.min_level - levels[c]) / grid.level_step;
          const int high = (grid.max_level - levels[c]) / grid.level_step;
          const int steps = nearest_integer(static_cast<double>(slope / (own * step)), low, high);
          if (steps == 0) continue;
          const float by = step * static_cast<float>(steps);
          if (!(2 * slope * by - by * by * own > 0)) continue;
          levels[c] = static_cast<std::int16_t>(levels[c] + steps * grid.level_step);
          errors_(r, at) -= by;
          products_.row(r) -= by * problem_.moments.row(at);
          moved = changed = true;
        }
      }
    }
    return changed;
  }

  /// Least squares: all scales of a row, and its real zeros, at once while the levels stay. With
  /// basis vectors v_k (the levels of a group, and -1 on it for scale * zero),
  ///
  ///     least (e - sum_k d_k v_k) H (...)^T        A d = b, A_kl = v_k H v_l^T, b_k = v_k H e^T
  ///
  /// A row is changed where the error is less after the new numbers have been rounded to storage.
  bool change_scales() {
    const std::size_t groups = problem_.groups, cols = problem_.weights.cols;
    const auto parts = static_cast<index>(groups);
    const bool zeros = problem_.fits_zeros();
    const index unknowns = zeros ? 2 * parts : parts;
    matrix_type basis(count(), static_cast<index>(cols));
    for (index r = 0; r < count(); ++r) {
      for (std::size_t c = 0; c < cols; ++c) {
        const group_fit fit = rounded_.fit(row(r), c / problem_.columns);
        basis(r, static_cast<index>(c)) =
            static_cast<float>(rounded_.levels[row(r) * cols + c]) - (zeros ? 0.0f : fit.zero);
      }
    }
    // Lower triangles, one a row of the strip: scales first, then zeros.
    std::vector<Eigen::MatrixXd> systems(rows_.size(), Eigen::MatrixXd::Zero(unknowns, unknowns));
    matrix_type part;
    for (std::size_t g = 0; g < groups; ++g) {
      const index begin = problem_.first(g), rest = static_cast<index>(cols) - begin;
      // With zeros the terms of all groups are wanted, v_g H (-1_k)^T.
      const index from = zeros ? 0 : begin, width = zeros ? static_cast<index>(cols) : rest;
      part.noalias() = basis.middleCols(begin, problem_.size(g)) *
                       problem_.moments.block(begin, from, problem_.size(g), width);
      for (index r = 0; r < count(); ++r) {
        Eigen::MatrixXd& system = systems[static_cast<std::size_t>(r)];
        const auto i = static_cast<index>(g);
        for (std::size_t k = 0; k < groups; ++k) {
          const auto j = static_cast<index>(k);
          if (k < g && !zeros) continue;
          const auto terms = part.row(r).segment(problem_.first(k) - from, problem_.size(k));
          if (k >= g) {
            system(j, i) = static_cast<double>(
                terms.dot(basis.row(r).segment(problem_.first(k), problem_.size(k))));
          }
          if (zeros) system(parts + j, i) = -static_cast<double>(terms.sum());
        }
      }
    }
    bool changed = false;
    Eigen::VectorXd right(unknowns), step(unknowns);
    for (index r = 0; r < count(); ++r) {
      Eigen::MatrixXd& system = systems[static_cast<std::size_t>(r)];
      for (std::size_t g = 0; g < groups; ++g) {
        const auto i = static_cast<index>(g);
        const auto slope = products_.row(r).segment(problem_.first(g), problem_.size(g));
        right(i) = static_cast<double>(
            slope.dot(basis.row(r).segment(problem_.first(g), problem_.size(g))));
        if (!zeros) continue;
        right(parts + i) = -static_cast<double>(slope.sum());
        for (std::size_t k = 0; k <= g; ++k) {
          system(parts + i, parts + static_cast<index>(k)) =
              static_cast<double>(problem_.ones(i, static_cast<index>(k)));
        }
      }
      changed = solve_row(row(r), system, right, step) || changed;
    }
    if (changed) update();
    return changed;
  }

  bool solve_row(std::size_t at, const Eigen::MatrixXd& system, const Eigen::VectorXd& right,
                 Eigen::VectorXd& step) {
    const auto parts = static_cast<index>(problem_.groups);
    const bool zeros = problem_.fits_zeros();
    // Groups of level 0 alone have no scale to find: they get 0.
    Eigen::MatrixXd damped = system;
    const double little = 1e-7 * system.diagonal().maxCoeff();
    damped.diagonal().array() += little > 0 ? little : 1.0;
    const Eigen::LLT<Eigen::MatrixXd, Eigen::Lower> cholesky(damped);
    if (cholesky.info() != Eigen::Success) return false;
    step = cholesky.solve(right);
    std::vector<group_fit> fits(problem_.groups);
    for (std::size_t g = 0; g < problem_.groups; ++g) {
      const auto i = static_cast<index>(g);
      const group_fit old = rounded_.fit(at, g);
      const double scale = static_cast<double>(old.scale) + step(i);
      group_fit next{static_cast<float>(scale), old.zero};
      if (zeros) {
        const double offset = static_cast<double>(old.scale) * static_cast<double>(old.zero);
        const float stored = problem_.grid.stored({next.scale, 0}).scale;
        next.zero = static_cast<float>((offset + step(parts + i)) / static_cast<double>(stored));
      }
      next = problem_.grid.stored(next);
      const bool turned = (next.scale > 0) != (old.scale > 0);
      if (next.scale == 0 || turned || !policy::is_finite(next.scale) ||
          !policy::is_finite(next.zero)) {
        next = old;
      }
      fits[g] = next;
      step(i) = static_cast<double>(next.scale) - static_cast<double>(old.scale);
      if (zeros) {
        step(parts + i) = static_cast<double>(next.scale) * static_cast<double>(next.zero) -
                          static_cast<double>(old.scale) * static_cast<double>(old.zero);
      }
    }
    const double gained =
        2 * step.dot(right) - step.dot(system.selfadjointView<Eigen::Lower>() * step);
    if (!(gained > 0)) return false;
    for (std::size_t g = 0; g < problem_.groups; ++g) rounded_.set_fit(at, g, fits[g]);
    return true;
  }

  const refine_problem& problem_;
  row_range rows_;
  rounded_matrix& rounded_;
  matrix_type errors_, products_;
};
}  // namespace detail::calibrate

/// Lowers tr((W - Q) H_d (W - Q)^T) of a rounded matrix, in place: levels one at a time, and the
/// scales and real zeros of a row all at once (integer zeros stay), in turn, rounded to the grid's
/// storage. No step raises it.
///
/// `rounded` is in the columns' own order, on the grid's levels. Products are float, relative to
/// sqrt(H_ii H_jj) right to 1e-6; least squares are solved in float64.
///
/// Fails where shapes do not fit, or a weight is NaN or infinite, naming it.
inline void refine(matrix_view<const float> weights, rounded_matrix& rounded,
                   const level_grid& grid, const second_moments& moments,
                   const refine_options& options = {}) {
  detail::calibrate::check_grid(grid, "refine");
  if (rounded.rows != weights.rows || rounded.cols != weights.cols ||
      moments.cols() != weights.cols) {
    detail::core::fail("refine: weights " + detail::core::shape_text(weights.rows, weights.cols) +
                       ", levels " + detail::core::shape_text(rounded.rows, rounded.cols) +
                       ", second moments of " + std::to_string(moments.cols()) + " columns");
  }
  if (rounded.group != grid.group || rounded.zeros.empty() == grid.has_zero()) {
    detail::core::fail("refine: expected a matrix that was rounded to this grid");
  }
  if (!(options.damping >= 0) || !detail::calibrate::is_finite(options.damping)) {
    detail::core::fail("refine: the damping is " + std::to_string(options.damping) +
                       ", expected a finite number of at least 0");
  }
  detail::policy::check_finite(weights);
  if (weights.cols == 0) return;
  const detail::calibrate::refine_problem problem(weights, grid, moments, options);
  detail::calibrate::for_row_grains(weights.rows, options.executor, [&](row_range rows) noexcept {
    detail::calibrate::refine_strip(problem, rows, rounded).run();
  });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
