// SPDX-License-Identifier: Apache-2.0
/// The slope of a function by central differences, to check gradients with. Tests only.
#pragma once

#include <cstddef>
#include <vector>

namespace support {

/// d value() / d x, where `value` (in double) reads x. The step that is divided by is the one that
/// floats took.
///
/// Error: step^2 / 6 times the third derivative, plus value's rounding error divided by the step:
/// with steps of 2^-10 and values of about 1 summed in double, 2^-22 and 2^-42 times numbers of
/// about 1.
template <class F>
[[nodiscard]] double central_difference(float& x, F&& value, float step = 0x1p-10f) {
  const float at = x;
  x = at + step;
  const double right = x, above = value();
  x = at - step;
  const double left = x, below = value();
  x = at;
  return (above - below) / (right - left);
}

}  // namespace support
