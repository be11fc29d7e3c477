/// Matrix products of row-major matrices on one thread, at most of the speed that the processor has: a tile of 6 rows
/// by two vectors stays in registers, a packed panel of the right factor in the first level of cache, a block of the
/// left one in the second (Goto and van de Geijn, doi 10.1145/1356052.1356053).
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <xsimd/xsimd.hpp>

namespace qad {

/// Element (i, j) lies at data[i * row_step + j * col_step]; one of the steps is 1. A transposed matrix is the same
/// memory with steps exchanged.
template <class Scalar>
struct factor {
  const Scalar* data;
  std::size_t rows, cols, row_step, col_step;

  [[nodiscard]] factor transposed() const noexcept { return {data, cols, rows, col_step, row_step}; }
};

enum class result { written, added };

/// Multiplies; owns the memory that packing takes. One thread at a time.
template <class Scalar>
class multiplier {
 public:
  /// c = a b or c += a b, where c is a.rows x b.cols with rows c_step apart. The order of every sum depends on the
  /// shapes alone.
  void operator()(const factor<Scalar>& a, const factor<Scalar>& b, Scalar* c, std::size_t c_step, result how) {
    for (std::size_t k = 0; k < a.cols; k += depth) {
      const std::size_t count = std::min(depth, a.cols - k);
      const bool add = how == result::added || k > 0;
      for (std::size_t j = 0; j < b.cols; j += breadth) {
        const std::size_t cols = std::min(breadth, b.cols - j);
        pack_right(b, k, count, j, cols);
        for (std::size_t i = 0; i < a.rows; i += height) {
          block(a, i, std::min(height, a.rows - i), k, count, cols, c + i * c_step + j, c_step, add);
        }
      }
    }
  }

 private:
  using reals = xsimd::batch<Scalar>;
  static constexpr std::size_t width = 2 * reals::size;  ///< of a tile
  static constexpr std::size_t strip = 6;                ///< rows of a tile
  static constexpr std::size_t depth = 256, height = 16 * strip, breadth = 512;

  /// Panels of `width` columns: [panel][k][column], zeros past the last column.
  void pack_right(const factor<Scalar>& b, std::size_t first, std::size_t count, std::size_t col, std::size_t cols) {
    right_.resize((cols + width - 1) / width * width * count);
    Scalar* to = right_.data();
    for (std::size_t j = 0; j < cols; j += width) {
      const std::size_t used = std::min(width, cols - j);
      const Scalar* from = b.data + first * b.row_step + (col + j) * b.col_step;
      for (std::size_t k = 0; k < count; ++k, to += width, from += b.row_step) {
        if (used == width && b.col_step == 1) {
          for (std::size_t x = 0; x < width; ++x) to[x] = from[x];
        } else {
          for (std::size_t x = 0; x < used; ++x) to[x] = from[x * b.col_step];
          std::fill(to + used, to + width, Scalar{0});
        }
      }
    }
  }

  /// Strips of rows: [strip][k][row]. The last strip is not filled up.
  void pack_left(const Scalar* from, std::size_t rows, std::size_t count, std::size_t row_step, std::size_t col_step) {
    left_.resize(height * depth);
    for (std::size_t i = 0; i < rows; i += strip) {
      const std::size_t used = std::min(strip, rows - i);
      Scalar* to = left_.data() + i * count;
      for (std::size_t k = 0; k < count; ++k, to += strip) {
        for (std::size_t x = 0; x < used; ++x) to[x] = from[(i + x) * row_step + k * col_step];
      }
    }
  }

  /// `rows` rows of c from row `first` of a, over all packed panels.
  void block(const factor<Scalar>& a, std::size_t first, std::size_t rows, std::size_t k, std::size_t count,
             std::size_t cols, Scalar* c, std::size_t c_step, bool add) {
    const Scalar* const from = a.data + first * a.row_step + k * a.col_step;
    const bool in_place = a.col_step == 1;
    if (!in_place) pack_left(from, rows, count, a.row_step, a.col_step);
    for (std::size_t j = 0; j < cols; j += width) {
      const Scalar* const panel = right_.data() + j * count;
      for (std::size_t i = 0; i < rows; i += strip) {
        const std::size_t high = std::min(strip, rows - i), wide = std::min(width, cols - j);
        if (in_place) {
          tile<true>(from + i * a.row_step, a.row_step, panel, count, c + i * c_step + j, c_step, high, wide, add);
        } else {
          tile<false>(left_.data() + i * count, 1, panel, count, c + i * c_step + j, c_step, high, wide, add);
        }
      }
    }
  }

  template <bool InPlace>
  static void tile(const Scalar* a, std::size_t a_step, const Scalar* panel, std::size_t count, Scalar* c,
                   std::size_t c_step, std::size_t high, std::size_t wide, bool add) {
    if (wide == width) return tile_rows<InPlace>(a, a_step, panel, count, c, c_step, high, add);
    Scalar whole[strip * width];
    tile_rows<InPlace>(a, a_step, panel, count, whole, width, high, false);
    for (std::size_t i = 0; i < high; ++i) {
      for (std::size_t j = 0; j < wide; ++j) c[i * c_step + j] = whole[i * width + j] + (add ? c[i * c_step + j] : 0);
    }
  }

  template <bool InPlace>
  static void tile_rows(const Scalar* a, std::size_t a_step, const Scalar* panel, std::size_t count, Scalar* c,
                        std::size_t c_step, std::size_t high, bool add) {
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

  /// The rows of a lie a_step apart, its columns next to each other; or, packed, the other way around.
  template <std::size_t Rows, bool InPlace>
  static void sums(const Scalar* a, std::size_t a_step, const Scalar* panel, std::size_t count, Scalar* c,
                   std::size_t c_step, bool add) {
    reals low[Rows], high[Rows];
#pragma GCC unroll 6
    for (std::size_t i = 0; i < Rows; ++i) low[i] = high[i] = reals(Scalar{0});
    for (std::size_t k = 0; k < count; ++k, panel += width) {
      const reals right_low = reals::load_unaligned(panel), right_high = reals::load_unaligned(panel + reals::size);
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
};

}  // namespace qad
