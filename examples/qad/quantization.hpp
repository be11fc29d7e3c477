// SPDX-License-Identifier: Apache-2.0
/// What a decoder's weights and states become under a recipe, still as floats: exactly what
/// examples/llm computes with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "decoder.hpp"
#include "parameters.hpp"
#include <edgerazor/policy/groups.hpp>

namespace qad {

/// Columns of a weight matrix, or of a linear layer's input, that share a scale, where nobody says
/// another number.
inline constexpr std::size_t group_columns = 64;

/// Recipes by the names of er::find_recipe, and two for plain rounding: "int3" and "int2" (linear
/// layers symmetric by the largest magnitude; the rest as w4_a8_kv8). "none" leaves everything as
/// it is.
class weight_quantizer {
 public:
  /// `group`: columns that share a scale. Fails where no recipe has that name.
  weight_quantizer(const shape& s, std::string_view recipe, std::size_t group = group_columns);

  /// Writes what `master` becomes to `out`: levels by the float32 scales, times the scales rounded
  /// to float16, as packed matrices hold them. Vectors are copied. No allocation. Fails where a
  /// weight is not finite.
  void apply(const parameters& master, parameters& out) const;
  /// The same of entry i alone: threads may share the work.
  void apply(std::size_t i, const parameters& master, parameters& out) const;

  [[nodiscard]] const state_quantization& states() const noexcept { return states_; }
  [[nodiscard]] const std::string& recipe() const noexcept { return recipe_; }

 private:
  using rounding = void (*)(er::matrix_view<const float> in, er::matrix_view<float> out,
                            const std::vector<std::uint8_t>& mask, er::column_group group);
  struct rule {
    rounding how;                    ///< null: copied
    std::vector<std::uint8_t> mask;  ///< groups of the higher precision
  };

  std::string recipe_;
  er::column_group group_;
  std::vector<rule> rules_;  ///< one for each of the parameters' entries
  state_quantization states_;
};

}  // namespace qad
