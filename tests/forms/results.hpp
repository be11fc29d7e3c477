// SPDX-License-Identifier: Apache-2.0
/// What one form of the library makes of made-up weights, as bytes and numbers that no type of ours
/// is part of: units of two forms share no such type.
#pragma once

#include <cstddef>
#include <vector>

struct form_results {
  std::vector<std::byte> packed;
  std::vector<float> product;
  std::vector<float> fake_quantized;
  std::vector<float> gradient;
  double loss = 0;
};

form_results results_header_only();
form_results results_compiled();
