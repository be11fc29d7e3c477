// SPDX-License-Identifier: Apache-2.0
/// A training objective: the weighted sum of the task's loss and any set of distillation losses,
/// each reported by name.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One term of an objective. The name is the caller's memory, usually a literal.
struct objective_part {
  std::string_view name = {};
  double weight = 0;
  double value = 0;  ///< before the weight
};

namespace detail::distill {

[[nodiscard]] inline double value_of_term(const loss_result& term) noexcept { return term.value; }
[[nodiscard]] inline double value_of_term(double term) noexcept { return term; }

/// A callable that computes a term's loss over the tokens it is given: a loss's result, or a plain
/// number.
template <class Term, class... Before>
concept objective_term = requires(Term& term, const token_batch& tokens, Before... before) {
  detail::distill::value_of_term(term(before..., tokens));
};

}  // namespace detail::distill

/// total = sum of weight * value over the terms added (EdgeRazor (Python), KD.compute_loss).
///
///     er::objective total{tokens};
///     total.add("task", 0.1, [&](const er::token_batch& t) {
///       return er::cross_entropy{}(s, t, gradient);
///     });
///     total.add("logits", 2, [&](const er::token_batch& t) {
///       return er::entropy_aware_kl{}(s, teacher, t, gradient);
///     });
///     total.add_layers("features", 0.1, selected, [&](std::size_t l, const er::token_batch& t) {
///       return er::hidden_mse{}(hidden[l], teacher_hidden[l], t, hidden_gradient[l]);
///     });
///     total.value();  total["logits"].value;
///
/// A term receives the batch with `upstream` multiplied by its weight, `accumulate` set and no
/// `token_values`: gradients of all terms meet in buffers that the caller clears once a step, and
/// those of layers that no term selected stay 0. It may change its copy (other labels, another
/// reduction). Nothing is allocated: at most `Capacity` terms.
template <std::size_t Capacity = 16>
class objective {
 public:
  /// Spans in `tokens` must outlive the terms' computation.
  explicit objective(const token_batch& tokens) noexcept : tokens_(tokens) {
    tokens_.accumulate = true;
    tokens_.token_values = {};
  }

  /// Computes a term now and adds it. Returns its value, without the weight. A weight of 0 reports
  /// a term that doesn't count, infinite ones included. Fails, before the term is computed, where
  /// the name is taken, there are `Capacity` terms, or the weight is negative or not finite.
  template <detail::distill::objective_term Term>
  double add(std::string_view name, double weight, Term&& term) {
    objective_part& part = next(name, weight);
    part.value = detail::distill::value_of_term(term(weighted(weight)));
    return part.value;
  }

  /// A term that is the mean over layers of `term(layer, tokens)`; 0 without layers.
  template <detail::distill::objective_term<std::size_t> Term>
  double add_layers(std::string_view name, double weight, std::span<const std::size_t> layers,
                    Term&& term) {
    objective_part& part = next(name, weight);
    const double each = layers.empty() ? 0 : 1 / static_cast<double>(layers.size());
    const token_batch tokens = weighted(weight * each);
    for (const std::size_t layer : layers)
      part.value += each * detail::distill::value_of_term(term(layer, tokens));
    return part.value;
  }

  /// The weighted sum of all terms so far; a NaN among those of a weight makes it NaN.
  [[nodiscard]] double value() const noexcept {
    double sum = 0;
    for (const objective_part& part : parts())
      sum += part.weight == 0 ? 0 : part.weight * part.value;
    return sum;
  }
  /// The terms in the order they were added.
  [[nodiscard]] std::span<const objective_part> parts() const noexcept {
    return {parts_.data(), count_};
  }

  /// Fails where no term has the name.
  [[nodiscard]] const objective_part& operator[](std::string_view name) const {
    const objective_part* part = find(name);
    if (part == nullptr) detail::core::fail("objective: no term \"" + std::string{name} + "\"");
    return *part;
  }

 private:
  [[nodiscard]] const objective_part* find(std::string_view name) const noexcept {
    for (const objective_part& part : parts()) {
      if (part.name == name) return &part;
    }
    return nullptr;
  }

  [[nodiscard]] token_batch weighted(double weight) const noexcept {
    token_batch tokens = tokens_;
    tokens.upstream *= weight;
    return tokens;
  }

  objective_part& next(std::string_view name, double weight) {
    if (find(name) != nullptr)
      detail::core::fail("objective: the term \"" + std::string{name} + "\" was added before");
    if (count_ == Capacity) {
      detail::core::fail("objective: no room for the term \"" + std::string{name} + "\" beside " +
                         std::to_string(Capacity));
    }
    const std::string weight_name = "the weight of \"" + std::string{name} + "\"";
    detail::distill::check_weight("objective", weight_name.c_str(), weight);
    return parts_[count_++] = objective_part{name, weight, 0};
  }

  token_batch tokens_;
  std::array<objective_part, Capacity> parts_ = {};
  std::size_t count_ = 0;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
