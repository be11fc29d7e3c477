// SPDX-License-Identifier: Apache-2.0
// Text, see dot.inl. The namespace supplies what registers.inl defines and, EDGERAZOR_ISA
// EDGERAZOR_INLINE, chunk_codes<Plane>::field(f): the digits of field f as slot_bytes.

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
      put_digits(codes.field(f), w, panel + chunk_bytes * (slot - begin));
    }
  }
}
