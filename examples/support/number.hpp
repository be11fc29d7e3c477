// SPDX-License-Identifier: Apache-2.0
/// Numbers from strangers, a command line's or a file's: each belongs to a range, or is refused.
#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ios>
#include <limits>
#include <locale>
#include <sstream>
#include <string>
#include <system_error>

#include <edgerazor/matrix/format.hpp>

namespace support {

/// The numbers that are taken: least to most, or more than least where `open`; of whole numbers
/// the multiples of `step` alone.
template <class T>
struct number_range {
  T least, most;
  bool open = false;
  T step = 1;

  [[nodiscard]] bool contains(T value) const {
    if constexpr (std::integral<T>) {
      if (value % step != 0) return false;
    }
    return (open ? value > least : value >= least) && value <= most;
  }
};

/// Sizes: 1 and more. Far below what would wrap when two are multiplied, far above any model.
inline constexpr number_range<std::size_t> positive{0, 0xffffffffu, true};
inline constexpr number_range<std::size_t> not_negative{0, 0xffffffffu};
inline constexpr number_range<std::uint64_t> any_seed{0, 0xffffffffffffffffu};
/// Columns that share a scale in a packed format.
inline constexpr number_range<std::size_t> packed_group{edgerazor::format::group_multiple,
                                                        edgerazor::format::largest_group, false,
                                                        edgerazor::format::group_multiple};
/// Part of something.
inline constexpr number_range<double> fraction{0, 1};
template <std::floating_point T>
inline constexpr number_range<T> positive_real{0, std::numeric_limits<T>::max(), true};
template <std::floating_point T>
inline constexpr number_range<T> not_negative_real{0, std::numeric_limits<T>::max()};

/// A number as text and messages write it: "4096", "0.05".
template <class T>
[[nodiscard]] std::string number_text(T value) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << value;
  return text.str();
}

/// "more than 0", "0 or more", "2 to 64", "more than 0 and at most 1", "4 to 64, a multiple of 4".
template <class T>
[[nodiscard]] std::string range_text(const number_range<T>& range) {
  if (range.step != 1) {
    return range_text(number_range<T>{range.least, range.most, range.open}) + ", a multiple of " +
           number_text(range.step);
  }
  const std::string least = number_text(range.least), most = number_text(range.most);
  const bool unbounded = range.most == std::numeric_limits<T>::max();
  if (range.open) return "more than " + least + (unbounded ? "" : " and at most " + most);
  return unbounded ? least + " or more" : least + " to " + most;
}

/// All of `text` as a number of the range: decimal, a point before fractions whatever the locale.
/// False where it is none, is NaN or infinite, or is outside.
template <class T>
[[nodiscard]] bool read_number(const std::string& text, const number_range<T>& range, T& value) {
  if constexpr (std::floating_point<T>) {
    std::istringstream stream{text};  // which reads neither "nan" nor "inf"
    stream.imbue(std::locale::classic());
    double whole = 0;
    if (!(stream >> std::noskipws >> whole) ||
        stream.peek() != std::istringstream::traits_type::eof())
      return false;
    value = static_cast<T>(whole);
    if (!std::isfinite(value) || (value == 0) != (whole == 0)) return false;
  } else {
    const char* const end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(text.data(), end, value);
    if (code != std::errc{} || stop != end) return false;
  }
  return range.contains(value);
}

}  // namespace support
