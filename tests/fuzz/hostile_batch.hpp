// SPDX-License-Identifier: Apache-2.0
// What hostile_losses.cpp makes its cases of: random batches, and their comparison with what
// long double gives.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "reference_losses.hpp"
#include <edgerazor/distill.hpp>

namespace er = edgerazor;
using reference::answer;
using reference::real;

inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

struct random_source {
  std::mt19937_64 engine;

  std::size_t below(std::size_t n) { return engine() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  T pick(std::initializer_list<T> from) {
    return from.begin()[below(from.size())];
  }
  float normal() { return std::normal_distribution<float>{}(engine); }
};

/// Elements as a loss is given them: floats as they are, or rounded to one of the types of 16 bits.
struct elements {
  std::size_t type = 0;  ///< 0: float, 1: float16, 2: bfloat16
  std::vector<er::float16> half;
  std::vector<er::bfloat16> brain;

  /// Rounds the values.
  void take(std::size_t to, std::vector<float>& values) {
    type = to;
    half.clear(), brain.clear();
    for (float& x : values) {
      if (type == 1) x = static_cast<float>(half.emplace_back(x));
      if (type == 2) x = static_cast<float>(brain.emplace_back(x));
    }
  }
  void give(std::vector<float>& values) const {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (type == 1) values[i] = static_cast<float>(half[i]);
      if (type == 2) values[i] = static_cast<float>(brain[i]);
    }
  }
  template <class Rows, class Float, class Self>
  static Rows view(Self& self, Float* data, std::size_t n, std::size_t cols, std::size_t stride) {
    if (self.type == 1) return er::matrix_view{self.half.data(), n, cols, stride};
    if (self.type == 2) return er::matrix_view{self.brain.data(), n, cols, stride};
    return er::matrix_view{data, n, cols, stride};
  }
  template <class Rows>
  Rows rows(const float* data, std::size_t n, std::size_t cols, std::size_t stride) const {
    return view<Rows>(*this, data, n, cols, stride);
  }
  template <class Rows>
  Rows rows(float* data, std::size_t n, std::size_t cols, std::size_t stride) {
    return view<Rows>(*this, data, n, cols, stride);
  }
};

/// Tokens of one call: rows as the loss reads them, and as long double.
struct batch {
  std::size_t tokens = 1, cols = 1, stride = 1, length = 1;
  std::size_t teacher_cols = 0;  ///< 0: as many as the student's
  std::vector<float> student, teacher;
  std::vector<float> weights;
  std::vector<std::int64_t> labels;
  std::vector<std::uint8_t> mask;
  std::vector<float> token_upstream;
  er::token_batch options;
  std::vector<float> gradient;
  std::vector<float> before;

  elements student_as, teacher_as, gradient_as;
  bool merged = false;  ///< the answer is that of merged pieces

