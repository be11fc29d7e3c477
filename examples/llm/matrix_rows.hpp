// SPDX-License-Identifier: Apache-2.0
/// The numbers of a checkpoint's matrix, as it is or by way of a format.
#pragma once

#include <optional>

#include "checkpoint.hpp"
#include "weight_source.hpp"
#include <edgerazor/product/row_lookup.hpp>

namespace llm {

[[nodiscard]] inline er::matrix_format dense_format(er::scale_kind element) {
  er::matrix_format fmt;
  fmt.element = element;
  return fmt;
}

/// Refers to the checkpoint and the tensor.
[[nodiscard]] inline row_source rows_of(const checkpoint& file, const stored_tensor& tensor) {
  return [&file, &tensor](er::row_range range, er::matrix_view<float> out) {
    file.read_rows(tensor, range, out);
  };
}
/// Refers to the matrix.
[[nodiscard]] inline row_source rows_of(const er::any_matrix& matrix) {
  return [&matrix](er::row_range range, er::matrix_view<float> out) {
    for (std::size_t r = 0; r < range.size(); ++r)
      er::look_up_row(matrix, range.begin + r, out.row(r));
  };
}

/// The tensor quantized, or rounded.
[[nodiscard]] inline er::any_matrix pack_tensor(const checkpoint& file, const stored_tensor& tensor,
                                                const er::matrix_format& fmt,
                                                thread_pool& threads) {
  return pack_by_blocks(tensor.name, fmt, tensor.rows, tensor.cols, rows_of(file, tensor), threads);
}

/// Rows as a format that the tensor is quantized to has them; without one, and where the format is
/// its own, as they are. Refers to the checkpoint and the tensor.
class matrix_rows {
 public:
  matrix_rows(const checkpoint& file, const stored_tensor& tensor,
              const std::optional<er::matrix_format>& through, thread_pool& threads)
      : original_(rows_of(file, tensor)) {
    if (through && through != tensor.format) matrix_ = pack_tensor(file, tensor, *through, threads);
    if (matrix_.rows() != 0) source_ = rows_of(matrix_);
  }
  matrix_rows(const matrix_rows&) = delete;

  [[nodiscard]] const row_source& original() const { return original_; }
  [[nodiscard]] const row_source& source() const { return source_ ? source_ : original_; }

 private:
  er::any_matrix matrix_;
  row_source original_, source_;
};

}  // namespace llm
