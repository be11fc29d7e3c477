// SPDX-License-Identifier: Apache-2.0
#include "evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <Eigen/Core>

#include "support/threads.hpp"
#include <edgerazor/core/contract.hpp>

namespace qad {

namespace {

constexpr std::size_t batch = 8;  // windows in one pass

struct window_sums {
  double surprise = 0, divergence = 0;
};

using row_array = Eigen::Array<float, 1, Eigen::Dynamic>;

/// ln of the softmax of a row.
void log_softmax(std::span<const float> logits, row_array& out) {
  const Eigen::Map<const row_array> x(logits.data(), static_cast<Eigen::Index>(logits.size()));
  const float largest = x.maxCoeff();
  out = x - largest;
  out -= std::log(out.exp().sum());
}

/// Windows [first, last) of the text.
class reader {
 public:
  reader(const running_model& model, const running_model* teacher, std::span<const token_id> text,
         std::size_t window)
      : model_(model),
        teacher_(teacher),
        text_(text),
        window_(window),
        student_runs_(model.weights->shape(), batch, window, pass::inference),
        teacher_runs_(model.weights->shape(), teacher == nullptr ? 1 : batch, window,
                      pass::inference),
        tokens_(batch * window) {}

  void read(std::size_t first, std::size_t last, std::span<window_sums> sums) {
    for (std::size_t begin = first; begin < last; begin += batch) {
      const std::size_t count = std::min(batch, last - begin);
      std::fill(tokens_.begin(), tokens_.end(),
                0);  // nothing before them sees the tokens that fill the last window
      const std::size_t at = begin * window_, size = std::min(count * window_, text_.size() - at);
      std::copy_n(text_.begin() + static_cast<std::ptrdiff_t>(at), size, tokens_.begin());
      student_runs_.forward(*model_.weights, tokens_, model_.states);
      if (teacher_ != nullptr) teacher_runs_.forward(*teacher_->weights, tokens_, teacher_->states);
      for (std::size_t i = 0; i < size && at + i + 1 < text_.size(); ++i) {
        add_position(i, text_[at + i + 1], sums[begin + i / window_]);
      }
    }
  }

 private:
  void add_position(std::size_t row, token_id next, window_sums& sum) {
    log_softmax(er::matrix_view<const float>(student_runs_.logits()).row(row), log_q_);
    sum.surprise -= static_cast<double>(log_q_[next]);
    if (teacher_ == nullptr) return;
    log_softmax(er::matrix_view<const float>(teacher_runs_.logits()).row(row), log_p_);
    sum.divergence += static_cast<double>((log_p_.exp() * (log_p_ - log_q_)).sum());
  }

  const running_model& model_;
  const running_model* teacher_;
  std::span<const token_id> text_;
  std::size_t window_;
  decoder student_runs_, teacher_runs_;
  std::vector<std::int32_t> tokens_;
  row_array log_q_, log_p_;
};

}  // namespace

quality evaluate(const running_model& model, const running_model* teacher,
                 std::span<const token_id> text, std::size_t window, std::size_t threads) {
  if (text.size() < 2)
    throw std::invalid_argument("the text is too short: it has fewer than two tokens");
  if (window == 0 || window > model.weights->shape().context) {
    throw std::invalid_argument("a window of " + std::to_string(window) +
                                " tokens, expected 1 to " +
                                std::to_string(model.weights->shape().context));
  }
  const std::size_t windows = (text.size() + window - 1) / window;
  const std::size_t parts = std::clamp<std::size_t>(threads, 1, windows);
  std::vector<window_sums> sums(windows);
  support::run_parts(parts, parts, [&](std::size_t part) {
    reader(model, teacher, text, window)
        .read(windows * part / parts, windows * (part + 1) / parts, sums);
  });
  window_sums total;
  for (const window_sums& one : sums) {
    total.surprise += one.surprise;
    total.divergence += one.divergence;
  }
  const double scored = static_cast<double>(text.size() - 1);
  return {std::exp(total.surprise / scored), total.divergence / scored};
}

}  // namespace qad
