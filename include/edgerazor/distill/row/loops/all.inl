// SPDX-License-Identifier: Apache-2.0
// Text, see kernel/vector/each.inl: the loops of an instruction set, and their table.

#include <edgerazor/distill/row/loops/exp.inl>
#include <edgerazor/distill/row/loops/kl.inl>
#include <edgerazor/distill/row/loops/comparison.inl>
#include <edgerazor/distill/row/loops/terms.inl>
#include <edgerazor/distill/row/loops/features.inl>

template <class Real>
inline constexpr real_loops<Real> table_of{
    .sum_teacher = &sum_teacher<Real>,
    .sum_student = &sum_student<Real>,
    .sum_forward = &sum_forward<Real>,
    .softmax = &softmax_block<Real>,
    .sum_exponentials = &sum_exponentials<Real>,
};

inline constexpr loops table{
    .name = vectors::name,
    .supported = &vectors::supported,
    .lanes = floats::size,
    .of_floats = table_of<float>,
    .of_doubles = table_of<double>,
    .blend_gradient = &blend_gradient,
    .near_difference = &near_difference_sums,
    .near_blend = &near_blend,
    .near_term = &near_term,
    .near_term_gradient = &near_term_gradient,
    .compare = &compare_columns,
    .compare_blend = &compare_blend,
    .sum_term = &sum_term,
    .term_gradient = &term_gradients,
    .dot = &dot_product,
    .squared_distance = &squared_distance_of,
    .scaled_difference = &scaled_difference,
    .add_multiple = &add_scaled,
    .float_dot = &float_dot_product,
    .float_add_multiple = &add_scaled_floats,
    .entropy = &probability_entropy,
    .compare_probabilities = &compare_probabilities,
    .logarithm_entropy = &logarithm_entropy,
    .compare_logarithms = &compare_logarithms,
    .logarithm_slopes = &logarithm_slopes,
};
