// SPDX-License-Identifier: Apache-2.0
/// Whether bytes that someone else wrote are a packed matrix as packing makes them: finite scales,
/// and codes that the codec has. One pass, at the speed at which memory is read.
///
/// Any bytes can be multiplied without harm to memory; but a scale that is NaN, or a 2-bit code 3,
/// gives numbers that nobody meant.
#pragma once

#include <optional>
#include <string>

#include <edgerazor/core/config.hpp>
#include <edgerazor/matrix/any_matrix.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What is wrong with a matrix, in a sentence that names the first place, padding included; nothing
/// where all scales and zeros (of a dense matrix, all elements) are finite and all codes are the
/// codec's.
///
///     the scale of row 3, group 1 is NaN: expected finite scales
///     the zero of row 3, group 1 is infinite: expected finite zeros
///     the code at row 3, column 17 is none of ternary2
///
/// No allocation where nothing is wrong, but for a codec of several planes that has not all codes.
[[nodiscard]] EDGERAZOR_FUNCTION std::optional<std::string> find_fault(const packed_view& matrix);
[[nodiscard]] EDGERAZOR_FUNCTION std::optional<std::string> find_fault(const mixed_matrix& matrix);
[[nodiscard]] EDGERAZOR_FUNCTION std::optional<std::string> find_fault(const any_matrix& matrix);

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/matrix/validate_impl.hpp>
#endif
