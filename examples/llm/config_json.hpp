// SPDX-License-Identifier: Apache-2.0
/// config.json of a model that this program writes.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint.hpp"

namespace llm {

/// Llama 3.1's scaling of positions for long contexts: the frequency f of a pair, of wave length
/// l = 2 pi / f, is divided by
///
///     1                                    where l < old / high
///     factor                               where l > old / low
///     1 / ((1 - s) / factor + s)           between, s = (old / l - low) / (high - low)
struct llama3_scaling {
  double factor = 8, low = 1, high = 4, old_context = 8192;
};

/// The divisor of each pair of a head of `rope_size` elements.
std::vector<float> divisors_of(const llama3_scaling& scaling, std::size_t rope_size, double base);

/// The scaling with these divisors, as published models have it: low 1, high 4, of 8192 positions.
/// Nothing where it is another one.
std::optional<llama3_scaling> find_llama3_scaling(std::span<const float> divisors, double base);

/// config.json in the form that every release of transformers reads; `torch_dtype` is "bfloat16",
/// "float16" or "float32". Throws edgerazor::io_error where the model has something that
/// config.json can't say: some biases without the others, a head that turns in part.
nlohmann::ordered_json config_json(const checkpoint& file, const geometry& shape,
                                   const vocabulary& words, const std::string& torch_dtype);

}  // namespace llm
