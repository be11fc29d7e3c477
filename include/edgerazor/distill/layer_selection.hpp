// SPDX-License-Identifier: Apache-2.0
/// Which layers' hidden states a feature loss compares: fixed ones, or those the teacher's own
/// hidden states single out in each batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/row/features.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One entry of a fixed list of layers: an index, counted from the end where negative, or a name.
class layer_choice {
 public:
  constexpr layer_choice(std::ptrdiff_t index) noexcept : index_(index) {}
  /// "low": layer 1 (0 where it is the only one); "mid": layer count / 2; "high": the last. Fails
  /// on another word.
  constexpr explicit layer_choice(std::string_view name) {
    if (name == "low") place_ = place::low;
    if (name == "mid") place_ = place::mid;
    if (name == "high") place_ = place::high;
    if (place_ == place::index)
      detail::core::fail("layer_choice: \"" + std::string{name} + "\", expected low, mid or high");
  }

  /// The index among `count` layers (EdgeRazor (Python), resolve_layer_indices). Fails where
  /// there is none such; EdgeRazor (Python) leaves it out with a warning.
  [[nodiscard]] constexpr std::size_t among(std::size_t count) const {
    const auto layers = static_cast<std::ptrdiff_t>(count);
    std::ptrdiff_t index = index_ < 0 ? layers + index_ : index_;
    if (place_ == place::low) index = layers > 1 ? 1 : 0;
    if (place_ == place::mid) index = layers / 2;
    if (place_ == place::high) index = layers - 1;
    if (index < 0 || index >= layers) {
      detail::core::fail("layer_choice: layer " + std::to_string(index_) + " of " +
                         std::to_string(count) + " layers");
    }
    return static_cast<std::size_t>(index);
  }

 private:
  enum class place { index, low, mid, high };
  std::ptrdiff_t index_ = 0;
  place place_ = place::index;
};

/// Writes the indices of `choices` among `count` layers to the front of `indices` and returns that
/// part.
inline std::span<std::size_t> select_layers(std::span<const layer_choice> choices,
                                            std::size_t count, std::span<std::size_t> indices) {
  if (indices.size() < choices.size()) {
    detail::core::fail("select_layers: " + std::to_string(choices.size()) + " choices, room for " +
                       std::to_string(indices.size()));
  }
  for (std::size_t i = 0; i < choices.size(); ++i) indices[i] = choices[i].among(count);
  return indices.first(choices.size());
}

/// What makes a layer stand out (EdgeRazor (Python), layer_index_adaptive_metric).
enum class layer_metric {
  /// Mean over tokens of cos(h_l, h_(l-1)): lowest first, where the layer changes most.
  cosine_similarity,
  norm,     ///< mean over tokens of |h_l|: largest first (EdgeRazor (Python): "l2")
  variance  ///< mean over features of the unbiased variance over tokens: largest first
};

/// The layers that stand out by a metric of the teacher's hidden states (the paper's adaptive
/// feature distillation; EdgeRazor (Python), resolve_layer_indices_adaptive).
struct adaptive_layers {
  layer_metric metric = layer_metric::cosine_similarity;
  std::size_t count = 3;  ///< layers

