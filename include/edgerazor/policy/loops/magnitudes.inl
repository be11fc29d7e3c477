// SPDX-License-Identifier: Apache-2.0
// Text, see all.inl: what is asked of a group before it has a scale.

EDGERAZOR_LANES words magnitude(const floats& x) noexcept { return bits_of(x) & words{0x7fffffff}; }

/// Two maxima in turn, so that none waits for the one before.
EDGERAZOR_ISA inline std::int32_t largest_bits(const float* values, std::size_t count) noexcept {
  constexpr std::size_t step = 2 * words::size;
  const std::size_t whole = count - count % step;
  words even{0}, odd{0};
  for (std::size_t i = 0; i < whole; i += step) {
    even = max(even, magnitude(floats::load_unaligned(values + i)));
    odd = max(odd, magnitude(floats::load_unaligned(values + i + words::size)));
  }
  std::int32_t largest = whole == 0 ? 0 : largest_lane(max(even, odd));
  for (std::size_t i = whole; i < count; ++i) {
    const std::int32_t bits = magnitude_bits(values[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

/// Lanes that the compiler makes vectors of.
EDGERAZOR_ISA inline std::int32_t largest_half_bits(const std::uint16_t* bits,
                                                    std::size_t count) noexcept {
  constexpr std::size_t lane_count = 32;
  std::int16_t lanes[lane_count] = {};
  const std::size_t whole = count - count % lane_count;
  for (std::size_t i = 0; i < whole; i += lane_count) {
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
      const auto magnitude = static_cast<std::int16_t>(bits[i + lane] & 0x7fff);
      lanes[lane] = magnitude > lanes[lane] ? magnitude : lanes[lane];
    }
  }
  std::int32_t largest = 0;
  for (std::size_t i = whole; i < count; ++i) {
    const std::int32_t magnitude = bits[i] & 0x7fff;
    largest = magnitude > largest ? magnitude : largest;
  }
  for (const std::int16_t lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

EDGERAZOR_ISA inline bool all_below(const float* values, std::size_t count, float limit) noexcept {
  constexpr std::size_t step = 4 * words::size;
  const std::size_t whole = count - count % step;
  // Added to the bits of a magnitude, it sets the sign bit of those at the limit or above.
  const words offset{std::bit_cast<std::int32_t>(
      0x80000000u - static_cast<std::uint32_t>(magnitude_bits(limit)))};
  words signs{0};
  for (std::size_t i = 0; i < whole; i += step) {
    const floats a = floats::load_unaligned(values + i),
                 b = floats::load_unaligned(values + i + words::size),
                 c = floats::load_unaligned(values + i + 2 * words::size),
                 d = floats::load_unaligned(values + i + 3 * words::size);
    signs = signs | ((magnitude(a) + offset) | (magnitude(b) + offset)) |
            ((magnitude(c) + offset) | (magnitude(d) + offset));
  }
  bool below = !any_negative(signs);
  for (std::size_t i = whole; i < count; ++i)
    below = below && magnitude_bits(values[i]) < magnitude_bits(limit);
  return below;
}

/// A number's bits as an integer whose order is the order of the numbers, -0 just below 0; its own
/// inverse.
EDGERAZOR_LANES words order_of(const words& bits) noexcept {
  return bits ^ (shift_right<31>(bits) & words{0x7fffffff});
}
inline std::int32_t order_of(std::int32_t bits) noexcept {
  return bits ^ (bits >> 31 & 0x7fffffff);
}

EDGERAZOR_ISA inline float max_value(const float* values, std::size_t count) noexcept {
  const std::size_t whole = count - count % words::size;
  std::int32_t largest = order_of(std::bit_cast<std::int32_t>(values[0])), most = 0;
  if (whole != 0) {
    words orders{largest}, magnitudes{0};
    for (std::size_t i = 0; i < whole; i += words::size) {
      const floats x = floats::load_unaligned(values + i);
      orders = max(orders, order_of(bits_of(x)));
      magnitudes = max(magnitudes, magnitude(x));
    }
    largest = largest_lane(orders);
    most = largest_lane(magnitudes);
  }
  for (std::size_t i = whole; i < count; ++i) {
    const std::int32_t order = order_of(std::bit_cast<std::int32_t>(values[i]));
    largest = order > largest ? order : largest;
    const std::int32_t bits = magnitude_bits(values[i]);
    most = bits > most ? bits : most;
  }
  return std::bit_cast<float>(most > infinity_bits<float> ? most : order_of(largest));
}

EDGERAZOR_ISA inline value_range range(const float* values, std::size_t count) noexcept {
  const std::size_t whole = count - count % words::size;
  // The smallest is the one whose complement, which turns the order around, is the largest.
  std::int32_t most = order_of(std::bit_cast<std::int32_t>(values[0])), least = ~most;
  if (whole != 0) {
    words largest{most}, smallest{least};
    const words ones{-1};
    for (std::size_t i = 0; i < whole; i += words::size) {
      const words order = order_of(bits_of(floats::load_unaligned(values + i)));
      largest = max(largest, order);
      smallest = max(smallest, order ^ ones);
    }
    most = largest_lane(largest);
    least = largest_lane(smallest);
  }
  for (std::size_t i = whole; i < count; ++i) {
    const std::int32_t order = order_of(std::bit_cast<std::int32_t>(values[i]));
    most = order > most ? order : most;
    least = ~order > least ? ~order : least;
  }
  value_range found{std::bit_cast<float>(order_of(~least)), std::bit_cast<float>(order_of(most))};
  // A comparison of floats takes -0 for 0: the first of them that stands there.
  for (float* const end : {&found.low, &found.high}) {
    if (magnitude_bits(*end) != 0) continue;
    std::size_t i = 0;
    while (magnitude_bits(values[i]) != 0) ++i;
    *end = values[i];
  }
  return found;
}

/// The loops of `plain_sums`, by vectors where these divide the width.
struct row_sums {
  template <std::size_t Width>
  EDGERAZOR_ISA static inline void add_rows(const float* next, std::size_t count,
                                            float* sums) noexcept {
    if constexpr (Width % floats::size != 0) {
      plain_sums::add_rows<Width>(next, count, sums);
    } else {
      constexpr std::size_t vector_count = Width / floats::size;
      floats sum[vector_count];
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < vector_count; ++j) sum[j] = floats{0.0f};
      for (std::size_t i = 0; i < count; ++i, next += Width) {
        EDGERAZOR_UNROLL
        for (std::size_t j = 0; j < vector_count; ++j)
          sum[j] = ordered(sum[j] + abs(floats::load_unaligned(next + j * floats::size)));
      }
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < vector_count; ++j)
        sum[j].store_unaligned(sums + j * floats::size);
    }
  }
  template <std::size_t Count>
  EDGERAZOR_ISA static inline void add_lanes(const float* from, float* to) noexcept {
    if constexpr (Count % floats::size != 0) {
      plain_sums::add_lanes<Count>(from, to);
    } else {
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < Count; j += floats::size) {
        const floats sum =
            ordered(floats::load_unaligned(to + j) + floats::load_unaligned(from + j));
        sum.store_unaligned(to + j);
      }
    }
  }
};

EDGERAZOR_ISA inline float mean_magnitude(const float* values, std::size_t count) noexcept {
  return mean_of_magnitudes<row_sums>({values, count});
}
