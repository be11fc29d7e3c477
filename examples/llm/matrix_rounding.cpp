// SPDX-License-Identifier: Apache-2.0
#include "matrix_rounding.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <edgerazor/calibrate/awq.hpp>
#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/half_quadratic.hpp>
#include <edgerazor/calibrate/kept_weights.hpp>
#include <edgerazor/calibrate/low_rank_correction.hpp>
#include <edgerazor/calibrate/pruning_mask.hpp>
#include <edgerazor/calibrate/refine.hpp>
#include <edgerazor/calibrate/round_by_feedback.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/calibrate/slim_quant.hpp>
#include <edgerazor/calibrate/spqr.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace llm {

namespace {

/// Of slim's thin matrices: rows x rank, and rank x cols.
constexpr er::format u_format{er::code_type::int4, 0}, v_format{er::code_type::int4, 128};

/// The grid that a format stores.
er::level_grid grid_of(const er::format& fmt) {
  const er::codec_info& codec = er::codec_of(fmt.code);
  if (codec.of_table()) {
    throw std::invalid_argument(fmt.name() +
                                " has levels of each group's own, expected a format whose levels "
                                "are those of its codec");
  }
  if (fmt.zero != er::zero_kind::none) {
    return {0, static_cast<int>(codec.largest_code()), er::group_zero::real, fmt.group, fmt.scale};
  }
  return {codec.min_level, codec.max_level(), er::group_zero::none,
          fmt.group,       fmt.scale,         codec.level_step};
}

er::any_matrix pack(const er::format& fmt, const er::rounded_matrix& chosen) {
  const er::matrix_view<const float> scales{chosen.scales.data(), chosen.rows, chosen.groups()};
  const er::matrix_view<const float> zeros =
      chosen.zeros.empty()
          ? er::matrix_view<const float>{}
          : er::matrix_view<const float>{chosen.zeros.data(), chosen.rows, chosen.groups()};
  return er::pack_levels(
      fmt, er::matrix_view<const std::int16_t>{chosen.levels.data(), chosen.rows, chosen.cols},
      scales, zeros);
}

std::vector<float> values_of(const er::any_matrix& weights, thread_pool& threads) {
  std::vector<float> values(weights.rows() * weights.cols());
  const er::matrix_view<float> view{values.data(), weights.rows(), weights.cols()};
  threads.run(view.rows, [&](std::size_t r) { er::look_up_row(weights, r, view.row(r)); });
  return values;
}

std::vector<float> some_rows(er::matrix_view<const float> all, std::size_t step) {
  std::vector<float> result;
  for (std::size_t r = 0; r < all.rows; r += step)
    result.insert(result.end(), all.row(r).begin(), all.row(r).end());
  return result;
}

/// Judges every eighth row: an output error costs as much as an eighth of rounding. `values`: those
/// of `stored`, and what is kept beside it.
rounded judged(const rounding_job& job, er::any_matrix stored, const std::vector<float>& values) {
  constexpr std::size_t step = 8;
  const std::size_t cols = job.weights.cols;
  const std::vector<float> w = some_rows(job.weights, step),
                           q = some_rows({values.data(), job.weights.rows, cols}, step),
                           none(w.size());
  const auto view = [&](const std::vector<float>& rows) {
    return er::matrix_view<const float>{rows.data(), rows.size() / cols, cols};
  };
  return {std::move(stored),
          {},
          er::output_error(view(w), view(q), job.input.moments, job.threads),
          er::output_error(view(w), view(none), job.input.moments, job.threads)};
}

rounded judged(const rounding_job& job, const er::rounded_matrix& chosen) {
  return judged(job, pack(job.fmt, chosen), chosen.values());
}

/// Entries of the longest row of each tile, added up: the steps of the sparse matrix.
std::size_t sparse_steps(std::span<const er::sparse_entry> kept, std::size_t rows) {
  std::vector<std::size_t> counts(rows), longest((rows + er::tile_rows - 1) / er::tile_rows);
  for (const er::sparse_entry& one : kept) {
    std::size_t& most = longest[one.row / er::tile_rows];
    most = std::max(most, ++counts[one.row]);
  }
  return std::accumulate(longest.begin(), longest.end(), std::size_t{0});
}

/// Steps of a tile of the sparse matrix, on the average.
std::size_t steps_of(std::size_t cols) { return (3 * cols + 199) / 200; }

/// SpQR with the least threshold whose outliers have room: found on some of the tiles, and raised
/// where all of them need more.
er::spqr_result round_by_spqr(er::matrix_view<const float> w, const er::level_grid& grid,
                              const shared_input& input, thread_pool& threads) {
  er::spqr_options options;
  options.executor = threads;
  const er::fit_squared_error fit;
  const auto fits = [&](const er::spqr_result& result, std::size_t rows) {
    const std::size_t tiles = (rows + er::tile_rows - 1) / er::tile_rows;
    return sparse_steps(result.kept, rows) <= tiles * steps_of(w.cols);
  };
  constexpr std::size_t most_tiles = 8;
  const std::size_t tiles = w.rows / er::tile_rows;
  std::vector<float> sample;
  for (std::size_t i = 0; i < std::min(tiles, most_tiles); ++i) {
    const std::size_t first = i * tiles / std::min(tiles, most_tiles) * er::tile_rows;
    for (std::size_t r = first; r < first + er::tile_rows; ++r)
      sample.insert(sample.end(), w.row(r).begin(), w.row(r).end());
  }
  const er::matrix_view<const float> some{sample.data(), sample.size() / w.cols, w.cols};
  double low = 0x1p-7, high = 16;  // the published one is 0.2
  for (int i = 0; i < 7 && some.rows > 0; ++i) {
    options.threshold = std::sqrt(low * high);
    const bool room = fits(er::round_by_spqr(some, input.factor, grid, options, fit), some.rows);
    (room ? high : low) = options.threshold;
  }
  for (options.threshold = high;; options.threshold *= 1.25) {
    er::spqr_result result = er::round_by_spqr(w, input.factor, grid, options, fit);
    if (fits(result, w.rows)) return result;
  }
}

template <class Fit>
rounded to_nearest(const rounding_job& job, const Fit& fit,
                   std::span<const float> importance = {}) {
  return judged(job,
                er::round_to_nearest(job.weights, grid_of(job.fmt), fit, importance, job.threads));
}

er::feedback_result feedback(const rounding_job& job) {
  return er::round_by_feedback(job.weights, job.input.factor, grid_of(job.fmt),
                               er::fit_squared_error{}, {.executor = job.threads});
}

/// What a method keeps beside its codes.
rounded with_kept(const rounding_job& job, er::kept_result chosen) {
  rounded result = judged(job, pack(job.fmt, chosen.rounded), chosen.values());
  result.kept = std::move(chosen.kept);
  return result;
}

/// SLiM with what weighs by X^T X, of a whole matrix. The thin matrices take back the error of what
/// is stored, and what they leave is stored anew.
rounded round_by_slim(const rounding_job& job) {
  const std::size_t rows = job.weights.rows, cols = job.weights.cols;
  const std::vector<std::uint8_t> removed =
      er::wanda_mask(job.weights, job.input.importance, er::pruning_pattern::two_of_four());
  const auto stored = [&](er::matrix_view<const float> w) {
    const std::vector<float> remaining = er::without(w, removed);
    return pack(job.fmt,
                er::slim_quant(er::matrix_view<const float>{remaining.data(), rows, cols}, 4, {},
                               {.storage = job.fmt.scale, .executor = job.threads}));
  };
  const auto left_by = [&](const er::any_matrix& matrix) {
    std::vector<float> result = values_of(matrix, job.threads);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c)
        result[r * cols + c] = job.weights.row(r)[c] - result[r * cols + c];
    }
    return result;
  };
  const std::vector<float> error = left_by(stored(job.weights));
  const er::low_rank_factors thin =
      er::low_rank_correction(er::matrix_view<const float>{error.data(), rows, cols},
                              low_rank_of(rows, cols), job.input.moments);
  const er::any_matrix u = er::any_matrix::pack(
                           u_format, er::matrix_view<const float>{thin.u.data(), rows, thin.rank}),
                       v = er::any_matrix::pack(
                           v_format, er::matrix_view<const float>{thin.v.data(), thin.rank, cols});
  const er::any_matrix adapter = er::any_matrix::joined(er::low_rank{u, v});
  const std::vector<float> rest = left_by(adapter);
  const er::any_matrix base = stored({rest.data(), rows, cols});
  er::any_matrix both = er::any_matrix::joined(er::sum_of{base, adapter});
  const std::vector<float> values = values_of(both, job.threads);
  return judged(job, std::move(both), values);
}

