// SPDX-License-Identifier: Apache-2.0
/// The losses of one token by their definitions, in long double. Tests only: short, slow, and read
/// to be believed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace reference {

using real = long double;
using row = std::vector<real>;
inline constexpr real infinity = std::numeric_limits<real>::infinity();
inline constexpr real nan = std::numeric_limits<real>::quiet_NaN();

/// A loss of one token and its gradient in the student. `scale`: the largest finite |ln q - ln p|
/// met, which rounding is proportional to.
struct answer {
  real value = 0;
  row gradient;
  real scale = 0;
  real undecided = 0;  ///< how far the gradient may be off where a sign hangs on a rounding
  real slack = 0;      ///< how far the value may be
};

/// ln softmax(x / T); minus infinity where x is, NaN of a row with NaN, plus infinity, or nothing
/// that is possible.
inline row log_softmax(const row& x, real temperature) {
  real largest = -infinity, sum = 0;
  bool bad = false;
  for (const real v : x)
    bad = bad || std::isnan(v) || v == infinity, largest = std::max(largest, v);
  if (bad || largest == -infinity) return row(x.size(), nan);
  for (const real v : x) sum += std::exp((v - largest) / temperature);
  row result;
  for (const real v : x) result.push_back((v - largest) / temperature - std::log(sum));
  return result;
}
inline bool is_nan(const row& x) {
  return std::any_of(x.begin(), x.end(), [](real v) { return std::isnan(v); });
}

/// Student and teacher: their log-probabilities, and x = ln q - ln p, 0 where both are impossible.
struct pair {
  row log_q, log_p, x;
  bool bad = false;   ///< one of them is NaN
  bool same = false;  ///< the logits are equal
  real scale = 0;     ///< the largest finite |x|
};
/// Where the two are near, x is not the difference of two logarithms, but with u = ((s - s_k) -
/// (t - t_k)) / T, k the teacher's likeliest,
///
///     q = p e^u / sum p e^u        x = u - ln(1 + sum p (e^u - 1))
inline pair make_pair(const row& s, const row& t, real temperature) {
  pair both{log_softmax(s, temperature), log_softmax(t, temperature), {}, false, s == t, 0};
  both.bad = is_nan(both.log_q) || is_nan(both.log_p);
  if (both.bad) return both;
  std::size_t at = 0;
  for (std::size_t i = 0; i < t.size(); ++i) at = t[i] > t[at] ? i : at;
  bool near = true;
  real sum = 0;
  row u;
  for (std::size_t i = 0; i < t.size(); ++i) {
    const bool neither = s[i] == -infinity && t[i] == -infinity;
    u.push_back(neither ? 0 : ((s[i] - s[at]) - (t[i] - t[at])) / temperature);
    near = near && std::fabs(u[i]) < 1;
    sum += std::exp(both.log_p[i]) * std::expm1(u[i]);
  }
  for (std::size_t i = 0; i < t.size(); ++i) {
    const bool neither = s[i] == -infinity && t[i] == -infinity;
    const real apart = near ? u[i] - std::log1p(sum) : both.log_q[i] - both.log_p[i];
    both.x.push_back(neither ? 0 : apart);
    if (std::isfinite(both.x[i])) both.scale = std::max(both.scale, std::fabs(both.x[i]));
  }
  return both;
}

/// What a column adds to KL(a || b), with x = ln b - ln a: a ln(a / b) - a + b, never negative. The
/// sum of b - a over all columns is 0.
inline real divergence(real log_a, real log_b, real x) {
  if (log_a == -infinity) return std::exp(log_b);
  if (log_b == -infinity) return infinity;
  return std::fabs(x) < 1 ? std::exp(log_a) * (std::expm1(x) - x)
                          : std::exp(log_b) - std::exp(log_a) - std::exp(log_a) * x;
}
inline real entropy(const row& log_p) {
  real sum = 0;
  for (const real l : log_p) sum -= l == -infinity ? 0 : std::exp(l) * l;
  return sum;
}
/// ln(m / p) of m = a p + b q, a + b = 1, with x = ln(q / p).
inline real mixed(real a, real b, real x) {
  if (b == 0) return 0;
  if (a == 0) return x;
  if (std::fabs(x) < 0.5L) return std::log1p(b * std::expm1(x));
  return x > 0 ? x + std::log(a * std::exp(-x) + b) : std::log(a + b * std::exp(x));
}
/// q - p.
inline real difference(const pair& both, std::size_t i) {
  return std::fabs(both.x[i]) < 1 ? std::exp(both.log_p[i]) * std::expm1(both.x[i])
                                  : std::exp(both.log_q[i]) - std::exp(both.log_p[i]);
}
/// From q d(loss)/dq of every column, any multiple of q aside, to the gradient in the logits.
inline row through_softmax(const row& slopes, const row& log_q, real temperature) {
  real sum = 0;
  for (const real s : slopes) sum += s;
  row result;
  for (std::size_t i = 0; i < slopes.size(); ++i)
    result.push_back((slopes[i] - std::exp(log_q[i]) * sum) / temperature);
  return result;
}
/// (1 - gamma) KL(p||q) + gamma KL(q||p). A direction without weight adds nothing unless it is NaN;
/// a reverse one that is infinite has no gradient.
inline answer blend(const pair& both, real gamma, real temperature) {
  answer result{nan, row(both.log_q.size(), nan), both.scale};
  if (both.bad) return result;
  real forward = 0, reverse = 0;
  for (std::size_t i = 0; i < both.x.size(); ++i) {
    forward += divergence(both.log_p[i], both.log_q[i], both.x[i]);
    reverse += divergence(both.log_q[i], both.log_p[i], -both.x[i]);
  }
  const auto part = [](real w, real x) { return w == 0 && std::isinf(x) ? 0 : w * x; };
  result.value = part(1 - gamma, forward) + part(gamma, reverse);
  if (std::isnan(result.value)) return result;
  row slopes;
  for (std::size_t i = 0; i < both.x.size(); ++i) {
    real slope = (1 - gamma) * difference(both, i);
    if (gamma != 0 && !std::isinf(reverse) && both.log_q[i] != -infinity)
      slope += gamma * std::exp(both.log_q[i]) * both.x[i];
    slopes.push_back(slope);
  }
  result.gradient = through_softmax(slopes, both.log_q, temperature);
  return result;
}

