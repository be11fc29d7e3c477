// SPDX-License-Identifier: Apache-2.0
/// AVX-512 VNNI with VBMI (from Ice Lake and Zen 4 on): base 3 is decoded by one look-up of 128
/// bytes. All else is avx512vnni.hpp. See contract.hpp for what each function of the table does,
/// portable/scalar.hpp for the reference implementation.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/base3_digits.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>
#include <edgerazor/kernel/x86/avx512vnni.hpp>

#if EDGERAZOR_X86

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx512vbmi {

#define EDGERAZOR_ISA \
  EDGERAZOR_TARGET("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline bool supported() noexcept { return detect_cpu_features().avx512vbmi; }

using namespace avx512vnni;

/// The four digits of 0..80; past that those of 80, so that a byte over 242 reads as 242.
inline constexpr base3_digits<128> digits{0, 0, 4, 80};

/// The number by which an exact multiple of 81 becomes its quotient, modulo 2^32.
inline constexpr std::uint32_t inverse_of_81 = 2014922929u;
static_assert(inverse_of_81 * 81u == 1u);

/// Base 3 alone, the other planes are decoded by avx512vnni: byte = 81 * (digit 4) + rest, rest =
/// 0..80. `top` is 81 * (digit 4): two comparisons against 81 and 162. It is multiplied as it is,
/// and its sum divided by 81: |sum| <= 162 * 128 * largest_group < 2^31.
template <plane_type Plane>
struct chunk_codes {
  static_assert(Plane == plane_type::base3, "other planes are decoded by avx512vnni");
  __m512i low, top;

  EDGERAZOR_OP explicit chunk_codes(const std::uint8_t* chunk) noexcept {
    const __m512i bytes = _mm512_loadu_si512(chunk);
    const __m512i one = _mm512_set1_epi8(81), two = _mm512_set1_epi8(static_cast<char>(162));
    top = _mm512_maskz_mov_epi8(_mm512_cmpge_epu8_mask(bytes, one), one);
    top = _mm512_mask_mov_epi8(top, _mm512_cmpge_epu8_mask(bytes, two), two);
    low = _mm512_permutex2var_epi8(_mm512_load_si512(digits.fields), _mm512_sub_epi8(bytes, top),
                                   _mm512_load_si512(digits.fields + 64));
  }
  /// Digit f times 4^f; digit 4 times 81.
  EDGERAZOR_OP __m512i raised(unsigned f) const noexcept {
    return f == 4 ? top : _mm512_and_si512(low, _mm512_set1_epi8(static_cast<char>(3 << (2 * f))));
  }
  EDGERAZOR_OP slot_bytes field(unsigned f) const noexcept {
    if (f < 4) return {_mm512_srli_epi16(raised(f), 2 * f)};
    // Of 0, 81 and 162 the top bit tells 2, and any bit tells 1.
    const __m512i one = _mm512_set1_epi8(1);
    return {_mm512_add_epi8(_mm512_min_epu8(top, one),
                            _mm512_maskz_mov_epi8(_mm512_movepi8_mask(top), one))};
  }
};

/// Sums of one group, one a field; see avx512vnni::chunk_codes for why fields need no shift.
template <plane_type Plane>
struct chunk_sums {
  static constexpr unsigned fields = plane_of(Plane).fields();
  __m512i sums[fields];

  EDGERAZOR_OP chunk_sums() noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) sums[f] = _mm512_setzero_si512();
  }
  EDGERAZOR_OP void add(const chunk_codes<Plane>& codes, const std::int8_t* x) noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) add_products(sums[f], codes.raised(f), x + slot_cols * f);
  }
  EDGERAZOR_OP ints total() const noexcept {
    __m512i sum =
        _mm512_mullo_epi32(sums[4], _mm512_set1_epi32(static_cast<std::int32_t>(inverse_of_81)));
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < 4; ++f) sum = _mm512_add_epi32(sum, _mm512_srai_epi32(sums[f], 2 * f));
    return {{sum}};
  }
};
template <plane_type>
inline constexpr unsigned chains = 1;

#include <edgerazor/kernel/loops/dot.inl>
#include <edgerazor/kernel/loops/unpack.inl>

inline constexpr functions table = [] {
  functions k = avx512vnni::table;
  k.name = "avx512vbmi";
  k.supported = &supported;
  constexpr auto base3 = static_cast<std::size_t>(plane_type::base3);
  k.dot[base3] = &dot<plane_type::base3>;
  k.unpack[base3] = &unpack<plane_type::base3>;
  return k;
}();

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::avx512vbmi
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
