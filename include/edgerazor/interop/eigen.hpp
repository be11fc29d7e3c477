// SPDX-License-Identifier: Apache-2.0
/// Eigen's matrices and ours without a copy: Eigen objects as views, views as Eigen maps.
///
///     Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> w(rows, cols);
///     Eigen::VectorXf x(cols), y(rows);
///     auto packed = er::pack<policy>(er::view_of(w));
///     er::gemv(packed, er::span_of(std::as_const(x)), er::span_of(y));
///
/// Nothing in edgerazor includes this header. A column-major matrix (Eigen's default) has no
/// row-major view, which a sentence of the compiler says: copy it to a row-major one, or view its
/// transpose. 16-bit matrices (Eigen::half) have none either: cast them to float.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::interop {
// Declared only: which base class an object has. The base's argument is not always the object's own
// type.
template <class D>
void as_dense(const Eigen::DenseBase<D>&);
template <class D>
void as_owner(const Eigen::PlainObjectBase<D>&);
/// It holds a copy where it was made of what has not its layout.
template <class T, int Options, class Stride>
void as_owner(const Eigen::Ref<const T, Options, Stride>&);

template <class M>
concept eigen_dense = requires(const M& m) { detail::interop::as_dense(m); };
template <class M>
concept eigen_owner = requires(const M& m) { detail::interop::as_owner(m); };

template <class M>
inline constexpr bool has_addresses =
    (int{std::remove_cvref_t<M>::Flags} & Eigen::DirectAccessBit) != 0;

/// Elements lie in memory (Matrix, Array, Map, Ref, Block of those), and the memory outlives the
/// expression: a temporary matrix takes its own along, a temporary map does not.
template <class M>
concept eigen_memory =
    eigen_dense<M> && has_addresses<M> && (std::is_lvalue_reference_v<M> || !eigen_owner<M>);

/// The element type, const where the object can't be written.
template <class M>
using eigen_element =
    std::remove_pointer_t<decltype(std::declval<std::remove_reference_t<M>&>().data())>;
}  // namespace detail::interop

/// An Eigen object in which the elements of a row are neighbours, as far as its type says; a column
/// vector has rows of one.
template <class M>
concept row_major_matrix =
    detail::interop::eigen_memory<M> && (bool{std::remove_cvref_t<M>::IsRowMajor} ||
                                         int{std::remove_cvref_t<M>::ColsAtCompileTime} == 1);

/// An Eigen object of one row or one column, as its type says.
template <class V>
concept eigen_vector =
    detail::interop::eigen_memory<V> && bool{std::remove_cvref_t<V>::IsVectorAtCompileTime};

/// The same memory as a row-major view, valid as long as the memory. Fails where a stride that is
/// known at run time only leaves gaps between the elements of a row.
template <row_major_matrix M>
[[nodiscard]] matrix_view<detail::interop::eigen_element<M>> view_of(M&& matrix) {
  if (matrix.cols() > 1 && matrix.colStride() != 1) {
    detail::core::fail("view_of: the elements of a row lie " + std::to_string(matrix.colStride()) +
                       " apart, expected 1");
  }
  return {matrix.data(), static_cast<std::size_t>(matrix.rows()),
          static_cast<std::size_t>(matrix.cols()), static_cast<std::size_t>(matrix.rowStride())};
}

/// Refused when compiled, by a sentence; ask `row_major_matrix` where code is to choose.
template <detail::interop::eigen_dense M>
  requires(!row_major_matrix<M>)
[[nodiscard]] matrix_view<const typename std::remove_cvref_t<M>::Scalar> view_of(M&&) {
  static_assert(detail::interop::eigen_memory<M>,
                "view_of: an Eigen expression, or a matrix that is a temporary, has no elements "
                "that last: give it a name first");
  static_assert(!detail::interop::eigen_memory<M>,
                "view_of: a column-major Eigen matrix has no row-major view: declare it "
                "Eigen::RowMajor, copy it to such a matrix, or view its transpose()");
  return {};
}

/// The same memory as consecutive elements. Fails where they are not: a column of a row-major
/// matrix.
template <eigen_vector V>
[[nodiscard]] std::span<detail::interop::eigen_element<V>> span_of(V&& vector) {
  if (vector.size() > 1 && vector.innerStride() != 1) {
    detail::core::fail("span_of: the elements lie " + std::to_string(vector.innerStride()) +
                       " apart, expected 1");
  }
  return {vector.data(), static_cast<std::size_t>(vector.size())};
}

/// Refused when compiled, by a sentence; ask `eigen_vector` where code is to choose.
template <detail::interop::eigen_dense V>
  requires(!eigen_vector<V>)
[[nodiscard]] std::span<const typename std::remove_cvref_t<V>::Scalar> span_of(V&&) {
  static_assert(detail::interop::eigen_memory<V>,
                "span_of: an Eigen expression, or a vector that is a temporary, has no elements "
                "that last: give it a name first");
  static_assert(!detail::interop::eigen_memory<V>,
                "span_of: expected an Eigen object of one row or one column, as its type says");
  return {};
}

/// A view as an Eigen map of the same memory: read-only for const elements.
template <class T>
  requires std::is_arithmetic_v<T>
[[nodiscard]] auto map_of(const matrix_view<T>& view) {
  using matrix =
      Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using element = std::conditional_t<std::is_const_v<T>, const matrix, matrix>;
  return Eigen::Map<element, Eigen::Unaligned, Eigen::OuterStride<>>(
      view.data, static_cast<Eigen::Index>(view.rows), static_cast<Eigen::Index>(view.cols),
      Eigen::OuterStride<>(static_cast<Eigen::Index>(view.stride)));
}

/// A span as an Eigen column vector of the same memory.
template <class T>
  requires std::is_arithmetic_v<T>
[[nodiscard]] auto map_of(std::span<T> elements) {
  using vector = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, 1>;
  using element = std::conditional_t<std::is_const_v<T>, const vector, vector>;
  return Eigen::Map<element, Eigen::Unaligned>(elements.data(),
                                               static_cast<Eigen::Index>(elements.size()));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
