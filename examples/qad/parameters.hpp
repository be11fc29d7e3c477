// SPDX-License-Identifier: Apache-2.0
/// The shape of the decoder and all of its weights in one buffer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "llm/geometry.hpp"
#include <edgerazor/core/views.hpp>

namespace qad {

namespace er = edgerazor;

/// Numbers that every block has beside its weights, trained with them: see layer_form.
struct beside_entry {
  std::string name;  ///< "attn_q.input_scale", without the block's
  std::size_t size;
  friend bool operator==(const beside_entry&, const beside_entry&) = default;
};

/// A decoder of one of the architectures that examples/llm runs.
struct shape {
  std::size_t vocabulary = 2048, hidden = 192, layers = 6, heads = 6, kv_heads = 2, head_size = 32,
              feed_forward = 512;
  std::size_t context = 128;  ///< positions the model is made for
  double rope_base = 10000;
  float norm_epsilon = 1e-5f;
  /// Neighbouring elements of a llama's head turn together, halves of the others'; Qwen2 has biases
  /// of query, key and value, Qwen3 normalises each head's query and key before they turn.
  llm::architecture arch = llm::architecture::llama;
  std::size_t rope_size = 0;   ///< leading elements of a head that turn; 0: all
  double rope_factor = 1;      ///< positions are divided by it
  bool tied_head = true;       ///< the embedding is the head's matrix too
  bool biases = false;         ///< of query, key and value
  bool rope_divisors = false;  ///< one for each pair divides its frequency (Llama 3.1's)
  // A student's alone, of some methods of training.
  std::vector<beside_entry> beside = {};
  bool output_norms = false;  ///< a layer norm, before the bias, behind every matrix of the blocks

  /// The same without what only students have.
  [[nodiscard]] shape plain() const {
    shape result = *this;
    result.beside.clear();
    result.output_norms = false;
    return result;
  }
  [[nodiscard]] std::size_t query_size() const noexcept { return heads * head_size; }
  [[nodiscard]] std::size_t kv_size() const noexcept { return kv_heads * head_size; }
  /// Rows of query, key and value together.
  [[nodiscard]] std::size_t qkv_size() const noexcept { return query_size() + 2 * kv_size(); }
  /// Pairs of a head that turn.
  [[nodiscard]] std::size_t rope_pairs() const noexcept {
    return (rope_size == 0 ? head_size : rope_size) / 2;
  }
  [[nodiscard]] bool has_head_norms() const noexcept { return arch == llm::architecture::qwen3; }
  friend bool operator==(const shape&, const shape&) = default;
};

/// Fails where a size is zero, the heads do not share the keys evenly, or more of a head turns than
/// there is, or elements that do not pair.
void require_valid(const shape& s);

/// One matrix or vector among the weights.
struct weight_entry {
  std::string name;
  std::size_t rows, cols;  ///< a vector is one row
  std::size_t offset;      ///< elements before it

  [[nodiscard]] std::size_t size() const noexcept { return rows * cols; }
  [[nodiscard]] bool is_vector() const noexcept { return rows == 1; }
};

/// All matrices, `out x in`, row-major, and vectors, one after the other without gaps; names are
/// GGUF's:
///
///     token_embd.weight
///     blk.0.attn_norm.weight
///     blk.0.{attn_q, attn_k, attn_v}.weight
///     blk.0.{attn_q, attn_k, attn_v}.bias            with biases
///     blk.0.{attn_q_norm, attn_k_norm}.weight        Qwen3
///     blk.0.{attn_output, ffn_norm, ffn_gate, ffn_up, ffn_down}.weight
///     blk.0.*                                        shape::beside, as vectors
///     ...
///     output_norm.weight
///     output.weight                                  where the embedding is not the head
///     rope_freqs.weight                              with divisors; never trained
///
/// Query, key and value rows are thus one matrix, and so are gate and up. All blocks are alike.
std::vector<weight_entry> weight_layout(const shape& s);

/// Of the first weight of block i, in elements; of output_norm.weight for i = layers.
std::size_t block_offset(const shape& s, std::size_t i) noexcept;

/// Fails where there is no weight of that name.
const weight_entry& find_weight(std::span<const weight_entry> entries, std::string_view name);

/// A model's weights as a pass reads them, in the order of weight_layout: from memory, or decoded
/// from a file a block at a time. Const members may be called from several threads at once.
template <class Scalar>
class weight_pages {
 public:
  virtual ~weight_pages() = default;
  [[nodiscard]] virtual const qad::shape& shape() const noexcept = 0;
  /// vocabulary x hidden.
  [[nodiscard]] virtual const Scalar* embedding() const = 0;
  /// All of block i, valid until `room` is given away again.
  [[nodiscard]] virtual const Scalar* block(std::size_t i, std::vector<Scalar>& room) const = 0;
  /// From output_norm.weight on.
  [[nodiscard]] virtual const Scalar* tail() const = 0;
};

/// One number for each weight: the weights, their gradients, or the optimizer's moments.
template <class Scalar>
class basic_parameters final : public weight_pages<Scalar> {
 public:
  using entry = weight_entry;

  /// All zero.
  explicit basic_parameters(const qad::shape& s)
      : shape_(s),
        entries_(weight_layout(s)),
        values_(entries_.back().offset + entries_.back().size()) {}

  [[nodiscard]] const Scalar* embedding() const override { return values_.data(); }
  [[nodiscard]] const Scalar* block(std::size_t i, std::vector<Scalar>&) const override {
    return values_.data() + block_offset(i);
  }
  [[nodiscard]] const Scalar* tail() const override {
    return values_.data() + block_offset(shape_.layers);
  }
  /// Of the first weight of block i; of output_norm.weight for i = layers.
  [[nodiscard]] std::size_t block_offset(std::size_t i) const noexcept {
    return qad::block_offset(shape_, i);
  }

  /// A copy of all of them.
  explicit basic_parameters(const weight_pages<Scalar>& from)
      : basic_parameters(from.shape(), from) {}
  /// A copy into a model of the shape `s`, which differs from theirs by what a block has beside:
  /// that is 0. Fails where it differs by more.
  basic_parameters(const qad::shape& s, const weight_pages<Scalar>& from) : basic_parameters(s) {
    if (!(s == from.shape() || s.plain() == from.shape()))
      throw std::invalid_argument("decoder: weights of another shape");
    std::vector<Scalar> room;
    const std::size_t block =
        qad::block_offset(from.shape(), 1) - qad::block_offset(from.shape(), 0);
    std::copy_n(from.embedding(), block_offset(0), values_.data());
    for (std::size_t i = 0; i < shape_.layers; ++i)
      std::copy_n(from.block(i, room), block, values_.data() + block_offset(i));
    const std::size_t tail = block_offset(shape_.layers);
    std::copy_n(from.tail(), values_.size() - tail, values_.data() + tail);
  }

  [[nodiscard]] const qad::shape& shape() const noexcept override { return shape_; }
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

  /// Norms and divisors 1, biases 0; the embedding uniform with standard deviation 0.02, other
  /// matrices with 1 / sqrt(in), divided by sqrt(2 layers) where they write to the residual stream.
  /// The same on every machine.
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
