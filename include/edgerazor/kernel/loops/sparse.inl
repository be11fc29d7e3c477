// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl: the product of a sparse tile. Beside what float.inl lists, the namespace
// supplies
//
//     gather(x, columns)        x[column] of `lanes` columns of 16 bits
//     add_product(v, x, c)      multiply_add(v, x, c) where v is not 0, c where it is

EDGERAZOR_ISA inline void sparse_sums(const sparse_step* steps, std::size_t count, const float* x,
                                      float* y) noexcept {
  real_vector total[parts];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) total[i] = load(y + lanes * i);
  for (; count > 0; --count, ++steps) {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      const auto values = load(steps->values + lanes * i);
      total[i] = add_product(values, gather(x, steps->columns + lanes * i), total[i]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) store(y + lanes * i, total[i]);
}
