// SPDX-License-Identifier: Apache-2.0
/// Rows of numbers in the caller's memory, whatever their element type: what the engines read and
/// write. Engines work through a row in blocks that fit the first cache, as floats or doubles.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include <edgerazor/core/float16.hpp>

#if EDGERAZOR_FAST_MATH
#error \
    "edgerazor's losses need float arithmetic as written: compile the files that include them \
without -ffast-math, -Ofast and their parts (-fno-fast-math after them); <edgerazor/quant.hpp> \
may keep the flags"
#endif

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Columns a block: a multiple of twice every vector's length.
inline constexpr std::size_t block_cols = 512;

enum class element : std::uint8_t { float32, float16, bfloat16, float64 };

template <class T>
constexpr element element_of() noexcept {
  using type = std::remove_const_t<T>;
  static_assert(real_element<type> || std::is_same_v<type, double>,
                "a loss reads and writes elements that satisfy real_element: float, float16 or "
                "bfloat16");
  if constexpr (std::is_same_v<type, edgerazor::float16>) return element::float16;
  if constexpr (std::is_same_v<type, edgerazor::bfloat16>) return element::bfloat16;
  if constexpr (std::is_same_v<type, double>) return element::float64;
  return element::float32;
}
[[nodiscard]] constexpr std::size_t size_of(element type) noexcept {
  return type == element::float64 ? 8 : type == element::float32 ? 4 : 2;
}

/// visit(data) with the type the elements have.
template <class Void, class Visit>
decltype(auto) with_elements(Void* data, element type, Visit&& visit) noexcept {
  const auto as = [&]<class T>(T) -> decltype(auto) {
    return visit(static_cast<std::conditional_t<std::is_const_v<Void>, const T, T>*>(data));
  };
  if (type == element::float16) return as(float16{});
  if (type == element::bfloat16) return as(bfloat16{});
  if (type == element::float64) return as(double{});
  return as(float{});
}

/// Columns [0, cols) in blocks: visit(first, count).
template <class Visit>
void for_each_block(std::size_t cols, Visit&& visit) {
  for (std::size_t first = 0; first < cols; first += block_cols)
    visit(first, std::min(block_cols, cols - first));
}

}  // namespace detail::row

/// A row of float, float16, bfloat16 or double that is read. Made of a span or a pointer.
struct input_row {
  const void* data = nullptr;
  std::size_t size = 0;
  detail::row::element type = detail::row::element::float32;

  input_row() = default;
  input_row(const void* first, std::size_t count, detail::row::element of) noexcept
      : data(first), size(count), type(of) {}
  template <class T>
  input_row(const T* first, std::size_t count) noexcept
      : input_row(first, count, detail::row::element_of<T>()) {}
  template <class T>
  input_row(std::span<T> row) noexcept : input_row(row.data(), row.size()) {}

  /// Element `i`; i < size.
  [[nodiscard]] double operator[](std::size_t i) const noexcept {
    return detail::row::with_elements(
        data, type, [i](const auto* x) noexcept { return static_cast<double>(x[i]); });
  }
  /// How many of the columns [begin, begin + count) the row has.
  [[nodiscard]] std::size_t present_in(std::size_t begin, std::size_t count) const noexcept {
    return begin >= size ? 0 : std::min(count, size - begin);
  }

  /// Columns [begin, begin + count) as Real: where they lie if they are of that type and make whole
  /// vectors of `lanes` (a power of two), else copied into `buffer` (block_cols elements) and
  /// continued to a whole vector. Columns past the row's end are `beyond`: by default the logit of
  /// an impossible token.
  template <class Real>
  [[nodiscard]] const Real* block(
      std::size_t begin, std::size_t count, std::size_t lanes, Real* buffer,
      Real beyond = -std::numeric_limits<Real>::infinity()) const noexcept {
    const std::size_t present = present_in(begin, count);
    if (type == detail::row::element_of<Real>() && present == count && (count & (lanes - 1)) == 0)
      return static_cast<const Real*>(data) + begin;
    detail::row::with_elements(data, type, [&](const auto* x) noexcept {
      using wide = std::conditional_t<std::is_same_v<decltype(x), const double*>, double, float>;
      for (std::size_t i = 0; i < present; ++i)
        buffer[i] = static_cast<Real>(static_cast<wide>(x[begin + i]));
    });
    for (std::size_t i = present; i < count || (i & (lanes - 1)) != 0; ++i) buffer[i] = beyond;
    return buffer;
  }

