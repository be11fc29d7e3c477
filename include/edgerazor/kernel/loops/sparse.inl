// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl: the product of a sparse tile. Beside what float.inl lists, the namespace
// supplies
//
//     gather(x, columns)        x[column] of `lanes` columns of 16 bits
//     add_product(v, x, c)      multiply_add(v, x, c) where v is not 0, c where it is
//
// and the rows whose sums sparse_panel keeps in registers, sparse_rows.

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

/// Some rows times one register of tokens at a time: values and columns are read again for the
/// next.
EDGERAZOR_ISA inline void sparse_panel(const sparse_step* steps, std::size_t count, const float* x,
                                       float* y) noexcept {
  static_assert(sparse_tokens == lanes * parts && tile_rows % sparse_rows == 0);
  for (std::size_t first = 0; first < tile_rows; first += sparse_rows) {
    for (std::size_t token = 0; token < sparse_tokens; token += lanes) {
      float* const out = y + sparse_tokens * first + token;
      real_vector total[sparse_rows];
      EDGERAZOR_UNROLL
      for (std::size_t r = 0; r < sparse_rows; ++r) total[r] = load(out + sparse_tokens * r);
      for (std::size_t k = 0; k < count; ++k) {
        float values[sparse_rows];
        EDGERAZOR_UNROLL
        for (std::size_t r = 0; r < sparse_rows; r += lanes)
          store(values + r, load(steps[k].values + first + r));
        EDGERAZOR_UNROLL
        for (std::size_t r = 0; r < sparse_rows; ++r) {
          const float* const column = x + sparse_tokens * steps[k].columns[first + r] + token;
          total[r] = add_product(splat(values[r]), load(column), total[r]);
        }
      }
      EDGERAZOR_UNROLL
      for (std::size_t r = 0; r < sparse_rows; ++r) store(out + sparse_tokens * r, total[r]);
    }
  }
}
