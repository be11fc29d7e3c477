// SPDX-License-Identifier: Apache-2.0
/// Pre-tokenizers of byte-level BPE: how a text falls into the words inside which merges happen.
///
/// The published definitions are regular expressions over Unicode categories; here they are scanned
/// by hand, one function for each family. With L letters, N numbers, \s white space, alternatives
/// tried in order:
///
///     gpt2       's|'t|'re|'ve|'m|'ll|'d | ?L+ | ?N+ | ?[^\sLN]+ | \s+(?!\S) | \s+
///     smollm     every N alone first; gpt2 on what lies between
///     llama_bpe  (the contractions in any case) | [^\r\nLN]?L+ | N{1,3} | ?[^\sLN]+[\r\n]* |
///                \s*[\r\n]+ | \s+(?!\S) | \s+
///     qwen2      llama_bpe with every N alone
///
/// Source: the tokenizer.json of GPT-2, SmolLM2, Llama 3 and Qwen2.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace llm {

enum class pre_tokenizer { gpt2, smollm, llama_bpe, qwen2 };

/// The pre-tokenizer that GGUF's `tokenizer.ggml.pre` names; nothing where it is another one.
std::optional<pre_tokenizer> parse_pre_tokenizer(std::string_view name);

/// The words of `text`, in order; together they are the text. Bytes that are not UTF-8 count as
/// symbols.
std::vector<std::string_view> split_words(pre_tokenizer rule, std::string_view text);

}  // namespace llm
