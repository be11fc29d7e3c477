// SPDX-License-Identifier: Apache-2.0
/// A matrix that is the sum of several, each with what is done to its input first:
///
///     y = sum over parts of  A_k in_k(x)
///
///     er::sum_of{packed, outliers}                             y = A x + S x
///     er::scaled_columns{h, packed}                            y = A (h * x), column by column
///     er::permuted_columns{p, er::sum_of{packed, outliers}}    x[p[0]], x[p[1]], ... in place of x
///     er::sum_of{packed, er::low_rank{u, v}}                   y = A x + U (V x)
///     er::rotated{er::hadamard{cols}, packed}                  y = A (H x / sqrt(cols))
///
/// Parts are added in the order in which they are written, row by row: the order is part of the
/// contract for the bits. The matrices, and the memory of h and p, are referred to and must live as
/// long; what is composed of them is a small value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/matrix/matrix_format.hpp>
#include <edgerazor/matrix/matrix_part.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// See above. Inputs are numbered as in matrix_format: 0 is x, i + 1 what stage i makes.
class matrix_sum {
 public:
  struct stage {
    input_stage kind = input_stage::scaled;
    std::size_t from = 0;                    ///< the input that it is made of
    std::span<const float> factors;          ///< scaled: one a column
    std::span<const std::uint32_t> columns;  ///< permuted: each column once
    matrix_part matrix{};                    ///< projected: V, packed or dense
    std::size_t block = 0;                   ///< rotated: columns that are transformed together
  };
  struct part {
    matrix_part matrix;
    std::size_t input = 0;
    part_format::row_map map{};  ///< of a mixed matrix, where it is known
  };

  matrix_sum() = default;
  /// One matrix, whose input is x.
  matrix_sum(const matrix_part& matrix, const part_format::row_map& map = {})
      : rows_(matrix.rows()), cols_(matrix.cols()), parts_(std::vector<part>{{matrix, 0, map}}) {}

  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  [[nodiscard]] std::span<const stage> stages() const noexcept { return *stages_; }
  /// In the order of addition.
  [[nodiscard]] std::span<const part> parts() const noexcept { return *parts_; }
  /// Columns of an input.
  [[nodiscard]] std::size_t cols_of(std::size_t input) const noexcept {
    for (; input != 0; input = (*stages_)[input - 1].from) {
      if ((*stages_)[input - 1].kind == input_stage::projected)
        return (*stages_)[input - 1].matrix.rows();
    }
    return cols_;
  }
  /// Of all parts and stages, without what a file adds.
  [[nodiscard]] std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (const stage& s : *stages_) sum += bytes_of(s).size();
    for (const part& p : *parts_) sum += p.matrix.bytes().size();
    return sum;
  }
  /// Of one part whose input is x and that is not sparse, that part's format.
  [[nodiscard]] EDGERAZOR_FUNCTION matrix_format fmt() const;
  /// Of fmt(), but "sparse" of a sparse matrix that is alone.
  [[nodiscard]] std::string name() const { return fmt().name(); }

  /// Adds another's parts behind these. Fails where the shapes differ, or there are too many.
  EDGERAZOR_FUNCTION void append(const matrix_sum& other);
  /// Puts a stage before all others. Fails where it has not one number a column, columns are not
  /// each there once, or no whole number of blocks, or its matrix has not one row a column, or is
  /// neither packed nor dense.
  EDGERAZOR_FUNCTION void precede(const stage& first);

  /// The same stages over other matrices of the same shapes, one a part, with no map of rows.
  [[nodiscard]] matrix_sum with_matrices(std::span<const matrix_part> matrices) const {
    matrix_sum result = *this;
    for (std::size_t i = 0; i < parts_->size(); ++i)
      (*result.parts_)[i] = {matrices[i], (*parts_)[i].input, {}};
    return result;
  }

  /// What a stage has in a file.
  [[nodiscard]] static std::span<const std::byte> bytes_of(const stage& s) noexcept {
    if (s.kind == input_stage::projected) return s.matrix.bytes();
    if (s.kind == input_stage::rotated) return {};
    return s.kind == input_stage::scaled ? std::as_bytes(s.factors) : std::as_bytes(s.columns);
  }

 private:
  friend class any_matrix;
  matrix_sum(std::size_t rows, std::size_t cols, std::vector<stage> stages,
             std::vector<part> parts) noexcept
      : rows_(rows), cols_(cols), stages_(std::move(stages)), parts_(std::move(parts)) {}

  detail::core::moved_along<std::size_t> rows_, cols_;
  detail::core::moved_along<std::vector<stage>> stages_;
  detail::core::moved_along<std::vector<part>> parts_;
};