  /// The largest of columns [begin, begin + count), as a float; minus infinity of none. A NaN that
  /// is not the first is passed over.
  [[nodiscard]] float largest(std::size_t begin, std::size_t count) const noexcept {
    return detail::row::with_elements(data, type, [&](const auto* x) noexcept {
      float result = -std::numeric_limits<float>::infinity();
      const std::size_t present = present_in(begin, count);
      for (std::size_t i = 0; i < present; ++i)
        result = std::max(result, static_cast<float>(x[begin + i]));
      return result;
    });
  }
  /// Whether those columns hold a NaN or plus infinity.
  [[nodiscard]] bool holds_nan(std::size_t begin, std::size_t count) const noexcept {
    return detail::row::with_elements(data, type, [&](const auto* x) noexcept {
      for (std::size_t i = 0; i < present_in(begin, count); ++i) {
        if (!(static_cast<float>(x[begin + i]) < std::numeric_limits<float>::infinity()))
          return true;
      }
      return false;
    });
  }
};

/// A row of float, float16, bfloat16 or double that is written, or added to. Without data nothing
/// is wanted.
struct output_row {
  void* data = nullptr;
  std::size_t size = 0;
  detail::row::element type = detail::row::element::float32;
  bool accumulate = false;

  output_row() = default;
  output_row(void* first, std::size_t count, detail::row::element of, bool add) noexcept
      : data(first), size(count), type(of), accumulate(add) {}
  template <class T>
  output_row(T* first, std::size_t count, bool add) noexcept
      : output_row(first, count, detail::row::element_of<T>(), add) {}
  template <class T>
  output_row(std::span<T> row, bool add = false) noexcept
      : output_row(row.data(), row.size(), add) {}

  explicit operator bool() const noexcept { return data != nullptr; }
  [[nodiscard]] input_row as_input() const noexcept { return {data, size, type}; }

  /// Writes 0 from column `begin` on, unless gradients are added or the row has no data.
  void clear(std::size_t begin = 0) const noexcept {
    if (data == nullptr || accumulate) return;
    detail::row::with_elements(data, type, [&](auto* x) noexcept {
      using type_of = std::remove_pointer_t<decltype(x)>;
      for (std::size_t i = begin; i < size; ++i) x[i] = type_of{0.0f};
    });
  }
  /// Element `i` becomes `value`, whatever it was.
  void set(std::size_t i, float value) const noexcept {
    detail::row::with_elements(
        data, type, [&](auto* x) noexcept { x[i] = std::remove_pointer_t<decltype(x)>{value}; });
  }
  /// Columns [begin, begin + count) become, or are increased by, float(values[i]): the sum is taken
  /// in float.
  template <class Real>
  void store(std::size_t begin, std::size_t count, const Real* values) const noexcept {
    add<float>(begin, count, values);
  }
  /// The same with the sum taken in double and rounded once.
  void store_wide(std::size_t begin, std::size_t count, const double* values) const noexcept {
    add<double>(begin, count, values);
  }

 private:
  template <class Sum, class Real>
  void add(std::size_t begin, std::size_t count, const Real* values) const noexcept {
    detail::row::with_elements(data, type, [&](auto* x) noexcept {
      using type_of = std::remove_pointer_t<decltype(x)>;
      using rounded = std::conditional_t<std::is_same_v<type_of, double>, Sum, float>;
      for (std::size_t i = 0; i < count; ++i) {
        const Sum sum = accumulate ? static_cast<Sum>(x[begin + i]) + static_cast<Sum>(values[i])
                                   : static_cast<Sum>(values[i]);
        x[begin + i] = type_of{static_cast<rounded>(sum)};
      }
    });
  }
};

namespace detail::row {
struct loops;  // loops.hpp

/// One token's logits of student and teacher, at a temperature T. Rows may have different lengths:
/// a missing column is an impossible token.
struct logit_pair {
  input_row student, teacher;
  double inverse_temperature = 1;  ///< 1 / T
  const loops* by = nullptr;       ///< the instruction set; null: the fastest
};
}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
