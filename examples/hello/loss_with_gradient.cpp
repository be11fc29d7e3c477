// SPDX-License-Identifier: Apache-2.0
// The paper's distillation loss of a student under a teacher, and gradient descent on the logits.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

// ---- README.md
#include <edgerazor/distill.hpp>
// ----

namespace er = edgerazor;

int main() {
  const std::size_t tokens = 4, vocabulary = 1000;
  std::vector<float> student(tokens * vocabulary), teacher(tokens * vocabulary);
  std::vector<float> gradient(tokens * vocabulary);
  const std::vector<std::int64_t> labels{1, -100, 7, 9};  // -100: padding, not counted
  for (std::size_t i = 0; i < teacher.size(); ++i)
    teacher[i] = 3 * std::sin(0.7f * static_cast<float>(i));

  double first = 0, last = 0;
  for (int step = 0; step < 200; ++step) {
    // ---- README.md

    er::entropy_aware_kl loss{.confidence_k = 16};
    auto r = loss(er::matrix_view{student.data(), tokens, vocabulary},
                  er::matrix_view{teacher.data(), tokens, vocabulary}, labels,
                  er::reduction::batch_mean, er::matrix_view{gradient.data(), tokens, vocabulary});
    // r.value, r.gamma, and the exact gradient in the student's logits
    // ----
    if (step == 0) first = r.value;
    last = r.value;
    for (std::size_t i = 0; i < student.size(); ++i) student[i] -= 20 * gradient[i];
  }
  std::printf("loss %.4f, after 200 steps %.4f\n", first, last);
  return last >= 0 && last < 0.2 * first && student[vocabulary] == 0 && std::fflush(stdout) == 0
             ? 0
             : 1;
}
