// SPDX-License-Identifier: Apache-2.0
// Text, not a header: included in the namespace of an instruction set, between the definition of
// EDGERAZOR_ISA (the attribute that lets a function use it) and its end. Templates and lambdas do
// not carry that attribute to what they call; text does.
//
// The namespace supplies, all EDGERAZOR_ISA EDGERAZOR_INLINE:
//
//     ints                      as registers.inl defines it
//     chunk_codes<Plane>        a chunk, decoded: chunk_codes(const std::uint8_t* chunk)
//     chunk_sums<Plane>         add(codes, x): sums += digits * the chunk's activations; total()
//                               of a plane with a table also take_table(64 bytes), before any
//     chains<Plane>             chunk_sums that take chunks in turn, enough to hide their latency
//     widest<Plane>           of sums that hold so many chunks in few bits and are then to be told
//                             to widen(); 0, that of contract.hpp, where they never are
//     chunks_a_round            of small groups, 1 or 2; 1 is that of contract.hpp
//     prefetch(chunk)           asks for what lies prefetch_distance behind it; prefetch_bytes
//     has_half_sums<Plane>      whether there is, for planes of an even number of fields,
//     half_sums(codes, x, lower, upper)      the digits of the lower half of a chunk's fields times
//                                            the chunk's activations, and those of the upper half

/// isum = (the plane is first ? -zero_code * x_sum : what it was) + total << shift.
EDGERAZOR_ISA EDGERAZOR_INLINE void put_sums(const plane_codes& w, std::int32_t x_sum,
                                             const ints& total, std::int32_t* isum) noexcept {
  const ints before = w.first ? splat_ints(-w.zero_code * x_sum) : load_ints(isum);
  store_ints(isum, add_ints(before, shift_ints_left(total, w.shift)));
}

/// Sums of a group begin; where digits choose from its table, they know it.
template <plane_type Plane>
EDGERAZOR_ISA EDGERAZOR_INLINE void begin_group(const plane_codes& w, std::size_t group,
                                                chunk_sums<Plane>& sums) noexcept {
  if constexpr (plane_of(Plane).of_table) sums.take_table(w.tables + chunk_bytes * group);
}

/// Groups of half a chunk, two at a time, as long as their chunk lies in the row. Returns the first
/// group that is left.
template <plane_type Plane>
EDGERAZOR_ISA EDGERAZOR_INLINE std::size_t dot_of_halves(const plane_codes& w,
                                                         const std::int8_t* x,
                                                         const std::int32_t* x_sums,
                                                         std::size_t begin, std::size_t end,
                                                         std::int32_t* isum) noexcept {
  constexpr unsigned fields = plane_of(Plane).fields();
  for (; begin + 2 <= end && (begin / 2 + 1) * fields <= w.slots; begin += 2) {
    const std::uint8_t* const chunk = w.chunks + begin / 2 * chunk_bytes;
    prefetch(chunk);
    ints lower, upper;
    half_sums(chunk_codes<Plane>(chunk), x + slot_cols * fields * (begin / 2), lower, upper);
    (put_sums)(w, x_sums[begin], lower, isum);
    (put_sums)(w, x_sums[begin + 1], upper, isum + tile_rows);
    isum += 2 * tile_rows;
  }
  return begin;
}

/// sums += whole chunks, of which `held` have been added since the sums were widened. Returns how
/// many have been after these.
template <plane_type Plane, class Sums>
EDGERAZOR_ISA EDGERAZOR_INLINE std::size_t add_narrow(Sums& sums, const std::uint8_t* chunk,
                                                      const std::int8_t* columns,
                                                      std::size_t chunks,
                                                      std::size_t held) noexcept {
  constexpr std::size_t chunk_cols = slot_cols * plane_of(Plane).fields();
  while (chunks > 0) {
    if (held == widest<Plane>) {
      sums.widen();
      held = 0;
    }
    std::size_t run = widest<Plane> - held;
    if (run > chunks) run = chunks;
    chunks -= run, held += run;
    for (; run > 0; --run, chunk += chunk_bytes, columns += chunk_cols) {
      prefetch(chunk);
      sums.add(chunk_codes<Plane>(chunk), columns);
    }
  }
  return held;
}

