// SPDX-License-Identifier: Apache-2.0
/// Batches for a decoder of the tiny shape, and steps on them. Tests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "qad/training_step.hpp"
#include "tiny_shape.hpp"

/// Windows of a batch.
inline constexpr std::size_t tiny_sequences = 4;

/// Windows of counting numbers, every batch different.
inline std::vector<std::int32_t> tiny_windows(std::uint64_t step) {
  std::mt19937_64 random(step);
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < tiny_sequences; ++i) {
    const std::size_t first = random() % tiny.vocabulary, stride = 1 + random() % 3;
    for (std::size_t t = 0; t <= tiny.context; ++t)
      tokens.push_back(static_cast<std::int32_t>((first + t * stride) % tiny.vocabulary));
  }
  return tokens;
}

/// The weights after so many more steps.
inline std::vector<float> train_tiny(qad::trainer& run, std::size_t steps) {
  for (std::size_t i = 0; i < steps; ++i) run.step(tiny_windows(run.steps_done()));
  const auto values = run.master().values();
  return {values.begin(), values.end()};
}
