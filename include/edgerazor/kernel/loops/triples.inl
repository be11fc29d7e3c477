// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl: products with codes in threes, by look-up (triples.hpp, contract.hpp). The
// namespace supplies, all EDGERAZOR_ISA EDGERAZOR_INLINE:
//
//     unit_bytes                a block: byte 16 * u + r is of unit u of a pair and row r
//     load_units(at)  store_units(to, v)  splat_units(byte)  add_units(a, b)
//     low_nibbles(v)  high_nibbles(v)     of every byte
//     look_up_units(table, index)         byte 16 * u + r = byte 16 * u + index of the table
//     signs_of(v)                         a block with signs as add_signed takes it, four times: each
//                                         time the byte is added to itself after it
//     add_signed(sum, v, signs)           sum - v where the top bit of a sign is set, else sum + v
//     two_bits(v, b)                      bits 2 b and 2 b + 1 of every byte
//     unit_sums                 16-bit sums of each unit and row, from zero
//     add_products(sums, low, high)       sums += low + triple_factor * high
//     row_sums(sums)                      ints: of each row those of both units
//     pin(v)                    EDGERAZOR_PIN_REGISTER of a unit_bytes
//     put_slot(columns, slot)   slot[4 * r + b] = columns[16 * b + r]
//     prefetch(chunk)
//     tiles_at_once             a constexpr 2 where two tiles' sums fit the registers, else 1

/// Sums of products for tiles that share the tables: a table is loaded once.
template <std::size_t Tiles>
struct triple_sums {
  unit_bytes low[Tiles], high[Tiles], signs[Tiles];  ///< of a chunk, or a part of it
  unit_sums wide[Tiles];
  std::size_t held = 0;  ///< chunks, or parts of them, in `wide`
  bool more = false;     ///< whether `isum` has sums of the group
  std::int32_t* isum;  ///< of the group
  std::size_t tile_sums, tile_bytes;
  std::size_t left;  ///< pairs of the group to come
  std::size_t group_pairs, last_pairs;
  std::size_t groups;  ///< that have not ended

  /// 16 bits hold that many: each adds 8 sums of 3 products.
  static constexpr std::size_t widest = 32767 / (8 * 3 * 128);

  EDGERAZOR_ISA EDGERAZOR_INLINE triple_sums(const triple_codes& w, std::size_t begin,
                                             std::size_t end, std::int32_t* to) noexcept
      : isum(to),
        tile_sums(tile_rows * (end - begin)),
        tile_bytes(w.tile_bytes),
        left(w.pair_end(begin) - w.pair_begin(begin)),
        group_pairs(w.group_pairs()),
        last_pairs(w.pair_end(end - 1) - w.pair_begin(end - 1)),
        groups(end - begin) {}

