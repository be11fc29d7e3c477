// SPDX-License-Identifier: Apache-2.0
/// What ggml and ik_llama.cpp's ggml do in different ways: ggml_library.cpp has these functions for
/// the one, ik_llama_library.cpp for the other. Both have the same symbols, so a program links one.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>

#include "../support/spinning_threads.hpp"

namespace peers {

/// How the library stores the weights. `repacked`: through the CPU backend's own buffer type, which
/// interleaves rows; that is how llama.cpp loads Q4_0.
struct ggml_format {
  ggml_type type;
  bool repacked;

  [[nodiscard]] std::string name() const;
};

/// A format of ours and the one of theirs that is nearest.
struct pairing {
  const char* ours;
  ggml_format theirs;
};

[[nodiscard]] std::string_view library_name();
[[nodiscard]] std::span<const pairing> pairings();
/// Instruction sets that it was built for, as it says.
[[nodiscard]] std::string library_features();

/// std::runtime_error where there is none.
[[nodiscard]] ggml_backend_t new_cpu_backend();
/// Where weights are stored; std::runtime_error where the format has no such place.
[[nodiscard]] ggml_backend_buffer_type_t weight_buffer_type(ggml_format format);
/// From now on so many threads compute, kept on a processor each where the library can; until the
/// result is destroyed.
[[nodiscard]] std::shared_ptr<void> use_threads(ggml_backend_t backend, std::size_t threads,
                                                const bench::processors& processors);

/// Rows and columns as the format asks for: columns a multiple of its block, rows of those that it
/// interleaves.
void quantize_rows(ggml_type type, const float* values, std::byte* packed, std::size_t rows,
                   std::size_t cols);
/// The format's real numbers of one row of a matrix that quantize_rows has packed.
void dequantize_row(ggml_type type, const std::byte* packed, std::size_t row,
                    std::span<float> values);

}  // namespace peers
