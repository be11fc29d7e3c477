// SPDX-License-Identifier: Apache-2.0
/// Writing models: to GGUF files, quantized by a recipe and packed, or as ordinary tensors for
/// other engines; to folders of safetensors files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model.hpp"
#include "thread_pool.hpp"
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/policy/recipe.hpp>

namespace llm {

/// What a conversion did.
struct conversion {
  /// A tensor whose numbers are not those that it had.
  struct loss {
    std::string tensor, from, to;
    double relative = 0;  ///< squares of the errors, divided by those of the numbers
  };

  std::size_t bytes_before = 0;  ///< of the tensors
  std::size_t bytes_after = 0;   ///< of the files
  std::size_t exact = 0;         ///< tensors whose numbers are the same
  std::vector<loss> losses;
};

/// Writes the model of `input` with its matrices as the recipe says; norms and biases stay as they
/// are, and so do matrices that the recipe leaves alone; what GGUF has no type for becomes a packed
/// matrix of the same numbers, or where there is none float16. One tensor is in memory at a time,
/// quantized by all threads. Nothing is left behind where it fails, and an older `output` stays.
conversion write_quantized(const model_file& input, const er::recipe& how,
                           const std::filesystem::path& output, thread_pool& threads);

/// The ggml type of that name in lower case ("f32", "q4_0") among those that are exported: f32,
/// f16, bf16, q4_0, tq1_0, tq2_0. Throws std::invalid_argument, naming them.
er::ggml_type export_type(std::string_view name);

/// Writes the model with its matrices as ordinary tensors. Packed ones, or those that `how`
/// quantizes, keep codes and scales: `type` q4_0 takes int4 and ternary, tq1_0 and tq2_0 ternary
/// (int4 matrices beside them become q4_0), and are all in memory until the file is written.
conversion write_exported(const model_file& input, const er::recipe& how, er::ggml_type type,
                          const std::filesystem::path& output, thread_pool& threads);

/// Kinds of folders: of numbers, or with linear layers as others pack them (EdgeRazor (Python):
/// numbers that are products of codes and scales).
enum class folder_kind { bf16, f16, f32, edgerazor, compressed_tensors, gptq, bitnet };

/// By what `--to` calls it; nothing where there is none of that name.
std::optional<folder_kind> find_folder_kind(std::string_view name);
/// All their names: for messages.
std::string folder_kind_names();

/// Writes the model as a folder that Hugging Face's transformers loads: config.json, the
/// tokenizer's files, model.safetensors (in parts below 5 GB). Of kinds of numbers, matrices become
/// numbers of that type, those that `how` quantizes the numbers they then stand for; of others
/// linear layers keep codes and scales, and are all in memory until the folder is written. Throws
/// std::invalid_argument where a layer is not quantized, or its layout can't hold what it is. The
/// folder appears whole or not at all; throws edgerazor::io_error where it is there and not empty.
conversion write_folder(const model_file& input, const er::recipe& how, folder_kind kind,
                        const std::filesystem::path& folder, thread_pool& threads);

}  // namespace llm
