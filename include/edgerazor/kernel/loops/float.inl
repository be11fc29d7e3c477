// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl: the functions of a table that work on floats. The namespace supplies, all
// EDGERAZOR_ISA EDGERAZOR_INLINE, for registers of `lanes` floats or int32, `parts` of which are
// 16:
//
//     load(at)                  floats from float, float16 or bfloat16 (exact); int32 from int32
//     load_first(at, n)         the first n, then zeros; nothing else is read
//     store(to, v)  store_first(to, v, n)
//     splat(x)                  x in every lane, float or int32
//     add subtract multiply divide multiply_add(a, b, c)      multiply_add rounds once
//     negated_multiply_add(a, b, c)                           c - a * b, rounded once
//     larger(a, b)              a where a > b, else b: b where one is NaN;  smaller(a, b) likewise
//     magnitude_bits(v)         |v| as int32;  larger(a, b) of int32
//     first_of(n, a, b)         lanes below n from a, the others from b
//     round_to_even  to_float  to_int (of whole numbers)  half_of (arithmetic shift right by one)
//     power_of_two(n)           2^n as float, for n in [-126, 127]
//     fold(v)                   halves added: v_j += v_{j + lanes / 2}, ..., the last two
//     largest_lane(v)  sum_lanes         of int32
//     load_bytes(at)            int8 as int32;  load_levels(at) as floats
//     store_codes(to, v)        the low bytes of int32
//     prefetch_line(at)         asks for the line in which an address lies; or nothing
//     panel_levels(rows, b, zero)      byte b of the 4 bytes of each of `lanes` rows, less zero
//
// and these sizes, which keep the accumulators of a block in registers:
//
//     float_tokens, float_cols, float_tokens_rest, float_cols_rest     of panel_float
//     dense_rows, dense_tokens                                         of dense_dot
//     sum_vectors, sum_vectors_rest                                16 columns each, of weighted_sum

/// Sums of 16 lanes, halves added as the contract orders.
EDGERAZOR_ISA EDGERAZOR_INLINE float fold_16(real_vector (&s)[parts]) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t half = parts / 2; half > 0; half /= 2) {
    EDGERAZOR_UNROLL
    for (std::size_t j = 0; j < half; ++j) s[j] = add(s[j], s[j + half]);
  }
  return fold(s[0]);
}

/// How many of the first `count` of 16 lanes lie in part i.
constexpr std::size_t lanes_of_part(std::size_t count, std::size_t i) noexcept {
  return count <= lanes * i ? 0 : count - lanes * i < lanes ? count - lanes * i : lanes;
}

/// `Tokens` tokens share each decoded column, `Columns` columns of each slot at a time.
template <std::size_t Tokens, std::size_t Columns>
EDGERAZOR_ISA EDGERAZOR_INLINE void panel_float_block(const std::uint8_t* panel, std::size_t slots,
                                                      int zero_code, const float* x,
                                                      std::size_t x_stride, float* p) noexcept {
  const auto zero = splat(std::int32_t{zero_code});
  for (std::size_t b0 = 0; b0 < slot_cols; b0 += Columns) {
    real_vector sums[Tokens][Columns][parts];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tokens * Columns * parts; ++i) {
      const std::size_t t = i / (Columns * parts), b = i / parts % Columns, part = i % parts;
      sums[t][b][part] = load(p + 64 * t + 16 * (b0 + b) + lanes * part);
    }
    for (std::size_t s = 0; s < slots; ++s) {
      EDGERAZOR_UNROLL
      for (std::size_t b = 0; b < Columns; ++b) {
        EDGERAZOR_UNROLL
        for (std::size_t part = 0; part < parts; ++part) {
          const auto level =
              panel_levels(panel + chunk_bytes * s + slot_cols * lanes * part, b0 + b, zero);
          EDGERAZOR_UNROLL
          for (std::size_t t = 0; t < Tokens; ++t) {
            const auto column = splat(x[t * x_stride + slot_cols * s + b0 + b]);
            sums[t][b][part] = multiply_add(level, column, sums[t][b][part]);
          }
        }
      }
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tokens * Columns * parts; ++i) {
      const std::size_t t = i / (Columns * parts), b = i / parts % Columns, part = i % parts;
      store(p + 64 * t + 16 * (b0 + b) + lanes * part, sums[t][b][part]);
    }
  }
}

