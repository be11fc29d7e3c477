// SPDX-License-Identifier: Apache-2.0
/// Which formats the matrices of a model get under a budget: one for all, or each what its
/// sensitivity asks for, by matrix and by row.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "matrix_rounding.hpp"
#include "sensitivity.hpp"
#include "thread_pool.hpp"
#include <edgerazor/matrix/format.hpp>

namespace llm {

/// What a matrix may become, from few bits to many: groups of so many columns, without zeros
/// (`plain`), with them, or both.
std::vector<er::format> candidate_formats(std::size_t group, bool plain, bool zeros);
/// SpQR's.
std::vector<er::format> two_level_formats();

/// At most the bytes of a matrix, with what a method stores beside it and what a sum's own form
/// adds. A method whose layers have one format takes that for them.
std::size_t bytes_of(const er::format& fmt, const matrix_place& place,
                     const rounding_method& method);

/// At most the bytes of all matrices, each in the format that takes least.
std::size_t smallest_bytes(std::span<const matrix_place> places,
                           std::span<const er::format> formats, const rounding_method& method);

/// One format for all, the finest that fits, and what is left over to embedding and head. Empty
/// where the smallest takes more than `budget` bytes.
std::vector<row_formats> uniform_formats(std::span<const matrix_place> places,
                                         std::span<const er::format> formats,
                                         const rounding_method& method, std::size_t budget);

/// For every matrix the format, or of one whose rows' weights are known the two formats and which
/// rows have which, so that the costs together are about the least there are under `budget`. Empty
/// where the smallest formats take more.
///
///     cost of a format = divergence of the probe * error(format) / error(probe)
///
/// errors those of rounding to nearest, columns weighted by their mean squares: the divergence is
/// quadratic in a small change of the outputs. It is the sum of its rows' costs,
///
///     cost of a row ~ weight(row) * error(row)
///
/// and the rows of the largest costs, in tiles of 16, have the format of more bits.
std::vector<row_formats> fitting_formats(std::span<const matrix_place> places,
                                         std::span<const er::format> formats,
                                         std::span<const matrix_sensitivity> known,
                                         const er::format& probe, const rounding_method& method,
                                         std::size_t budget, thread_pool& threads);

}  // namespace llm
