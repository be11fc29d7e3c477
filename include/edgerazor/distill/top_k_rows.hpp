// SPDX-License-Identifier: Apache-2.0
/// One token whose teacher names some tokens only: both distributions over the outcomes that are
/// known, any divergence of them, and its gradient in all of the student's logits.
///
/// Outcomes 0 to k - 1 are the entries of the teacher's row; entries that are not in use have
/// probability 0. Outcome k, if there is one, is the tail: all other columns of the student.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/element_divergence.hpp>
#include <edgerazor/distill/exponential.hpp>
#include <edgerazor/distill/logit_blocks.hpp>
#include <edgerazor/distill/reduction.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::distill {

inline constexpr double log_of_zero = -std::numeric_limits<double>::infinity();

/// ln sum e^(scale * logit(i)) over i < count. The largest power is 1 and stays out of the sum of
/// the others, which thereby keep their digits however small they are.
template <class Logit>
[[nodiscard]] double outcome_log_sum(std::size_t count, double scale, Logit&& logit) noexcept {
  double largest = log_of_zero, others = 0;
  std::size_t at = count;
  for (std::size_t i = 0; i < count; ++i) {
    if (const double x = scale * logit(i); x > largest) largest = x, at = i;
  }
  const double reference = at == count ? 0 : largest;
  for (std::size_t i = 0; i < count; ++i) {
    if (i != at) others += std::exp(scale * logit(i) - reference);
  }
  return at == count ? std::log(others) : largest + std::log1p(others);
}

/// ln(1 - e^x); minus infinity where e^x is 1 or more.
[[nodiscard]] inline double log_of_rest(double x) noexcept {
  if (x >= 0) return log_of_zero;
  return x > -0.5 ? std::log(-std::expm1(x)) : std::log1p(-std::exp(x));
}

/// Ids of tokens that count are columns, each at most once a row, or the loss fails.
inline void check_ids(const char* loss, matrix_view<const std::int32_t> ids, std::size_t cols,
                      const token_plan& plan) {
  const auto refuse = [loss](std::size_t token, std::int32_t id, const std::string& why) {
    core::fail(std::string{loss} + ": token " + std::to_string(token) + " has id " +
               std::to_string(id) + why);
  };
  constexpr std::size_t window = 32768;  // columns of which one bit each is kept
  for (std::size_t token = 0; token < ids.rows; ++token) {
    if (!plan.counts(token)) continue;
    for (std::size_t first = 0; first < cols; first += window) {
      std::array<std::uint64_t, window / 64> seen{};
      for (const std::int32_t id : ids.row(token)) {
        if (id < 0) continue;
        if (static_cast<std::size_t>(id) >= cols) {
          refuse(token, id, ", the student's vocabulary has " + std::to_string(cols));
        }
        const std::size_t column = static_cast<std::size_t>(id) - first;
        if (column >= window) continue;
        const std::uint64_t bit = std::uint64_t{1} << column % 64;
        if ((seen[column / 64] & bit) != 0) refuse(token, id, " twice");
        seen[column / 64] |= bit;
      }
    }
  }
}

/// The teacher's entries of one token, and its tail.
class top_k_outcomes {
 public:
  /// The tail is an outcome if `bucket` is set and one of the student's `cols` columns is in no
  /// entry.
  top_k_outcomes(std::span<const std::int32_t> ids, const float* log_probabilities,
                 std::size_t cols, bool bucket, double tail_floor) noexcept
      : ids_(ids), log_probabilities_(log_probabilities) {
    const auto used =
        std::count_if(ids.begin(), ids.end(), [](std::int32_t id) { return id >= 0; });
    empty_ = used == 0;
    has_tail_ = bucket && static_cast<std::size_t>(used) < cols;
    if (!has_tail_) return;
    const double rest = log_of_rest(log_sum(1)), floor = std::log(tail_floor);
    tail_ = rest < floor ? floor : rest;
  }

