// SPDX-License-Identifier: Apache-2.0
/// Formats, scales and zeros of a model that `llm calibrate` or another program has rounded: a
/// student that starts from it keeps them, and moves its weights from code to code.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "parameters.hpp"
#include <edgerazor/matrix/format.hpp>

namespace qad {

/// The name of that among recipes.
inline constexpr std::string_view calibrated_recipe = "calibrated";

/// Of one matrix; a group is `fmt.group` columns of a row.
struct matrix_grid {
  er::format fmt;
  std::size_t groups = 0;            ///< of a row
  std::vector<float> scales, zeros;  ///< rows x groups; no zeros where the format has none
};

/// One for each entry of weight_layout(shape), nothing for vectors.
using calibrated_grids = std::vector<matrix_grid>;

/// Those of a packed model of that shape. Throws edgerazor::io_error, naming the matrix, where one
/// is not codes with a scale for each group (mixed formats, sums, levels of a group's own,
/// statistics of two levels, real numbers), or groups are not of one number of columns throughout:
/// the inputs of products are rounded in the same ones.
std::shared_ptr<const calibrated_grids> read_grids(const std::filesystem::path& model,
                                                   const shape& s);

}  // namespace qad
