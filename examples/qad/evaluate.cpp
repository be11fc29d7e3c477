// SPDX-License-Identifier: Apache-2.0
#include "evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <Eigen/Core>

#include "support/threads.hpp"
#include <edgerazor/core/contract.hpp>

namespace qad {

namespace {

/// Windows in one pass: some thousand tokens.
std::size_t windows_of_pass(std::size_t window) {
  return std::clamp<std::size_t>(1024 / window, 1, 8);
}
/// Tokens whose logits exist at a time.
constexpr std::size_t few = 32;

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
        batch_(windows_of_pass(window)),
        student_runs_(model.weights->shape(), batch_, window, pass::inference),
        tokens_(batch_ * window) {
    if (teacher != nullptr)
      teacher_runs_.emplace(teacher->weights->shape(), batch_, window, pass::inference);
    logits_.resize(few * model.weights->shape().vocabulary);
    teacher_logits_.resize(teacher == nullptr ? 0 : logits_.size());
  }

  void read(std::size_t first, std::size_t last, std::span<window_sums> sums) {
    for (std::size_t begin = first; begin < last; begin += batch_) {
      const std::size_t count = std::min(batch_, last - begin);
      std::fill(tokens_.begin(), tokens_.end(),
                0);  // nothing before them sees the tokens that fill the last window
      const std::size_t at = begin * window_, size = std::min(count * window_, text_.size() - at);
      std::copy_n(text_.begin() + static_cast<std::ptrdiff_t>(at), size, tokens_.begin());
      student_runs_.forward(*model_.weights, tokens_, model_.states);
      if (teacher_ != nullptr)
        teacher_runs_->forward(*teacher_->weights, tokens_, teacher_->states);
      const std::size_t scored = std::min(size, text_.size() - at - 1);
      for (std::size_t i = 0; i < scored; i += few) {
        const std::size_t end = std::min(scored, i + few);
        const auto q = predict(student_runs_, *model_.weights, i, end, logits_);
        er::matrix_view<float> p{};
        if (teacher_ != nullptr)
          p = predict(*teacher_runs_, *teacher_->weights, i, end, teacher_logits_);
        for (std::size_t t = i; t < end; ++t)
          add_position(q.row(t - i), p, t - i, text_[at + t + 1], sums[begin + t / window_]);
      }
    }
  }

 private:
  /// Logits after tokens [begin, end) of the last pass.
  static er::matrix_view<float> predict(decoder& model, const weight_pages<float>& weights,
                                        std::size_t begin, std::size_t end,
                                        std::vector<float>& room) {
    const er::matrix_view<float> out{room.data(), end - begin, weights.shape().vocabulary};
    model.head(weights).logits(model.head_input().rows_between(begin, end), 0, out);
    return out;
  }

  void add_position(std::span<const float> student, const er::matrix_view<float>& teacher,
                    std::size_t row, token_id next, window_sums& sum) {
    log_softmax(student, log_q_);
    sum.surprise -= static_cast<double>(log_q_[next]);
    if (teacher.data == nullptr) return;
    log_softmax(teacher.row(row), log_p_);
    sum.divergence += static_cast<double>((log_p_.exp() * (log_p_ - log_q_)).sum());
  }

  const running_model& model_;
  const running_model* teacher_;
  std::span<const token_id> text_;
  std::size_t window_, batch_;
  decoder student_runs_;
  std::optional<decoder> teacher_runs_;
  std::vector<std::int32_t> tokens_;
  std::vector<float> logits_, teacher_logits_;
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
