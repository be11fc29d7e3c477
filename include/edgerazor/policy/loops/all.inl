// SPDX-License-Identifier: Apache-2.0
// Text, see kernel/vector/each.inl: the loops of quantizers for one instruction set, and their
// table.

#include <edgerazor/policy/loops/blocks.inl>
#include <edgerazor/policy/loops/magnitudes.inl>
#include <edgerazor/policy/loops/levels.inl>
#include <edgerazor/policy/loops/gradients.inl>

inline constexpr loops table{
    .name = vectors::name,
    .supported = &vectors::supported,
    .largest_bits = &largest_bits,
    .largest_half_bits = &largest_half_bits,
    .all_below = &all_below,
    .max_value = &max_value,
    .range = &range,
    .mean_magnitude = &mean_magnitude,
    .codes = &codes,
    .values = &values<float>,
    .values_float16 = &values<float16>,
    .values_bfloat16 = &values<bfloat16>,
    .exact_codes = &exact_codes,
    .pass_within = &pass_within,
    .step_gradient = &step_gradient,
    .from_float16 = &convert<float16, float>,
    .from_bfloat16 = &convert<bfloat16, float>,
    .to_float16 = &convert<float, float16>,
    .to_bfloat16 = &convert<float, bfloat16>,
};
