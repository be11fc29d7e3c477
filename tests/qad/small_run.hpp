// SPDX-License-Identifier: Apache-2.0
/// A text and a run small enough for a test. Tests only.
#pragma once

#include <array>
#include <cstddef>
#include <random>
#include <string>

#include "qad/run.hpp"

/// Lines of some hundred characters from a small stock of words: about `bytes` of them, the same
/// everywhere.
inline std::string small_text(std::size_t bytes) {
  constexpr std::array words{"the",  "wind",   "and",      "water", "over",  "stones",
                             "went", "slowly", "morning",  "hill",  "under", "light",
                             "it's", "house",  "standing", "12"};
  std::mt19937 random(7);
  std::string text;
  for (std::size_t line = 0; text.size() < bytes; ++line) {
    while (text.size() < (line + 1) * 100)
      text += std::string{words[random() % words.size()]} + " ";
    text.back() = '.';
    text += '\n';
  }
  return text;
}

inline qad::run_options small_options() {
  qad::run_options options;
  options.model = {.vocabulary = 288,
                   .hidden = 64,
                   .layers = 2,
                   .heads = 4,
                   .kv_heads = 2,
                   .head_size = 16,
                   .feed_forward = 96,
                   .context = 16};
  options.training.sequences = 4;
  options.training.steps = 20;
  options.training.learning_rate = 1e-2;
  options.split = {.block = 200, .every = 5};
  options.checkpoint_every = 5;
  return options;
}

/// The corpus of small_text, to which the options are bound.
inline qad::corpus small_corpus(qad::run_options& options) {
  const std::string text = small_text(6000);
  options.text = qad::fingerprint(text);
  qad::corpus result(qad::divide(text, options.split), options.model.vocabulary);
  options.model.vocabulary = result.tokenizer.size();
  return result;
}
