// SPDX-License-Identifier: Apache-2.0
#include "stored_losses.hpp"

#include <algorithm>
#include <cmath>

#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/kl.hpp>

namespace qad {

namespace {

std::size_t counted(std::span<const std::int64_t> labels) {
  return static_cast<std::size_t>(
      std::ranges::count_if(labels, [](std::int64_t label) { return label >= 0; }));
}

er::top_k_teacher rows_between(const er::top_k_teacher& all, std::size_t begin, std::size_t end) {
  er::top_k_teacher rows = all;
  rows.ids = all.ids.rows_between(begin, end);
  rows.log_probabilities = all.log_probabilities.rows_between(begin, end);
  return rows;
}

}  // namespace

double stored_confidence(const er::top_k_teacher& teacher, std::size_t token,
                         std::size_t vocabulary, std::size_t k) {
  const er::detail::row::teacher_outcomes known(
      teacher.ids.row(token), teacher.log_probabilities.row(token).data(), vocabulary,
      teacher.tail == er::top_k_tail::bucket, static_cast<double>(teacher.tail_floor));
  return 1 - known.entropy() / std::log(static_cast<double>(k));
}

er::fused_result stored_losses::operator()(er::matrix_view<const float> inputs,
                                           const basic_head<float>& head,
                                           const er::top_k_teacher& teacher,
                                           std::span<const std::int64_t> labels,
                                           const er::token_batch& tokens,
                                           er::matrix_view<float> gradient,
                                           std::vector<float>& workspace) const {
  const std::size_t vocabulary = head.rows(), all = counted(labels);
  workspace.resize(2 * block_tokens * vocabulary);
  er::fused_result result;
  double gammas_sum = 0;
  std::size_t scopes = 0;
  for (std::size_t sample = 0, begin = 0; sample < tokens.sample_ends.size(); ++sample) {
    const std::size_t end = tokens.sample_ends[sample],
                      learned = counted(labels.subspan(begin, end - begin));
    // What batch_mean divides a token's loss by.
    const double denominator = static_cast<double>(learned) * tokens.denominator;
    for (std::size_t first = begin; first < end; first += block_tokens) {
      const std::size_t last = std::min(end, first + block_tokens), rows = last - first;
      const std::span<const std::int64_t> own = labels.subspan(first, rows);
      if (counted(own) == 0) continue;
      const er::matrix_view<float> logits{workspace.data(), rows, vocabulary},
          slopes{workspace.data() + block_tokens * vocabulary, rows, vocabulary};
      head.logits(inputs.rows_between(first, last), 0, logits);
      std::fill_n(slopes.data, rows * vocabulary, 0.0f);
      const auto part = [&](double weight) {
        return er::token_batch{.labels = own,
                               .how = er::reduction::sum,
                               .denominator = denominator,
                               .upstream = tokens.upstream * weight,
                               .accumulate = true};
      };
      if (task_weight != 0)
        result.task += er::cross_entropy{}(logits, part(task_weight), slopes).value;
      if (loss_weight != 0) {
        const er::top_k_teacher known = rows_between(teacher, first, last);
        const auto blend = [&](const auto& loss) {
          return er::top_k_loss{loss}(logits, known, part(loss_weight), slopes);
        };
        const er::blended_result found =
            confidence_k ? blend(er::entropy_aware_kl{.confidence_k = *confidence_k,
                                                      .scope = er::gamma_scope::token})
                         : blend(er::symmetric_kl{.gamma = static_cast<float>(gammas[sample])});
        result.distillation += found.value;
        if (confidence_k) gammas_sum += found.gamma * static_cast<double>(counted(own));
      }
      head.backward(slopes, 0, inputs.rows_between(first, last),
                    gradient.rows_between(first, last));
    }
    if (!confidence_k && learned != 0) {
      gammas_sum += gammas[sample];
      ++scopes;
    }
    begin = end;
  }
  if (confidence_k) scopes = all;
  if (loss_weight != 0 && scopes != 0) result.gamma = gammas_sum / static_cast<double>(scopes);
  result.value = task_weight * result.task + loss_weight * result.distillation;
  result.tokens = all;
  return result;
}

}  // namespace qad