EDGERAZOR_ISA inline void panel_float(const std::uint8_t* panel, std::size_t slots, int zero_code,
                                      const float* x, std::size_t x_stride, std::size_t tokens,
                                      float* p) noexcept {
  for (; tokens >= float_tokens; tokens -= float_tokens) {
    panel_float_block<float_tokens, float_cols>(panel, slots, zero_code, x, x_stride, p);
    x += float_tokens * x_stride, p += float_tokens * slot_cols * tile_rows;
  }
  for (; tokens >= float_tokens_rest; tokens -= float_tokens_rest) {
    panel_float_block<float_tokens_rest, float_cols>(panel, slots, zero_code, x, x_stride, p);
    x += float_tokens_rest * x_stride, p += float_tokens_rest * slot_cols * tile_rows;
  }
  for (; tokens > 0; --tokens, x += x_stride, p += slot_cols * tile_rows) {
    panel_float_block<1, float_cols_rest>(panel, slots, zero_code, x, x_stride, p);
  }
}

/// The scales and zeros of a group, part by part.
template <class Stored>
struct group_numbers {
  const Stored* stored;

  EDGERAZOR_ISA EDGERAZOR_INLINE explicit group_numbers(const std::byte* at) noexcept
      : stored(reinterpret_cast<const Stored*>(at)) {}
  EDGERAZOR_ISA EDGERAZOR_INLINE real_vector scale(std::size_t i) const noexcept {
    return load(stored + lanes * i);
  }
  EDGERAZOR_ISA EDGERAZOR_INLINE real_vector zero(std::size_t i) const noexcept {
    return load(stored + tile_rows + lanes * i);
  }
};
template <>
struct group_numbers<two_levels> {
  const std::int8_t* codes;
  float numbers[lanes < 4 ? 4 : lanes];
  static constexpr std::size_t first = lanes == 8 ? 4 : 0;  ///< of the four numbers

  /// A register of 8 numbers ends with the group: what is before the four are codes.
  EDGERAZOR_ISA EDGERAZOR_INLINE explicit group_numbers(const std::byte* at) noexcept
      : codes(reinterpret_cast<const std::int8_t*>(at)) {
    const auto* const four = reinterpret_cast<const float16*>(at + tile_rows);
    if constexpr (lanes <= 8) {
      store(numbers, load(four - first));
    } else {
      store(numbers, load_first(four, 4));
    }
  }
  /// A row's byte shifted right by 3.
  EDGERAZOR_ISA EDGERAZOR_INLINE int_vector high(std::size_t i) const noexcept {
    return half_of(half_of(half_of(load_bytes(codes + lanes * i))));
  }
  EDGERAZOR_ISA EDGERAZOR_INLINE real_vector scale(std::size_t i) const noexcept {
    const auto low = subtract(load_bytes(codes + lanes * i), shift_left(high(i), 3));
    return multiply(splat(numbers[first]), subtract(to_float(low), splat(numbers[first + 1])));
  }
  EDGERAZOR_ISA EDGERAZOR_INLINE real_vector zero(std::size_t i) const noexcept {
    const auto code = to_float(high(i));
    return multiply(splat(numbers[first + 2]), subtract(code, splat(numbers[first + 3])));
  }
};

template <class Stored, zero_kind Zero>
EDGERAZOR_ISA void scale_sums(const std::int32_t* isum, const std::byte* w_scales,
                              const float* x_scales, [[maybe_unused]] const std::int32_t* x_sums,
                              std::size_t groups, float* y) noexcept {
  real_vector total[parts];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) total[i] = load(y + lanes * i);
  for (std::size_t g = 0; g < groups; ++g, isum += tile_rows) {
    const group_numbers<Stored> numbers(w_scales);
    w_scales += statistics_bytes<Stored, Zero>;
    const auto x_scale = splat(x_scales[g]);
    real_vector x_sum = x_scale;
    if constexpr (Zero != zero_kind::none) x_sum = splat(static_cast<float>(x_sums[g]));
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      const auto scale = multiply(numbers.scale(i), x_scale);
      auto sum = to_float(load(isum + lanes * i));
      if constexpr (Zero == zero_kind::point)
        sum = negated_multiply_add(numbers.zero(i), x_sum, sum);
      total[i] = multiply_add(sum, scale, total[i]);
      if constexpr (Zero == zero_kind::minimum)
        total[i] = multiply_add(x_sum, multiply(numbers.zero(i), x_scale), total[i]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) store(y + lanes * i, total[i]);
}

