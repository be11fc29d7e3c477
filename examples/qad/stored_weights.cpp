// SPDX-License-Identifier: Apache-2.0
#include "stored_weights.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "llm/model.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

shape shape_of(const llm::checkpoint& file) {
  const llm::geometry g = file.read_geometry();
  llm::require_complete(file, g);
  const shape s{.vocabulary = g.vocabulary,
                .hidden = g.hidden,
                .layers = g.layers,
                .heads = g.heads,
                .kv_heads = g.kv_heads,
                .head_size = g.head_size,
                .feed_forward = g.feed_forward,
                .context = g.context,
                .rope_base = g.rope_base,
                .norm_epsilon = g.epsilon,
                .arch = g.arch,
                .rope_size = g.rope_size,
                .rope_factor = g.rope_factor,
                .tied_head = g.tied_head,
                .biases = file.find("blk.0.attn_q.bias") != nullptr,
                .rope_divisors = file.find("rope_freqs.weight") != nullptr};
  const std::vector<weight_entry> known = weight_layout(s);
  for (const weight_entry& e : known) static_cast<void>(file.get(e.name));
  for (const llm::stored_tensor& tensor : file.tensors()) {
    const bool trained = std::any_of(known.begin(), known.end(),
                                     [&](const weight_entry& e) { return e.name == tensor.name; });
    if (!trained) {
      throw er::io_error("the model has a tensor " + er::quoted(file.own_name(tensor.name)) +
                         " that this trainer does not know");
    }
  }
  return s;
}

llm::geometry geometry_of(const shape& s) {
  return {.arch = s.arch,
          .layers = s.layers,
          .hidden = s.hidden,
          .feed_forward = s.feed_forward,
          .heads = s.heads,
          .kv_heads = s.kv_heads,
          .head_size = s.head_size,
          .rope_size = 2 * s.rope_pairs(),
          .vocabulary = s.vocabulary,
          .context = s.context,
          .rope_base = s.rope_base,
          .epsilon = s.norm_epsilon,
          .tied_head = s.tied_head,
          .rope_factor = s.rope_factor};
}

stored_weights::stored_weights(std::shared_ptr<const llm::checkpoint> file)
    : file_(std::move(file)), shape_(shape_of(*file_)), entries_(weight_layout(shape_)) {
  const std::size_t blocks = block_offset(shape_, 0), end = block_offset(shape_, shape_.layers);
  const weight_entry& last = entries_.back();
  embedding_.resize(blocks);
  tail_.resize(last.offset + last.size() - end);
  decode(0, blocks, embedding_.data());
  decode(end, end + tail_.size(), tail_.data());
  for (const std::vector<float>* values : {&embedding_, &tail_}) {
    if (!std::all_of(values->begin(), values->end(), [](float v) { return std::isfinite(v); }))
      throw er::io_error("the model's embedding, head or output norm has a NaN or an infinity");
  }
}

/// Weights [begin, end) of the layout, whole entries.
void stored_weights::decode(std::size_t begin, std::size_t end, float* out) const {
  for (const weight_entry& e : entries_) {
    if (e.offset < begin || e.offset >= end) continue;
    file_->read_rows(file_->get(e.name), {0, e.rows}, {out + (e.offset - begin), e.rows, e.cols});
  }
}

const float* stored_weights::block(std::size_t i, std::vector<float>& room) const {
  const std::size_t begin = block_offset(shape_, i), end = block_offset(shape_, i + 1);
  room.resize(end - begin);
  decode(begin, end, room.data());
  return room.data();
}

std::string stored_weights::description() const {
  return file_->container() + ", " + file_->get("blk.0.ffn_up.weight").type + " mapped";
}

}  // namespace qad