  [[nodiscard]] std::span<const std::int32_t> ids() const noexcept { return ids_; }
  /// No entry is in use: whatever the student says, it doesn't diverge.
  [[nodiscard]] bool empty() const noexcept { return empty_; }
  [[nodiscard]] bool has_tail() const noexcept { return has_tail_; }
  [[nodiscard]] std::size_t size() const noexcept { return ids_.size() + (has_tail_ ? 1 : 0); }
  /// ln p, up to a constant.
  [[nodiscard]] double logit(std::size_t i) const noexcept {
    if (i == ids_.size()) return tail_;
    return ids_[i] < 0 ? log_of_zero : static_cast<double>(log_probabilities_[i]);
  }
  [[nodiscard]] double log_sum(double inverse_temperature) const noexcept {
    return outcome_log_sum(size(), inverse_temperature, [this](std::size_t i) { return logit(i); });
  }
  /// H(p) in nats, at temperature 1; 0 if nothing is known.
  [[nodiscard]] double entropy() const noexcept {
    const double whole = log_sum(1);
    double sum = 0;
    for (std::size_t i = 0; i < size(); ++i) {
      if (logit(i) != log_of_zero) sum -= std::exp(logit(i) - whole) * (logit(i) - whole);
    }
    return sum < 0 ? 0 : sum;
  }

 private:
  std::span<const std::int32_t> ids_;
  const float* log_probabilities_;
  bool empty_ = true;
  bool has_tail_ = false;
  double tail_ = log_of_zero;
};

/// Student and teacher over the same outcomes, at one temperature. Ids are columns of the student
/// and distinct.
template <class Arch, real_element S>
class top_k_pair {
 public:
  top_k_pair(logit_row<S> student, const top_k_outcomes& teacher,
             double inverse_temperature) noexcept
      : student_(student), teacher_(teacher), inverse_temperature_(inverse_temperature) {
    if (teacher.has_tail() && !teacher.empty()) tail_ = student_tail();
    teacher_log_sum_ = teacher.log_sum(inverse_temperature);
    student_log_sum_ = outcome_log_sum(teacher.size(), inverse_temperature,
                                       [this](std::size_t i) { return student_logit(i); });
  }

  template <class Divergence>
  [[nodiscard]] term_sums sum(const Divergence& divergence) const noexcept {
    if (teacher_.empty()) return {};
    element_term<reals> sum{reals{0}, reals{0}};
    for_each_block(teacher_.size(), [&](std::size_t first, std::size_t count) {
      outcome_block block;
      for (std::size_t i = 0; i < count; ++i)
        block.add(student_logit(first + i), teacher_.logit(first + i));
      block.fill_vector();
      for (std::size_t i = 0; i < count; i += reals::size) {
        const element_term<reals> term = divergence(probabilities(block, i));
        sum.value += term.value;
        sum.slope += term.slope;
      }
    });
    return {xsimd::reduce_add(sum.value), xsimd::reduce_add(sum.slope)};
  }

  /// Of an entry's column: (slope - q * sum of slopes) * factor / T. Columns of the tail share what
  /// that is of the tail in proportion to e^s; others get 0. `out` may be the student's row.
  template <class Divergence, real_element G>
  void gradient(const Divergence& divergence, double slopes, double factor, bool accumulate,
                G* out) const noexcept {
    const auto of_outcomes = [&](const probability_pair<reals>& x) noexcept {
      return (divergence(x).slope - x.q * reals{slopes}) * reals{factor * inverse_temperature_};
    };
    double of_tail = 0;
    if (tail_ != log_of_zero) {
      outcome_block block;
      block.add(tail_, teacher_.logit(teacher_.ids().size()));
      block.fill_vector();
      double lanes[reals::size];
      of_outcomes(probabilities(block, 0)).store_unaligned(lanes);
      of_tail = lanes[0];
    }
    for_each_block(student_.size, [&](std::size_t first, std::size_t count) {
      double values[logit_block], result[logit_block] = {};
      outcome_block known;
      std::array<std::size_t, logit_block> columns;
      for_each_known(first, count, [&](std::size_t i, std::size_t column) noexcept {
        columns[known.size] = column;
        known.add(student_logit(i), teacher_.logit(i));
      });
      known.fill_vector();
      if (tail_ != log_of_zero) {
        tail_columns(first, count, values);
        for (std::size_t i = 0; i < count; i += reals::size) {
          const reals share =
              detail::distill::exponential(reals::load_unaligned(values + i) - reals{tail_});
          (share * reals{of_tail}).store_unaligned(result + i);
        }
      }
      for (std::size_t i = 0; i < known.size; i += reals::size) {
        double lanes[reals::size];
        of_outcomes(probabilities(known, i)).store_unaligned(lanes);
        for (std::size_t j = 0; j < std::min(known.size - i, reals::size); ++j)
          result[columns[i + j]] = lanes[j];
      }
      for (std::size_t i = 0; i < count; ++i) {
        const float before = accumulate ? static_cast<float>(out[first + i]) : 0;
        out[first + i] = G{before + static_cast<float>(result[i])};
      }
    });
  }

