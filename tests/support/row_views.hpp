// SPDX-License-Identifier: Apache-2.0
/// Numbers as a matrix of so many rows. Tests only.
#pragma once

#include <cstddef>
#include <vector>

#include <edgerazor/core/views.hpp>

namespace row_views {

inline edgerazor::matrix_view<const float> view(const std::vector<float>& numbers,
                                                std::size_t rows) {
  return {numbers.data(), rows, numbers.size() / rows};
}
inline edgerazor::matrix_view<float> into(std::vector<float>& numbers, std::size_t rows) {
  return {numbers.data(), rows, numbers.size() / rows};
}

}  // namespace row_views