/// Divergences of probabilities clamped from below at 1e-8 (EdgeRazor (Python), compute_kld): the
/// value, and in `gradient` q d/dq, 0 where q was clamped.
inline answer clamped_slopes(const row& log_q, const row& log_p, real gamma) {
  const real least = std::log(static_cast<real>(1e-8));
  answer result;
  for (std::size_t i = 0; i < log_q.size(); ++i) {
    const real lq = std::max(log_q[i], least), lp = std::max(log_p[i], least);
    const real p = std::exp(lp), q = std::exp(lq);
    result.value += ((1 - gamma) * p - gamma * q) * (lp - lq);
    const bool moves = log_q[i] >= least;
    result.gradient.push_back(moves ? gamma * q * (lq - lp + 1) - (1 - gamma) * p : 0);
    // Logarithms of up to 19 are off by some roundings of double, and so are their products, and
    // all alike by those of the sum over the row; at the clamp a rounding decides whether there is
    // a slope.
    result.slack += (3e-14L + 2.3e-16L * static_cast<real>(log_q.size())) * (p + q);
    if (std::fabs(log_q[i] - least) < 1e-12L) result.undecided += 1e-6L;
  }
  result.undecided += result.slack;
  return result;
}
inline answer clamped(const pair& both, real gamma, real temperature) {
  if (both.bad) return {nan, row(both.log_q.size(), nan), 0};
  answer result = clamped_slopes(both.log_q, both.log_p, gamma);
  result.gradient = through_softmax(result.gradient, both.log_q, temperature);
  result.undecided /= temperature;
  return result;
}

enum class kind { jensen_shannon, skew_forward, skew_reverse, total_variation };

/// The divergences that are sums; infinite ones have the gradient 0.
inline answer term(kind which, real a, const pair& both, real temperature) {
  answer result{nan, row(both.log_q.size(), nan), both.scale};
  if (both.bad) return result;
  const bool forward = which != kind::skew_reverse;  // m = a p + (1 - a) q, or (1 - a) p + a q
  const real of_p = forward ? a : 1 - a, of_q = forward ? 1 - a : a;
  row slopes;
  result.value = 0;
  for (std::size_t i = 0; i < both.x.size(); ++i) {
    const real lq = both.log_q[i], lp = both.log_p[i], x = both.x[i], q = std::exp(lq);
    // ln(m / p), ln(m / q), ln m
    const real y = mixed(of_p, of_q, x), z = mixed(of_q, of_p, -x);
    const real lm = lp == -infinity ? lq + z : lp + y, d = difference(both, i);
    real slope = 0;
    switch (which) {
      case kind::jensen_shannon:
        result.value += a * divergence(lp, lm, y) + (1 - a) * divergence(lq, lm, z);
        slope = lq == -infinity ? 0 : -(1 - a) * q * z;
        break;
      case kind::skew_forward:  // -(1 - a) p q / m, and (1 - a) q added
        result.value += divergence(lp, lm, y);
        slope = lq == -infinity ? 0 : (1 - a) * (1 - a) * std::exp(-z) * d;
        break;
      case kind::skew_reverse:  // q (ln(q / m) - a q / m), and a q added
        result.value += divergence(lq, lm, z);
        slope = lq == -infinity ? 0 : -q * z;
        if (a != 0 && lq != -infinity) slope -= a * (1 - a) * std::exp(-z) * d;
        break;
      case kind::total_variation:
        result.value += std::fabs(d) / 2;
        slope = d > 0 ? q / 2 : d < 0 ? -q / 2 : 0;
        // q and p as doubles are one number: its sign is that of a rounding, and moves all columns.
        if (!both.same && std::fabs(x) < 4e-15L * std::max<real>(1, both.scale))
          result.undecided += q / temperature;
        break;
    }
    slopes.push_back(slope);
  }
  if (std::isinf(result.value)) {
    result.gradient.assign(slopes.size(), 0);
  } else {
    result.gradient = through_softmax(slopes, both.log_q, temperature);
  }
  return result;
}

