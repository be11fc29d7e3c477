// SPDX-License-Identifier: Apache-2.0
/// The same function with other weights: a model whose weights no earlier rounding has put on a
/// grid.
///
/// Models are handed around quantized. A file that was rounded once to a scale and a minimum for
/// each 32 columns is reproduced exactly by any method that finds those again, and says nothing
/// about methods. Factors that cancel take the weights off that grid and leave the model as it is.
#pragma once

#include <cstdint>
#include <filesystem>

#include "convert.hpp"
#include "model.hpp"

namespace llm {

/// Writes the model of `input` in 16 bits, in every layer with
///
///     columns of q, k, v times f            the norm before them divided by f
///     columns of gate, up times f           the norm before them divided by f
///     rows of v times f                     the columns of o that meet them divided by f
///     rows of up times f                    the columns of down that meet them divided by f
///
/// (biases of rows too), f drawn evenly from [0.8, 1.25] for every column or row. The same seed
/// gives the same file on every machine. Embedding and head stay. Throws std::invalid_argument
/// where the model is packed already, edgerazor::io_error where a weight leaves the range of
/// float16.
conversion write_off_grid(const model_file& input, std::uint64_t seed,
                          const std::filesystem::path& output);

}  // namespace llm
