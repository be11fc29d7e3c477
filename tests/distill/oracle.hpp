// SPDX-License-Identifier: Apache-2.0
/// Divergences by their definitions, in long double and in log space. Tests only.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace oracle {

using real = long double;

/// ln softmax(logits / temperature).
template <class Logits>
std::vector<real> log_softmax(const Logits& logits, std::size_t size, real temperature) {
  real largest = -std::numeric_limits<real>::infinity(), sum = 0;
  for (std::size_t i = 0; i < size; ++i) largest = std::max(largest, static_cast<real>(logits[i]));
  for (std::size_t i = 0; i < size; ++i)
    sum += std::exp((static_cast<real>(logits[i]) - largest) / temperature);
  std::vector<real> result(size);
  for (std::size_t i = 0; i < size; ++i) {
    result[i] = (static_cast<real>(logits[i]) - largest) / temperature - std::log(sum);
  }
  return result;
}

/// a (ln a - ln b), 0 where a is 0. Arguments are logarithms.
inline real divergence_term(real log_a, real log_b) {
  const real a = std::exp(log_a);
  return a == 0 ? 0 : a * (log_a - log_b);
}

/// KL(a || b) of two distributions given by logarithms.
inline real kl(const std::vector<real>& log_a, const std::vector<real>& log_b) {
  real sum = 0;
  for (std::size_t i = 0; i < log_a.size(); ++i) sum += divergence_term(log_a[i], log_b[i]);
  return sum;
}

inline real entropy(const std::vector<real>& log_p) {
  real sum = 0;
  for (const real l : log_p) sum -= std::exp(l) == 0 ? 0 : std::exp(l) * l;
  return sum;
}

/// Gradient of forward * KL(p||q) + reverse * KL(q||p) in the student's logits.
inline std::vector<real> kl_gradient(const std::vector<real>& log_q, const std::vector<real>& log_p,
                                     real forward, real reverse, real temperature) {
  const real mean = reverse == 0 ? 0 : kl(log_q, log_p);
  std::vector<real> result(log_q.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    const real q = std::exp(log_q[i]), p = std::exp(log_p[i]);
    real g = forward * (q - p);
    if (reverse != 0 && q != 0) g += reverse * q * (log_q[i] - log_p[i] - mean);
    result[i] = g / temperature;
  }
  return result;
}

}  // namespace oracle
