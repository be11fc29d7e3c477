// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl: the table of an instruction set that has all functions of its own. A plane
// without a decoder in this namespace does not compile; one without a look_up_table of its own has
// that of contract.hpp, which is empty.

inline constexpr functions table{
    .name = name,
    .supported = &supported,
    .dot = of_every_plane<dot_function>([](auto plane) { return &dot<plane.type>; }),
    .unpack = of_every_plane<unpack_function>([](auto plane) { return &unpack<plane.type>; }),
    .triple_tables = &triple_tables,
    .triple_dot = &triple_dot,
    .triple_unpack = &triple_unpack,
    .prefetch = &prefetch_bytes,
    .panel_product = &panel_product,
    .look_up = look_up_table,
    .panel_float = &panel_float,
    .scale_sums = of_all_statistics<scale_sums_function>(
        [](auto scale, auto zero) { return &scale_sums<decltype(scale), zero.kind>; }),
    .read_scales = of_all_statistics<read_scales_function>(
        [](auto scale, auto zero) { return &read_scales<decltype(scale), zero.kind>; }),
    .scale_floats = of_all_statistics<scale_floats_function>(
        [](auto scale, auto zero) { return &scale_floats<decltype(scale), zero.kind>; }),
    .dense_float = &dense_dot<float>,
    .dense_float16 = &dense_dot<float16>,
    .dense_bfloat16 = &dense_dot<bfloat16>,
    .max_magnitude = &max_magnitude,
    .quantize = &quantize,
    .weighted_sum = &weighted_sum,
    .exponentials = &exponentials,
    .sparse_sums = &sparse_sums,
    .sparse_panel = &sparse_panel,
};
EDGERAZOR_ASSERT_OF_ADDRESSES(is_complete(table));