template <class Stored, zero_kind Zero>
EDGERAZOR_ISA void read_scales(const std::byte* w_scales, float* scales,
                               [[maybe_unused]] float* zeros) noexcept {
  const group_numbers<Stored> numbers(w_scales);
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) {
    store(scales + lanes * i, numbers.scale(i));
    if constexpr (Zero != zero_kind::none) store(zeros + lanes * i, numbers.zero(i));
  }
}

template <class Stored, zero_kind Zero>
EDGERAZOR_ISA void scale_floats(const float* p, const std::byte* w_scales,
                                [[maybe_unused]] float x_sum, float* y) noexcept {
  const group_numbers<Stored> numbers(w_scales);
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) {
    const std::size_t r = lanes * i;
    const auto p01 = add(load(p + r), load(p + 16 + r));
    const auto p23 = add(load(p + 32 + r), load(p + 48 + r));
    auto sum = add(p01, p23);
    if constexpr (Zero == zero_kind::point)
      sum = negated_multiply_add(numbers.zero(i), splat(x_sum), sum);
    auto total = multiply_add(sum, numbers.scale(i), load(y + r));
    if constexpr (Zero == zero_kind::minimum)
      total = multiply_add(splat(x_sum), numbers.zero(i), total);
    store(y + r, total);
  }
}

template <std::size_t Rows, std::size_t Tokens, class T>
EDGERAZOR_ISA EDGERAZOR_INLINE void dense_block(const T* w, std::size_t w_stride, std::size_t cols,
                                                const float* x, std::size_t x_stride, float* y,
                                                std::size_t y_stride) noexcept {
  real_vector sums[Rows][Tokens][parts];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Rows * Tokens * parts; ++i) {
    sums[i / (Tokens * parts)][i / parts % Tokens][i % parts] = splat(0.0f);
  }
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    // One token waits for memory: the rows that follow are asked for, in the order of memory.
    if (Tokens == 1) {
      const T* const ahead = w + Rows * w_stride + Rows * c;
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < Rows * 16; i += 64 / sizeof(T)) prefetch_line(ahead + i);
    }
    EDGERAZOR_UNROLL
    for (std::size_t part = 0; part < parts; ++part) {
      real_vector tokens[Tokens];
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) {
        tokens[t] = load(x + t * x_stride + c + lanes * part);
      }
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        const auto weights = load(w + i * w_stride + c + lanes * part);
        EDGERAZOR_UNROLL
        for (std::size_t t = 0; t < Tokens; ++t)
          sums[i][t][part] = multiply_add(weights, tokens[t], sums[i][t][part]);
      }
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t part = 0; part < parts; ++part) {
    // Lanes past the end keep their sum, the sign of a zero included.
    const std::size_t count = lanes_of_part(cols - c, part), first = c + lanes * part;
    if (count == 0) break;
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      const auto weights = load_first(w + i * w_stride + first, count);
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) {
        const auto token = load_first(x + t * x_stride + first, count);
        sums[i][t][part] =
            first_of(count, multiply_add(weights, token, sums[i][t][part]), sums[i][t][part]);
      }
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) y[t * y_stride + i] = fold_16(sums[i][t]);
  }
}

/// Whole blocks of tokens first, then the tokens that are left, one by one, with more rows at once.
template <class T>
EDGERAZOR_ISA void dense_dot(const T* w, std::size_t w_stride, std::size_t rows, std::size_t cols,
                             const float* x, std::size_t x_stride, std::size_t tokens, float* y,
                             std::size_t y_stride) noexcept {
  constexpr std::size_t rows_of_one = 4;
  const std::size_t whole = tokens / dense_tokens * dense_tokens;
  std::size_t i = 0;
  for (; i + dense_rows <= rows && whole > 0; i += dense_rows) {
    for (std::size_t t = 0; t < whole; t += dense_tokens) {
      dense_block<dense_rows, dense_tokens>(w + i * w_stride, w_stride, cols, x + t * x_stride,
                                            x_stride, y + t * y_stride + i, y_stride);
    }
  }
  for (; i < rows && whole > 0; ++i) {
    for (std::size_t t = 0; t < whole; t += dense_tokens) {
      dense_block<1, dense_tokens>(w + i * w_stride, w_stride, cols, x + t * x_stride, x_stride,
                                   y + t * y_stride + i, y_stride);
    }
  }
  for (std::size_t t = whole; t < tokens; ++t) {
    const float* const token = x + t * x_stride;
    float* const out = y + t * y_stride;
    for (i = 0; i + rows_of_one <= rows; i += rows_of_one)
      dense_block<rows_of_one, 1>(w + i * w_stride, w_stride, cols, token, 0, out + i, 0);
    for (; i < rows; ++i) dense_block<1, 1>(w + i * w_stride, w_stride, cols, token, 0, out + i, 0);
  }
}

