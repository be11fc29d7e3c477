// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl: products of ternary codes with 16 tokens by look-up. A unit is 3 columns; its
// table has, for each of the 27 values of its codes, the sums of 16 tokens:
//
//     table[16 * e + t] = (c0 - 1) * x[t][0] + (c1 - 1) * x[t][1] + (c2 - 1) * x[t][2]
//     with e = c0 + 3 * c1 + 9 * c2
//
// A row then costs a unit one load and one addition: 48 multiply-adds. In 16 bits, which wrap: what
// comes out is right wherever the true sum fits.
//
// The namespace supplies, beside what panel.inl needs, all EDGERAZOR_ISA EDGERAZOR_INLINE:
//
//     words                        16 int16, one a token
//     load_words(at)  store_words(to, v)  add_words(a, b)  subtract_words(a, b)  zero_words()
//     widened(at)                  `lanes` int16 at an address as int_vector
//     store_columns(x, stride, to)     to[16 * c + t] = x[stride * t + c] of 16 tokens x 16 columns
//     store_transposed(from, to)         to[16 * c + r] = from[16 * r + c] of 16 x 16 int16
//     store_indices(panel, to)     three slots to four units, see contract.hpp
//     larger_bytes(a, b)  any_byte_above(v, limit)       of byte_vector, as numbers from 0 to 255

/// Units over which the 16 sums of a row stay in a register: their tables, 13.5 KiB, stay in the
/// nearest cache beside the indices and sums that go by. (Twice as many, 27 KiB, ran at 0.75 of the
/// speed on a Zen 4 whose other hardware thread was busy.)
inline constexpr std::size_t look_up_pass = 16;
inline constexpr std::size_t unit_values = 27;

/// See contract.hpp.
EDGERAZOR_ISA inline bool look_up_indices(const std::uint8_t* panel, std::size_t slots,
                                          std::uint8_t* indices) noexcept {
  constexpr std::size_t bytes = slot_cols * lanes;
  byte_vector largest = load(panel);
  for (std::size_t i = bytes; i < chunk_bytes * slots; i += bytes)
    largest = larger_bytes(largest, load(panel + i));
  if (any_byte_above(largest, 2)) return false;
  std::size_t s = 0;
  for (; s + 3 <= slots; s += 3, indices += 4 * tile_rows)
    store_indices(panel + chunk_bytes * s, indices);
  if (s == slots) return true;
  alignas(64) std::uint8_t rest[3 * chunk_bytes] = {};
  std::memcpy(rest, panel + chunk_bytes * s, chunk_bytes * (slots - s));
  store_indices(rest, indices);
  return true;
}

/// The table of a unit, from its 3 columns of 16 tokens.
EDGERAZOR_ISA EDGERAZOR_INLINE void store_table(const std::int16_t* columns,
                                                std::int16_t* table) noexcept {
  const words x0 = load_words(columns), x1 = load_words(columns + look_up_tokens),
              x2 = load_words(columns + 2 * look_up_tokens);
  words of_c2 = subtract_words(subtract_words(zero_words(), x2), x1);
  for (unsigned c2 = 0; c2 < 3; ++c2) {
    words of_c1 = of_c2;
    EDGERAZOR_UNROLL
    for (unsigned c1 = 0; c1 < 3; ++c1) {
      store_words(table, subtract_words(of_c1, x0));
      store_words(table + look_up_tokens, of_c1);
      store_words(table + 2 * look_up_tokens, add_words(of_c1, x0));
      table += 3 * look_up_tokens;
      of_c1 = add_words(of_c1, x1);
    }
    of_c2 = add_words(of_c2, x2);
  }
}

