// SPDX-License-Identifier: Apache-2.0
/// "33 x 576": a shape as error messages write it.
#pragma once

#include <cstddef>
#include <string>

inline std::string shape_text(std::size_t rows, std::size_t cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}
