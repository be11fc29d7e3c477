// SPDX-License-Identifier: Apache-2.0
// fused_head over a head whose logits are those of a batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "hostile_batch.hpp"

/// Token i's hidden state is the number i; its logits are a batch's row i, and the gradient with
/// respect to them is kept.
struct listed_head {
  const std::vector<float>& logits_of;
  std::vector<float>& gradient;
  std::size_t vocabulary, stride;

  [[nodiscard]] std::size_t rows() const { return vocabulary; }
  [[nodiscard]] std::size_t cols() const { return 1; }
  void logits(er::matrix_view<const float> hidden, std::size_t first,
              er::matrix_view<float> out) const {
    for (std::size_t t = 0; t < hidden.rows; ++t)
      std::copy_n(logits_of.begin() + place(hidden, t, first), out.cols, out.row(t).begin());
  }
  void backward(er::matrix_view<const float> of_logits, std::size_t first,
                er::matrix_view<const float> hidden, er::matrix_view<float>) const {
    for (std::size_t t = 0; t < hidden.rows; ++t)
      std::copy_n(of_logits.row(t).begin(), of_logits.cols,
                  gradient.begin() + place(hidden, t, first));
  }

 private:
  [[nodiscard]] std::ptrdiff_t place(er::matrix_view<const float> hidden, std::size_t t,
                                     std::size_t first) const {
    return static_cast<std::ptrdiff_t>(static_cast<std::size_t>(hidden.row(t)[0]) * stride + first);
  }
};

inline void fused_heads(random_source& random) {
  batch b = make_batch(random, any_length(random));
  const bool labelled = random.one_in(2), distills = !labelled || random.one_in(2);
  if (labelled && b.labels.empty())
    b.labels.assign(b.tokens, static_cast<std::int64_t>(random.below(b.cols)));
  set_options(random, b);
  b.options.accumulate = false;
  const float temperature = random.pick({1.0f, 1.0f, 0.5f, 2.0f, 1e-3f, 100.0f, 1e5f});
  const real t = static_cast<real>(temperature);
  const float gamma = random.pick({0.0f, 1.0f, 0.25f});
  const bool squared = random.one_in(2);
  const real task_weight = labelled ? random.pick({1.0L, 0.125L}) : 0,
             loss_weight = distills ? random.pick({1.0L, 2.0L}) : 0, square = squared ? t * t : 1;
  const auto run = [&](const char* name, const auto& loss, auto&& of_token) {
    std::vector<answer> answers;
    for (std::size_t i = 0; i < b.tokens; ++i) {
      answers.push_back({0, reference::row(b.cols, 0), 0});
      if (b.weight(i) == 0) continue;
      answer& sum = answers.back();
      // A part is right to a relative 1e-6 of itself, and what is left of two may be less than
      // either.
      const auto add = [&](const answer& part, real weight) {
        sum.value += weight * part.value;
        sum.slack += weight * (1e-6L * std::fabs(part.value) + 1e-17L * part.scale);
        real largest = 0;
        for (std::size_t c = 0; c < b.cols; ++c) {
          sum.gradient[c] += weight * part.gradient[c];
          largest = std::max(largest, std::fabs(part.gradient[c]));
        }
        sum.undecided += weight * (1e-6L * largest + part.undecided +
                                   (8e-16L * part.scale + 2.3e-16L) / std::min<real>(1, t));
      };
      if (labelled) {
        add(reference::cross_entropy(b.row(b.student, i), static_cast<std::size_t>(b.label(i)), 0),
            task_weight);
      }
      if (distills)
        add(of_token(reference::make_pair(b.row(b.student, i), b.row(b.teacher, i), t)),
            loss_weight * square);
      if (!std::isfinite(sum.slack)) sum.slack = 0;
      if (!std::isfinite(sum.undecided)) sum.undecided = 0;
    }
    using loss_type = std::remove_cvref_t<decltype(loss)>;
    const er::fused_head<loss_type> fused{.loss = loss,
                                          .task_weight = static_cast<double>(task_weight),
                                          .loss_weight = static_cast<double>(loss_weight),
                                          .columns = 1 + random.below(b.cols + 3)};
    std::vector<float> numbers(b.tokens), ignored(b.student.size()), to_hidden(b.tokens),
        workspace(fused.workspace_size(b.tokens));
    for (std::size_t i = 0; i < b.tokens; ++i) numbers[i] = static_cast<float>(i);
    const listed_head student{b.student, b.gradient, b.cols, b.stride},
        teacher{b.teacher, ignored, b.cols, b.stride};
    const er::matrix_view<const float> hidden{numbers.data(), b.tokens, 1};
    const er::fused_result r =
        fused(hidden, student, hidden, teacher, b.options,
              er::matrix_view<float>{to_hidden.data(), b.tokens, 1}, workspace);
    compare(name, b, r.value, answers, 1, 1);
  };
  if (random.one_in(2)) {
    return run("fused_head{symmetric_kl}",
               er::symmetric_kl{
                   .temperature = temperature, .temperature_squared = squared, .gamma = gamma},
               [&](const reference::pair& both) {
                 return reference::blend(both, static_cast<real>(gamma), t);
               });
  }
  const float beta = random.pick({0.5f, 0.1f, 0.999f});
  run("fused_head{generalized_js}",
      er::generalized_js{.temperature = temperature, .temperature_squared = squared, .beta = beta},
      [&](const reference::pair& both) {
        return reference::term(reference::kind::jensen_shannon, static_cast<real>(beta), both, t);
      });
}
