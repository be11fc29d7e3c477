// SPDX-License-Identifier: Apache-2.0
/// A model that exists, as teacher and as start of a student: whatever examples/llm reads.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "llm/checkpoint.hpp"
#include "llm/geometry.hpp"
#include "parameters.hpp"

namespace qad {

/// The shape of a model of examples/llm. Throws edgerazor::io_error where the file lacks a weight
/// or has one that this trainer would not train (biases other than query's, key's and value's).
shape shape_of(const llm::checkpoint& file);

/// What a file of that model declares.
llm::geometry geometry_of(const shape& s);

/// Weights that stay in their mapped file, in whatever format they have there: each pass decodes a
/// block at a time. Embedding, head and what follows the blocks are floats in memory.
class stored_weights final : public weight_pages<float> {
 public:
  /// Throws edgerazor::io_error as shape_of does, and where a weight read now is not finite.
  explicit stored_weights(std::shared_ptr<const llm::checkpoint> file);

  [[nodiscard]] const qad::shape& shape() const noexcept override { return shape_; }
  [[nodiscard]] const float* embedding() const override { return embedding_.data(); }
  [[nodiscard]] const float* block(std::size_t i, std::vector<float>& room) const override;
  [[nodiscard]] const float* tail() const override { return tail_.data(); }

  [[nodiscard]] const llm::checkpoint& file() const noexcept { return *file_; }
  /// "GGUF file, F16 mapped": for people.
  [[nodiscard]] std::string description() const;

 private:
  void decode(std::size_t begin, std::size_t end, float* out) const;

  std::shared_ptr<const llm::checkpoint> file_;
  qad::shape shape_;
  std::vector<weight_entry> entries_;
  std::vector<float> embedding_, tail_;
};

}  // namespace qad