/// Any groups. A chunk that two of them share is decoded once.
template <plane_type Plane>
EDGERAZOR_ISA void dot_groups(const plane_codes& w, const std::int8_t* x,
                              const std::int32_t* x_sums, std::size_t begin, std::size_t end,
                              std::int32_t* isum) noexcept {
  constexpr unsigned fields = plane_of(Plane).fields();
  constexpr std::size_t chunk_cols = slot_cols * fields;
  if constexpr (has_half_sums<Plane>) {
    if (2 * w.group_slots == fields && begin % 2 == 0) {
      const std::size_t rest = (dot_of_halves<Plane>)(w, x, x_sums, begin, end, isum);
      if (rest == end) return;
      isum += tile_rows * (rest - begin);
      begin = rest;
    }
  }
  const std::uint8_t* chunk = w.chunks + w.slot_begin(begin) / fields * chunk_bytes;
  chunk_codes<Plane> codes(chunk);
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const chunk_span<fields> span(first, last);
    chunk_sums<Plane> sums[chains<Plane>];
    static_assert(!plane_of(Plane).of_table || chains<Plane> == 1);
    (begin_group<Plane>)(w, g, sums[0]);
    if (span.head) {
      sums[0].add(codes, partial_chunk<fields>(x, span.whole_begin - 1, first, last).x);
    }
    chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::int8_t* columns = x + chunk_cols * span.whole_begin;
    std::size_t c = span.whole_begin;
    if constexpr (widest<Plane> > 0) {
      const std::size_t whole = span.whole_end - span.whole_begin,
                        held = add_narrow<Plane>(sums[0], chunk, columns, whole, span.head);
      if (span.tail && held == widest<Plane>) sums[0].widen();
      chunk += whole * chunk_bytes;
      c = span.whole_end;
    }
    for (; c + chains<Plane> <= span.whole_end; c += chains<Plane>) {
      EDGERAZOR_UNROLL
      for (unsigned i = 0; i < chains<Plane>; ++i) {
        prefetch(chunk + i * chunk_bytes);
        sums[i].add(chunk_codes<Plane>(chunk + i * chunk_bytes), columns + i * chunk_cols);
      }
      chunk += chains<Plane> * chunk_bytes, columns += chains<Plane> * chunk_cols;
    }
    for (; c < span.whole_end; ++c, chunk += chunk_bytes, columns += chunk_cols) {
      prefetch(chunk);
      sums[0].add(chunk_codes<Plane>(chunk), columns);
    }
    if (span.tail) {
      prefetch(chunk);
      codes = chunk_codes<Plane>(chunk);
      sums[0].add(codes, partial_chunk<fields>(x, span.whole_end, first, last).x);
    }
    ints total = sums[0].total();
    EDGERAZOR_UNROLL
    for (unsigned i = 1; i < chains<Plane>; ++i) total = add_ints(total, sums[i].total());
    (put_sums)(w, x_sums[g], total, isum);
  }
}

/// Groups of at most so many chunks, all of them whole, have a loop that does nothing else: what a
/// group costs beside its chunks is up to half of the time (int4 in groups of 16: two chunks).
inline constexpr std::size_t few_chunks = 8;

/// Such groups.
template <plane_type Plane>
EDGERAZOR_ISA void dot_small_groups(const plane_codes& w, const std::int8_t* x,
                                    const std::int32_t* x_sums, std::size_t begin, std::size_t end,
                                    std::int32_t* isum) noexcept {
  constexpr unsigned fields = plane_of(Plane).fields();
  constexpr std::size_t chunk_cols = slot_cols * fields;
  static_assert(widest<Plane> == 0 || widest<Plane> >= few_chunks);
  static_assert(chunks_a_round == 1 || chunks_a_round == 2);
  const std::size_t chunks = w.group_slots / fields;
  const std::uint8_t* chunk = w.chunks + begin * chunks * chunk_bytes;
  const std::int8_t* columns = x + begin * chunks * chunk_cols;
  const bool alone = w.first && w.shift == 0;
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    chunk_sums<Plane> sums;
    (begin_group<Plane>)(w, g, sums);
    std::size_t left = chunks;
    for (; left >= chunks_a_round; left -= chunks_a_round) {
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < chunks_a_round; ++i) {
        prefetch(chunk + chunk_bytes * i);
        sums.add(chunk_codes<Plane>(chunk + chunk_bytes * i), columns + chunk_cols * i);
      }
      chunk += chunks_a_round * chunk_bytes, columns += chunks_a_round * chunk_cols;
    }
    if (chunks_a_round == 2 && left == 1) {
      prefetch(chunk);
      sums.add(chunk_codes<Plane>(chunk), columns);
      chunk += chunk_bytes, columns += chunk_cols;
    }
    if (alone) {
      store_ints(isum, add_ints(splat_ints(-w.zero_code * x_sums[g]), sums.total()));
      continue;
    }
    const ints before = w.first ? splat_ints(-w.zero_code * x_sums[g]) : load_ints(isum);
    const ints total = w.shift == 0 ? sums.total() : shift_ints_left(sums.total(), w.shift);
    store_ints(isum, add_ints(before, total));
  }
}

/// See contract.hpp.
template <plane_type Plane>
EDGERAZOR_ISA void dot(const plane_codes& w, const std::int8_t* x, const std::int32_t* x_sums,
                       std::size_t begin, std::size_t end, std::int32_t* isum) noexcept {
  [[maybe_unused]] constexpr unsigned fields = plane_of(Plane).fields();
  // In base 3 groups seldom end with a chunk.
  if constexpr ((plane_of(Plane).radix & (plane_of(Plane).radix - 1)) == 0) {
    const bool of_few_chunks =
        w.group_slots % fields == 0 && w.group_slots <= few_chunks * fields &&
        w.slot_end(end - 1) == w.slot_begin(end);  // a row's last may be shorter
    if (of_few_chunks) return dot_small_groups<Plane>(w, x, x_sums, begin, end, isum);
  }
  dot_groups<Plane>(w, x, x_sums, begin, end, isum);
}
