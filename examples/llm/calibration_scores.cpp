// SPDX-License-Identifier: Apache-2.0
#include "calibration_scores.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "matrix_rounding.hpp"
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace llm {

task_gradients::task_gradients(const std::string& path, std::span<const matrix_place> places,
                               thread_pool& threads)
    : file_(er::safetensors_reader::open(path)) {
  for (const matrix_place& place : places) {
    if (place.layer == matrix_place::no_layer) continue;
    const std::size_t rows = place.matrix->rows(), cols = place.matrix->cols();
    const std::vector<std::uint64_t> shape{rows, cols};
    const er::safetensors_tensor* const tensor = file_.find(place.name);
    if (tensor == nullptr || tensor->shape != shape || !er::is_decoded_float(tensor->dtype)) {
      const std::string has =
          tensor == nullptr ? "none"
                            : std::string{er::info_of(tensor->dtype).name} + tensor->shape_text();
      throw er::io_error(er::quoted(path, er::longest_path) +
                         " has no gradients of this model: of " + er::quoted(place.name) +
                         " floats of [" + std::to_string(rows) + ", " + std::to_string(cols) +
                         "] are expected, there are " + has);
    }
    threads.run(rows, [&](std::size_t r) {
      std::vector<float> values(cols);
      er::decode_floats(*tensor, r * cols, values);
      for (const float x : values) {
        if (x >= 0 && std::isfinite(x)) continue;
        throw er::io_error(er::quoted(path, er::longest_path) + ": the gradients of " +
                           er::quoted(place.name) + " have " +
                           (x < 0 ? "a negative number" : "a NaN or an infinity") +
                           ", expected sums of magnitudes");
      }
    });
  }
}

er::gradient_magnitudes task_gradients::rows(const matrix_place& place, er::row_range rows) const {
  const std::size_t cols = place.matrix->cols();
  std::vector<float> values(rows.size() * cols);
  er::decode_floats(file_.get(place.name), rows.begin * cols, values);
  er::gradient_magnitudes result(rows.size(), cols);
  result.add({values.data(), rows.size(), cols});
  return result;
}

std::vector<float> task_gradients::row_weights(const matrix_place& place,
                                               thread_pool& threads) const {
  const er::safetensors_tensor& tensor = file_.get(place.name);
  const std::size_t cols = place.matrix->cols();
  std::vector<double> sums(place.matrix->rows());
  threads.run(sums.size(), [&](std::size_t r) {
    std::vector<float> values(cols);
    er::decode_floats(tensor, r * cols, values);
    for (const float x : values) sums[r] += static_cast<double>(x);
  });
  // Relative to the largest, whose square might be none of a float.
  const double largest = *std::ranges::max_element(sums);
  std::vector<float> result;
  for (const double x : sums)
    result.push_back(largest > 0 ? static_cast<float>(x / largest * (x / largest)) : 1.0f);
  return result;
}

task_choice::task_choice(const task_gradients& gradients, std::span<const matrix_place> places,
                         std::vector<er::any_matrix> rounded, thread_pool& threads)
    : gradients_(gradients), places_(places), rounded_(std::move(rounded)) {
  // A tile needs its step j where the threshold is below the largest of its rows' j-th scores.
  std::vector<float> steps;
  std::size_t room = 0;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].layer == matrix_place::no_layer) continue;
    const er::any_matrix& matrix = *places[i].matrix;
    const std::size_t rows = matrix.rows(), cols = matrix.cols(), first = steps.size();
    room += sparse_room(rows, cols);
    const std::size_t tiles = (rows + er::tile_rows - 1) / er::tile_rows;
    steps.resize(first + tiles * cols);
    threads.run(tiles, [&](std::size_t tile) {
      const er::row_range range{tile * er::tile_rows, std::min(rows, (tile + 1) * er::tile_rows)};
      std::vector<float> weights(range.size() * cols);
      const er::matrix_view<float> view{weights.data(), range.size(), cols};
      for (std::size_t r = 0; r < view.rows; ++r)
        er::look_up_row(matrix, range.begin + r, view.row(r));
      std::vector<float> all = scores(i, range, view);
      float* const most = steps.data() + first + tile * cols;
      for (std::size_t r = 0; r < view.rows; ++r) {
        const std::span<float> row = std::span{all}.subspan(r * cols, cols);
        std::ranges::sort(row, std::greater{});
        for (std::size_t j = 0; j < cols; ++j) most[j] = std::max(most[j], row[j]);
      }
    });
  }
  if (room >= steps.size()) return;
  const auto place = steps.begin() + static_cast<std::ptrdiff_t>(room);
  std::ranges::nth_element(steps, place, std::greater{});
  threshold_ = *place;
}

std::vector<float> task_choice::scores(std::size_t place, er::row_range rows,
                                       er::matrix_view<const float> weights) const {
  std::vector<float> values(rows.size() * weights.cols);
  const er::matrix_view<float> view{values.data(), rows.size(), weights.cols};
  for (std::size_t r = 0; r < view.rows; ++r)
    er::look_up_row(rounded_[place], rows.begin + r, view.row(r));
  std::vector<float> result = er::tacq_scores(gradients_.rows(places_[place], rows), weights, view);
  for (float& x : result) {
    if (!(x > 0)) x = 0;  // a product that overflowed, of a weight of 0
  }
  return result;
}

std::vector<std::uint8_t> task_choice::mask(std::size_t place, er::row_range rows,
                                            er::matrix_view<const float> weights) const {
  const std::vector<float> all = scores(place, rows, weights);
  std::vector<std::uint8_t> result(all.size());
  std::ranges::transform(all, result.begin(), [&](float x) { return x > threshold_ ? 1 : 0; });
  return result;
}

}  // namespace llm
