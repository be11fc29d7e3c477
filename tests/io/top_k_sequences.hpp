// SPDX-License-Identifier: Apache-2.0
/// Sequences for files of a teacher's top k. Tests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <edgerazor/io/top_k_writer.hpp>

struct top_k_data {
  std::vector<std::int32_t> tokens, labels, ids;
  std::vector<float> logs;

  void add_to(edgerazor::top_k_writer& writer) const {
    const std::size_t n = tokens.size(), k = n == 0 ? 0 : ids.size() / n;
    writer.add(tokens, labels, {ids.data(), n, k}, {logs.data(), n, k});
  }
};

/// Of K 3 and a vocabulary of 11: rows that are full, partly in use and not in use, extremes of
/// 16-bit numbers, a sequence without tokens, and sizes that need padding and none.
inline std::vector<top_k_data> some_sequences() {
  const float infinite = std::numeric_limits<float>::infinity();
  std::vector<top_k_data> all{
      {{10, 0}, {-100, 0}, {0, 10, 5, -1, -1, -1}, {-1.5f, -0.7f, -3.1f, 7, 7, 7}},
      {},
      {{7}, {7}, {1, 2, -1}, {-1e-9f, -infinite, 0}},
      {{3, 3, 3},
       {3, 3, 3},
       {0, 1, 2, 2, 1, 0, 9, -1, -1},
       {-2, -1e5f, -9.7f, -1, -2, -3, 0, 1, 1}},
  };
  top_k_data long_one;
  for (std::int32_t i = 0; i < 24; ++i) {
    long_one.tokens.push_back(i % 11);
    long_one.labels.push_back(i % 3 == 0 ? -100 : i % 11);
    for (std::int32_t j = 0; j < 3; ++j) {
      long_one.ids.push_back((i + 4 * j) % 11);
      long_one.logs.push_back(-1.25f - 0.1f * static_cast<float>(i * (j + 1)));
    }
  }
  all.push_back(long_one);
  return all;
}
