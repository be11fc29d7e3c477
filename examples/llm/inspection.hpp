// SPDX-License-Identifier: Apache-2.0
/// What a checkpoint holds, looked at without running it.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint.hpp"

namespace llm {

/// Tensors that have one purpose.
struct role_summary {
  std::string_view role;  ///< "embedding", "head", "attention", "ffn", "norms", "others"
  std::size_t tensors = 0, weights = 0, bytes = 0;
  std::map<std::string, std::size_t> types;    ///< as stored, and how many
  std::map<std::string, std::size_t> formats;  ///< copied exactly as; without one: "numbers"

  [[nodiscard]] double bits_per_weight() const {
    return weights == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};

struct inspection {
  std::string container;
  std::optional<std::string> name, architecture, recipe;
  std::optional<geometry> shape;  ///< where this program runs it, or would but for its tensors
  std::string why_not_run;        ///< one sentence; empty: it runs
  std::string tokenizer;          ///< "byte-level BPE (qwen2), 151936 tokens"
  std::string why_no_tokenizer;   ///< one sentence; empty: it is read
  std::string chat;               ///< "chatml", or why there is none
  std::string tools;              ///< "yes", "no" or "refused", where there is a chat
  std::vector<role_summary> roles;
  struct note {
    std::string tensor, type, text;
  };
  std::vector<note> inexact;  ///< matrices that no format holds exactly, and why
  std::vector<note> refused;  ///< tensors that are not read, and why
};

/// Of a GGUF name: "attention" of "blk.3.attn_q.bias".
std::string_view role_of(std::string_view name);

inspection inspect_checkpoint(const std::filesystem::path& path);

}  // namespace llm