EDGERAZOR_ISA inline float max_magnitude(const float* x, std::size_t cols) noexcept {
  int_vector largest[parts];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) largest[i] = splat(std::int32_t{0});
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i)
      largest[i] = larger(magnitude_bits(load(x + c + lanes * i)), largest[i]);
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) {
    const std::size_t count = lanes_of_part(cols - c, i);
    if (count == 0) break;
    largest[i] = larger(magnitude_bits(load_first(x + c + lanes * i, count)), largest[i]);
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 1; i < parts; ++i) largest[0] = larger(largest[i], largest[0]);
  return std::bit_cast<float>(largest_lane(largest[0]));
}

/// Codes of one register of activations; NaN becomes -127.
EDGERAZOR_ISA EDGERAZOR_INLINE int_vector quantized(real_vector x, real_vector scale) noexcept {
  const auto above = larger(divide(x, scale), splat(-127.0f));
  return to_int(round_to_even(smaller(above, splat(127.0f))));
}

EDGERAZOR_ISA inline std::int32_t quantize(const float* x, std::size_t cols, float scale,
                                           std::int8_t* codes) noexcept {
  const auto divisor = splat(scale);
  int_vector sums = splat(std::int32_t{0});
  std::size_t c = 0;
  for (; c + lanes <= cols; c += lanes) {
    const int_vector some = quantized(load(x + c), divisor);
    store_codes(codes + c, some);
    sums = add(sums, some);
  }
  std::int32_t sum = sum_lanes(sums);
  if (c < cols) {
    std::int8_t last[lanes];
    store_codes(last, quantized(load_first(x + c, cols - c), divisor));
    std::memcpy(codes + c, last, cols - c);
    for (std::size_t i = 0; c + i < cols; ++i) sum += last[i];
  }
  return sum;
}

