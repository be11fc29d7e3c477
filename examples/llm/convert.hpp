// SPDX-License-Identifier: Apache-2.0
/// Writing models to GGUF files: quantized by a recipe and packed, or as ordinary tensors for other
/// engines.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "model.hpp"
#include "thread_pool.hpp"
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/policy/recipe.hpp>

namespace llm {

/// What a conversion did.
struct conversion {
  std::size_t bytes_before = 0;  ///< of the tensors
  std::size_t bytes_after = 0;   ///< of the file
};

/// Writes the model of `input` with its matrices as the recipe says; norms and biases stay as they
/// are. One tensor is in memory at a time, quantized by all threads. Nothing is left behind where
/// it fails, and an older `output` stays.
conversion write_quantized(const model_file& input, const er::recipe& how,
                           const std::filesystem::path& output, thread_pool& threads);

/// The ggml type of that name in lower case ("f32", "q4_0") among those that are exported: f32,
/// f16, bf16, q4_0, tq1_0, tq2_0. Throws std::invalid_argument, naming them.
er::ggml_type export_type(std::string_view name);

/// Writes the model with its matrices as ordinary tensors. Packed ones, or those that `how`
/// quantizes, keep codes and scales: `type` q4_0 takes int4 and ternary, tq1_0 and tq2_0 ternary
/// (int4 matrices beside them become q4_0). Quantized matrices are all in memory until the file is
/// written.
conversion write_exported(const model_file& input, const er::recipe& how, er::ggml_type type,
                          const std::filesystem::path& output, thread_pool& threads);

}  // namespace llm