namespace detail::matrix {
/// What can be a part: a matrix that is there as long as its name, a view, or a composition.
template <class Part>
inline constexpr bool is_sum = std::is_convertible_v<const Part&, matrix_sum>;
template <class Part>
concept composable = is_sum<Part> || std::is_convertible_v<const Part&, matrix_part> ||
                     std::is_convertible_v<const Part&, packed_view> ||
                     std::is_convertible_v<const Part&, sparse_view>;
/// What refers to its bytes, so that a temporary one is as good.
template <class Part>
inline constexpr bool refers =
    std::is_base_of_v<matrix_sum, Part> || std::is_same_v<Part, packed_view> ||
    std::is_same_v<Part, sparse_view> || std::is_same_v<Part, dense_view> ||
    std::is_same_v<Part, matrix_part>;

template <class Reference>
[[nodiscard]] matrix_sum sum_of_one(Reference&& part) {
  using type = std::remove_cvref_t<Reference>;
  static_assert(composable<type>,
                "sum_of, scaled_columns and permuted_columns are composed of a packed_view, "
                "packed_matrix, mixed_matrix, sparse_matrix or any_matrix, or of each other");
  static_assert(!composable<type> || std::is_lvalue_reference_v<Reference> || refers<type>,
                "a composition refers to its matrices: give one that owns its bytes a name first");
  if constexpr (is_sum<type>) {
    return part;
  } else if constexpr (std::is_convertible_v<const type&, packed_view>) {
    return matrix_part{packed_view(part)};
  } else if constexpr (std::is_convertible_v<const type&, sparse_view>) {
    return matrix_part{sparse_view(part)};
  } else if constexpr (composable<type>) {
    return matrix_part{part};
  } else {
    return {};
  }
}
}  // namespace detail::matrix

/// A x + B x + ..., added in that order. Fails where the shapes differ, or it has more than 16
/// matrices or input stages.
struct sum_of : matrix_sum {
  template <class First, class... Rest>
    requires(sizeof...(Rest) != 0 || !std::is_same_v<std::remove_cvref_t<First>, sum_of>)
  explicit sum_of(First&& first, Rest&&... rest)
      : matrix_sum(detail::matrix::sum_of_one(std::forward<First>(first))) {
    (append(detail::matrix::sum_of_one(std::forward<Rest>(rest))), ...);
  }
};

/// A (h * x): a factor for each column of the input, multiplied and rounded before anything else is
/// done with it. Fails where h has not part.cols() elements.
struct scaled_columns : matrix_sum {
  template <class Part>
  scaled_columns(std::span<const float> h, Part&& matrix)
      : matrix_sum(detail::matrix::sum_of_one(std::forward<Part>(matrix))) {
    precede({input_stage::scaled, 0, h, {}});
  }
};

/// Column c of the part meets x[p[c]]. Fails where p does not name each of part.cols() columns
/// once.
struct permuted_columns : matrix_sum {
  template <class Part>
  permuted_columns(std::span<const std::uint32_t> p, Part&& matrix)
      : matrix_sum(detail::matrix::sum_of_one(std::forward<Part>(matrix))) {
    precede({input_stage::permuted, 0, {}, p});
  }
};

/// A (H x / sqrt(n)), block after block of n = h.order() columns: the input of weights that
/// rotate_rows() made (QuaRot, arXiv 2404.00456). A block of 64 or 128 keeps groups apart; one of
/// all columns spreads an outlier the furthest. Fails where part.cols() is no multiple of n.
struct rotated : matrix_sum {
  template <class Part>
  rotated(const hadamard& h, Part&& matrix)
      : matrix_sum(detail::matrix::sum_of_one(std::forward<Part>(matrix))) {
    precede({input_stage::rotated, 0, {}, {}, {}, h.order()});
  }
};

/// U (V x). V x is an input, made once a token like any other: in int8 or float as V takes x, and
/// then U takes it as it takes any input; so the bits are those of the two products one after the
/// other. U: rows x rank, one matrix or a composition. V: rank x cols, packed or of real numbers.
/// Fails where their shapes do not fit, V is neither, or the rank is above 65,536. Source: the
/// adapters of SLiM (arXiv 2410.09615).
struct low_rank : matrix_sum {
  template <class U, class V>
  low_rank(U&& u, V&& v) : matrix_sum(detail::matrix::sum_of_one(std::forward<U>(u))) {
    precede({input_stage::projected,
             0,
             {},
             {},
             only_part(detail::matrix::sum_of_one(std::forward<V>(v)))});
  }

 private:
  [[nodiscard]] static EDGERAZOR_FUNCTION matrix_part only_part(const matrix_sum& v);
};

namespace detail::matrix {
/// Whether the numbers are 0, 1, ... in some order.
[[nodiscard]] EDGERAZOR_FUNCTION bool is_permutation(std::span<const std::uint32_t> columns);
}  // namespace detail::matrix

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/matrix/matrix_sum_impl.hpp>
#endif
