// SPDX-License-Identifier: Apache-2.0
/// Vocabularies in folders of the form that Hugging Face's libraries read and write.
#pragma once

#include <cstddef>
#include <filesystem>

#include "tokenizer.hpp"
#include "vocabulary.hpp"

namespace llm {

/// The vocabulary of a folder:
///
///     tokenizer.json         of model type BPE; without it
///     vocab.json, merges.txt of the classes GPT2Tokenizer and Qwen2Tokenizer
///     tokenizer_config.json  special tokens, add_bos_token, chat_template
///     chat_template.jinja    wins over the former's
///     generation_config.json eos_token_id, one or several; without it config.json's
///
/// It has `embedding_rows` tokens: ids that the files leave out are unused. Throws
/// edgerazor::io_error, naming the file and the thing, where something is of a kind that this
/// program does not have, and where an id is there twice or not below `embedding_rows`.
vocabulary read_vocabulary(const std::filesystem::path& folder, std::size_t embedding_rows);

/// The same, ready to use. Throws also where a merge names a token that does not exist.
tokenizer read_tokenizer(const std::filesystem::path& folder, std::size_t embedding_rows);

/// Writes tokenizer.json, tokenizer_config.json and, where several tokens end a text,
/// generation_config.json, from which read_vocabulary and Hugging Face's tokenizers get the same
/// encodings. Scores become merges. The folder must exist; files appear whole or not at all.
void write_vocabulary(const std::filesystem::path& folder, const vocabulary& words);

}  // namespace llm
