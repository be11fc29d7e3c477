// SPDX-License-Identifier: Apache-2.0
/// The shape of the decoder and all of its weights in one buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <edgerazor/core/views.hpp>

namespace qad {

namespace er = edgerazor;

/// A Llama decoder with a tied head: the embedding is the head's matrix too.
struct shape {
  std::size_t vocabulary = 2048, hidden = 192, layers = 6, heads = 6, kv_heads = 2, head_size = 32,
              feed_forward = 512;
  std::size_t context = 128;  ///< tokens of a window
  float rope_base = 10000, norm_epsilon = 1e-5f;

  [[nodiscard]] std::size_t query_size() const noexcept { return heads * head_size; }
  [[nodiscard]] std::size_t kv_size() const noexcept { return kv_heads * head_size; }
  friend bool operator==(const shape&, const shape&) = default;
};

/// Fails where a size is zero, the heads do not share the keys evenly or a head's elements do not
/// pair.
void require_valid(const shape& s);

/// One matrix among the weights.
struct weight_entry {
  std::string name;
  std::size_t rows, cols;  ///< a norm's weights are one row
  std::size_t offset;      ///< elements before it

  [[nodiscard]] std::size_t size() const noexcept { return rows * cols; }
  [[nodiscard]] bool is_norm() const noexcept { return rows == 1; }
};

/// All matrices, `out x in`, row-major, one after the other without gaps; names are GGUF's:
///
///     token_embd.weight
///     blk.0.{attn_norm, attn_q, attn_k, attn_v, attn_output, ffn_norm, ffn_gate, ffn_up,
///            ffn_down}.weight
///     ...
///     output_norm.weight
///
/// Query, key and value rows are thus one matrix, and so are gate and up.
std::vector<weight_entry> weight_layout(const shape& s);

/// Fails where there is no matrix of that name.
const weight_entry& find_weight(std::span<const weight_entry> entries, std::string_view name);

/// One number for each weight: the weights, their gradients, or the optimizer's moments.
template <class Scalar>
class basic_parameters {
 public:
  using entry = weight_entry;

  /// All zero.
  explicit basic_parameters(const qad::shape& s)
      : shape_(s),
        entries_(weight_layout(s)),
        values_(entries_.back().offset + entries_.back().size()) {}

  [[nodiscard]] const qad::shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::span<Scalar> values() noexcept { return values_; }
  [[nodiscard]] std::span<const Scalar> values() const noexcept { return values_; }
  [[nodiscard]] const std::vector<entry>& entries() const noexcept { return entries_; }
  [[nodiscard]] const entry& find(std::string_view name) const {
    return find_weight(entries_, name);
  }
  [[nodiscard]] er::matrix_view<Scalar> view(const entry& e) noexcept {
    return {values_.data() + e.offset, e.rows, e.cols};
  }
  [[nodiscard]] er::matrix_view<const Scalar> view(const entry& e) const noexcept {
    return {values_.data() + e.offset, e.rows, e.cols};
  }
  [[nodiscard]] er::matrix_view<Scalar> view(std::string_view name) { return view(find(name)); }
  [[nodiscard]] er::matrix_view<const Scalar> view(std::string_view name) const {
    return view(find(name));
  }

  /// Norms 1; the embedding uniform with standard deviation 0.02, other matrices with 1 / sqrt(in),
  /// divided by sqrt(2 layers) where they write to the residual stream. The same on every machine.
  void initialise(std::uint64_t seed);

 private:
  qad::shape shape_;
  std::vector<entry> entries_;
  std::vector<Scalar> values_;
};

using parameters = basic_parameters<float>;

extern template class basic_parameters<float>;
extern template class basic_parameters<double>;

}  // namespace qad
