// SPDX-License-Identifier: Apache-2.0
/// A matrix product by ggml's CPU backend: a graph of products, as its users' models are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "../support/model_shapes.hpp"
#include "ggml_library.hpp"

namespace peers {

template <auto Free>
struct calls {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using context_pointer = std::unique_ptr<ggml_context, calls<ggml_free>>;
using buffer_pointer =
    std::unique_ptr<std::remove_pointer_t<ggml_backend_buffer_t>, calls<ggml_backend_buffer_free>>;
using backend_pointer =
    std::unique_ptr<std::remove_pointer_t<ggml_backend_t>, calls<ggml_backend_free>>;

/// Products of one matrix, or of copies of it in turn, with the same tokens: weights and tokens are
/// the ones that bench::product_case has. ggml's memory gets huge pages too, where there are any.
class ggml_product {
 public:
  /// `products` of a graph, over `copies` of the matrix. Fails with std::runtime_error where ggml
  /// can't: `repacked` without such a buffer type, columns that are no multiple of the format's
  /// block.
  ggml_product(ggml_format format, bench::shape size, std::size_t tokens, std::size_t copies,
               std::size_t products);

  [[nodiscard]] std::size_t products() const noexcept { return outputs_.size(); }
  [[nodiscard]] std::size_t matrix_bytes() const noexcept { return matrix_bytes_; }

  /// From now on so many threads multiply.
  void use_threads(std::size_t threads);
  /// All products of the graph.
  void multiply();
  /// Whether the last product of the graph is right: see the definition for the tolerance.
  [[nodiscard]] bool right() const;

  /// Bytes of a matrix in this format.
  [[nodiscard]] static std::size_t bytes_of(ggml_format format, bench::shape size);

 private:
  void fill_weights(ggml_format format);

  bench::shape size_;
  std::vector<float> tokens_;
  std::size_t matrix_bytes_ = 0;
  std::vector<float> some_rows_;  ///< as ggml dequantizes them, for `right`
  backend_pointer backend_;
  std::shared_ptr<void> threads_;
  bench::processors processors_;
  context_pointer weight_context_, graph_context_;
  buffer_pointer weight_buffer_, graph_buffer_;
  std::vector<ggml_tensor*> weights_, outputs_;
  ggml_cgraph* graph_ = nullptr;
};

}  // namespace peers
