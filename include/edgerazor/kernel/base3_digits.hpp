// SPDX-License-Identifier: Apache-2.0
/// Digits of base 3 to look up, and the division by 9 that makes a byte of five digits two numbers
/// small enough for it.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel {

/// Entry i: of the number first + i, or `largest` where that is less, digit low + f in 2-bit field
/// f, for f < count.
template <std::size_t Size>
struct base3_digits {
  alignas(Size < 64 ? Size : 64) std::uint8_t fields[Size] = {};

  constexpr base3_digits(unsigned first, unsigned low, unsigned count, unsigned largest) noexcept {
    for (unsigned i = 0; i < Size; ++i) {
      unsigned rest = first + i < largest ? first + i : largest;
      for (unsigned f = 0; f < low; ++f) rest /= 3;
      for (unsigned f = 0; f < count; ++f, rest /= 3) {
        fields[i] = static_cast<std::uint8_t>(fields[i] | rest % 3 << 2 * f);
      }
    }
  }
};
/// The three digits of 0..26, in one table and in two.
inline constexpr base3_digits<32> digits_of_27{0, 0, 3, 26};
inline constexpr base3_digits<16> digits_from_0{0, 0, 3, 26}, digits_from_16{16, 0, 3, 26};

/// Whether every byte b = 0..242 is divided by 9 rightly: alone in 16 bits, also signed ones, as b
/// * 57 >> 9; and as the upper half of a word over any lower byte, as word * 7282 >> 24.
constexpr bool divides_by_9() noexcept {
  for (unsigned b = 0; b <= 242; ++b) {
    const unsigned word = 256 * b;
    if (b * 57 > 32767 || b * 57 >> 9 != b / 9) return false;
    if (word * 7282 >> 24 != b / 9 || (word + 242) * 7282 >> 24 != b / 9) return false;
  }
  return true;
}
static_assert(divides_by_9());

}  // namespace detail::kernel
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
