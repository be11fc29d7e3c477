// SPDX-License-Identifier: Apache-2.0
/// How the rows of a product are cut for a host's threads: into parts of a fixed number, or into
/// grains that an executor hands out.
///
/// Who takes which grain is the executor's choice. Grains are small, so that unequal cores finish
/// together; results have the bits of the undivided product whatever the choice.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/tile_layout.hpp>
#include <edgerazor/product/operands.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Part `index` of `parts` nearly equal parts of `rows` rows, cut at multiples of `tile_rows`. The
/// parts cover all rows once; the last ones are empty where there are fewer tiles than parts. Fails
/// where `parts` is 0 or over 2^32 - 1, or `index` is not below it.
[[nodiscard]] inline row_range split_rows(std::size_t rows, std::size_t parts, std::size_t index) {
  if (index >= parts) {
    detail::core::fail("split_rows: part " + std::to_string(index) + " of " +
                       std::to_string(parts) + ", expected a part below the number of parts");
  }
  if (parts > std::numeric_limits<std::uint32_t>::max()) {
    detail::core::fail("split_rows: " + std::to_string(parts) +
                       " parts, expected at most 4294967295");
  }
  // tiles * i / parts, in two terms that can't wrap: whole tiles a part, and those that are left.
  const std::size_t tiles = rows / tile_rows + (rows % tile_rows != 0 ? 1 : 0);
  const auto first_row = [&](std::size_t i) {
    const std::size_t tile = tiles / parts * i + tiles % parts * i / parts;
    return tile > rows / tile_rows ? rows : tile * tile_rows;
  };
  return {first_row(index), first_row(index + 1)};
}

/// The rows of a product in nearly equal grains [0, count()), each of whole tiles.
class row_grains {
 public:
  /// Weights that a grain multiplies with tokens, in bytes, at least: some three microseconds of a
  /// core that reads from DRAM, against a tenth of one to hand a grain out. Beyond `few_grains`, up
  /// to four times as many: where a grain ends, what was asked for ahead is another's, and the next
  /// one's beginning is waited for.
  static constexpr std::size_t min_grain_bytes = 32 * 1024, few_grains = 8, large_grain = 4;
  /// More grains do not improve load balance.
  static constexpr std::size_t max_grains = 256;

  row_grains() = default;
  /// `unit`: rows at whose multiples a grain may end; `bytes`: of all weights.
  row_grains(std::size_t rows, std::size_t unit, std::size_t bytes, std::size_t tokens) noexcept
      : rows_(rows), unit_(unit) {
    const std::size_t least =
        std::max<std::size_t>(1, min_grain_bytes / std::max<std::size_t>(1, tokens));
    const std::size_t wanted = std::clamp<std::size_t>(bytes / least, 1, large_grain * max_grains);
    count_ = std::min(units(), std::max(std::min(wanted, few_grains), wanted / large_grain));
    // A count that the usual numbers of threads divide, so that equal cores finish together too.
    count_ = count_ < few_grains ? std::bit_floor(count_) : count_ / few_grains * few_grains;
  }
  /// Of a matrix that `tokens` tokens are multiplied with.
  row_grains(const weight_ref& w, std::size_t tokens) noexcept
      : row_grains(w.rows(), w.row_unit(), w.bytes(), tokens) {}

  /// So many grains, as far as there are units for them.
  [[nodiscard]] static row_grains of_count(std::size_t rows, std::size_t unit,
                                           std::size_t count) noexcept {
    row_grains grains;
    grains.rows_ = rows, grains.unit_ = unit;
    grains.count_ = std::clamp<std::size_t>(count, 1, std::max<std::size_t>(1, grains.units()));
    return grains;
  }

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] row_range operator[](std::size_t grain) const noexcept {
    return {std::min(rows_, units() * grain / count_ * unit_),
            std::min(rows_, units() * (grain + 1) / count_ * unit_)};
  }

 private:
  [[nodiscard]] std::size_t units() const noexcept { return (rows_ + unit_ - 1) / unit_; }

  std::size_t rows_ = 0, unit_ = tile_rows, count_ = 0;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
