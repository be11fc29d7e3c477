// SPDX-License-Identifier: Apache-2.0
/// A matrix, tokens to multiply it with, and the scalar kernel's result: what is set up before a
/// product is timed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model_shapes.hpp"
#include "spinning_threads.hpp"
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/operands.hpp>
#include <edgerazor/product/prepared_input.hpp>

namespace bench {

/// Together the matrices of a measurement from DRAM take at least so much, more than any cache.
inline constexpr std::size_t dram_bytes = std::size_t{512} << 20;

/// Weights of row r begin at random_value(r * cols), elements of token t at
/// random_value(token_values + t * cols).
inline constexpr std::uint64_t token_values = std::uint64_t{1} << 40;

class product_case {
 public:
  product_case(const std::string& format, shape size, std::size_t tokens);

  /// Parts of a sum are packed, or sparse with one weight in a hundred.
  [[nodiscard]] const std::string& format() const noexcept { return format_; }
  [[nodiscard]] shape size() const noexcept { return size_; }
  [[nodiscard]] std::size_t tokens() const noexcept { return reals_.size() / size_.cols; }
  [[nodiscard]] const edgerazor::any_matrix& weights() const noexcept { return weights_; }
  /// Of one product: rows * cols * tokens.
  [[nodiscard]] double multiply_adds() const noexcept;

  /// Copies of the matrix that together take at least dram_bytes, and the memory that holds them
  /// and nothing else. It is the next call's memory too.
  [[nodiscard]] std::vector<edgerazor::any_matrix> spread_out(
      std::span<const std::byte>& memory) const;

  /// One product. Several threads share its rows in the library's own grains (kernel/executor.hpp);
  /// one takes all at once.
  void multiply(spinning_threads& threads, const edgerazor::any_matrix& weights,
                const edgerazor::kernel& kernel);
  /// Quantizes the tokens to int8, by the calling thread.
  void quantize_tokens(const edgerazor::kernel& kernel);

  /// Whether the last product is the scalar kernel's: all rows of the first token, and of all
  /// tokens the first and last 16 rows.
  [[nodiscard]] bool right() const;

 private:
  /// The first `count` tokens, as the weights take them.
  [[nodiscard]] edgerazor::product_input input(std::size_t count) const;
  void multiply_rows(const edgerazor::any_matrix& weights, edgerazor::row_range range,
                     std::size_t count, const edgerazor::kernel& kernel,
                     std::vector<float>& y) const;

  std::string format_;
  shape size_;
  edgerazor::any_matrix weights_;
  std::vector<float> reals_;
  edgerazor::packed_activations activations_;
  edgerazor::activation_view x_;
  std::vector<std::byte> room_;  ///< of a sum's input
  edgerazor::prepared_input prepared_;
  std::vector<float> y_, expected_;
};

}  // namespace bench
