// SPDX-License-Identifier: Apache-2.0
#include "calibration_formats.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <numeric>

#include "bit_budget.hpp"
#include <edgerazor/matrix/codec.hpp>
#include <edgerazor/matrix/tile_layout.hpp>

namespace llm {

namespace {

constexpr std::array codes{er::code_type::int2, er::code_type::int3, er::code_type::int4,
                           er::code_type::int5, er::code_type::int6, er::code_type::int8};

/// `count` rows in formats[most], the others in formats[fewer]; the same: all rows.
struct split {
  std::size_t most, fewer, count;
};

/// One matrix: what it may become, and which of its rows are the first to have more bits.
struct choices {
  std::vector<split> splits;
  std::vector<format_option> options;  ///< of each split
  std::vector<std::uint32_t> order;    ///< by cost, the largest first; empty: nothing is known
};

/// At most what a sum's own form adds.
constexpr std::size_t bytes_of_sum = 512;

/// At most the bytes of a mixed matrix beside its two parts.
std::size_t bytes_of_mask(std::size_t rows) { return 128 + rows / 8; }

choices choices_of(const matrix_place& place, std::span<const er::format> formats,
                   const matrix_sensitivity& known, const er::format& probe,
                   const rounding_method& method) {
  const er::any_matrix& matrix = *place.matrix;
  const double unit = sampled_error(matrix, probe, known.mean_squares);
  choices result;
  for (std::size_t f = 0; f < formats.size(); ++f) {
    const double error = sampled_error(matrix, formats[f], known.mean_squares);
    result.splits.push_back({f, f, matrix.rows()});
    result.options.push_back(
        {bytes_of(formats[f], place, method), unit > 0 ? known.divergence * error / unit : error});
  }
  if (known.row_weights.empty()) return result;
  std::vector<double> costs = row_errors(matrix, probe, known.mean_squares);
  for (std::size_t r = 0; r < costs.size(); ++r)
    costs[r] *= static_cast<double>(known.row_weights[r]);
  const double all = std::accumulate(costs.begin(), costs.end(), 0.0);
  if (!(all > 0)) return result;
  result.order.resize(matrix.rows());
  std::iota(result.order.begin(), result.order.end(), 0u);
  std::ranges::stable_sort(result.order,
                           [&](std::uint32_t a, std::uint32_t b) { return costs[a] > costs[b]; });
  const auto bytes_of_rows = [&](const er::format& fmt, std::size_t rows) {
    return er::tile_layout(fmt, rows, matrix.cols()).bytes();
  };
  double first = 0;  // part of the costs in the rows that have more bits
  for (std::size_t count = er::tile_rows; count < matrix.rows(); count += er::tile_rows) {
    for (std::size_t i = count - er::tile_rows; i < count; ++i)
      first += costs[result.order[i]] / all;
    for (std::size_t most = 0; most < formats.size(); ++most) {
      for (std::size_t fewer = 0; fewer < formats.size(); ++fewer) {
        if (result.options[most].bytes <= result.options[fewer].bytes) continue;
        result.splits.push_back({most, fewer, count});
        result.options.push_back(
            {(method.rotates ? bytes_of_sum : 0) + bytes_of_mask(matrix.rows()) +
                 bytes_of_rows(formats[most], count) +
                 bytes_of_rows(formats[fewer], matrix.rows() - count),
             first * result.options[most].cost + (1 - first) * result.options[fewer].cost});
      }
    }
  }
  return result;
}

/// What a matrix has where the method's others have `fmt`.
er::format format_of(const er::format& fmt, const matrix_place& place,
                     const rounding_method& method) {
  const bool in_layer = place.layer != matrix_place::no_layer;
  return method.whole_layers() && in_layer ? low_rank_format() : fmt;
}

/// At most what is stored of a matrix beside its codes.
std::size_t bytes_beside(const matrix_place& place, const rounding_method& method) {
  const std::size_t rows = place.matrix->rows(), cols = place.matrix->cols();
  const bool in_layer = place.layer != matrix_place::no_layer;
  switch (method.beside) {
    case stored_beside::nothing:
      break;
    case stored_beside::outliers:
      return sparse_bytes(rows, cols);
    case stored_beside::task_weights:
      return in_layer ? sparse_bytes(rows, cols) : 0;
    case stored_beside::low_rank:
      return in_layer ? low_rank_bytes(rows, cols) : 0;
  }
  return 0;
}

}  // namespace

std::vector<er::format> candidate_formats(std::size_t group, bool plain, bool zeros) {
  std::vector<er::format> result;
  for (const er::code_type code : codes) {
    er::format fmt{code, static_cast<std::uint32_t>(group)};
    if (plain) result.push_back(fmt);
    if (!zeros || !er::codec_of(code).has_zero_form()) continue;
    fmt.zero = er::zero_kind::point;
    result.push_back(fmt);
  }
  return result;
}

std::vector<er::format> two_level_formats() {
  std::vector<er::format> result;
  for (const er::code_type code : {er::code_type::int2, er::code_type::int3, er::code_type::int4}) {
    er::format fmt{code, 16};
    fmt.zero = er::zero_kind::point;
    fmt.two_level = true;
    result.push_back(fmt);
  }
  return result;
}

std::size_t bytes_of(const er::format& fmt, const matrix_place& place,
                     const rounding_method& method) {
  const std::size_t rows = place.matrix->rows(), cols = place.matrix->cols();
  const er::format own = format_of(fmt, place, method);
  const std::size_t packed = er::tile_layout(own, rows, cols).bytes();
  const std::size_t beside = bytes_beside(place, method);
  return beside > 0 || method.rotates ? packed + beside + bytes_of_sum : packed;
}

std::size_t smallest_bytes(std::span<const matrix_place> places,
                           std::span<const er::format> formats, const rounding_method& method) {
  std::size_t sum = 0;
  for (const matrix_place& place : places) {
    std::size_t least = std::numeric_limits<std::size_t>::max();
    for (const er::format& fmt : formats) least = std::min(least, bytes_of(fmt, place, method));
    sum += least;
  }
  return sum;
}

std::vector<row_formats> uniform_formats(std::span<const matrix_place> places,
                                         std::span<const er::format> formats,
                                         const rounding_method& method, std::size_t budget) {
  const auto total = [&](const er::format& layers, const er::format& others) {
    std::size_t sum = 0;
    for (const matrix_place& place : places) {
      sum += bytes_of(place.layer == matrix_place::no_layer ? others : layers, place, method);
    }
    return sum;
  };
  const auto finest = [&](const auto& bytes) -> const er::format* {
    const er::format* best = nullptr;
    for (const er::format& fmt : formats) {
      if (bytes(fmt) <= budget) best = &fmt;
    }
    return best;
  };
  const er::format* const all = finest([&](const er::format& fmt) { return total(fmt, fmt); });
  if (all == nullptr) return {};
  const er::format* const rest = finest([&](const er::format& fmt) { return total(*all, fmt); });
  std::vector<row_formats> result;
  for (const matrix_place& place : places) {
    const bool in_layer = place.layer != matrix_place::no_layer;
    result.push_back({format_of(in_layer ? *all : *rest, place, method)});
  }
  return result;
}

std::vector<row_formats> fitting_formats(std::span<const matrix_place> places,
                                         std::span<const er::format> formats,
                                         std::span<const matrix_sensitivity> known,
                                         const er::format& probe, const rounding_method& method,
                                         std::size_t budget, thread_pool& threads) {
  std::vector<choices> each(places.size());
  threads.run(places.size(), [&](std::size_t i) {
    each[i] = choices_of(places[i], formats, known[i], probe, method);
  });
  std::vector<std::vector<format_option>> options;
  for (choices& one : each) options.push_back(std::move(one.options));
  const std::vector<std::size_t> chosen = spend_bits(options, budget);
  std::vector<row_formats> result;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const split& one = each[i].splits[chosen[i]];
    row_formats& has = result.emplace_back(row_formats{formats[one.most], formats[one.fewer]});
    if (one.most == one.fewer) continue;
    has.rows.resize(places[i].matrix->rows());
    for (std::size_t r = 0; r < one.count; ++r) has.rows[each[i].order[r]] = 1;
  }
  return result;
}

}  // namespace llm
