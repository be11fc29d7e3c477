// SPDX-License-Identifier: Apache-2.0
/// Choosing the next token from logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tokenizer.hpp"
#include <edgerazor/core/contract.hpp>

namespace llm {

/// The largest logit's token; the lowest id of equals. No NaN among them, and not empty.
inline token_id likeliest(std::span<const float> logits) noexcept {
  // Sixteen running maxima, which a compiler keeps in vectors: a vocabulary has 150,000 tokens.
  float largest[16];
  std::fill(std::begin(largest), std::end(largest), logits[0]);
  std::size_t i = 0;
  for (; i + 16 <= logits.size(); i += 16) {
    for (std::size_t lane = 0; lane < 16; ++lane) {
      largest[lane] = logits[i + lane] > largest[lane] ? logits[i + lane] : largest[lane];
    }
  }
  float top = *std::max_element(std::begin(largest), std::end(largest));
  for (; i < logits.size(); ++i) top = logits[i] > top ? logits[i] : top;
  return static_cast<token_id>(std::find(logits.begin(), logits.end(), top) - logits.begin());
}

/// No infinity and no NaN: those times zero are NaN, and stay it in a sum.
inline bool all_finite(std::span<const float> logits) noexcept {
  float zeros[16] = {};
  std::size_t i = 0;
  for (; i + 16 <= logits.size(); i += 16) {
    for (std::size_t lane = 0; lane < 16; ++lane) zeros[lane] += logits[i + lane] * 0.0f;
  }
  for (; i < logits.size(); ++i) zeros[0] += logits[i] * 0.0f;
  return std::all_of(std::begin(zeros), std::end(zeros), [](float zero) { return zero == 0; });
}

struct sampling {
  float temperature = 0;  ///< 0: greedy, the largest logit; the lowest id of equals
  std::size_t top_k = 0;  ///< keep the k likeliest tokens; 0: all
  float top_p = 1;  ///< of those keep the likeliest that together reach this probability; 1: all
  std::uint64_t seed = 1;
  float min_p = 0;  ///< of those drop what is less likely than this part of the likeliest; 0: none
};

/// p_i = softmax(logit_i / temperature), restricted to top_k, renormalised, restricted to top_p,
/// then by min_p, then drawn from.
///
/// A seed fixes the draws on every machine: std::mt19937_64 is specified to the bit, and its
/// numbers become real ones here, not in a std distribution, which is not.
class sampler {
 public:
  explicit sampler(const sampling& how) : how_(how), random_(how.seed) {
    if (!(how.temperature >= 0))
      throw std::invalid_argument("sampler: the temperature must be 0 or more");
    if (!(how.top_p > 0 && how.top_p <= 1))
      throw std::invalid_argument("sampler: top-p must be above 0 and at most 1");
    if (!(how.min_p >= 0 && how.min_p <= 1))
      throw std::invalid_argument("sampler: min-p must be 0 to 1");
  }

  /// Throws std::invalid_argument where a logit is not finite.
  token_id operator()(std::span<const float> logits) {
    if (logits.empty()) throw std::invalid_argument("sampler: no logits");
    if (!all_finite(logits)) refuse(logits);
    if (how_.temperature == 0) return likeliest(logits);
    candidates_.clear();
    for (std::size_t i = 0; i < logits.size(); ++i)
      candidates_.push_back({logits[i], static_cast<token_id>(i)});
    return draw();
  }

 private:
  struct candidate {
    double weight;  ///< the logit, then its unnormalised probability
    token_id token;
  };
  [[noreturn]] static void refuse(std::span<const float> logits) {
    const auto bad =
        std::find_if_not(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); });
    throw std::invalid_argument("sampler: the model gave a logit that is not finite, for token " +
                                std::to_string(bad - logits.begin()));
  }
  static bool likelier(const candidate& a, const candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
  }

  token_id draw() {
    const std::size_t kept =
        how_.top_k > 0 ? std::min(how_.top_k, candidates_.size()) : candidates_.size();
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(kept),
                      candidates_.end(), likelier);
    candidates_.resize(kept);
    const double largest = candidates_.front().weight;
    double total = 0;
    for (candidate& c : candidates_) {
      c.weight = std::exp((c.weight - largest) / static_cast<double>(how_.temperature));
      total += c.weight;
    }
    double nucleus = 0;
    std::size_t count = 0;
    while (count < kept && nucleus < static_cast<double>(how_.top_p) * total)
      nucleus += candidates_[count++].weight;
    // The likeliest weighs 1.
    while (count > 1 && candidates_[count - 1].weight < static_cast<double>(how_.min_p))
      nucleus -= candidates_[--count].weight;

    // 53 random bits: every double in [0, 1) that is a multiple of 2^-53 is equally likely.
    double left = static_cast<double>(random_() >> 11) * 0x1p-53 * nucleus;
    for (std::size_t i = 0; i < count; ++i) {
      left -= candidates_[i].weight;
      if (left < 0) return candidates_[i].token;
    }
    return candidates_[count - 1].token;  // rounding of the sums
  }

  sampling how_;
  std::mt19937_64 random_;
  std::vector<candidate> candidates_;
};

}  // namespace llm
