// SPDX-License-Identifier: Apache-2.0
// Text, see kernel/vector/each.inl: the two loops of a Hadamard transform for one instruction set,
// and their table. Every lane adds in the order that hadamard.hpp says, so all give the same bits.

static_assert(hadamard_loops::width % floats::size == 0);

/// One stage within 16 elements.
template <std::size_t Distance>
EDGERAZOR_LANES void stage_of_16(float* v) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < 16; ++i) {
    if ((i & Distance) != 0) continue;
    const float a = v[i], b = v[i + Distance];
    v[i] = core::ordered(a + b);
    v[i + Distance] = core::ordered(a - b);
  }
}
/// Stages of distance 1, 2, 4 and 8 within 16 elements.
EDGERAZOR_ISA inline void butterflies_of_16(float* v, std::size_t power) noexcept {
  if (power > 1) stage_of_16<1>(v);
  if (power > 2) stage_of_16<2>(v);
  if (power > 4) stage_of_16<4>(v);
  if (power > 8) stage_of_16<8>(v);
}

/// See hadamard_loops.
EDGERAZOR_ISA inline void butterflies(float* values, std::size_t count,
                                      std::size_t power) noexcept {
  std::size_t distance = 1;
  if (count % 16 == 0) {
    for (std::size_t i = 0; i < count; i += 16) butterflies_of_16(values + i, power);
    distance = 16;
  }
  for (; distance < power; distance *= 2) {
    for (std::size_t i = 0; i < count; i += 2 * distance) {
      float *const low = values + i, *const high = low + distance;
      std::size_t j = 0;
      for (; j + floats::size <= distance; j += floats::size) {
        const floats a = floats::load_unaligned(low + j), b = floats::load_unaligned(high + j);
        ordered(a + b).store_unaligned(low + j);
        ordered(a - b).store_unaligned(high + j);
      }
      for (; j < distance; ++j) {
        const float a = low[j], b = high[j];
        low[j] = core::ordered(a + b);
        high[j] = core::ordered(a - b);
      }
    }
  }
}

/// See hadamard_loops. A product with 1 or -1 is exact, so a fused sum is the same as one of two
/// operations.
EDGERAZOR_ISA inline void core_rows(const float* in, std::size_t m, std::size_t count,
                                    const float* signs, float factor, float* out) noexcept {
  constexpr std::size_t width = hadamard_loops::width, rows = hadamard_loops::rows;
  for (std::size_t k = 0; k < count; k += floats::size) {
    floats sums[rows];
    EDGERAZOR_UNROLL
    for (std::size_t r = 0; r < rows; ++r) sums[r] = floats{0.0f};
    for (std::size_t j = 0; j < m; ++j) {
      const floats x = floats::load_unaligned(in + j * width + k);
      EDGERAZOR_UNROLL
      for (std::size_t r = 0; r < rows; ++r)
        sums[r] = ordered(fma(floats{signs[r * m + j]}, x, sums[r]));
    }
    EDGERAZOR_UNROLL
    for (std::size_t r = 0; r < rows; ++r)
      (sums[r] * floats{factor}).store_unaligned(out + r * width + k);
  }
}

inline constexpr hadamard_loops table{
    .name = vectors::name,
    .supported = &vectors::supported,
    .butterflies = &butterflies,
    .core_rows = &core_rows,
};