  EDGERAZOR_ISA EDGERAZOR_INLINE void clear_bytes() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tiles; ++i) low[i] = high[i] = splat_units(0);
  }
  /// Adds pair number Field of a chunk.
  template <std::size_t Field>
  EDGERAZOR_ISA EDGERAZOR_INLINE void add(const std::uint8_t* chunk,
                                          const std::uint8_t* tables) noexcept {
    constexpr matrix::triples::place at = matrix::triples::place_of(Field);
    const std::uint8_t* const table = tables + triple_table_bytes * Field;
    const unit_bytes table_low = load_units(table), table_high = load_units(table + 32);
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tiles; ++i, chunk += tile_bytes) {
      const unit_bytes stored = load_units(chunk + at.index_block);
      signs[i] = Field % 4 == 0 ? signs_of(stored) : add_units(signs[i], signs[i]);
      const unit_bytes index = at.index_shift == 0 ? low_nibbles(stored) : high_nibbles(stored);
      low[i] = add_signed(low[i], look_up_units(table_low, index), signs[i]);
      high[i] = add_signed(high[i], look_up_units(table_high, index), signs[i]);
      pin(low[i]);
      pin(high[i]);
    }
  }
  /// The bytes into 16 bits.
  EDGERAZOR_ISA EDGERAZOR_INLINE void widen() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tiles; ++i) add_products(wide[i], low[i], high[i]);
    ++held;
  }
  /// 16 bits into 32.
  EDGERAZOR_ISA EDGERAZOR_INLINE void put() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tiles; ++i) {
      ints rows = row_sums(wide[i]);
      if (more) rows = add_ints(rows, load_ints(isum + tile_sums * i));
      store_ints(isum + tile_sums * i, rows);
      wide[i] = unit_sums();
    }
    held = 0;
  }
  /// Ends the group; returns whether it was the last.
  EDGERAZOR_ISA EDGERAZOR_INLINE bool end_group() noexcept {
    put();
    more = false, isum += tile_rows;
    left = --groups == 1 ? last_pairs : group_pairs;
    return groups == 0;
  }
  /// Adds all pairs of a chunk in which no group ends before its last pair.
  EDGERAZOR_ISA EDGERAZOR_INLINE void add_chunk(const std::uint8_t* chunk,
                                                const std::uint8_t* tables) noexcept {
    clear_bytes();
    add<0>(chunk, tables);
    add<1>(chunk, tables);
    add<2>(chunk, tables);
    add<3>(chunk, tables);
    add<4>(chunk, tables);
    add<5>(chunk, tables);
    add<6>(chunk, tables);
    add<7>(chunk, tables);
    widen();
    left -= matrix::triples::chunk_pairs;
  }
  /// Adds a pair after which a group may end; returns whether the last one has.
  template <std::size_t Field>
  EDGERAZOR_ISA EDGERAZOR_INLINE bool add_pair(const std::uint8_t* chunk,
                                               const std::uint8_t* tables) noexcept {
    add<Field>(chunk, tables);
    if (--left != 0) return false;
    widen();
    clear_bytes();
    return end_group();
  }
  /// Adds pairs of a chunk from number `field` on; returns whether the last group has ended.
  EDGERAZOR_ISA EDGERAZOR_INLINE bool add_pairs(std::size_t field, const std::uint8_t* chunk,
                                                const std::uint8_t* tables) noexcept {
    clear_bytes();
    switch (field) {
      case 0:
        if (add_pair<0>(chunk, tables)) return true;
        [[fallthrough]];
      case 1:
        if (add_pair<1>(chunk, tables)) return true;
        [[fallthrough]];
      case 2:
        if (add_pair<2>(chunk, tables)) return true;
        [[fallthrough]];
      case 3:
        if (add_pair<3>(chunk, tables)) return true;
        [[fallthrough]];
      case 4:
        if (add_pair<4>(chunk, tables)) return true;
        [[fallthrough]];
      case 5:
        if (add_pair<5>(chunk, tables)) return true;
        [[fallthrough]];
      case 6:
        if (add_pair<6>(chunk, tables)) return true;
        [[fallthrough]];
      default:
        if (add_pair<7>(chunk, tables)) return true;
    }
    widen();
    return false;
  }
  /// Signs as they are before pair number `field` of a chunk.
  EDGERAZOR_ISA EDGERAZOR_INLINE void seek(std::size_t field, const std::uint8_t* chunk) noexcept {
    const std::size_t block = matrix::triples::place_of(field).sign_block;
    for (std::size_t i = 0; i < Tiles; ++i) {
      signs[i] = signs_of(load_units(chunk + i * tile_bytes + block));
      for (std::size_t f = 1; f < field % 4; ++f) signs[i] = add_units(signs[i], signs[i]);
    }
  }
};

template <std::size_t Tiles>
EDGERAZOR_ISA void triple_dot_tiles(const triple_codes& w, const std::uint8_t* tables,
                                    std::size_t begin, std::size_t end,
                                    std::int32_t* isum) noexcept {
  namespace triples = matrix::triples;
  std::size_t field = w.pair_begin(begin) % triples::chunk_pairs;
  const std::uint8_t* chunk =
      w.chunks + w.pair_begin(begin) / triples::chunk_pairs * triples::chunk_bytes;
  triple_sums<Tiles> sums(w, begin, end, isum);
  sums.seek(field, chunk);
  for (;; chunk += triples::chunk_bytes, tables += triple_table_bytes * triples::chunk_pairs) {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tiles; ++i) {
      for (std::size_t line = 0; line < triples::chunk_bytes; line += 64)
        prefetch(chunk + i * w.tile_bytes + line);
    }
    if (sums.left >= triples::chunk_pairs && field == 0) {
      sums.add_chunk(chunk, tables);
      if (sums.left == 0 && sums.end_group()) return;
    } else {
      if (sums.add_pairs(field, chunk, tables)) return;
      field = 0;
    }
    if (sums.held == sums.widest) {
      sums.put();
      sums.more = true;
    }
  }
}

