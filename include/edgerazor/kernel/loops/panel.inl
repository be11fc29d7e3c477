// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl. The namespace supplies, beside what float.inl needs and ints, a constexpr
// panel_block (tokens at once) and panel_step (of the rest, until fewer are left), and
//
//     add_panel<Tokens>(w, x, first, totals)    totals[t] += codes of the panel * activations of
//                                               token first + t

/// The epilogue of one token with one group, which has zeros.
EDGERAZOR_ISA EDGERAZOR_INLINE void add_with_zeros(const group_panel& w, const ints& totals,
                                                   float scale_of_token,
                                                   std::int32_t sum_of_token,
                                                   float* y) noexcept {
  const auto x_scale = splat(scale_of_token), x_sum = splat(static_cast<float>(sum_of_token));
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) {
    const auto scale = multiply(load(w.scales + lanes * i), x_scale);
    const auto zero = load(w.zeros + lanes * i);
    auto sum = to_float(totals.part[i]);
    if (w.zero == zero_kind::point) sum = negated_multiply_add(zero, x_sum, sum);
    auto total = multiply_add(sum, scale, load(y + lanes * i));
    if (w.zero == zero_kind::minimum) total = multiply_add(x_sum, multiply(zero, x_scale), total);
    store(y + lanes * i, total);
  }
}

/// Tokens [first, first + Tokens) of a panel's product.
template <std::size_t Tokens>
EDGERAZOR_ISA EDGERAZOR_INLINE void panel_product_tokens(const group_panel& w,
                                                         const panel_tokens& x,
                                                         std::size_t first) noexcept {
  std::int32_t* const isum = x.isum + tile_rows * first;
  ints totals[Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    totals[t] = w.first ? splat_ints(-w.zero_code * x.sums[(first + t) * x.group_stride])
                        : load_ints(isum + tile_rows * t);
  }
  (add_panel<Tokens>)(w, x, first, totals);  // this namespace's, whatever that of ints has
  if (!w.last) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) store_ints(isum + tile_rows * t, totals[t]);
    return;
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    const auto x_scale = splat(x.scales[(first + t) * x.group_stride]);
    float* const y = x.y + tile_rows * (first + t);
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      const auto scale = multiply(load(w.scales + lanes * i), x_scale);
      store(y + lanes * i, multiply_add(to_float(totals[t].part[i]), scale, load(y + lanes * i)));
    }
  }
}

/// See contract.hpp. The sums of a group with zeros are put down first, so that the epilogue in the
/// blocks is as short as it can be.
EDGERAZOR_ISA inline void panel_product(const group_panel& panel, const panel_tokens& x) noexcept {
  const bool plain = panel.zero == zero_kind::none;
  group_panel w = panel;
  w.last = panel.last && plain;
  std::size_t t = 0;
  for (; t + panel_block <= x.tokens; t += panel_block) panel_product_tokens<panel_block>(w, x, t);
  for (; t + panel_step <= x.tokens; t += panel_step) panel_product_tokens<panel_step>(w, x, t);
  for (; t < x.tokens; ++t) panel_product_tokens<1>(w, x, t);
  if (plain || !panel.last) return;
  for (t = 0; t < x.tokens; ++t) {
    const std::size_t at = t * x.group_stride;
    (add_with_zeros)(panel, load_ints(x.isum + tile_rows * t), x.scales[at], x.sums[at],
                     x.y + tile_rows * t);
  }
}
