// SPDX-License-Identifier: Apache-2.0
/// What the tensors of a Hugging Face model are, by their names, and what a GGUF file calls them.
///
///     model.embed_tokens.weight            token_embd.weight
///     model.layers.3.self_attn.q_proj.bias blk.3.attn_q.bias
///
/// A base model's names have no "model." in front.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Families of decoders, by what transformers calls `model_type`.
enum class hf_architecture : std::uint8_t { llama, qwen2, qwen3, smollm3, gemma3, bitnet };

/// "llama", as GGUF's `general.architecture` has it.
[[nodiscard]] constexpr std::string_view gguf_architecture(hf_architecture architecture) noexcept {
  constexpr std::array<std::string_view, 6> names{"llama",   "qwen2",  "qwen3",
                                                  "smollm3", "gemma3", "bitnet"};
  return names[static_cast<std::size_t>(architecture)];
}

/// What a tensor is for. Those after `head` are a layer's.
enum class hf_role : std::uint8_t {
  embedding,
  final_norm,
  head,
  attention_norm,
  query,
  key,
  value,
  attention_output,
  query_norm,  ///< of each head
  key_norm,
  feed_forward_norm,
  gate,
  up,
  down,
  after_attention_norm,     ///< gemma3: of what attention gives
  after_feed_forward_norm,  ///< gemma3
  attention_sub_norm,       ///< bitnet: before attention_output
  feed_forward_sub_norm     ///< bitnet: before down
};

/// A tensor's name, taken apart.
struct hf_tensor_name {
  hf_role role = hf_role::embedding;
  std::size_t layer = 0;        ///< 0 for those outside of layers
  std::string part = "weight";  ///< "weight", "bias", or what a packed layer has: "qweight"

  [[nodiscard]] bool in_layer() const noexcept { return role > hf_role::head; }
  friend bool operator==(const hf_tensor_name&, const hf_tensor_name&) = default;
};

namespace detail::io {

struct hf_role_names {
  hf_role role;
  std::string_view hf, gguf;  ///< in a layer: behind "model.layers.N." and "blk.N."
};

inline constexpr std::array<hf_role_names, 3> hf_outer_names{{
    {hf_role::embedding, "embed_tokens", "token_embd"},
    {hf_role::final_norm, "norm", "output_norm"},
    {hf_role::head, "lm_head", "output"},
}};
inline constexpr std::array<hf_role_names, 15> hf_layer_names{{
    {hf_role::attention_norm, "input_layernorm", "attn_norm"},
    {hf_role::query, "self_attn.q_proj", "attn_q"},
    {hf_role::key, "self_attn.k_proj", "attn_k"},
    {hf_role::value, "self_attn.v_proj", "attn_v"},
    {hf_role::attention_output, "self_attn.o_proj", "attn_output"},
    {hf_role::query_norm, "self_attn.q_norm", "attn_q_norm"},
    {hf_role::key_norm, "self_attn.k_norm", "attn_k_norm"},
    {hf_role::feed_forward_norm, "post_attention_layernorm", "ffn_norm"},
    {hf_role::gate, "mlp.gate_proj", "ffn_gate"},
    {hf_role::up, "mlp.up_proj", "ffn_up"},
    {hf_role::down, "mlp.down_proj", "ffn_down"},
    {hf_role::after_attention_norm, "", "post_attention_norm"},
    {hf_role::after_feed_forward_norm, "post_feedforward_layernorm", "post_ffw_norm"},
    {hf_role::attention_sub_norm, "self_attn.attn_sub_norm", "attn_sub_norm"},
    {hf_role::feed_forward_sub_norm, "mlp.ffn_sub_norm", "ffn_sub_norm"},
}};

/// gemma3 calls another norm post_attention_layernorm than the others do.
[[nodiscard]] constexpr std::string_view hf_layer_name(hf_architecture architecture,
                                                       const hf_role_names& row) noexcept {
  if (architecture != hf_architecture::gemma3) return row.hf;
  if (row.role == hf_role::feed_forward_norm) return "pre_feedforward_layernorm";
  if (row.role == hf_role::after_attention_norm) return "post_attention_layernorm";
  return row.hf;
}

/// What follows `module` and a dot in `name`; nothing where it does not begin so.
[[nodiscard]] constexpr std::optional<std::string_view> after_module(
    std::string_view name, std::string_view module) noexcept {
  if (module.empty() || name.size() < module.size() + 2 || !name.starts_with(module) ||
      name[module.size()] != '.')
    return std::nullopt;
  return name.substr(module.size() + 1);
}

/// The number that `name` begins with, and what follows its dot; nothing where there is none below
/// a million, or it has leading zeros.
[[nodiscard]] constexpr std::optional<std::pair<std::size_t, std::string_view>> after_number(
    std::string_view name) noexcept {
  std::size_t digits = 0, number = 0;
  for (; digits < name.size() && name[digits] >= '0' && name[digits] <= '9'; ++digits) {
    if (digits == 6) return std::nullopt;
    number = 10 * number + static_cast<std::size_t>(name[digits] - '0');
  }
  if (digits == 0 || digits == name.size() || name[digits] != '.' || (digits > 1 && name[0] == '0'))
    return std::nullopt;
  return std::pair{number, name.substr(digits + 1)};
}

/// Rows of the tables whose name, by `name_of(row)`, is a module that `name` begins with.
template <class Rows, class NameOf>
[[nodiscard]] std::optional<hf_tensor_name> find_role(const Rows& rows, std::string_view name,
                                                      std::size_t layer, const NameOf& name_of) {
  for (const hf_role_names& row : rows) {
    if (const auto part = after_module(name, name_of(row)))
      return hf_tensor_name{row.role, layer, std::string{*part}};
  }
  return std::nullopt;
}

}  // namespace detail::io