const std::array methods = std::to_array<rounding_method>({
    {"rtn", [](const rounding_job& job) { return to_nearest(job, er::fit_extremes{}); }},
    {"mse",
     [](const rounding_job& job) {
       return to_nearest(job, er::fit_squared_error{}, job.input.importance);
     }},
    {"gptq", [](const rounding_job& job) { return judged(job, feedback(job).rounded); }},
    {"refined",
     [](const rounding_job& job) {
       er::rounded_matrix chosen = feedback(job).rounded;
       er::refine(job.weights, chosen, grid_of(job.fmt), job.input.moments,
                  {.executor = job.threads});
       return judged(job, chosen);
     }},
    {"awq",
     [](const rounding_job& job) {
       return to_nearest(job, er::fit_squared_error{}, job.input.importance);
     },
     true},
    {"hqq", [](const rounding_job& job) { return to_nearest(job, er::fit_half_quadratic{}); }},
    {"spqr",
     [](const rounding_job& job) {
       return with_kept(job, round_by_spqr(job.weights, grid_of(job.fmt), job.input, job.threads));
     },
     false, false, stored_beside::outliers},
    {"tacq",
     [](const rounding_job& job) {
       if (job.kept.data == nullptr) return judged(job, feedback(job).rounded);
       return with_kept(job, er::round_by_feedback_keeping(
                                 job.weights, job.kept, job.input.factor, grid_of(job.fmt),
                                 er::fit_squared_error{}, {.executor = job.threads}));
     },
     false, false, stored_beside::task_weights},
    {"slim", round_by_slim, false, false, stored_beside::low_rank},
    {"quarot", [](const rounding_job& job) { return judged(job, feedback(job).rounded); }, false,
     true},
});

