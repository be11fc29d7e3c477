// SPDX-License-Identifier: Apache-2.0
// Text, see all.inl: gradients of fake quantization.

/// Where rounding alone gives a level; see `within_levels`.
struct within_rounding {
  floats scale, low, high, below, above;
  words zero{rounding_bits};

  EDGERAZOR_LANES within_rounding(level_range levels, float of) noexcept
      : scale(of),
        low(static_cast<float>(levels.low)),
        high(static_cast<float>(levels.high)),
        below(static_cast<float>(levels.low - 1)),
        above(static_cast<float>(levels.high + 1)) {}
  EDGERAZOR_LANES floats pass(const floats& x, const floats& gradient) const noexcept {
    const floats level = to_float(rounded_bits(quotient(x, scale), below, above) - zero);
    return select(low <= level && level <= high, gradient, floats{0.0f});
  }
};
struct within_half_steps {
  floats scale, low, high;

  EDGERAZOR_LANES within_half_steps(level_range levels, float of) noexcept
      : scale(of),
        low(static_cast<float>(levels.low - (levels.step >> 1))),
        high(static_cast<float>(levels.high + (levels.step >> 1))) {}
  EDGERAZOR_LANES floats pass(const floats& x, const floats& gradient) const noexcept {
    const floats position = quotient(x, scale);
    return select(low <= position && position <= high, gradient, floats{0.0f});
  }
};

template <class Within>
EDGERAZOR_LANES void put_passed(const Within& within, const float* values, const float* grad_out,
                                float* grad_in) noexcept {
  const block from(values);
  block gradients(grad_out);
  EDGERAZOR_UNROLL
  for (std::size_t j = 0; j < parts; ++j)
    gradients.part[j] = within.pass(from.part[j], gradients.part[j]);
  gradients.store(grad_in);
}
template <class Within>
EDGERAZOR_LANES void pass_where(level_range levels, float scale, const float* values,
                                std::size_t count, const float* grad_out, float* grad_in) noexcept {
  const Within within(levels, scale);
  std::size_t i = 0;
  for (; i + block_size <= count; i += block_size)
    put_passed(within, values + i, grad_out + i, grad_in + i);
  if (i == count) return;
  float last[block_size];
  put_passed(within, last_elements<float>(values + i, count - i).elements,
             last_elements<float>(grad_out + i, count - i).elements, last);
  for (std::size_t j = 0; i < count; ++i, ++j) grad_in[i] = last[j];
}
EDGERAZOR_ISA inline void pass_within(level_range levels, float scale, const float* values,
                                      std::size_t count, const float* grad_out,
                                      float* grad_in) noexcept {
  if (levels.step == 1)
    return pass_where<within_rounding>(levels, scale, values, count, grad_out, grad_in);
  return pass_where<within_half_steps>(levels, scale, values, count, grad_out, grad_in);
}

/// The sums of `slope_sums` in vectors. A product of two floats is exact in double, so that fusing
/// it with the addition changes nothing.
template <class Level>
EDGERAZOR_LANES double slope_of(const level_line& line, level_range levels, const float* values,
                                std::size_t count, const float* grad_out,
                                float* grad_in) noexcept {
  const Level level(line);
  const floats scale{line.scale}, low{static_cast<float>(levels.low)},
      high{static_cast<float>(levels.high)}, zero{0.0f};
  constexpr std::size_t pairs = block_size / doubles::size;
  doubles sums[pairs];
  EDGERAZOR_UNROLL
  for (std::size_t k = 0; k < pairs; ++k) sums[k] = doubles{0.0};
  std::size_t i = 0;
  for (; i + block_size <= count; i += block_size) {
    const block from(values + i), gradients(grad_out + i);
    float slopes[block_size], copies[block_size];
    gradients.store(copies);
    EDGERAZOR_UNROLL
    for (std::size_t j = 0; j < parts; ++j) {
      const floats position = quotient(from.part[j], scale), gradient = gradients.part[j];
      const auto inside = low < position && position < high;
      const floats slope = to_float(level(from.part[j])) - select(inside, position, zero);
      slope.store_unaligned(slopes + j * floats::size);
      select(inside, gradient, zero).store_unaligned(grad_in + i + j * floats::size);
    }
    EDGERAZOR_UNROLL
    for (std::size_t k = 0; k < pairs; ++k) {
      sums[k] = sums[k] + doubles::load_unaligned(copies + k * doubles::size) *
                              doubles::load_unaligned(slopes + k * doubles::size);
    }
  }
  slope_sums total;
  EDGERAZOR_UNROLL
  for (std::size_t k = 0; k < pairs; ++k) sums[k].store_unaligned(total.sums + k * doubles::size);
  for (; i < count; ++i) {
    const float g = grad_out[i];
    total.add(i, g,
              step_slope(core::quotient(values[i], line.scale), line(values[i]), levels, g,
                         grad_in[i]));
  }
  return total.total();
}
EDGERAZOR_ISA inline double step_gradient(const level_line& line, level_range levels,
                                          const float* values, std::size_t count,
                                          const float* grad_out, float* grad_in) noexcept {
  if (line.by_sign) return slope_of<sign_levels>(line, levels, values, count, grad_out, grad_in);
  return slope_of<line_levels>(line, levels, values, count, grad_out, grad_in);
}
