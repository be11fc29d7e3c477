// expect: an executor is called as executor.std::size_t count
// SPDX-License-Identifier: Apache-2.0
// A number of threads is no executor: the library has none to start.
#include <span>

#include <edgerazor/product/gemv.hpp>

namespace er = edgerazor;

void wrong(const er::any_matrix& w, std::span<const float> x, std::span<float> y) {
  er::gemv(w, x, y, {.executor = 4});
}
