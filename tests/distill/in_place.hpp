// SPDX-License-Identifier: Apache-2.0
/// A loss whose gradient is the student's own memory. Tests only.
#pragma once

#include <vector>

#include <doctest/doctest.h>

#include "support/row_views.hpp"

/// loss(student, gradient) of two rows has the value and the gradient that it has with memory of
/// its own for the gradient.
template <class Loss>
void check_in_place(const char* name, std::vector<float> student, const Loss& loss) {
  using row_views::view, row_views::into;
  INFO(name);
  const std::vector<float> before = student;
  std::vector<float> apart(student.size());
  const double expected = loss(view(before, 2), into(apart, 2)).value;
  CHECK(loss(view(student, 2), into(student, 2)).value == expected);
  CHECK(student == apart);
}