/// Of those whose columns are scaled.
std::vector<linear*> sharing(layer& one, layer_input which) {
  if (which == layer_input::down) return {&one.down};
  if (which == layer_input::ffn) return {&one.gate, &one.up};
  return {&one.query, &one.key, &one.value};
}

/// AWQ's scales of the columns of matrices that share an input.
std::vector<float> column_scales(std::span<const er::any_matrix* const> matrices,
                                 const er::format& fmt, const shared_input& input,
                                 thread_pool& threads) {
  std::vector<std::vector<float>> values;
  std::vector<er::matrix_view<const float>> views;
  for (const er::any_matrix* matrix : matrices) {
    values.push_back(values_of(*matrix, threads));
    views.emplace_back(values.back().data(), matrix->rows(), matrix->cols());
  }
  return er::awq_scales(views, input.columns, input.moments, grid_of(fmt), er::fit_squared_error{},
                        {.rows = 128, .executor = threads})
      .scales;
}

/// The matrix as floats, rows and columns times these factors; empty: 1.
er::any_matrix scaled(const er::any_matrix& weights, std::span<const float> rows,
                      std::span<const float> cols, thread_pool& threads) {
  std::vector<float> values = values_of(weights, threads);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!rows.empty()) values[i] *= rows[i / weights.cols()];
    if (!cols.empty()) values[i] *= cols[i % weights.cols()];
  }
  return er::any_matrix::pack(
      er::matrix_format{},
      er::matrix_view<const float>{values.data(), weights.rows(), weights.cols()});
}

/// sum over the columns of importance * (w - q)^2 of some rows, rounded to nearest.
template <class Fit>
std::vector<double> errors_of(const er::any_matrix& weights, std::span<const std::uint32_t> rows,
                              const er::format& fmt, const Fit& fit,
                              std::span<const float> importance) {
  const std::size_t cols = weights.cols();
  std::vector<float> values(rows.size() * cols);
  const er::matrix_view<float> view{values.data(), rows.size(), cols};
  for (std::size_t r = 0; r < rows.size(); ++r) er::look_up_row(weights, rows[r], view.row(r));
  const er::rounded_matrix chosen =
      er::round_to_nearest(er::matrix_view<const float>{view}, grid_of(fmt), fit, importance);
  std::vector<double> result(rows.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error =
        static_cast<double>(values[i]) - static_cast<double>(chosen.value(i / cols, i % cols));
    result[i / cols] += static_cast<double>(importance[i % cols]) * error * error;
  }
  return result;
}