/// -(1 - e) ln q_label - e mean ln q.
inline answer cross_entropy(const row& x, std::size_t label, real e) {
  const row log_q = log_softmax(x, 1);
  answer result{nan, row(x.size(), nan), 0};
  if (is_nan(log_q)) return result;
  // The others beside the label's: ln q of a sure row keeps its digits.
  real others = 0, mean = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i != label) others += std::exp(x[i] - x[label]);
    mean += log_q[i] / static_cast<real>(x.size());
  }
  const real log_label = log_q[label] > -1 ? -std::log1p(others) : log_q[label];
  result.value = (e == 1 ? 0 : -(1 - e) * log_label) - (e == 0 ? 0 : e * mean);
  for (std::size_t i = 0; i < x.size(); ++i) {
    real g = std::exp(log_q[i]) - e / static_cast<real>(x.size());
    if (i == label) g = std::expm1(log_label) + e - e / static_cast<real>(x.size());
    result.gradient[i] = g;
  }
  result.scale = 1;
  return result;
}

/// (ln sum e^z)^2.
inline answer router_z(const row& z) {
  const real largest = *std::max_element(z.begin(), z.end());
  answer result{nan, row(z.size(), nan), 1};
  if (is_nan(z)) return result;
  if (std::isinf(largest)) {
    result.value = infinity;
    for (std::size_t i = 0; i < z.size(); ++i) result.gradient[i] = z[i] == largest ? largest : 0;
    return result;
  }
  const row log_q = log_softmax(z, 1);
  real sum = 0;
  for (const real v : z) sum += std::exp(v - largest);
  const real log_sum = largest + std::log(sum);
  result.value = log_sum * log_sum;
  for (std::size_t i = 0; i < z.size(); ++i) result.gradient[i] = 2 * log_sum * std::exp(log_q[i]);
  return result;
}

inline answer squared_error(const row& s, const row& t) {
  answer result{0, {}, 1};
  const auto n = static_cast<real>(s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    result.value += (s[i] - t[i]) * (s[i] - t[i]) / n;
    result.gradient.push_back(2 * (s[i] - t[i]) / n);
  }
  return result;
}

/// Probabilities as they are given: (1 - gamma) sum p ln(p / q) + gamma sum q ln(q / p).
inline answer attention(const row& q, const row& p, real gamma) {
  answer result{0, {}, 1};
  real forward = 0, reverse = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const real x = std::fabs(q[i] - p[i]) < p[i] / 2 ? std::log1p((q[i] - p[i]) / p[i])
                                                     : std::log(q[i] / p[i]);
    if (std::isnan(p[i]) || std::isnan(q[i]) || p[i] < 0 || q[i] < 0) forward = reverse = nan;
    forward -= p[i] == 0 ? 0 : p[i] * x;
    reverse += q[i] == 0 ? 0 : q[i] * x;
    real g = 0;
    if (gamma != 1) g -= p[i] == 0 ? 0 : (1 - gamma) * p[i] / q[i];
    if (gamma != 0) g += p[i] == 0 && q[i] == 0 ? 0 : gamma * (x + 1);
    if (std::isnan(q[i]) || q[i] < 0 || p[i] < 0) g = nan;
    result.gradient.push_back(g);
  }
  const auto part = [](real w, real x) { return w == 0 && std::isinf(x) ? 0 : w * x; };
  result.value = part(1 - gamma, forward) + part(gamma, reverse);
  return result;
}

/// 1 - cos(s, t).
inline answer cosine(const row& s, const row& t) {
  answer result;
  real ss = 0, tt = 0, st = 0;
  for (std::size_t i = 0; i < s.size(); ++i) ss += s[i] * s[i], tt += t[i] * t[i];
  const real norm = std::sqrt(ss), other = std::sqrt(tt);
  if (!std::isfinite(ss) || !std::isfinite(tt)) return {nan, row(s.size(), nan)};
  if (norm == 0 || other == 0) {
    result.value = 1;
    result.gradient.assign(s.size(), 0);
    return result;
  }
  row apart;
  real square = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    st += (s[i] / norm) * (t[i] / other);
    apart.push_back(s[i] / norm - t[i] / other);
    square += apart[i] * apart[i];
  }
  result.value = st > 0.5L ? square / 2 : 1 - st;
  for (std::size_t i = 0; i < s.size(); ++i)
    result.gradient.push_back((st * (s[i] / norm) - t[i] / other) / norm);
  // Elements of unit vectors are off by some roundings of double, and all alike by those of the
  // norm, a sum of n squares.
  const real off = 1.2e-16L * static_cast<real>(s.size() + 8);
  result.slack = st > 0.5L ? off * (std::sqrt(square) + off) : off;
  result.undecided = off / norm;
  return result;
}

}  // namespace reference