/// See contract.hpp.
EDGERAZOR_ISA inline void triple_dot(const triple_codes& w, const std::uint8_t* tables,
                                     std::size_t begin, std::size_t end,
                                     std::int32_t* isum) noexcept {
  if constexpr (tiles_at_once == 2) {
    if (w.tiles == 2) return triple_dot_tiles<2>(w, tables, begin, end, isum);
  }
  triple_codes tile = w;
  for (std::size_t i = 0; i < w.tiles; ++i) {
    triple_dot_tiles<1>(tile, tables, begin, end, isum);
    tile.chunks += w.tile_bytes, isum += tile_rows * (end - begin);
  }
}

/// Entry i: of the number |t| of index i, its levels as base-4 digits from -1 to 1.
struct triple_levels {
  alignas(32) std::uint8_t of_index[32];

  constexpr triple_levels() noexcept : of_index() {
    for (unsigned i = 0; i < 32; ++i) {
      const std::uint32_t codes =
          matrix::triples::codes_of[matrix::triples::value_of(i % 16, false)];
      const unsigned digits = (codes & 3) + 4 * (codes >> 8 & 3) + 16 * (codes >> 16 & 3);
      of_index[i] = static_cast<std::uint8_t>(digits - 21u);
    }
  }
};
inline constexpr triple_levels levels_of_triples;

/// Columns of a run of pairs, decoded: 16 rows of each together.
EDGERAZOR_ISA inline void triple_columns(const triple_codes& w, std::size_t begin, std::size_t end,
                                         std::uint8_t* columns) noexcept {
  namespace triples = matrix::triples;
  const unit_bytes table = load_units(levels_of_triples.of_index), ones = splat_units(21);
  for (std::size_t p = begin; p < end; ++p, columns += triples::pair_cols * tile_rows) {
    const triples::place at = triples::place_of(p);
    const std::uint8_t* const chunk = w.chunks + p / triples::chunk_pairs * triples::chunk_bytes;
    const unit_bytes stored = load_units(chunk + at.index_block);
    unit_bytes signs = signs_of(load_units(chunk + at.sign_block));
    for (unsigned bit = at.sign_bit; bit < 7; ++bit) signs = add_units(signs, signs);
    const unit_bytes index = at.index_shift == 0 ? low_nibbles(stored) : high_nibbles(stored);
    const unit_bytes codes = add_signed(ones, look_up_units(table, index), signs);
    EDGERAZOR_UNROLL
    for (unsigned b = 0; b < triples::unit_cols; ++b) {
      std::uint8_t both[triples::block_bytes];
      store_units(both, two_bits(codes, b));
      std::memcpy(columns + tile_rows * b, both, tile_rows);
      std::memcpy(columns + tile_rows * (triples::unit_cols + b), both + tile_rows, tile_rows);
    }
  }
}

/// See contract.hpp.
EDGERAZOR_ISA inline void triple_unpack(const triple_codes& w, std::size_t begin, std::size_t end,
                                        std::uint8_t* panel) noexcept {
  namespace triples = matrix::triples;
  // As many pairs as have the columns of a run of slots that begins and ends in their middle.
  constexpr std::size_t some_slots = 24,
                        most = slot_cols * some_slots / triples::pair_cols + 2;
  alignas(64) std::uint8_t columns[most * triples::pair_cols * tile_rows];
  while (begin < end) {
    const std::size_t g = begin / w.group_slots, first = g * w.group_slots,
                      group_end = first + w.group_slots;
    std::size_t past = begin + some_slots < end ? begin + some_slots : end;
    past = past < group_end ? past : group_end;
    const std::size_t col = slot_cols * (begin - first), pair = col / triples::pair_cols;
    (triple_columns)(w, w.pair_begin(g) + pair,
                     w.pair_begin(g) + triples::pairs_of(slot_cols * (past - first)), columns);
    const std::uint8_t* from = columns + tile_rows * (col - triples::pair_cols * pair);
    for (; begin < past; ++begin, panel += chunk_bytes, from += slot_cols * tile_rows)
      put_slot(from, panel);
  }
}
