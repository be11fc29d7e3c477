// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl: the 16 rows of a tile as several registers. The namespace supplies, all
// EDGERAZOR_ISA EDGERAZOR_INLINE, for int_vector (`lanes` int32) and byte_vector (4 * `lanes`
// bytes):
//
//     load(at)  store(to, v)      of int32 and of uint8
//     splat(x)  add(a, b)  shift_left(v, n)      of int32
//     either(a, b)                all bits that one of two byte_vectors has
//     shift_bytes_left(v, n)      which may count on bits not leaving their byte

/// 16 int32, one a row.
struct ints {
  int_vector part[parts];
};
EDGERAZOR_ISA EDGERAZOR_INLINE ints load_ints(const std::int32_t* at) noexcept {
  ints result;
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) result.part[i] = load(at + lanes * i);
  return result;
}
EDGERAZOR_ISA EDGERAZOR_INLINE void store_ints(std::int32_t* to, const ints& v) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) store(to + lanes * i, v.part[i]);
}
EDGERAZOR_ISA EDGERAZOR_INLINE ints splat_ints(std::int32_t x) noexcept {
  ints result;
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) result.part[i] = splat(x);
  return result;
}
EDGERAZOR_ISA EDGERAZOR_INLINE ints add_ints(const ints& a, const ints& b) noexcept {
  ints result;
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) result.part[i] = add(a.part[i], b.part[i]);
  return result;
}
EDGERAZOR_ISA EDGERAZOR_INLINE ints shift_ints_left(const ints& v, unsigned count) noexcept {
  ints result;
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) result.part[i] = shift_left(v.part[i], count);
  return result;
}

/// The 64 bytes of a slot.
struct slot_bytes {
  byte_vector part[parts];
};
/// Stores a field's digits as the codes of a slot, or adds them to the codes that are there.
EDGERAZOR_ISA EDGERAZOR_INLINE void put_digits(const slot_bytes& digits, const plane_codes& w,
                                               std::uint8_t* slot) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) {
    std::uint8_t* const at = slot + slot_cols * lanes * i;
    byte_vector codes = digits.part[i];
    if (w.shift != 0) codes = shift_bytes_left(codes, w.shift);
    if (!w.first) codes = either(codes, load(static_cast<const std::uint8_t*>(at)));
    store(at, codes);
  }
}