  [[nodiscard]] er::token_rows student_rows() const {
    return student_as.rows<er::token_rows>(student.data(), tokens, cols, stride);
  }
  [[nodiscard]] er::token_rows teacher_rows() const {
    return teacher_as.rows<er::token_rows>(teacher.data(), tokens,
                                           teacher_cols == 0 ? cols : teacher_cols, stride);
  }
  [[nodiscard]] reference::row row(const std::vector<float>& rows, std::size_t i) const {
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(i * stride);
    return {first, first + static_cast<std::ptrdiff_t>(cols)};
  }
  [[nodiscard]] er::gradient_rows out() {
    return gradient_as.rows<er::gradient_rows>(gradient.data(), tokens, cols, stride);
  }
  [[nodiscard]] std::int64_t label(std::size_t i) const { return labels[i + options.label_shift]; }
  [[nodiscard]] bool counts(std::size_t i) const {
    if (!mask.empty() && mask[i] == 0) return false;
    return labels.empty() || (i % length + options.label_shift < length && label(i) != -100);
  }
  [[nodiscard]] double weight(std::size_t i) const {
    if (!counts(i)) return 0;
    return weights.empty() ? 1 : static_cast<double>(weights[i]);
  }
  /// What a token's l is multiplied by in what gradients are taken of.
  [[nodiscard]] double upstream(std::size_t i) const {
    const bool own = options.how == er::reduction::none && !options.token_upstream.empty();
    return share(i) * options.upstream * (own ? static_cast<double>(token_upstream[i]) : 1);
  }
  /// What a token's l is multiplied by in the value.
  [[nodiscard]] double share(std::size_t i) const {
    double all = 0, own = 0;
    for (std::size_t k = 0; k < tokens; ++k) {
      all += weight(k);
      own += k / length == i / length ? weight(k) : 0;
    }
    const auto or_one = [](double x) { return x > 0 ? x : 1; };
    const double given = options.denominator;
    switch (options.how) {
      case er::reduction::sum:
        return weight(i) / (given > 0 ? given : 1);
      case er::reduction::mean:
        return weight(i) / (given > 0 ? given : or_one(all));
      case er::reduction::batch_mean:
        return weight(i) / or_one(own) / (given > 0 ? given : static_cast<double>(tokens / length));
      case er::reduction::none:
        break;
    }
    return weight(i);
  }
};

inline std::size_t any_length(random_source& random) {
  const std::size_t near_vector = 1 + random.below(40);
  const std::size_t near_block = 505 + random.below(15), near_blocks = 1020 + random.below(9);
  const std::size_t near_float = 8185 + random.below(15);
  return random.pick({near_vector, near_vector, near_vector, near_block, near_block, near_blocks,
                      random.one_in(4) ? near_float : near_block});
}

inline void make_logits(random_source& random, batch& b) {
  const float scale =
      random.pick({1e-30f, 1e-6f, 1e-3f, 0.1f, 1.0f, 3.0f, 30.0f, 1e3f, 1e9f, 1e30f, 1e38f});
  const float offset =
      random.one_in(3) ? random.pick({1e-3f, 10.0f, -300.0f, 1e6f, -1e9f, 2e38f, -2e38f}) : 0.0f;
  const std::size_t relation = random.below(5);
  for (std::size_t i = 0; i < b.student.size(); ++i) {
    b.teacher[i] = scale * random.normal() + offset;
    b.student[i] = scale * random.normal() + offset;
    if (relation == 0) b.student[i] = b.teacher[i];
    if (relation == 1) b.student[i] = b.teacher[i] + random.pick({0.0f, 1e-6f, -1e-6f});
    if (relation == 2) b.student[i] = b.teacher[i] * (1 + 1e-6f * random.normal());
    if (relation == 3) b.student[i] = b.teacher[i] + 1e-3f * scale * random.normal();
  }
  // Impossible and hostile elements, in some rows.
  for (std::size_t twice = 0; twice < 2 * b.tokens; ++twice) {
    const std::size_t t = twice / 2;
    if (!random.one_in(4)) continue;
    const float value = random.pick({-infinity, -infinity, -infinity, infinity, not_a_number, 3e38f,
                                     -3e38f, -3.4028235e38f, 1e-45f, -0.0f});
    const std::size_t which = random.below(3),
                      how_many = random.pick<std::size_t>({1, 1, 3, 1000000});
    for (std::size_t k = 0; k < std::min(how_many, b.cols); ++k) {
      const std::size_t c = how_many > b.cols ? k : random.below(b.cols);
      if (how_many > b.cols && random.one_in(2)) continue;
      if (which != 1) b.student[t * b.stride + c] = value;
      if (which != 0) b.teacher[t * b.stride + c] = value;
    }
  }
}

