// SPDX-License-Identifier: Apache-2.0
/// What the user asks for: the command line's values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "geometry.hpp"
#include "sampler.hpp"
#include <edgerazor/policy/recipe.hpp>

namespace llm {

/// How matrices are quantized, where they are.
struct quantize_options {
  std::string recipe = "none";
  std::size_t group = 0;  ///< columns a scale; 0: by the model's shape
  std::string ternary = "ternary5";
  std::vector<std::string> overrides;  ///< "pattern=format", added to the recipe's rules in order
};

/// Where and how fast it runs.
struct run_options {
  std::size_t threads = 1;
  std::string kernel;  ///< empty: the fastest
};

struct generate_options {
  std::string model, prompt;
  bool chat = false, raw = false, no_thinking = false;
  std::string tools;   ///< file; empty: none
  std::string layout;  ///< in place of the one that the chat template has; empty: that one
  std::optional<std::string> system;  ///< in place of the template's system message
  std::size_t tokens = 256, context = 4096;
  sampling how;
  quantize_options quantize;
  run_options run;
};

struct convert_options {
  std::string model, output, exported;
  std::string target;  ///< kind of folder; empty: a GGUF file
  quantize_options quantize;
  run_options run;
};

struct inspect_options {
  std::string model, json;
};

struct calibrate_options {
  std::string model, output, text, method = "auto", gradients, picture, json;
  double bits = 4.6;  ///< a weight, the whole file counted
  std::size_t windows = 32, window = 512, group = 64;
  bool rotate = false;  ///< columns by a Hadamard matrix, whatever the method
  run_options run;
};

struct off_grid_options {
  std::string model, output;
  std::uint64_t seed = 1;
};

struct compare_options {
  std::string model, text, json, keep;
  std::vector<std::string> recipes{"w4_a8_kv8", "w2_79_a8_kv8", "w1_88_a8_kv8", "w1_58_a8_kv8"};
  std::vector<std::string> also;     ///< files of the same model, quantized before
  std::vector<std::string> methods;  ///< of calibration, in place of recipes
  std::vector<double> bits{4.63};    ///< for each of them
  bool rotate = false;               ///< as calibrate_options has it
  std::string calibration_text, gradients;
  std::size_t calibration_windows = 32;
  std::size_t window = 512, prompt_tokens = 256, decoded_tokens = 32, rounds = 3;
  quantize_options quantize;
  run_options run;
};

struct bench_options {
  std::string model, shape, json;
  std::vector<std::string> recipes{"w16", "w4_a8_kv8", "w2_79_a8_kv8", "w1_88_a8_kv8",
                                   "w1_58_a8_kv8"};
  std::size_t prompt_tokens = 128, decoded_tokens = 32, rounds = 3;
  bool profile = false;
  quantize_options quantize;
  run_options run;
};

struct model_file;

void generate(const generate_options& options);
void convert(const convert_options& options);
void inspect(const inspect_options& options);
void calibrate(const calibrate_options& options);
void off_grid(const off_grid_options& options);
void compare(const compare_options& options);
void bench(const bench_options& options);

/// The recipe of that name for a model of this shape: the group the user names, or the one that
/// fits.
edgerazor::recipe recipe_for(const std::string& name, const quantize_options& options,
                             const geometry& shape);

/// Those of a table's rows: `names`, or for a file that is packed already one that has its recipe's
/// name and changes nothing. Throws std::invalid_argument where the user has chosen others for such
/// a file.
std::vector<edgerazor::recipe> recipes_for(const std::vector<std::string>& names, bool chosen,
                                           const quantize_options& options, const model_file& file);

/// At most `wanted` tokens of a prompt, so that `decoded` more fit into the model's context. Throws
/// std::invalid_argument where that leaves none.
std::size_t prompt_room(std::size_t wanted, std::size_t decoded, const geometry& shape);

}  // namespace llm