/// to[16 * r + t] = (first ? 0 : from[16 * r + t]) + what row r's indices find in the tables of
/// some units.
EDGERAZOR_ISA EDGERAZOR_INLINE void add_units(const std::uint8_t* indices,
                                              const std::int16_t* tables, std::size_t units,
                                              bool first, const std::int16_t* from,
                                              std::int16_t* to) noexcept {
  constexpr std::size_t rows = 8, scale = look_up_tokens / look_up_step;
  for (std::size_t r = 0; r < tile_rows; r += rows) {
    words total[rows];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < rows; ++i)
      total[i] = first ? zero_words() : load_words(from + look_up_tokens * (r + i));
    const std::uint8_t* index = indices + r;
    const std::int16_t* table = tables;
    for (std::size_t u = 0; u < units; ++u) {
      // Four indices a load: loads are what limits this loop.
      std::uint32_t four[rows / 4];
      std::memcpy(four, index, sizeof four);
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < rows; ++i) {
        const std::size_t at = four[i / 4] >> (8 * (i % 4)) & 0xff;
        total[i] = add_words(total[i], load_words(table + scale * at));
      }
      index += tile_rows;
      table += unit_values * look_up_tokens;
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < rows; ++i)
      store_words(to + look_up_tokens * (r + i), total[i]);
  }
}

/// See contract.hpp.
EDGERAZOR_ISA inline void look_up_sums(const look_up_rows& w, const std::int8_t* x,
                                       std::size_t x_stride, std::size_t tokens,
                                       std::int16_t* sums) noexcept {
  constexpr std::size_t block = 16;
  constexpr std::size_t room = (look_up_cols + 2 + block - 1) / block * block;
  alignas(64) std::int16_t columns[look_up_tokens * room];
  alignas(64) std::int16_t tables[look_up_tokens * unit_values * look_up_pass];
  const std::size_t cols = slot_cols * w.slots, units = units_of(w.slots);
  for (std::size_t c = 0; c < cols; c += block) {
    if (tokens == look_up_tokens && c + block <= cols) {
      store_columns(x + c, x_stride, columns + look_up_tokens * c);
      continue;
    }
    std::int8_t some[look_up_tokens * block] = {};
    for (std::size_t t = 0; t < tokens; ++t) {
      const std::size_t count = cols - c < block ? cols - c : block;
      std::memcpy(some + block * t, x + x_stride * t + c, count);
    }
    store_columns(some, block, columns + look_up_tokens * c);
  }
  if (cols % block == 0)  // else the block above has ended with zeros; a unit ends 2 columns later
    std::memset(columns + look_up_tokens * cols, 0, 2 * look_up_tokens * sizeof(std::int16_t));

  const std::size_t passes = (units + look_up_pass - 1) / look_up_pass;
  for (std::size_t pass = 0; pass < passes; ++pass) {
    const std::size_t begin = units * pass / passes, end = units * (pass + 1) / passes;
    for (std::size_t u = begin; u < end; ++u) {
      store_table(columns + look_up_tokens * look_up_unit * u,
                  tables + look_up_tokens * unit_values * (u - begin));
    }
    for (std::size_t tile = 0; tile < w.tiles; ++tile) {
      alignas(64) std::int16_t last[look_up_tokens * tile_rows];
      std::int16_t* const of_tile = sums + look_up_tokens * tile_rows * tile;
      add_units(w.indices + w.tile_stride * tile + tile_rows * begin, tables, end - begin,
                pass == 0, of_tile, pass + 1 == passes ? last : of_tile);
      if (pass + 1 == passes) store_transposed(last, of_tile);
    }
  }
}

/// See contract.hpp.
EDGERAZOR_ISA inline void look_up_scale(const look_up_results& w, const float* x_scales,
                                        std::size_t group_stride, std::size_t tokens, float* y,
                                        std::size_t y_stride) noexcept {
  for (std::size_t t = 0; t < tokens; ++t, x_scales += group_stride, y += y_stride) {
    for (std::size_t tile = 0; tile < w.tiles; ++tile) {
      float* const to = y + tile_rows * tile;
      const std::int16_t* sums = w.sums + tile_rows * (look_up_tokens * tile + t);
      const float* scales = w.scales + tile_rows * tile;
      real_vector total[parts];
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < parts; ++i)
        total[i] = load(static_cast<const float*>(to + lanes * i));
      for (std::size_t g = 0; g < w.groups; ++g) {
        const auto x_scale = splat(x_scales[g]);
        EDGERAZOR_UNROLL
        for (std::size_t i = 0; i < parts; ++i) {
          const auto scale = multiply(load(scales + lanes * i), x_scale);
          total[i] = multiply_add(to_float(widened(sums + lanes * i)), scale, total[i]);
        }
        sums += w.sums_step;
        scales += w.scales_step;
      }
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < parts; ++i) store(to + lanes * i, total[i]);
    }
  }
}