inline batch make_batch(random_source& random, std::size_t cols) {
  batch b;
  b.length = 1 + random.below(3);
  b.tokens = b.length * (1 + random.below(cols > 2000 ? 1 : 2));
  b.cols = cols;
  b.stride = cols + random.below(3);
  b.student.resize(b.tokens * b.stride);
  b.teacher.resize(b.tokens * b.stride);
  b.gradient.resize(b.tokens * b.stride, 7.0f);
  make_logits(random, b);
  if (random.one_in(2)) {
    for (std::size_t i = 0; i < b.tokens; ++i)
      b.weights.push_back(random.pick({0.0f, 1.0f, 0.5f, 3.0f, 1e-3f}));
    // What has no weight may be anything.
    for (std::size_t i = 0; i < b.tokens; ++i) {
      if (b.weights[i] == 0 && random.one_in(2))
        b.student[i * b.stride] = b.teacher[i * b.stride] = not_a_number;
    }
  }
  if (random.one_in(2)) {
    for (std::size_t i = 0; i < b.tokens; ++i)
      b.labels.push_back(random.one_in(4) ? -100 : static_cast<std::int64_t>(random.below(cols)));
  }
  return b;
}
/// Rounds rows to types of 16 bits, in some cases.
inline void set_types(random_source& random, batch& b) {
  const auto any = [&] { return random.one_in(3) ? 1 + random.below(2) : std::size_t{0}; };
  b.student_as.take(any(), b.student);
  b.teacher_as.take(any(), b.teacher);
  b.gradient_as.take(any(), b.gradient);
}
inline void set_options(random_source& random, batch& b) {
  b.options.labels = b.labels;
  b.options.weights = b.weights;
  b.options.sample_tokens = b.length;
  if (!b.labels.empty() && b.length > 1 && random.one_in(3)) b.options.label_shift = 1;
  if (random.one_in(4)) {
    for (std::size_t i = 0; i < b.tokens; ++i) b.mask.push_back(random.one_in(4) ? 0 : 1);
    b.options.mask = b.mask;
  }
  b.options.how = random.pick(
      {er::reduction::sum, er::reduction::mean, er::reduction::batch_mean, er::reduction::none});
  b.options.denominator = random.pick({0.0, 0.0, 3.0});
  b.options.upstream = random.pick({1.0, 1.0, -2.0, 0.0, 1e-3});
  if (b.options.how == er::reduction::none && random.one_in(2)) {
    for (std::size_t i = 0; i < b.tokens; ++i)
      b.token_upstream.push_back(random.pick({1.0f, -0.5f, 0.0f, 100.0f}));
    b.options.token_upstream = b.token_upstream;
  }
  b.options.accumulate = random.one_in(3);
  b.before = b.gradient;
}

inline std::uint64_t seed = 0, findings = 0;

inline void report(const char* loss, const char* what, real is, real expected, std::size_t token,
                   std::size_t col, const batch& b, real temperature) {
  if (++findings > 20) std::exit(1);
  std::printf(
      "seed %llu: %s: %s of token %zu, column %zu of %zu is %.12Lg, expected %.12Lg "
      "(temperature %.6Lg)\n",
      static_cast<unsigned long long>(seed), loss, what, token, col, b.cols, is, expected,
      temperature);
  if (std::getenv("HOSTILE_ROWS") == nullptr || b.cols > 20000) return;
  for (std::size_t c = 0; c < b.cols; ++c) {
    std::printf("  %zu: student %.9g, teacher %.9g, gradient %.9g\n", c,
                static_cast<double>(b.student[token * b.stride + c]),
                static_cast<double>(b.teacher[token * b.stride + c]),
                static_cast<double>(b.gradient[token * b.stride + c]));
  }
}
inline bool same_kind(real a, real b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b;
}

