// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl. The namespace supplies what registers.inl defines and, EDGERAZOR_ISA
// EDGERAZOR_INLINE, chunk_codes<Plane>::field(f): the digits of field f as slot_bytes, and
// codes_in_table(table, digits): what those of a slot stand for in the 64 bytes of its group.

/// See contract.hpp.
template <plane_type Plane>
EDGERAZOR_ISA void unpack(const plane_codes& w, std::size_t begin, std::size_t end,
                          std::uint8_t* panel) noexcept {
  constexpr unsigned fields = plane_of(Plane).fields();
  [[maybe_unused]] std::size_t group = 0;
  if constexpr (plane_of(Plane).of_table) group = begin / w.group_slots;
  for (std::size_t chunk = begin / fields; chunk * fields < end; ++chunk) {
    const chunk_codes<Plane> codes(w.chunks + chunk_bytes * chunk);
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const std::size_t slot = chunk * fields + f;
      if (slot < begin || slot >= end) continue;
      slot_bytes codes_of_slot = codes.field(f);
      if constexpr (plane_of(Plane).of_table) {
        if (slot == w.slot_end(group)) ++group;
        codes_of_slot = codes_in_table(w.tables + chunk_bytes * group, codes_of_slot);
      }
      put_digits(codes_of_slot, w, panel + chunk_bytes * (slot - begin));
    }
  }
}
