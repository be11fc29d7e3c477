// SPDX-License-Identifier: Apache-2.0
/// Rows of floats, float16s, bfloat16s or doubles as vectors of doubles: sums over features are
/// taken in double.
#pragma once

#include <cstddef>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/float16.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What a loss over features can read: the caller's reals, and doubles of a workspace.
template <class T>
concept feature_element = real_element<T> || std::is_same_v<std::remove_const_t<T>, double>;

namespace detail::distill {

template <class Arch>
using wide = xsimd::batch<double, Arch>;

template <class Arch>
inline constexpr std::size_t wide_lanes = wide<Arch>::size;

/// A row that is read in vectors of doubles.
template <class Arch, feature_element T>
struct wide_row {
  const T* data = nullptr;
  std::size_t size = 0;
  double beyond = 0;  ///< stands past the row's end

  /// Elements [i, i + wide_lanes).
  [[nodiscard]] wide<Arch> operator[](std::size_t i) const noexcept {
    constexpr std::size_t lanes = wide_lanes<Arch>;
    if constexpr (std::is_same_v<std::remove_const_t<T>, double>) {
      if (i + lanes <= size) return wide<Arch>::load_unaligned(data + i);
    }
    alignas(wide<Arch>) double values[lanes];
    if (i + lanes <= size) {
      for (std::size_t k = 0; k < lanes; ++k) values[k] = static_cast<double>(data[i + k]);
    } else {
      for (std::size_t k = 0; k < lanes; ++k)
        values[k] = i + k < size ? static_cast<double>(data[i + k]) : beyond;
    }
    return wide<Arch>::load_aligned(values);
  }
};

/// Writes the first of `values` that lie before the row's end, or adds them to what is there.
template <class Arch, class T>
inline void store_wide(T* row, std::size_t size, std::size_t i, const wide<Arch>& values,
                       bool add) noexcept {
  constexpr std::size_t lanes = wide_lanes<Arch>;
  alignas(wide<Arch>) double out[lanes];
  values.store_aligned(out);
  const std::size_t count = i + lanes <= size ? lanes : size - i;
  for (std::size_t k = 0; k < count; ++k) {
    row[i + k] = static_cast<T>(add ? static_cast<double>(row[i + k]) + out[k] : out[k]);
  }
}

/// sum of f(vector at i) over a row of `size` elements, in two accumulators.
template <class Arch, class F>
[[nodiscard]] inline double wide_sum(std::size_t size, F&& f) noexcept {
  constexpr std::size_t lanes = wide_lanes<Arch>;
  wide<Arch> even{0.0}, odd{0.0};
  std::size_t i = 0;
  for (; i + 2 * lanes <= size; i += 2 * lanes) {
    even += f(i);
    odd += f(i + lanes);
  }
  for (; i < size; i += lanes) even += f(i);
  return xsimd::reduce_add(even + odd);
}

/// sum of a b. Both rows have `size` elements.
template <class Arch, feature_element A, feature_element B>
[[nodiscard]] inline double wide_dot(const A* a, const B* b, std::size_t size) noexcept {
  const wide_row<Arch, A> left{a, size};
  const wide_row<Arch, B> right{b, size};
  return wide_sum<Arch>(size, [&](std::size_t i) { return left[i] * right[i]; });
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
