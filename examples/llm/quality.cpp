// SPDX-License-Identifier: Apache-2.0
#include "quality.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <stdexcept>

#include "decoder.hpp"
#include "progress_bar.hpp"

namespace llm {

namespace {

/// ln of the sum of e^logit.
double log_sum(std::span<const float> logits) {
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - largest);
  return largest + std::log(sum);
}

std::size_t top_token(std::span<const float> logits) {
  return static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// One position: what to add to the sums.
struct position_cost {
  double surprise = 0;  ///< -ln q(token)
  double divergence = 0;
  bool agrees = false;
};

/// `p`: the reference's probabilities, with their logarithms.
position_cost compare_position(std::span<const float> logits, std::span<const double> p,
                               std::span<const double> log_p, std::size_t reference_top,
                               std::size_t token) {
  const double total = log_sum(logits);
  position_cost cost{total - static_cast<double>(logits[token]), 0,
                     top_token(logits) == reference_top};
  for (std::size_t i = 0; i < p.size(); ++i) {
    cost.divergence += p[i] * (log_p[i] - (static_cast<double>(logits[i]) - total));
  }
  return cost;
}

}  // namespace

std::vector<quality> measure_quality(std::span<const model> models, std::span<const token_id> text,
                                     std::size_t window, std::optional<token_id> beginning,
                                     thread_pool& threads, const edgerazor::kernel& k) {
  if (text.size() < 2)
    throw std::invalid_argument("the text is too short: it has fewer than two tokens");
  if (window == 0) throw std::invalid_argument("a window of no tokens");
  constexpr std::size_t chunk = 16;  // positions whose logits exist at a time
  std::deque<decoder> decoders;
  for (const model& one : models) decoders.emplace_back(one, threads, window + 1, k);

  std::vector<quality> sums(models.size());
  progress_bar progress("reading", text.size());
  std::vector<token_id> tokens;
  for (std::size_t start = 0; start < text.size(); start += window) {
    const std::span<const token_id> part =
        text.subspan(start, std::min(window, text.size() - start));
    tokens.assign(part.begin(), part.end());
    if (beginning) tokens.insert(tokens.begin(), *beginning);
    // Position i of the window predicts token i + 1 - before of `part`, its last position the next
    // window's first token.
    const std::size_t before = beginning ? 1 : 0;
    for (decoder& one : decoders) one.truncate(0);

    for (std::size_t first = 0; first < tokens.size(); first += decoder::batch) {
      const std::size_t count = std::min(decoder::batch, tokens.size() - first);
      for (decoder& one : decoders) one.forward(std::span{tokens}.subspan(first, count));
      for (std::size_t at = 0; at < count; at += chunk) {
        const std::size_t some = std::min(chunk, count - at);
        std::vector<er::matrix_view<const float>> logits;
        for (decoder& one : decoders) logits.push_back(one.logits(at, some));

        std::vector<position_cost> costs(some * models.size());
        threads.run(some, [&](std::size_t i) {
          const std::size_t target = start + first + at + i + 1 - before;
          // With a beginning token, a later window's first token has been scored by the window
          // before.
          if (target >= text.size() || (before == 1 && first + at + i == 0 && start > 0)) return;
          const std::span<const float> reference = logits[0].row(i);
          const double total = log_sum(reference);
          std::vector<double> p(reference.size()), log_p(reference.size());
          for (std::size_t j = 0; j < p.size(); ++j) {
            log_p[j] = static_cast<double>(reference[j]) - total;
            p[j] = std::exp(log_p[j]);
          }
          for (std::size_t m = 0; m < models.size(); ++m) {
            costs[i * models.size() + m] =
                compare_position(logits[m].row(i), p, log_p, top_token(reference),
                                 static_cast<std::size_t>(text[target]));
          }
        });
        for (std::size_t i = 0; i < costs.size(); ++i) {
          quality& sum = sums[i % models.size()];
          sum.perplexity += costs[i].surprise;
          sum.divergence += costs[i].divergence;
          sum.top_agreement += costs[i].agrees ? 1 : 0;
        }
        progress.advance(some);
      }
    }
  }
  const double scored = static_cast<double>(text.size() - (beginning ? 0 : 1));
  for (quality& sum : sums) {
    sum = {std::exp(sum.perplexity / scored), sum.divergence / scored, sum.top_agreement / scored};
  }
  return sums;
}

}  // namespace llm