  /// The metric of layer `index` of `hidden_states`, at least 1. Tokens whose `mask` is 0 are left
  /// out; an empty mask takes all, padding included, as EdgeRazor (Python) does. Without a token
  /// (two for the variance) it is 0; a row of zeros has cosine 0.
  template <real_element T>
  [[nodiscard]] double score(std::span<const matrix_view<T>> hidden_states, std::size_t index,
                             std::span<const std::uint8_t> mask = {}) const {
    check(hidden_states, mask.size());
    if (index == 0 || index >= hidden_states.size()) {
      detail::core::fail("adaptive_layers: layer " + std::to_string(index) + " of " +
                         std::to_string(hidden_states.size()) +
                         " hidden states has no layer before it");
    }
    const matrix_view<T>&layer = hidden_states[index], &before = hidden_states[index - 1];
    if (metric == layer_metric::variance) {
      return detail::row::summed_variance({layer.data, layer.cols}, layer.rows, layer.stride,
                                          mask) /
             static_cast<double>(std::max<std::size_t>(layer.cols, 1));
    }
    double sum = 0;
    std::size_t counted = 0;
    for (std::size_t i = 0; i < layer.rows; ++i) {
      if (!mask.empty() && mask[i] == 0) continue;
      ++counted;
      const input_row a = layer.row(i), b = before.row(i);
      const double norm = std::sqrt(detail::row::dot(a, a));
      if (metric == layer_metric::norm) {
        sum += norm;
      } else if (const double norms = norm * std::sqrt(detail::row::dot(b, b)); norms != 0) {
        sum += detail::row::dot(a, b) / norms;
      }
    }
    return counted == 0 ? 0 : sum / static_cast<double>(counted);
  }

  /// Writes up to `count` indices into `hidden_states`, best first and equal ones in order, to the
  /// front of `indices` and returns that part. `hidden_states[0]` is the embedding, which is never
  /// selected; every other has its shape, tokens x features, the samples of a batch one after the
  /// other. `scores` holds a double for every hidden state: the metric of layer l stands in
  /// scores[l] afterwards, 0 in scores[0]. A metric that is NaN comes last.
  ///
  /// Fails where shapes differ or the spans are too short.
  template <real_element T>
  std::span<std::size_t> operator()(std::span<const matrix_view<T>> hidden_states,
                                    std::span<double> scores, std::span<std::size_t> indices,
                                    std::span<const std::uint8_t> mask = {}) const {
    check(hidden_states, mask.size());
    const std::size_t layers = hidden_states.empty() ? 0 : hidden_states.size() - 1;
    const std::size_t selected = std::min(count, layers);
    if (scores.size() < hidden_states.size() || indices.size() < selected) {
      detail::core::fail("adaptive_layers: room for " + std::to_string(scores.size()) +
                         " scores and " + std::to_string(indices.size()) + " indices, expected " +
                         std::to_string(hidden_states.size()) + " and " + std::to_string(selected));
    }
    if (layers != 0) scores[0] = 0;
    for (std::size_t l = 1; l <= layers; ++l) scores[l] = score(hidden_states, l, mask);
    // Insertion into the best so far, behind its equals.
    std::size_t held = 0;
    for (std::size_t l = 1; l <= layers; ++l) {
      std::size_t at = held;
      while (at > 0 && better(scores[l], scores[indices[at - 1]])) --at;
      if (at == selected) continue;
      held = std::min(held + 1, selected);
      for (std::size_t i = held - 1; i > at; --i) indices[i] = indices[i - 1];
      indices[at] = l;
    }
    return indices.first(selected);
  }

 private:
  [[nodiscard]] bool better(double a, double b) const noexcept {
    if (std::isnan(b)) return !std::isnan(a);
    return metric == layer_metric::cosine_similarity ? a < b : a > b;
  }

  template <class T>
  static void check(std::span<const matrix_view<T>> hidden_states, std::size_t mask) {
    for (std::size_t l = 1; l < hidden_states.size(); ++l) {
      const matrix_view<T>&a = hidden_states[0], &b = hidden_states[l];
      if (a.rows == b.rows && a.cols == b.cols) continue;
      detail::core::fail("adaptive_layers: hidden state " + std::to_string(l) + " is " +
                         detail::core::shape_text(b.rows, b.cols) + ", hidden state 0 " +
                         detail::core::shape_text(a.rows, a.cols));
    }
    if (mask != 0 && !hidden_states.empty() && mask != hidden_states[0].rows) {
      detail::core::fail("adaptive_layers: " + std::to_string(mask) + " mask entries for " +
                         std::to_string(hidden_states[0].rows) + " tokens");
    }
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
