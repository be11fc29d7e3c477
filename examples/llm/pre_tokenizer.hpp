// SPDX-License-Identifier: Apache-2.0
/// Pre-tokenizers: how a text falls into the words inside which merges happen.
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
///     metaspace  a word begins with each U+2581, which stands for a space
///     none       the text is one word
///
/// Source: the tokenizer.json of GPT-2, SmolLM2, Llama 3, Qwen2 and T5.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace llm {

enum class pre_tokenizer { gpt2, smollm, llama_bpe, qwen2, metaspace, none };

/// The regular expressions of gpt2, llama_bpe and qwen2, as tokenizer.json spells them.
inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view llama_bpe_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The pre-tokenizer that GGUF's `tokenizer.ggml.pre` names; nothing where it is another one.
std::optional<pre_tokenizer> parse_pre_tokenizer(std::string_view name);
/// The name that parse_pre_tokenizer gets it from; those of the first four are llama.cpp's.
std::string_view name_of(pre_tokenizer rule);

/// The words of `text`, in order; together they are the text. Bytes that are not UTF-8 count as
/// symbols.
std::vector<std::string_view> split_words(pre_tokenizer rule, std::string_view text);

}  // namespace llm
