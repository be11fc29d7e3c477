// SPDX-License-Identifier: Apache-2.0
#include "inspection.hpp"

#include <algorithm>
#include <exception>

#include "chat.hpp"
#include "model.hpp"

namespace llm {

namespace {

constexpr std::string_view role_names[] = {"embedding", "head",  "attention",
                                           "ffn",       "norms", "others"};

void add(role_summary& to, const stored_tensor& tensor) {
  ++to.tensors;
  to.weights += tensor.rows * tensor.cols;
  to.bytes += tensor.bytes;
  ++to.types[tensor.type];
  if (!tensor.is_matrix) return;
  ++to.formats[!tensor.refusal.empty() ? "refused"
               : tensor.format         ? tensor.format->name()
                                       : "numbers"];
}

/// What `work` says by throwing; empty where it does not.
template <class Work>
std::string sentence_of(const Work& work) {
  try {
    work();
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

std::string_view role_of(std::string_view name) {
  const auto has = [name](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  };
  if (has("norm")) return "norms";
  if (name.starts_with("token_embd.")) return "embedding";
  if (name.starts_with("output.")) return "head";
  if (has(".attn_")) return "attention";
  if (has(".ffn_")) return "ffn";
  return "others";
}

inspection inspect_checkpoint(const std::filesystem::path& path) {
  const auto file = checkpoint::open(path);
  inspection result;
  result.container = file->container();
  result.name = file->model_name();
  result.architecture = file->architecture_name();
  result.recipe = file->recipe_name();
  for (const std::string_view role : role_names) {
    role_summary sum{role, 0, 0, 0, {}, {}};
    for (const stored_tensor& tensor : file->tensors()) {
      if (role_of(tensor.name) == role) add(sum, tensor);
    }
    if (sum.tensors != 0) result.roles.push_back(std::move(sum));
  }
  for (const stored_tensor& tensor : file->tensors()) {
    if (!tensor.refusal.empty()) {
      result.refused.push_back({tensor.name, tensor.type, tensor.refusal});
    } else if (tensor.is_matrix && !tensor.format) {
      result.inexact.push_back(
          {tensor.name, tensor.type,
           tensor.why_not_exact.empty() ? "no format holds its numbers" : tensor.why_not_exact});
    }
  }
  result.why_not_run = sentence_of([&] {
    result.shape = file->read_geometry();
    require_complete(*file, *result.shape);
  });
  result.why_no_tokenizer = sentence_of([&] {
    const tokenizer words(file->read_vocabulary());
    const vocabulary& data = words.data();
    result.tokenizer = (data.letters == vocabulary::spelling::bytes
                            ? "byte-level BPE, words by " + std::string{name_of(data.words)}
                            : "SentencePiece's BPE" +
                                  std::string(data.byte_fallback ? " with byte fallback" : "")) +
                       ", " + std::to_string(words.size()) + " tokens, " +
                       std::to_string(data.merges.size()) + " merges";
    std::string why;
    const auto chat = chat_format::detect(words, why);
    if (chat) {
      result.tools = chat->layout().tools ? "yes" : chat->layout().unread_tools ? "refused" : "no";
    }
    result.chat = chat          ? std::string{chat->layout().layout->name}
                  : why.empty() ? "none: the model has no chat template"
                                : "none: " + why;
  });
  return result;
}

}  // namespace llm
