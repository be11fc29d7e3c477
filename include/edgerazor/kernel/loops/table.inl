// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl: the table of an instruction set that has all functions of its own. A plane
// without a decoder in this namespace does not compile.

inline constexpr functions table{
    .name = name,
    .supported = &supported,
    .dot = of_every_plane<dot_function>([](auto plane) { return &dot<plane.type>; }),
    .unpack = of_every_plane<unpack_function>([](auto plane) { return &unpack<plane.type>; }),
    .panel_product = &panel_product,
    .panel_float = &panel_float,
    .scale_sums = {&scale_sums<float16>, &scale_sums<bfloat16>, &scale_sums<float>},
    .read_scales = {&read_scales<float16>, &read_scales<bfloat16>, &read_scales<float>},
    .scale_floats = {&scale_floats<float16>, &scale_floats<bfloat16>, &scale_floats<float>},
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
static_assert(is_complete(table));
