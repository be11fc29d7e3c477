// SPDX-License-Identifier: Apache-2.0
/// Which weights matter for a task (TaCQ, arXiv 2504.07389), from gradients in a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sensitivity.hpp"
#include "thread_pool.hpp"
#include <edgerazor/calibrate/tacq.hpp>
#include <edgerazor/io/safetensors_reader.hpp>

namespace llm {

/// What a loss on a text says of the matrices of a model's layers: a safetensors file, as `qad
/// gradients` writes it, which has for each of them, by its GGUF name and in its shape, the sum
/// over samples of |dL/dw|. Other tensors are ignored.
class task_gradients {
 public:
  /// Maps the file, and reads all of it once. Throws edgerazor::io_error where it is none, a matrix
  /// of a layer is missing in it, has another shape or no floats, or a number that is NaN, infinite
  /// or negative.
  task_gradients(const std::string& path, std::span<const matrix_place> places,
                 thread_pool& threads);

  /// Of some rows of a matrix of a layer.
  [[nodiscard]] er::gradient_magnitudes rows(const matrix_place& place, er::row_range rows) const;

  /// How much an error of each row of a matrix of a layer counts beside one of the others: the
  /// square of its gradients' sum. A token's gradient is an outer product, of what the loss says of
  /// the outputs and of the input,
  ///
  ///     |dL/dw_rc| = |dL/dy_r| |x_c|,    so that sum over c ~ mean of |dL/dy_r|,
  ///
  /// and the loss is quadratic in a small change of y_r, about by the square of that (Fisher).
  [[nodiscard]] std::vector<float> row_weights(const matrix_place& place,
                                               thread_pool& threads) const;

 private:
  er::safetensors_reader file_;
};

/// The choice of what stays: of all layers' matrices together the weights of the largest scores
///
///     |sum over samples of |dL/dw| * (w - Q(w)) * w|       Q(w): w once rounded by the same method
///
/// as many as have room where every matrix may add `sparse_bytes` to its own: one that matters
/// little leaves its room to others. Those above one threshold stay; of equal scores at the
/// threshold none does.
class task_choice {
 public:
  /// `places`: of real weights; `rounded`: what each became. Takes the memory of a float for each
  /// 16 weights.
  task_choice(const task_gradients& gradients, std::span<const matrix_place> places,
              std::vector<er::any_matrix> rounded, thread_pool& threads);

  /// For rows of a matrix of a layer, by its place in `places`: 1 where a weight stays.
  [[nodiscard]] std::vector<std::uint8_t> mask(std::size_t place, er::row_range rows,
                                               er::matrix_view<const float> weights) const;

 private:
  [[nodiscard]] std::vector<float> scores(std::size_t place, er::row_range rows,
                                          er::matrix_view<const float> weights) const;

  const task_gradients& gradients_;
  std::span<const matrix_place> places_;
  std::vector<er::any_matrix> rounded_;
  float threshold_ = 0;
};

}  // namespace llm
