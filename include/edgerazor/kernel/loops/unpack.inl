// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl. The namespace supplies, all EDGERAZOR_ISA EDGERAZOR_INLINE:
//
//     slot_bytes                   the 64 bytes of a slot; load_bytes, store_bytes, or_bytes,
//                                  shift_bytes_left, which may count on bits not leaving their byte
//     chunk_codes<Plane>           field(f): the digits of field f as slot_bytes

/// Stores one field of a chunk as a slot, or adds its digits to the codes that are there.
template <plane_type Plane>
EDGERAZOR_ISA EDGERAZOR_INLINE void put_field(const chunk_codes<Plane>& codes, unsigned field,
                                              const plane_codes& w, std::uint8_t* slot) noexcept {
  slot_bytes some = codes.field(field);
  if (w.shift != 0) some = shift_bytes_left(some, w.shift);
  if (!w.first) some = or_bytes(some, load_bytes(slot));
  store_bytes(slot, some);
}

/// See contract.hpp.
template <plane_type Plane>
EDGERAZOR_ISA void unpack(const plane_codes& w, std::size_t begin, std::size_t end,
                          std::uint8_t* panel) noexcept {
  constexpr unsigned fields = plane_of(Plane).fields();
  for (std::size_t chunk = begin / fields; chunk * fields < end; ++chunk) {
    const chunk_codes<Plane> codes(w.chunks + chunk_bytes * chunk);
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const std::size_t slot = chunk * fields + f;
      if (slot < begin || slot >= end) continue;
      put_field(codes, f, w, panel + chunk_bytes * (slot - begin));
    }
  }
}
