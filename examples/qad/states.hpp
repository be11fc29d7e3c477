/// Fake quantization of activations and of cached keys and values: int8 by the largest magnitude of a group.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <edgerazor/core/views.hpp>
#include <edgerazor/quant/fake_quantize.hpp>
#include <edgerazor/quant/symmetric.hpp>

namespace qad {

namespace er = edgerazor;

/// x = level * scale, in place, with a float32 scale for every `group` columns of a row: the numbers that
/// er::quantize_activations and er::kv_cache hold. Not finite values give not finite or wrong ones.
inline void quantize_groups(er::matrix_view<float> x, std::size_t group) noexcept {
  using rule = er::int8<er::per_channel, float>;
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < x.cols; c += group) {
      const std::span<float> values = x.row(r).subspan(c, std::min(group, x.cols - c));
      er::detail::write_values<rule>(values.data(), values.size(), rule{}.scale(values), values.data());
    }
  }
}

}  // namespace qad
