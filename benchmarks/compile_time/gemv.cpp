// SPDX-License-Identifier: Apache-2.0
#include <edgerazor/product/gemv.hpp>

void multiply(const edgerazor::packed_view& weights, std::span<const float> x, std::span<float> y) {
  edgerazor::gemv(weights, x, y);
}
