// SPDX-License-Identifier: Apache-2.0
/// Matrix products of row-major matrices on one thread, at most of the speed that the processor
/// has: a tile of 6 rows by two vectors stays in registers, a packed panel of the right factor in
/// the first level of cache, a block of the left one in the second (Goto and van de Geijn, doi
/// 10.1145/1356052.1356053).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include <xsimd/xsimd.hpp>

#include "step_clock.hpp"

namespace qad {

/// Element (i, j) lies at data[i * row_step + j * col_step]; one of the steps is 1. A transposed
/// matrix is the same memory with steps exchanged.
template <class Scalar>
struct factor {
  const Scalar* data;
  std::size_t rows, cols, row_step, col_step;

  [[nodiscard]] factor transposed() const noexcept {
    return {data, cols, rows, col_step, row_step};
  }
};

enum class result { written, added };

/// Elements that need no work.
enum class skip {
  none,
  above_diagonal_of_result,  ///< may be left as they are, or not: the caller reads none of them
  above_diagonal_of_left,    ///< are zero
  below_diagonal_of_left     ///< are zero
};

/// Multiplies; owns the memory that packing takes. One thread at a time.
template <class Scalar>
class multiplier {
 public:
  /// c = a b or c += a b, where c is a.rows x b.cols with rows c_step apart. The order of every sum
  /// depends on the shapes alone.
  void operator()(const factor<Scalar>& a, const factor<Scalar>& b, Scalar* c, std::size_t c_step,
                  result how, skip unused = skip::none) {
    const double start = thread_seconds();
    const std::size_t steps = (a.cols + depth - 1) / depth;
    for (std::size_t step = 0, k = 0; step < steps; ++step) {  // of equal lengths, or nearly so
      const std::size_t count = a.cols * (step + 1) / steps - k;
      const bool add = how == result::added || k > 0;
      for (std::size_t j = 0; j < b.cols; j += breadth) {
        const std::size_t cols = std::min(breadth, b.cols - j);
        pack_right(b, k, count, j, cols);
        for (std::size_t i = 0; i < a.rows; i += height) {
          block(a, {i, std::min(height, a.rows - i), k, count, j, cols}, c + i * c_step + j, c_step,
                add, unused);
        }
      }
      k += count;
    }
    seconds_ += thread_seconds() - start;
    operations_ += (unused == skip::none ? 2.0 : 1.0) * static_cast<double>(a.rows) *
                   static_cast<double>(a.cols) * static_cast<double>(b.cols);
  }

  /// Of all products so far, in time on a processor; of triangles half of the square's
  /// multiplications and additions.
  [[nodiscard]] double seconds() const noexcept { return seconds_; }
  [[nodiscard]] double operations() const noexcept { return operations_; }

 private:
  using reals = xsimd::batch<Scalar>;
  static constexpr std::size_t width = 2 * reals::size;  ///< of a tile
  static constexpr std::size_t strip = 6;                ///< rows of a tile
  static constexpr std::size_t depth = 320, height = 16 * strip, breadth = 512;

  /// `count` steps of `Size` elements each, next to each other: to[k][x] = from[x * inner + k *
  /// outer], zero where x >= used.
  template <std::size_t Size>
  static void pack(const Scalar* from, std::size_t used, std::size_t inner, std::size_t outer,
                   std::size_t count, Scalar* to) {
    if (used == Size && inner == 1) {
      for (std::size_t k = 0; k < count; ++k, to += Size, from += outer)
        std::memcpy(to, from, Size * sizeof(Scalar));
    } else if (used == Size) {
      for (std::size_t k = 0; k < count; ++k, to += Size, from += outer) {
#pragma GCC unroll 16
        for (std::size_t x = 0; x < Size; ++x) to[x] = from[x * inner];
      }
    } else {
      for (std::size_t k = 0; k < count; ++k, to += Size, from += outer) {
        for (std::size_t x = 0; x < Size; ++x) to[x] = x < used ? from[x * inner] : Scalar{0};
      }
    }
  }

  /// Panels of `width` columns: [panel][k][column], zeros past the last column.
  void pack_right(const factor<Scalar>& b, std::size_t first, std::size_t count, std::size_t col,
                  std::size_t cols) {
    right_.resize((cols + width - 1) / width * width * count);
    for (std::size_t j = 0; j < cols; j += width) {
      pack<width>(b.data + first * b.row_step + (col + j) * b.col_step, std::min(width, cols - j),
                  b.col_step, b.row_step, count, right_.data() + j * count);
    }
  }

  /// Strips of rows: [strip][k][row], zeros past the last row.
  void pack_left(const Scalar* from, std::size_t rows, std::size_t count, std::size_t row_step,
                 std::size_t col_step) {
    left_.resize(height * depth);
    for (std::size_t i = 0; i < rows; i += strip) {
      pack<strip>(from + i * row_step, std::min(strip, rows - i), row_step, col_step, count,
                  left_.data() + i * count);
    }
  }