/// Whether a number stands in many columns of a long row. Its exponentials, each off by up to 1.5
/// ulp (1.8e-7), are then all off by the same, and so are the two sums over the row.
inline bool has_alike(const batch& b, const std::vector<float>& rows) {
  for (std::size_t i = 0; i < b.tokens; ++i) {
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(i * b.stride);
    std::vector<float> row(first, first + static_cast<std::ptrdiff_t>(b.cols));
    row.erase(std::remove_if(row.begin(), row.end(), [](float x) { return std::isnan(x); }),
              row.end());
    std::sort(row.begin(), row.end());
    for (std::size_t c = 0; c + 64 < row.size(); ++c)
      if (row[c] == row[c + 64]) return true;
  }
  return false;
}

/// Compares a call's result with the answers of its tokens (T^2 included).
inline void compare(const char* loss, batch& b, double value, const std::vector<answer>& tokens,
                    real temperature, real square) {
  b.gradient_as.give(b.gradient);
  const bool in_float = b.cols >= 8192;
  // Float rows: see kl_row.
  const bool alike = in_float && (has_alike(b, b.student) || has_alike(b, b.teacher));
  const real value_floor = alike ? 3.6e-7L : in_float ? 3e-9L : 1e-30L;
  real expected = 0, allowed = 0;
  for (std::size_t i = 0; i < b.tokens; ++i) {
    const real share = static_cast<real>(b.share(i));
    if (share == 0) continue;
    expected += share * tokens[i].value;
    allowed += share * (1e-6L * std::fabs(tokens[i].value) + square * tokens[i].slack +
                        square * (1e-17L * tokens[i].scale + value_floor));
  }
  if (std::isinf(static_cast<double>(expected)) && !std::isinf(expected)) return;
  const bool close = std::isfinite(expected)
                         ? std::fabs(static_cast<real>(value) - expected) <= allowed
                         : same_kind(static_cast<real>(value), expected);
  if (!close) report(loss, "the value", static_cast<real>(value), expected, 0, 0, b, temperature);
  for (std::size_t i = 0; i < b.tokens; ++i) {
    const real share = static_cast<real>(b.upstream(i));
    real largest = 0;
    for (const real g : tokens[i].gradient) {
      if (std::isfinite(g)) largest = std::max(largest, std::fabs(g * share));
    }
    // A gradient is a difference of probabilities, which near 1 are an ulp of double apart. Merged
    // pieces know the mean of u from their references alone, a sum over all columns of numbers as
    // large as `scale`, rounded at each addition of a lane.
    const real mean = b.merged ? 0x1p-55L * static_cast<real>(b.cols) : 0;
    const real of_scale = (8e-16L + mean) * tokens[i].scale;
    const real floor =
        (in_float ? 2e-6L : 1e-6L) * largest +
        std::fabs(share) * square / temperature * (of_scale + (in_float ? 1e-10L : 0) + 2.3e-16L) +
        std::fabs(share) * square * tokens[i].undecided + 1e-37L;
    for (std::size_t c = 0; c < b.cols; ++c) {
      const std::size_t at = i * b.stride + c;
      const real before = b.options.accumulate ? static_cast<real>(b.before[at]) : 0;
      const real is = static_cast<real>(b.gradient[at]);
      const real g = share == 0 ? 0 : share * tokens[i].gradient[c];
      const real wanted = before + g;
      // Rounded to the gradient's type: half an ulp, and half of its least number.
      const std::size_t type = b.gradient_as.type;
      const real rounding = type == 0 ? 0 : (type == 1 ? 0x1p-11L : 0x1p-8L) * std::fabs(wanted),
                 least = type == 1 ? 0x1p-25L : 0, most = type == 1 ? 6.5e4L : 3.38e38L;
      bool fits = same_kind(is, wanted) ||
                  std::fabs(is - wanted) <= floor + rounding + least + 2e-7L * std::fabs(before);
      // Beyond the type, or where a rounding of double is: infinite, or anything.
      if (std::fabs(wanted) > most || floor > most) fits = true;
      if (fits) continue;
      report(loss, "the gradient", is, wanted, i, c, b, temperature);
      break;
    }
  }
}
