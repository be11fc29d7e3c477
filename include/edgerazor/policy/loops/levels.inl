// SPDX-License-Identifier: Apache-2.0
// Text, see all.inl: codes and values of a group whose scale is known.

/// The bits of clamp(round_half_even(x), low, high), as an integer, plus those of 1.5 * 2^23; NaN
/// gives low. See `round_to_level`.
EDGERAZOR_LANES words rounded_bits(const floats& x, const floats& low,
                                   const floats& high) noexcept {
  return bits_of(min(larger(x, low), high) + floats{12582912.0f});
}
inline constexpr std::int32_t rounding_bits = 0x4b400000;
static_assert(std::bit_cast<std::int32_t>(12582912.0f) == rounding_bits);

/// `level_line` in every lane. Each kind is a type of its own, so that loops hold no question.
struct line_levels {
  floats less, scale, more, low, high;
  words add;

  EDGERAZOR_LANES explicit line_levels(const level_line& line) noexcept
      : less(line.less),
        scale(line.scale),
        more(line.more),
        low(line.low),
        high(line.high),
        add(line.add - rounding_bits) {}
  EDGERAZOR_LANES words operator()(const floats& x) const noexcept {
    return rounded_bits(quotient(x - less, scale) + more, low, high) + add;
  }
};
struct sign_levels {
  words one;

  EDGERAZOR_LANES explicit sign_levels(const level_line& line) noexcept : one(line.add + 1) {}
  /// Two less where x < 0: where both its bits and those less one have the sign, which -0 and 0
  /// have not.
  EDGERAZOR_LANES words operator()(const floats& x) const noexcept {
    const words bits = bits_of(x), below = shift_right<31>(bits & (bits - words{1}));
    return one + (below + below);
  }
};

/// `value_line` in every lane.
struct scaled_values {
  floats unit, zero;
  EDGERAZOR_LANES explicit scaled_values(const value_line& line) noexcept
      : unit(line.unit), zero(line.zero) {}
  EDGERAZOR_LANES floats operator()(const words& level) const noexcept {
    return kept(to_float(level) - zero) * unit;
  }
};
struct added_values {
  floats unit, zero;
  EDGERAZOR_LANES explicit added_values(const value_line& line) noexcept
      : unit(line.unit), zero(line.zero) {}
  EDGERAZOR_LANES floats operator()(const words& level) const noexcept {
    return kept(to_float(level) * unit) + zero;
  }
};

/// Levels by value: a byte that is written may be any object that something points to.
template <class Level>
EDGERAZOR_LANES void put_codes(const Level level, const float* values,
                               std::uint8_t* codes) noexcept {
  const block from(values);
  words levels[parts];
  EDGERAZOR_UNROLL
  for (std::size_t j = 0; j < parts; ++j) levels[j] = level(from.part[j]);
  store_bytes(codes, levels);
}
template <class Level>
EDGERAZOR_LANES void codes_of(const level_line& line, const float* values, std::size_t count,
                              std::uint8_t* codes) noexcept {
  const Level level(line);
  for (; count >= block_size; count -= block_size, values += block_size, codes += block_size)
    put_codes(level, values, codes);
  if (count == 0) return;
  std::uint8_t last[block_size];
  put_codes(level, last_elements<float>(values, count).elements, last);
  for (std::size_t i = 0; i < count; ++i) codes[i] = last[i];
}
EDGERAZOR_ISA inline void codes(const level_line& line, const float* values, std::size_t count,
                                std::uint8_t* codes) noexcept {
  if (line.by_sign) return codes_of<sign_levels>(line, values, count, codes);
  return codes_of<line_levels>(line, values, count, codes);
}

template <class Level, class Value, class U>
EDGERAZOR_LANES void put_values(const Level& level, const Value& value, const float* values,
                                U* out) noexcept {
  block all(values);
  EDGERAZOR_UNROLL
  for (std::size_t j = 0; j < parts; ++j) all.part[j] = value(level(all.part[j]));
  all.store(out);
}
template <class Level, class Value, class U>
EDGERAZOR_LANES void values_of(const level_line& line, const value_line& unit, const float* values,
                               std::size_t count, U* out) noexcept {
  const Level level(line);
  const Value value(unit);
  for (; count >= block_size; count -= block_size, values += block_size, out += block_size)
    put_values(level, value, values, out);
  if (count == 0) return;
  U last[block_size];
  put_values(level, value, last_elements<float>(values, count).elements, last);
  for (std::size_t i = 0; i < count; ++i) out[i] = last[i];
}
template <class U>
EDGERAZOR_ISA inline void values(const level_line& line, const value_line& value,
                                 const float* values, std::size_t count, U* out) noexcept {
  if (line.by_sign) return values_of<sign_levels, scaled_values>(line, value, values, count, out);
  if (value.add_last) return values_of<line_levels, added_values>(line, value, values, count, out);
  return values_of<line_levels, scaled_values>(line, value, values, count, out);
}

/// The quotient of an element on the grid is within a unit in the last place of its level, so
/// rounding finds that; clamping changes no element that has a level, and gives none to another.
EDGERAZOR_ISA inline std::size_t exact_codes(level_range levels, float scale, int zero_code,
                                             const float* values, std::size_t count,
                                             std::uint8_t* codes) noexcept {
  const floats scales{scale}, low{static_cast<float>(levels.low)},
      high{static_cast<float>(levels.high)};
  const words from_low{-rounding_bits - levels.low}, zero{rounding_bits},
      add{levels.low + zero_code}, odd{levels.step - 1};
  // The remainder is a mask of bits where the step is a power of two.
  const bool masks = (levels.step & (levels.step - 1)) == 0;
  std::size_t done = 0;
  for (; masks && done + block_size <= count; done += block_size) {
    const block from(values + done);
    words found[parts];
    bool exact = true;
    EDGERAZOR_UNROLL
    for (std::size_t j = 0; j < parts; ++j) {
      const words bits = rounded_bits(quotient(from.part[j], scales), low, high);
      exact = exact && !any(!(to_float(bits - zero) * scales == from.part[j]));
      const words level = bits + from_low;  // from the lowest on: whole steps
      exact = exact && !any_negative(words{0} - (level & odd));
      found[j] = level + add;
    }
    if (!exact) break;
    store_bytes(codes + done, found);
  }
  for (; done < count; ++done) {
    const int level = round_between(core::quotient(values[done], scale), levels.low, levels.high);
    if (static_cast<float>(level) * scale != values[done] ||
        (level - levels.low) % levels.step != 0)
      return done;
    codes[done] = static_cast<std::uint8_t>(level + zero_code);
  }
  return done;
}

template <class From, class To>
EDGERAZOR_ISA inline void convert(const From* in, std::size_t count, To* out) noexcept {
  for (; count >= block_size; count -= block_size, in += block_size, out += block_size)
    block(in).store(out);
  if (count == 0) return;
  To last[block_size];
  block(last_elements<From>(in, count).elements).store(last);
  for (std::size_t i = 0; i < count; ++i) out[i] = last[i];
}