/// 16 * Vectors columns of some weighted sums.
template <std::size_t Sums, std::size_t Vectors>
EDGERAZOR_ISA EDGERAZOR_INLINE void sum_block(const std::int8_t* levels, std::size_t stride,
                                              const float* weights, std::size_t weight_stride,
                                              std::size_t positions, float* out,
                                              std::size_t out_stride) noexcept {
  constexpr std::size_t registers = Vectors * parts;
  real_vector totals[Sums][registers];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Sums * registers; ++i) {
    totals[i / registers][i % registers] =
        load(out + i / registers * out_stride + lanes * (i % registers));
  }
  for (std::size_t t = 0; t < positions; ++t, levels += stride) {
    EDGERAZOR_UNROLL
    for (std::size_t v = 0; v < registers; ++v) {
      const auto level = load_levels(levels + lanes * v);
      EDGERAZOR_UNROLL
      for (std::size_t q = 0; q < Sums; ++q)
        totals[q][v] = multiply_add(splat(weights[q * weight_stride + t]), level, totals[q][v]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Sums * registers; ++i) {
    store(out + i / registers * out_stride + lanes * (i % registers),
          totals[i / registers][i % registers]);
  }
}

/// Fewer than 16 columns, through arrays of 16.
EDGERAZOR_ISA EDGERAZOR_INLINE void sum_few_columns(const std::int8_t* levels, std::size_t stride,
                                                    const float* weights, std::size_t positions,
                                                    std::size_t cols, float* out) noexcept {
  std::int8_t some[16] = {};
  float sums[16] = {};
  std::memcpy(sums, out, cols * sizeof(float));
  for (std::size_t t = 0; t < positions; ++t) {
    std::memcpy(some, levels + t * stride, cols);
    sum_block<1, 1>(some, 0, weights + t, 0, 1, sums, 0);
  }
  std::memcpy(out, sums, cols * sizeof(float));
}

/// Some weighted sums of any number of columns. A last block of fewer than 16 is the end of the 16
/// that end there: all of them are computed from what `out` was before, apart, and those past the
/// whole blocks are kept.
template <std::size_t Sums, std::size_t Vectors>
EDGERAZOR_ISA EDGERAZOR_INLINE void sum_rows(const std::int8_t* levels, std::size_t stride,
                                             const float* weights, std::size_t weight_stride,
                                             std::size_t positions, std::size_t cols, float* out,
                                             std::size_t out_stride) noexcept {
  const std::size_t rest = cols % 16;
  float last[Sums * 16];
  if (rest != 0 && cols >= 16) {
    for (std::size_t q = 0; q < Sums; ++q)
      std::memcpy(last + 16 * q, out + q * out_stride + cols - 16, 16 * sizeof(float));
    sum_block<Sums, 1>(levels + cols - 16, stride, weights, weight_stride, positions, last, 16);
  }
  std::size_t c = 0;
  for (; c + 16 * Vectors <= cols; c += 16 * Vectors) {
    sum_block<Sums, Vectors>(levels + c, stride, weights, weight_stride, positions, out + c,
                             out_stride);
  }
  if constexpr (Vectors > 1) {
    for (; c + 16 <= cols; c += 16)
      sum_block<Sums, 1>(levels + c, stride, weights, weight_stride, positions, out + c,
                         out_stride);
  }
  for (std::size_t q = 0; q < Sums && rest != 0; ++q) {
    float* const to = out + q * out_stride + c;
    if (cols >= 16) {
      std::memcpy(to, last + 16 * q + 16 - rest, rest * sizeof(float));
    } else {
      sum_few_columns(levels + c, stride, weights + q * weight_stride, positions, rest, to);
    }
  }
}

EDGERAZOR_ISA inline void weighted_sum(const std::int8_t* levels, std::size_t stride,
                                       const float* weights, std::size_t weight_stride,
                                       std::size_t positions, std::size_t cols, std::size_t sums,
                                       float* out, std::size_t out_stride) noexcept {
  for (; sums >= 4; sums -= 4, weights += 4 * weight_stride, out += 4 * out_stride) {
    sum_rows<4, sum_vectors>(levels, stride, weights, weight_stride, positions, cols, out,
                             out_stride);
  }
  for (; sums > 0; --sums, weights += weight_stride, out += out_stride) {
    sum_rows<1, sum_vectors_rest>(levels, stride, weights, weight_stride, positions, cols, out,
                                  out_stride);
  }
}

/// e^x, see exponential.hpp.
EDGERAZOR_ISA EDGERAZOR_INLINE real_vector exponential_of(real_vector x) noexcept {
  auto v = larger(splat(exponential::lowest), x);
  v = smaller(splat(exponential::highest), v);
  const auto n = round_to_even(multiply(v, splat(exponential::log2_e)));
  auto r = multiply_add(n, splat(-exponential::ln2_high), v);
  r = multiply_add(n, splat(-exponential::ln2_low), r);
  real_vector p = splat(exponential::terms[0]);
  EDGERAZOR_UNROLL
  for (std::size_t k = 1; k < 8; ++k) p = multiply_add(p, r, splat(exponential::terms[k]));
  const int_vector power = to_int(n), half = half_of(power);
  p = multiply(p, power_of_two(half));
  return multiply(p, power_of_two(subtract(power, half)));
}

EDGERAZOR_ISA inline float exponentials(float* x, std::size_t count, float scale,
                                        float shift) noexcept {
  const auto factor = splat(scale), origin = splat(shift);
  real_vector sums[parts];
  EDGERAZOR_UNROLL
  for (std::size_t part = 0; part < parts; ++part) sums[part] = splat(0.0f);
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    EDGERAZOR_UNROLL
    for (std::size_t part = 0; part < parts; ++part) {
      float* const at = x + i + lanes * part;
      const auto e = exponential_of(multiply(factor, subtract(load(at), origin)));
      store(at, e);
      sums[part] = add(sums[part], e);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t some = lanes_of_part(count - i, part);
    if (some == 0) break;
    float* const at = x + i + lanes * part;
    const auto e = exponential_of(multiply(factor, subtract(load_first(at, some), origin)));
    store_first(at, e, some);
    sums[part] = first_of(some, add(sums[part], e), sums[part]);
  }
  return fold_16(sums);
}
