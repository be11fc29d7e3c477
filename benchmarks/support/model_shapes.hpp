// SPDX-License-Identifier: Apache-2.0
/// The weight matrices of models people run, by name: what a shape in a benchmark stands for.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// Rows are output features, columns the reduced dimension.
struct shape {
  std::size_t rows = 0, cols = 0;

  friend constexpr bool operator==(const shape&, const shape&) = default;
  [[nodiscard]] std::string name() const {
    return std::to_string(rows) + 'x' + std::to_string(cols);
  }
};

/// One matrix of a layer, or the head.
struct layer_matrix {
  std::string_view model, name;
  shape size;
};

/// Columns that share a scale: 256, but 64 where 256 doesn't divide the model's width.
struct known_model {
  std::string_view name;
  std::size_t group;
};
inline constexpr std::array models{known_model{"qwen3-0.6b", 256}, known_model{"qwen3-1.7b", 256},
                                   known_model{"smollm2-135m", 64},
                                   known_model{"mobilellm-350m", 64}, known_model{"7b", 256}};

// clang-format off
inline constexpr std::array layer_matrices{
    layer_matrix{"qwen3-0.6b", "q", {2048, 1024}},
    layer_matrix{"qwen3-0.6b", "k and v", {1024, 1024}},
    layer_matrix{"qwen3-0.6b", "o", {1024, 2048}},
    layer_matrix{"qwen3-0.6b", "gate and up", {3072, 1024}},
    layer_matrix{"qwen3-0.6b", "down", {1024, 3072}},
    layer_matrix{"qwen3-0.6b", "head", {151936, 1024}},

    layer_matrix{"qwen3-1.7b", "q and o", {2048, 2048}},
    layer_matrix{"qwen3-1.7b", "k and v", {1024, 2048}},
    layer_matrix{"qwen3-1.7b", "gate and up", {6144, 2048}},
    layer_matrix{"qwen3-1.7b", "down", {2048, 6144}},
    layer_matrix{"qwen3-1.7b", "head", {151936, 2048}},

    layer_matrix{"smollm2-135m", "q and o", {576, 576}},
    layer_matrix{"smollm2-135m", "k and v", {192, 576}},
    layer_matrix{"smollm2-135m", "gate and up", {1536, 576}},
    layer_matrix{"smollm2-135m", "down", {576, 1536}},
    layer_matrix{"smollm2-135m", "head", {49152, 576}},

    layer_matrix{"mobilellm-350m", "q and o", {960, 960}},
    layer_matrix{"mobilellm-350m", "k and v", {320, 960}},
    layer_matrix{"mobilellm-350m", "gate and up", {2560, 960}},
    layer_matrix{"mobilellm-350m", "down", {960, 2560}},
    layer_matrix{"mobilellm-350m", "head", {32000, 960}},

    layer_matrix{"7b", "q, k, v and o", {4096, 4096}},
    layer_matrix{"7b", "gate and up", {11008, 4096}},
    layer_matrix{"7b", "down", {4096, 11008}},
    layer_matrix{"7b", "head", {32000, 4096}},
};
// clang-format on

/// "qwen3-0.6b gate and up": every matrix of that shape.
[[nodiscard]] inline std::string matrices_of_shape(shape size) {
  std::string text;
  for (const layer_matrix& matrix : layer_matrices) {
    if (matrix.size != size) continue;
    if (!text.empty()) text += "; ";
    text.append(matrix.model).append(" ").append(matrix.name);
  }
  return text;
}

}  // namespace bench
