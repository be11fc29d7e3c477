// SPDX-License-Identifier: Apache-2.0
/// What of a decoder's states is quantized on the way, and the backward of that.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "decoder.hpp"
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/level_schedule.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace qad {

namespace {

/// In place; er::quantize_activations and er::kv_cache hold the same numbers. Fails where one is
/// not finite.
void quantize_groups(er::matrix_view<float> states, std::size_t group) {
  er::fake_quantize<er::int8<>>(states, states, {}, {.group = group});
}

/// In place, by the smallest and largest of each group; 0: of the whole row.
void quantize_with_zero(er::matrix_view<float> states, std::size_t group) {
  using policy = er::asymmetric<4, er::per_channel, float, er::zero_rule::integer>;
  er::fake_quantize<policy>(states, states, {}, {.group = group});
}

template <class Matrix>
er::matrix_view<float> whole(Matrix& m) {
  return {m.data(), static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols())};
}
/// As one row: one step for all.
template <class Matrix>
auto as_row(Matrix& m) {
  return er::matrix_view{m.data(), 1, static_cast<std::size_t>(m.size())};
}

}  // namespace

template <class Scalar>
void basic_decoder<Scalar>::quantize_input(std::size_t block, input_of which, const Scalar* w,
                                           matrix& input) {
  if constexpr (std::is_same_v<Scalar, float>) {
    const auto i = static_cast<std::size_t>(which);
    const std::span<const float> values{input.data(), static_cast<std::size_t>(input.size())};
    double& note = noted_[block * inputs_of_block + i];
    if (quantization_.notes == noted::magnitude)
      note = static_cast<double>(er::mean_magnitude(values));
    if (const int levels = quantization_.input_levels; levels != 0) {
      const float* const step = w + at_.input_steps + i;
      if (quantization_.notes == noted::projection)
        note = static_cast<double>(er::projection_factor(values, *step, levels, levels - 2));
      states_of(block).raw[i] = input;
      er::with_symmetric_levels(levels, [&](auto policy) {
        er::fake_quantize<er::learned_step<decltype(policy)>>(
            as_row(input), std::span<const float>{step, 1}, as_row(input));
      });
    } else if (quantization_.four_bits) {
      quantize_with_zero(whole(input), 0);
    } else if (quantization_.activation_group != 0) {
      quantize_groups(whole(input), quantization_.activation_group);
    }
  }
}

/// The gradient of an input from that of its levels; the step's is added to `sums`.
template <class Scalar>
void basic_decoder<Scalar>::quantize_input_backward(const block_states& s, input_of which,
                                                    const Scalar* w, Scalar* sums,
                                                    matrix& gradient) {
  if constexpr (std::is_same_v<Scalar, float>) {
    if (quantization_.input_levels == 0) return;
    const auto i = static_cast<std::size_t>(which);
    er::with_symmetric_levels(quantization_.input_levels, [&](auto policy) {
      float of_step = 0;
      const er::matrix_view<float> there = as_row(gradient);
      er::learned_step_backward<er::learned_step<decltype(policy)>>(
          as_row(s.raw[i]), std::span<const float>{w + at_.input_steps + i, 1},
          er::matrix_view<const float>{there}, there, std::span<float>{&of_step, 1});
      sums[at_.input_steps + i] += of_step;
    });
  }
}

template <class Scalar>
void basic_decoder<Scalar>::quantize_head_input() {
  if constexpr (std::is_same_v<Scalar, float>) {
    if (quantization_.activation_group != 0)
      quantize_groups(whole(output_input_), quantization_.activation_group);
  }
}

/// Keys and values.
template <class Scalar>
void basic_decoder<Scalar>::quantize_cache(matrix& qkv) const {
  if constexpr (std::is_same_v<Scalar, float>) {
    const er::matrix_view<float> cached{qkv.data() + shape_.query_size(), tokens_,
                                        2 * shape_.kv_size(), shape_.qkv_size()};
    if (quantization_.cache) quantize_groups(cached, std::min<std::size_t>(shape_.head_size, 128));
    if (quantization_.four_bit_cache) quantize_with_zero(cached, shape_.head_size);
  }
}

template void basic_decoder<float>::quantize_input(std::size_t, input_of, const float*, matrix&);
template void basic_decoder<float>::quantize_input_backward(const block_states&, input_of,
                                                            const float*, float*, matrix&);
template void basic_decoder<float>::quantize_head_input();
template void basic_decoder<float>::quantize_cache(matrix&) const;
template void basic_decoder<double>::quantize_input(std::size_t, input_of, const double*, matrix&);
template void basic_decoder<double>::quantize_input_backward(const block_states&, input_of,
                                                             const double*, double*, matrix&);
template void basic_decoder<double>::quantize_head_input();
template void basic_decoder<double>::quantize_cache(matrix&) const;

}  // namespace qad
