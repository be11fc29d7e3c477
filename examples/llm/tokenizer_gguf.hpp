// SPDX-License-Identifier: Apache-2.0
/// Vocabularies in GGUF files: the keys `tokenizer.ggml.*`, and beside them `edgerazor.tokenizer.*`
/// for what those can't say.
#pragma once

#include "vocabulary.hpp"
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace llm {

/// The vocabulary of a GGUF file: `tokenizer.ggml.model` "gpt2" (bytes) or "llama" (characters,
/// merged by their scores, or by merges where the file has them too). Throws edgerazor::io_error,
/// naming the key, where one is missing or has an id outside of the vocabulary, and for any other
/// model or pre-tokenizer, naming it.
vocabulary read_vocabulary(const edgerazor::gguf_reader& file);

/// Sets the keys from which read_vocabulary gets the same vocabulary again. Keys of the first
/// namespace are those that other engines read; of the second there are none but where the others
/// would say something else. Without merges' scores, characters get them from the order of merges.
void write_vocabulary(edgerazor::gguf_writer& writer, const vocabulary& words);

}  // namespace llm