/// Some rows of a matrix, all where none are listed, as one packed matrix; what is kept of them in
/// `kept` of the result.
rounded round_rows(const er::any_matrix& weights, std::span<const std::uint32_t> rows,
                   const er::format& fmt, const rounding_method& method, const shared_input& input,
                   thread_pool& threads, const mask_source& kept) {
  std::optional<er::hadamard> rotation;
  if (method.rotates) rotation = rotation_of(weights.cols());
  constexpr std::size_t block_elements = std::size_t{1} << 21;
  const std::size_t all = rows.empty() ? weights.rows() : rows.size(), cols = weights.cols();
  const std::size_t block =
      std::max<std::size_t>(1, block_elements / (cols * er::tile_rows)) * er::tile_rows;
  er::packed_storage storage(er::tile_layout(fmt, all, cols));
  rounded result;
  std::vector<float> values;
  std::vector<std::uint8_t> mask;
  for (std::size_t begin = 0; begin < all; begin += block) {
    const std::size_t count = std::min(block, all - begin);
    values.resize(count * cols);
    const er::matrix_view<float> view{values.data(), count, cols};
    threads.run(count, [&](std::size_t r) {
      er::look_up_row(weights, rows.empty() ? begin + r : rows[begin + r], view.row(r));
      if (rotation) rotation->transform(view.row(r));
    });
    rounding_job job{view, fmt, input, threads};
    if (kept) {
      mask = kept({begin, begin + count}, view);
      job.kept = {mask.data(), count, cols};
    }
    const rounded part = method.round(job);
    // Tiles stand one after the other, and a block is whole tiles.
    const std::span<const std::byte> bytes = part.matrix.bytes();
    std::memcpy(storage.data() + begin / er::tile_rows * storage.layout().tile_bytes(),
                bytes.data(), bytes.size());
    result.error += part.error;
    result.energy += part.energy;
    for (er::sparse_entry one : part.kept) {
      one.row += begin;
      result.kept.push_back(one);
    }
  }
  result.matrix = er::any_matrix::owner_of(std::move(storage));
  return result;
}

}  // namespace

shared_input::shared_input(er::second_moments sums, er::column_statistics statistics)
    : moments(std::move(sums)),
      columns(std::move(statistics)),
      factor(er::damped_inverse_factor(moments)),
      importance(moments.mean_squares()) {}

er::hadamard rotation_of(std::size_t cols) {
  std::size_t order = cols;
  while (cols % order != 0 || !er::hadamard::has_order(order)) --order;
  return er::hadamard(order);
}

std::size_t sparse_room(std::size_t rows, std::size_t cols) {
  return (rows + er::tile_rows - 1) / er::tile_rows * steps_of(cols);
}

std::size_t sparse_bytes(std::size_t rows, std::size_t cols) {
  const std::size_t tiles = (rows + er::tile_rows - 1) / er::tile_rows;
  const std::size_t head = (4 * (tiles + 1) + 63) / 64 * 64;
  return head + sparse_room(rows, cols) * sizeof(er::sparse_step);
}

std::size_t low_rank_of(std::size_t rows, std::size_t cols) {
  return std::max<std::size_t>(1, std::min(rows, cols) / 10);
}

std::size_t low_rank_bytes(std::size_t rows, std::size_t cols) {
  const std::size_t rank = low_rank_of(rows, cols);
  return er::tile_layout(u_format, rows, rank).bytes() +
         er::tile_layout(v_format, rank, cols).bytes();
}

er::format low_rank_format() { return {er::code_type::int4, 0}; }

const rounding_method& method_by_name(std::string_view name) {
  std::string names;
  for (const rounding_method& one : methods) {
    if (one.name == name) return one;
    names += (names.empty() ? "" : ", ") + std::string{one.name};
  }
  throw std::invalid_argument("no method is called " + er::quoted(name) + "; there are " + names +
                              " and auto");
}

