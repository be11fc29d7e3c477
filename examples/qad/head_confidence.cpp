// SPDX-License-Identifier: Apache-2.0
#include "head_confidence.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <edgerazor/distill/vocabulary_pieces.hpp>

namespace qad {

void head_confidence(decoder& model, const weight_pages<float>& weights, std::size_t k,
                     std::size_t columns, std::span<float> workspace,
                     std::span<double> confidence) {
  constexpr std::size_t block = 128;
  step_clock& time = model.clock();
  time.enter(step_part::head);
  const auto head = model.head(weights);
  const er::matrix_view<const float> inputs = model.head_input();
  for (std::size_t begin = 0; begin < inputs.rows; begin += block) {
    const std::size_t end = std::min(inputs.rows, begin + block);
    std::array<er::logit_statistics, block> seen{};
    for (std::size_t first = 0; first < head.rows(); first += columns) {
      const er::matrix_view<float> logits{workspace.data(), end - begin,
                                          std::min(columns, head.rows() - first)};
      head.logits(inputs.rows_between(begin, end), first, logits);
      for (std::size_t t = 0; t < logits.rows; ++t)
        er::observe_piece(logits.row(t), logits.row(t), 1.0f, seen[t]);
    }
    for (std::size_t t = begin; t < end; ++t)
      confidence[t] = 1 - seen[t - begin].teacher_entropy() / std::log(static_cast<double>(k));
  }
  time.leave();
}

}  // namespace qad
