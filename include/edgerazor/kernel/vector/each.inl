// SPDX-License-Identifier: Apache-2.0
// Text, included inside the namespace whose loops they are, after vectors.hpp: the loops of the
// file EDGERAZOR_LOOPS, once for each instruction set, and `tables`, the list of what they define,
// fastest first.
//
//     namespace detail::row {
//     #define EDGERAZOR_LOOPS <edgerazor/distill/row/loops/all.inl>
//     #include <edgerazor/kernel/vector/each.inl>
//     #undef EDGERAZOR_LOOPS
//     }
//
// EDGERAZOR_LOOPS stands in a namespace of the instruction set's name and defines there
//
//     inline constexpr T table{.name = vectors::name, .supported = &vectors::supported, ...};
//
// Its functions carry EDGERAZOR_ISA, those of vectors, which are to be inlined, EDGERAZOR_LANES.
// Neither lambdas nor templates without the attribute may touch a vector, and nothing with vectors
// may be called from elsewhere. In sight are the types, and through them the operations, with the
// names and the meaning that xsimd gives them,
//
//     floats doubles words      T{x}: x in every lane; size, value_type, load_unaligned,
//                               store_unaligned; doubles::load_unaligned(const float*) too
//     + - * /                   - of one doubles;  words have + - & |
//     < <= > >= ==  && || !        masks; false where an operand is NaN;  any(mask)
//     select(mask, a, b)
//     fma(a, b, c)  a * b + c   fms  a * b - c   fnma  c - a * b    rounded once where `fuses` says so
//     abs  max  min             the second operand where one is NaN, on x86
//     reduce_add  reduce_max
//
// and
//
//     bits_of(floats)  from_bits(words)  to_float(words)  shift_left<n>(words)  shift_right<n>(words)
//     where(mask, a)            a, or 0;  of floats
//     power_steps               how many powers of 2 lie, as far as power_of_steps knows, in an octave
//     power_of_steps(x)         2^(n / power_steps) of x = 1.5 * 2^23 / power_steps + n / power_steps
//     raw_exponent(doubles)     floor(log2(x)) + 1023 of a positive normal number
//     ^ of words                largest_lane(words)  any_negative(words)
//     larger(a, b)              a where a > b, else b: b where one is NaN
//     quotient(a, b)            a / b, rounded once whatever the flags of the build
//     kept(x)  ordered(x)       x as it has been computed; a sum in an order that matters
//     load_block(at, v)  store_block(to, v)     16 elements, float, float16 or bfloat16, as floats (&v)[16 / size]
//     store_bytes(to, w)        the low bytes of words (&w)[16 / size]
//     power_of_shifted(x)       2^n of x = 1.5 * 2^23 + n (doubles: 1.5 * 2^52 + n); 0 of n = -127 (-1023)

#if EDGERAZOR_X86
namespace avx512 {
namespace vectors = kernel::vector::avx512;
using namespace vectors;
using vectors::doubles, vectors::floats, vectors::words;
using vectors::double_mask, vectors::float_mask;
#define EDGERAZOR_ISA EDGERAZOR_TARGET("avx512f,avx512bw,avx512vl,avx2,fma,f16c")
#define EDGERAZOR_LANES EDGERAZOR_ISA EDGERAZOR_INLINE
#include EDGERAZOR_LOOPS
#undef EDGERAZOR_LANES
#undef EDGERAZOR_ISA
}  // namespace avx512

namespace avx2 {
namespace vectors = kernel::vector::avx2;
using namespace vectors;
using vectors::doubles, vectors::floats, vectors::words;
using vectors::double_mask, vectors::float_mask;
#define EDGERAZOR_ISA EDGERAZOR_TARGET("avx2,fma,f16c")
#define EDGERAZOR_LANES EDGERAZOR_ISA EDGERAZOR_INLINE
#include EDGERAZOR_LOOPS
#undef EDGERAZOR_LANES
#undef EDGERAZOR_ISA
}  // namespace avx2
#endif

namespace portable {
namespace vectors = kernel::vector::portable;
using namespace vectors;
using vectors::doubles, vectors::floats, vectors::words;
using vectors::double_mask, vectors::float_mask;
#define EDGERAZOR_ISA
#define EDGERAZOR_LANES EDGERAZOR_INLINE
#include EDGERAZOR_LOOPS
#undef EDGERAZOR_LANES
#undef EDGERAZOR_ISA
}  // namespace portable

/// Every table that this build holds, fastest first, whether this processor can run it or not.
inline constexpr std::array tables{
#if EDGERAZOR_X86
    &avx512::table,
    &avx2::table,
#endif
    &portable::table,
};