  /// What one packing serves: rows of a and c, columns of a, columns of b and c.
  struct extent {
    std::size_t row, rows, k, count, col, cols;
  };

  void block(const factor<Scalar>& a, const extent& e, Scalar* c, std::size_t c_step, bool add,
             skip unused) {
    const Scalar* const from = a.data + e.row * a.row_step + e.k * a.col_step;
    const bool in_place = a.col_step == 1;
    if (!in_place) pack_left(from, e.rows, e.count, a.row_step, a.col_step);
    for (std::size_t j = 0; j < e.cols; j += width) {
      for (std::size_t i = 0; i < e.rows; i += strip) {
        const std::size_t high = std::min(strip, e.rows - i), wide = std::min(width, e.cols - j);
        const std::size_t row = e.row + i, row_end = row + high;
        if (unused == skip::above_diagonal_of_result && e.col + j >= row_end) continue;
        std::size_t first = 0, last = e.count;
        if (unused == skip::above_diagonal_of_left)
          last = std::clamp(row_end, e.k, e.k + e.count) - e.k;
        if (unused == skip::below_diagonal_of_left)
          first = std::clamp(row, e.k, e.k + e.count) - e.k;
        const Scalar* const panel = right_.data() + j * e.count + first * width;
        Scalar* const to = c + i * c_step + j;
        if (in_place) {
          tile<true>(from + i * a.row_step + first, a.row_step, panel, last - first, to, c_step,
                     high, wide, add);
        } else {
          tile<false>(left_.data() + i * e.count + first * strip, 1, panel, last - first, to,
                      c_step, high, wide, add);
        }
      }
    }
  }

  template <bool InPlace>
  static void tile(const Scalar* a, std::size_t a_step, const Scalar* panel, std::size_t count,
                   Scalar* c, std::size_t c_step, std::size_t high, std::size_t wide, bool add) {
    if (wide == width) return tile_rows<InPlace>(a, a_step, panel, count, c, c_step, high, add);
    Scalar whole[strip * width];
    tile_rows<InPlace>(a, a_step, panel, count, whole, width, high, false);
    for (std::size_t i = 0; i < high; ++i) {
      for (std::size_t j = 0; j < wide; ++j)
        c[i * c_step + j] = whole[i * width + j] + (add ? c[i * c_step + j] : 0);
    }
  }

  template <bool InPlace>
  static void tile_rows(const Scalar* a, std::size_t a_step, const Scalar* panel, std::size_t count,
                        Scalar* c, std::size_t c_step, std::size_t high, bool add) {
    switch (high) {
      case 6:
        return sums<6, InPlace>(a, a_step, panel, count, c, c_step, add);
      case 5:
        return sums<5, InPlace>(a, a_step, panel, count, c, c_step, add);
      case 4:
        return sums<4, InPlace>(a, a_step, panel, count, c, c_step, add);
      case 3:
        return sums<3, InPlace>(a, a_step, panel, count, c, c_step, add);
      case 2:
        return sums<2, InPlace>(a, a_step, panel, count, c, c_step, add);
      default:
        return sums<1, InPlace>(a, a_step, panel, count, c, c_step, add);
    }
  }

  /// The rows of a lie a_step apart, its columns next to each other; or, packed, the other way
  /// around.
  template <std::size_t Rows, bool InPlace>
  static void sums(const Scalar* a, std::size_t a_step, const Scalar* panel, std::size_t count,
                   Scalar* c, std::size_t c_step, bool add) {
    reals low[Rows], high[Rows];
#pragma GCC unroll 6
    for (std::size_t i = 0; i < Rows; ++i) {
      low[i] = high[i] = reals(Scalar{0});
      __builtin_prefetch(c + i * c_step, 1);
      __builtin_prefetch(c + i * c_step + width - 1, 1);
    }
    for (std::size_t k = 0; k < count; ++k, panel += width) {
      const reals right_low = reals::load_unaligned(panel),
                  right_high = reals::load_unaligned(panel + reals::size);
#pragma GCC unroll 6
      for (std::size_t i = 0; i < Rows; ++i) {
        const reals left(InPlace ? a[i * a_step + k] : a[k * strip + i]);
        low[i] = xsimd::fma(left, right_low, low[i]);
        high[i] = xsimd::fma(left, right_high, high[i]);
      }
    }
#pragma GCC unroll 6
    for (std::size_t i = 0; i < Rows; ++i) {
      Scalar* const to = c + i * c_step;
      if (add) {
        low[i] += reals::load_unaligned(to);
        high[i] += reals::load_unaligned(to + reals::size);
      }
      low[i].store_unaligned(to);
      high[i].store_unaligned(to + reals::size);
    }
  }

  std::vector<Scalar> left_, right_;
  double seconds_ = 0, operations_ = 0;
};

}  // namespace qad
