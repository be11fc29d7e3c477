/// The check that keeps NaN and infinity out of quantized data.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor::inline v0 {

/// Fails on the first element (row-major) that is NaN or infinite, naming `what`, its row and its column.
/// `first_row` is added to the row named, where the view is a part of a larger matrix.
template <real_element T>
void require_finite(matrix_view<T> matrix, const char* what, std::size_t first_row = 0) {
  for (std::size_t r = 0; r < matrix.rows; ++r) {
    const auto row = matrix.row(r);
    for (std::size_t c = 0; c < row.size(); ++c) {
      const float value = row[c];
      if (std::isfinite(value)) continue;
      fail(std::string{what} + ": expected finite values, got " + (std::isnan(value) ? "NaN" : "infinity") + " at row " +
           std::to_string(first_row + r) + ", column " + std::to_string(c));
    }
  }
}

}  // namespace edgerazor::inline v0