rounded round_matrix(const er::any_matrix& weights, const row_formats& formats,
                     const rounding_method& method, const shared_input& input, thread_pool& threads,
                     const mask_source& kept) {
  const std::size_t cols = weights.cols();
  if (method.whole_layers()) {
    const std::vector<float> values = values_of(weights, threads);
    return method.round({{values.data(), weights.rows(), cols}, formats.most, input, threads});
  }
  rounded result;
  if (formats.rows.empty()) {
    result = round_rows(weights, {}, formats.most, method, input, threads, kept);
    if (!result.kept.empty()) {
      const er::sparse_matrix beside(weights.rows(), cols, result.kept);
      result.matrix = er::any_matrix::joined(er::sum_of{result.matrix, beside});
    }
  } else {
    const std::size_t groups = er::tile_layout(formats.most, weights.rows(), cols).groups();
    std::vector<std::uint8_t> mask;
    for (const std::uint8_t most : formats.rows) mask.insert(mask.end(), groups, most);
    er::mixed_matrix mixed(formats.most, formats.fewer, weights.rows(), cols, mask);
    for (const er::mixed_matrix::segment& part : mixed.segments()) {
      const rounded one = round_rows(weights, {part.rows.data(), part.rows.size()},
                                     part.layout.fmt(), method, input, threads, {});
      std::ranges::copy(one.matrix.bytes(), mixed.data(part));
      result.error += one.error;
      result.energy += one.energy;
    }
    result.matrix = er::any_matrix::joined(er::matrix_part(mixed));
  }
  if (method.rotates)
    result.matrix = er::any_matrix::joined(er::rotated{rotation_of(cols), result.matrix});
  return result;
}

void fold_column_scales(layer& one, layer_input which, std::span<const float> s,
                        thread_pool& threads) {
  std::vector<float> inverse;
  for (const float x : s) inverse.push_back(1 / x);
  for (linear* part : sharing(one, which)) part->weights = scaled(part->weights, {}, s, threads);
  if (which == layer_input::down) {
    one.up.weights = scaled(one.up.weights, inverse, {}, threads);
    for (std::size_t r = 0; r < one.up.bias.size(); ++r) one.up.bias[r] *= inverse[r];
    return;
  }
  std::vector<float>& norm = which == layer_input::ffn ? one.ffn_norm : one.attention_norm;
  for (std::size_t c = 0; c < s.size(); ++c) norm[c] *= inverse[c];
}

void scale_columns(layer& one, const er::format& fmt, std::span<const shared_input> inputs,
                   thread_pool& threads) {
  for (const layer_input which : {layer_input::down, layer_input::ffn, layer_input::attention}) {
    std::vector<const er::any_matrix*> matrices;
    for (const linear* part : sharing(one, which)) matrices.push_back(&part->weights);
    fold_column_scales(
        one, which, column_scales(matrices, fmt, inputs[static_cast<std::size_t>(which)], threads),
        threads);
  }
}

double sampled_error(const er::any_matrix& weights, const er::format& fmt,
                     std::span<const float> importance) {
  const std::size_t step = std::max<std::size_t>(1, weights.rows() / 64);
  std::vector<std::uint32_t> rows;
  for (std::size_t r = 0; r < weights.rows(); r += step)
    rows.push_back(static_cast<std::uint32_t>(r));
  const std::vector<double> each =
      errors_of(weights, rows, fmt, er::fit_squared_error{}, importance);
  return std::accumulate(each.begin(), each.end(), 0.0);
}

std::vector<double> row_errors(const er::any_matrix& weights, const er::format& fmt,
                               std::span<const float> importance) {
  constexpr std::size_t block = 256;
  std::vector<double> result;
  std::vector<std::uint32_t> rows;
  for (std::size_t begin = 0; begin < weights.rows(); begin += block) {
    rows.resize(std::min(block, weights.rows() - begin));
    std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(begin));
    const std::vector<double> some = errors_of(weights, rows, fmt, er::fit_extremes{}, importance);
    result.insert(result.end(), some.begin(), some.end());
  }
  return result;
}

}  // namespace llm
