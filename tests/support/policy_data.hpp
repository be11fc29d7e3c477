// SPDX-License-Identifier: Apache-2.0
/// What the tests of policy/ read: random numbers with ties, and a view of them.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

#include <edgerazor/core/views.hpp>

namespace policy_data {

/// Normal values. The first sixteen are multiples of half a level of their largest, 127: ties,
/// which round to even.
inline std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> result(count);
  for (float& x : result) x = normal(random);
  for (std::size_t i = 0; i + 16 <= count && i < 16; ++i)
    result[i] = i == 0 ? 127.0f : static_cast<float>(i) - 7.5f;
  return result;
}

template <class T>
edgerazor::matrix_view<const T> view(const std::vector<T>& data, std::size_t rows,
                                     std::size_t cols) {
  return {data.data(), rows, cols};
}

}  // namespace policy_data