/// What a checkpoint's tensor is; nothing for a name that no tensor of the architecture has.
/// `prefix` stands before every name: "thinker." of a model of several.
[[nodiscard]] inline std::optional<hf_tensor_name> parse_hf_name(hf_architecture architecture,
                                                                 std::string_view name,
                                                                 std::string_view prefix = "") {
  namespace io = detail::io;
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  if (name.starts_with("model.")) name.remove_prefix(6);
  const auto hf_of = [architecture](const io::hf_role_names& row) {
    return io::hf_layer_name(architecture, row);
  };
  if (auto outer = io::find_role(io::hf_outer_names, name, 0, hf_of)) return outer;
  if (!name.starts_with("layers.")) return std::nullopt;
  const auto layer = io::after_number(name.substr(7));
  if (!layer) return std::nullopt;
  return io::find_role(io::hf_layer_names, layer->second, layer->first, hf_of);
}

/// The name in a checkpoint of a causal model.
[[nodiscard]] inline std::string hf_name(hf_architecture architecture, const hf_tensor_name& name) {
  for (const auto& row : detail::io::hf_outer_names) {
    if (row.role == name.role)
      return (row.role == hf_role::head ? "" : "model.") + std::string{row.hf} + '.' + name.part;
  }
  for (const auto& row : detail::io::hf_layer_names) {
    if (row.role == name.role)
      return "model.layers." + std::to_string(name.layer) + '.' +
             std::string{detail::io::hf_layer_name(architecture, row)} + '.' + name.part;
  }
  detail::core::fail("hf_name: the role is none");
}

/// The name in a GGUF file: "blk.3.attn_q.weight".
[[nodiscard]] inline std::string gguf_name(const hf_tensor_name& name) {
  for (const auto& row : detail::io::hf_outer_names) {
    if (row.role == name.role) return std::string{row.gguf} + '.' + name.part;
  }
  for (const auto& row : detail::io::hf_layer_names) {
    if (row.role == name.role)
      return "blk." + std::to_string(name.layer) + '.' + std::string{row.gguf} + '.' + name.part;
  }
  detail::core::fail("gguf_name: the role is none");
}

/// What a GGUF file's tensor is; nothing for an unknown name.
[[nodiscard]] inline std::optional<hf_tensor_name> parse_gguf_name(std::string_view name) {
  namespace io = detail::io;
  const auto gguf_of = [](const io::hf_role_names& row) { return row.gguf; };
  if (auto outer = io::find_role(io::hf_outer_names, name, 0, gguf_of)) return outer;
  if (!name.starts_with("blk.")) return std::nullopt;
  const auto layer = io::after_number(name.substr(4));
  if (!layer) return std::nullopt;
  return io::find_role(io::hf_layer_names, layer->second, layer->first, gguf_of);
}

/// Whether a tensor of a checkpoint is no weight of the decoder and may be passed over: tables that
/// old releases saved, and the other models of one of several.
[[nodiscard]] constexpr bool is_ignored_hf_tensor(std::string_view name) noexcept {
  for (const std::string_view end : {"rotary_emb.inv_freq", "attn.masked_bias"})
    if (name.ends_with(end)) return true;
  for (const std::string_view begin :
       {"thinker.visual.", "thinker.audio_tower.", "talker.", "token2wav."})
    if (name.starts_with(begin)) return true;
  return false;
}

/// Whether GGUF has the rows of this role in an order of its own: query and key of a "llama", whose
/// pairs that rotate together are neighbours there, and halves of a head in a checkpoint.
[[nodiscard]] constexpr bool is_permuted(hf_architecture architecture, hf_role role) noexcept {
  return architecture == hf_architecture::llama && (role == hf_role::query || role == hf_role::key);
}

/// For each row of GGUF's order the row of the checkpoint's: of every head of D rows
///
///     GGUF row 2 i + s is row s D/2 + i                  D = 8:  0 4 1 5 2 6 3 7
///
/// Weights, biases, scales and maps of rows alike. Fails unless the head's size is even and divides
/// `rows`, which are below 2^32.
[[nodiscard]] inline std::vector<std::uint32_t> hf_rows_in_gguf_order(std::size_t rows,
                                                                      std::size_t head_size) {
  if (head_size == 0 || head_size % 2 != 0 || rows % head_size != 0 || rows > 0xffffffffu)
    detail::core::fail("hf_rows_in_gguf_order: " + detail::core::size_text(rows) +
                       " rows are no heads of an even number of rows, " +
                       detail::core::size_text(head_size));
  std::vector<std::uint32_t> order(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t in_head = r % head_size;
    order[r] =
        static_cast<std::uint32_t>(r - in_head + in_head % 2 * (head_size / 2) + in_head / 2);
  }
  return order;
}

/// The inverse: for each row of the checkpoint's order the row of GGUF's.
[[nodiscard]] inline std::vector<std::uint32_t> gguf_rows_in_hf_order(std::size_t rows,
                                                                      std::size_t head_size) {
  const std::vector<std::uint32_t> order = hf_rows_in_gguf_order(rows, head_size);
  std::vector<std::uint32_t> inverse(rows);
  for (std::size_t r = 0; r < rows; ++r) inverse[order[r]] = static_cast<std::uint32_t>(r);
  return inverse;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