 private:
  using reals = xsimd::batch<double, Arch>;

  struct outcome_block {
    double student[logit_block], teacher[logit_block];
    std::size_t size = 0;

    void add(double of_student, double of_teacher) noexcept {
      student[size] = of_student;
      teacher[size++] = of_teacher;
    }
    /// Impossible outcomes up to a whole vector.
    void fill_vector() noexcept {
      for (std::size_t i = size; i % reals::size != 0; ++i) student[i] = teacher[i] = log_of_zero;
    }
  };

  [[nodiscard]] probability_pair<reals> probabilities(const outcome_block& block,
                                                      std::size_t i) const noexcept {
    const reals scale{inverse_temperature_};
    probability_pair<reals> x;
    x.log_q = reals::load_unaligned(block.student + i) * scale - reals{student_log_sum_};
    x.log_p = reals::load_unaligned(block.teacher + i) * scale - reals{teacher_log_sum_};
    x.q = detail::distill::exponential(x.log_q);
    x.p = detail::distill::exponential(x.log_p);
    return x;
  }

  [[nodiscard]] double student_logit(std::size_t i) const noexcept {
    const auto ids = teacher_.ids();
    if (i == ids.size()) return tail_;
    return ids[i] < 0 ? log_of_zero
                      : static_cast<double>(static_cast<float>(student_.data[ids[i]]));
  }

  /// Calls visit(entry, column - first) for the entries of columns [first, first + count).
  template <class Visit>
  void for_each_known(std::size_t first, std::size_t count, Visit&& visit) const noexcept {
    const auto ids = teacher_.ids();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      // A negative id, and a column before `first`, wrap around to more than any count.
      if (const std::size_t column = static_cast<std::size_t>(ids[i]) - first; column < count)
        visit(i, column);
    }
  }

  /// Logits of columns [first, first + count), minus infinity where an entry has the column.
  void tail_columns(std::size_t first, std::size_t count, double* values) const noexcept {
    static_cast<void>(student_.template block<double, reals::size>(
        first, count, values));  // not of double: copied
    for_each_known(first, count, [values](std::size_t, std::size_t column) noexcept {
      values[column] = log_of_zero;
    });
  }

  /// ln of the sum of e^s over the tail's columns: summed, as 1 minus the others would leave
  /// nothing of a small one.
  [[nodiscard]] double student_tail() const noexcept {
    double reference = log_of_zero, sum = 0;
    for_each_block(student_.size, [&](std::size_t first, std::size_t count) {
      double values[logit_block];
      tail_columns(first, count, values);
      reals maxima{log_of_zero}, sums{0};
      for (std::size_t i = 0; i < count; i += reals::size) {
        maxima = xsimd::max(maxima, reals::load_unaligned(values + i));
      }
      const double largest = xsimd::reduce_max(maxima);
      if (largest > reference) sum *= std::exp(reference - largest), reference = largest;
      const reals from{reference == log_of_zero ? 0 : reference};
      for (std::size_t i = 0; i < count; i += reals::size) {
        sums += detail::distill::exponential(reals::load_unaligned(values + i) - from);
      }
      sum += xsimd::reduce_add(sums);
    });
    return std::log(sum) + (reference == log_of_zero ? 0 : reference);
  }

  logit_row<S> student_;
  const top_k_outcomes& teacher_;
  double inverse_temperature_;
  double tail_ = log_of_zero;
  double student_log_sum_ = 0;
  double teacher_log_sum_ = 0;
};

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
