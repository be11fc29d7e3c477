// SPDX-License-Identifier: Apache-2.0
/// std::mdspan and our views without a copy, where the standard library has it (__cpp_lib_mdspan,
/// C++23).
///
///     std::mdspan w(weights.data(), rows, cols);
///     auto packed = er::pack<policy>(er::view_of(w));
///
/// Nothing in edgerazor includes this header.
#pragma once

#include <version>

#if __has_include(<mdspan>)
#include <mdspan>
#endif

#if defined(__cpp_lib_mdspan)

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A two-dimensional mdspan over plain memory whose elements have addresses a stride apart.
template <class Span>
concept strided_mdspan =
    (Span::rank() == 2) && Span::is_always_strided() &&
    std::same_as<Span, std::mdspan<typename Span::element_type, typename Span::extents_type,
                                   typename Span::layout_type,
                                   std::default_accessor<typename Span::element_type>>>;

/// The same memory as a row-major view, valid as long as the memory; static extents become ordinary
/// ones. Fails where the elements of a row are not neighbours (std::layout_left, or a stride).
/// Other mdspans are refused when compiled, by a sentence; ask `strided_mdspan` where code is to
/// choose.
template <strided_mdspan Span>
[[nodiscard]] matrix_view<typename Span::element_type> view_of(const Span& span) {
  const auto rows = static_cast<std::size_t>(span.extent(0)),
             cols = static_cast<std::size_t>(span.extent(1));
  if (rows == 0 || cols == 0) return {span.data_handle(), rows, cols};
  if (cols > 1 && span.stride(1) != 1) {
    detail::core::fail("view_of: the elements of a row lie " + std::to_string(span.stride(1)) +
                       " apart, expected 1");
  }
  return {span.data_handle(), rows, cols, static_cast<std::size_t>(span.stride(0))};
}

template <class T, class Extents, class Layout, class Accessor>
  requires(!strided_mdspan<std::mdspan<T, Extents, Layout, Accessor>>)
[[nodiscard]] matrix_view<T> view_of(const std::mdspan<T, Extents, Layout, Accessor>&) {
  static_assert(Extents::rank() == 2,
                "view_of: a matrix has two dimensions: take a submdspan, or reshape");
  static_assert(Extents::rank() != 2,
                "view_of: expected elements of plain memory, a stride apart "
                "(std::default_accessor, std::layout_right or layout_stride)");
  return {};
}

/// A view as an mdspan of the same memory.
template <class T>
[[nodiscard]] auto mdspan_of(const matrix_view<T>& view) {
  using extents = std::dextents<std::size_t, 2>;
  const std::array<std::size_t, 2> strides{view.stride, 1};
  return std::mdspan<T, extents, std::layout_stride>(
      view.data, std::layout_stride::mapping<extents>(extents(view.rows, view.cols), strides));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#endif
