// SPDX-License-Identifier: Apache-2.0
/// A small complete model made on the spot, for trying the program where no model can be had.
#pragma once

#include <cstddef>
#include <filesystem>

namespace llm {

/// Writes a Llama decoder of 4.2 million weights in F16 with a byte-level tokenizer, the same on
/// every machine.
///
/// It has not been trained. Its tokenizer is learned from the built-in text. Its embeddings are
/// random signs and its head maps each to the log-probabilities of what follows that token in the
/// built-in text, so that it strings together words of that text; the layers between are random and
/// weak. What it writes means nothing; what recipes cost it can be measured.
///
/// `hidden`: its width, a multiple of 128; the default has the weights above.
void make_demo_model(const std::filesystem::path& output, std::size_t hidden = 512);

}  // namespace llm
