// SPDX-License-Identifier: Apache-2.0
/// What the compiler and the target are. The only header that reads compiler macros; everything
/// else asks the EDGERAZOR_ macros below. Nothing here can be configured: the macros follow from
/// the compiler.
#pragma once

#include <bit>
#include <version>

#if defined(min) || defined(max)
#error "a header before edgerazor defines min and max as macros: define NOMINMAX before <windows.h>"
#endif

static_assert(std::endian::native == std::endian::little,
              "edgerazor's packed layouts are little-endian");

/// Instruction sets beyond the processor family's first that this unit's flags let the compiler use
/// anywhere, an inline function included: "_avx2_fma_bmi" for a Haswell, nothing without a flag.
#if defined(__AVX512F__)
#define EDGERAZOR_ISA_VECTORS _avx512
#elif defined(__AVX2__)
#define EDGERAZOR_ISA_VECTORS _avx2
#elif defined(__AVX__)
#define EDGERAZOR_ISA_VECTORS _avx
#elif defined(__SSE4_1__) || defined(__POPCNT__)
#define EDGERAZOR_ISA_VECTORS _sse4
#elif defined(__SSE3__)
#define EDGERAZOR_ISA_VECTORS _sse3
#elif defined(__ARM_FEATURE_SVE)
#define EDGERAZOR_ISA_VECTORS _sve
#elif defined(__ARM_FEATURE_DOTPROD)
#define EDGERAZOR_ISA_VECTORS _dotprod
#elif defined(__riscv_vector)
#define EDGERAZOR_ISA_VECTORS _rvv
#else
#define EDGERAZOR_ISA_VECTORS
#endif
#if defined(__FMA__) || defined(__FMA4__)
#define EDGERAZOR_ISA_FMA _fma
#else
#define EDGERAZOR_ISA_FMA
#endif
#if defined(__BMI__) || defined(__BMI2__) || defined(__LZCNT__) || defined(__MOVBE__)
#define EDGERAZOR_ISA_BITS _bmi
#elif defined(__ARM_FEATURE_ATOMICS)
#define EDGERAZOR_ISA_BITS _lse
#else
#define EDGERAZOR_ISA_BITS
#endif
#if defined(__AVX512VBMI__) || defined(__AVX512VNNI__)
#define EDGERAZOR_ISA_BYTES _vnni
#elif defined(__AVX512BW__) || defined(__AVX512DQ__) || defined(__AVX512VL__)
#define EDGERAZOR_ISA_BYTES _bw
#elif defined(__AVXVNNI__)
#define EDGERAZOR_ISA_BYTES _avxvnni
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define EDGERAZOR_ISA_BYTES _i8mm
#else
#define EDGERAZOR_ISA_BYTES
#endif
#define EDGERAZOR_JOINED(form, vectors, fma, bits, bytes) form##vectors##fma##bits##bytes
#define EDGERAZOR_JOIN(form, vectors, fma, bits, bytes) \
  EDGERAZOR_JOINED(form, vectors, fma, bits, bytes)

/// The inline namespace of everything. The two forms of the library, header-only and compiled
/// (EDGERAZOR_COMPILED), have one each: units of different forms that exchange a type of ours do
/// not link. In the header-only form so have units of different instruction sets: a linker keeps
/// one copy of an inline function, and that of a unit for AVX2 would end a program on a
/// processor without. The compiled form has one namespace whatever the flags, that of its library.
///
/// EDGERAZOR_FUNCTION stands before every function that the compiled form keeps in its library.
#if defined(EDGERAZOR_COMPILED)
#define EDGERAZOR_ABI v0_compiled
#define EDGERAZOR_HEADER_ONLY 0
#define EDGERAZOR_FUNCTION
#else
#define EDGERAZOR_ABI                                                              \
  EDGERAZOR_JOIN(v0, EDGERAZOR_ISA_VECTORS, EDGERAZOR_ISA_FMA, EDGERAZOR_ISA_BITS, \
                 EDGERAZOR_ISA_BYTES)
#define EDGERAZOR_HEADER_ONLY 1
#define EDGERAZOR_FUNCTION inline
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define EDGERAZOR_X86 1
#else
#define EDGERAZOR_X86 0
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#define EDGERAZOR_ARM64 1
#else
#define EDGERAZOR_ARM64 0
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define EDGERAZOR_MSVC 1
#else
#define EDGERAZOR_MSVC 0
#endif

/// 1 for g++ itself, which has faults of its own to work around, not for clang.
#if defined(__GNUC__) && !defined(__clang__)
#define EDGERAZOR_GCC 1
#else
#define EDGERAZOR_GCC 0
#endif

#if defined(__linux__)
#define EDGERAZOR_LINUX 1
#else
#define EDGERAZOR_LINUX 0
#endif

#if defined(__APPLE__)
#define EDGERAZOR_APPLE 1
#else
#define EDGERAZOR_APPLE 0
#endif

#if defined(_WIN32)
#define EDGERAZOR_WINDOWS 1
#else
#define EDGERAZOR_WINDOWS 0
#endif

/// 1 where POSIX `mmap` is to be had.
#if defined(__unix__) || defined(__APPLE__)
#define EDGERAZOR_POSIX 1
#else
#define EDGERAZOR_POSIX 0
#endif

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define EDGERAZOR_EXCEPTIONS 1
#else
#define EDGERAZOR_EXCEPTIONS 0
#endif

/// EDGERAZOR_TARGET("avx2,fma"): one function is compiled for more than the build's own instruction
/// set. MSVC needs no permission to use an intrinsic.
#if defined(__GNUC__) || defined(__clang__)
#define EDGERAZOR_TARGET(features) __attribute__((target(features)))
#define EDGERAZOR_INLINE inline __attribute__((always_inline))
#define EDGERAZOR_NOINLINE __attribute__((noinline))
#define EDGERAZOR_RESTRICT __restrict__
#elif defined(_MSC_VER)
#define EDGERAZOR_TARGET(features)
#define EDGERAZOR_INLINE __forceinline
#define EDGERAZOR_NOINLINE __declspec(noinline)
#define EDGERAZOR_RESTRICT __restrict
#else
#define EDGERAZOR_TARGET(features)
#define EDGERAZOR_INLINE inline
#define EDGERAZOR_NOINLINE
#define EDGERAZOR_RESTRICT
#endif

/// The same for Arm, where compilers spell it differently. g++ takes the extensions with the
/// architecture that first had them, because its assembler does; functions that others inline,
/// whatever their target, have the least of all.
#if EDGERAZOR_ARM64 && defined(__GNUC__) && !defined(__clang__)
#define EDGERAZOR_TARGET_NEON EDGERAZOR_TARGET("+nothing+simd")
#define EDGERAZOR_TARGET_DOTPROD EDGERAZOR_TARGET("arch=armv8.2-a+dotprod")
#define EDGERAZOR_TARGET_I8MM EDGERAZOR_TARGET("arch=armv8.2-a+dotprod+i8mm")
#elif EDGERAZOR_ARM64 && defined(__clang__)
#define EDGERAZOR_TARGET_NEON
#if __clang_major__ < 16
#define EDGERAZOR_TARGET_DOTPROD EDGERAZOR_TARGET("dotprod")
#define EDGERAZOR_TARGET_I8MM EDGERAZOR_TARGET("dotprod,i8mm")
#else
#define EDGERAZOR_TARGET_DOTPROD EDGERAZOR_TARGET("+dotprod")
#define EDGERAZOR_TARGET_I8MM EDGERAZOR_TARGET("+dotprod+i8mm")
#endif
#else
#define EDGERAZOR_TARGET_NEON
#define EDGERAZOR_TARGET_DOTPROD
#define EDGERAZOR_TARGET_I8MM
#endif

/// Before a loop of a small constant number of rounds whose arrays must become registers.
#if defined(__clang__)
#define EDGERAZOR_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define EDGERAZOR_UNROLL _Pragma("GCC unroll 16")
#else
#define EDGERAZOR_UNROLL
#endif

/// After a sum that a loop carries on has been updated: keeps it in its register. Left alone, g++
/// 12 gives the new value another register and copies it back, or spills it, once for every sum and
/// round. Emits nothing.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define EDGERAZOR_PIN_REGISTER(sum) __asm__("" : "+v"(sum))
#elif defined(__GNUC__) && !defined(__clang__) && defined(__aarch64__)
#define EDGERAZOR_PIN_REGISTER(sum) __asm__("" : "+w"(sum))
#else
#define EDGERAZOR_PIN_REGISTER(sum) static_cast<void>(0)
#endif

/// 1 where the compiler tells that the flags of the build let it compute something else with floats
/// than the source says: -ffast-math, -Ofast, or (g++) one of their parts.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    defined(__NO_SIGNED_ZEROS__) || defined(_M_FP_FAST)
#define EDGERAZOR_FAST_MATH 1
#elif defined(__FINITE_MATH_ONLY__)
#if __FINITE_MATH_ONLY__
#define EDGERAZOR_FAST_MATH 1
#else
#define EDGERAZOR_FAST_MATH 0
#endif
#else
#define EDGERAZOR_FAST_MATH 0
#endif

/// The float or vector of floats is what has been computed so far: no flag (-ffast-math, its parts,
/// -ffp-contract=fast) lets the compiler add, multiply or divide across this point otherwise than
/// the source says. Emits nothing.
///
/// EDGERAZOR_KEEP_BOTH also hides where a divisor comes from, in each round of a loop: it can't be
/// inverted before the loop.
#if defined(__GNUC__) || defined(__clang__)
#if EDGERAZOR_X86
#define EDGERAZOR_KEEP(v) __asm__("" : "+v"(v))
#define EDGERAZOR_KEEP_BOTH(v, w) __asm__("" : "+v"(v), "+v"(w))
#elif EDGERAZOR_ARM64
#define EDGERAZOR_KEEP(v) __asm__("" : "+w"(v))
#define EDGERAZOR_KEEP_BOTH(v, w) __asm__("" : "+w"(v), "+w"(w))
#elif defined(__riscv_flen)
#define EDGERAZOR_KEEP(v) __asm__("" : "+f"(v))
#define EDGERAZOR_KEEP_BOTH(v, w) __asm__("" : "+f"(v), "+f"(w))
#else
#define EDGERAZOR_KEEP(v) __asm__("" : "+m"(v))
#define EDGERAZOR_KEEP_BOTH(v, w) __asm__("" : "+m"(v), "+m"(w))
#endif
#else
#define EDGERAZOR_KEEP(v) static_cast<void>(0)
#define EDGERAZOR_KEEP_BOTH(v, w) static_cast<void>(0)
#endif

/// quotient = a / b of float vectors, by the instruction: for the operator, and for the intrinsic
/// `divide`, a compiler at -ffast-math takes an approximate reciprocal. _BUILD: in a function of
/// the build's own instruction set; the other is for functions whose target has AVX.
#if EDGERAZOR_X86 && (defined(__GNUC__) || defined(__clang__))
#define EDGERAZOR_DIVIDE_AVX(quotient, a, b, divide) \
  __asm__("vdivps %2, %1, %0" : "=v"(quotient) : "v"(a), "v"(b))
#if EDGERAZOR_GCC && !EDGERAZOR_FAST_MATH  // which g++ tells of, clang not always
#define EDGERAZOR_DIVIDE_BUILD(quotient, a, b) quotient = a / b
#elif defined(__AVX__)
#define EDGERAZOR_DIVIDE_BUILD(quotient, a, b) EDGERAZOR_DIVIDE_AVX(quotient, a, b, )
#else
#define EDGERAZOR_DIVIDE_BUILD(quotient, a, b) \
  quotient = a;                                \
  __asm__("divps %1, %0" : "+x"(quotient) : "x"(b))
#endif
#else
#define EDGERAZOR_DIVIDE_AVX(quotient, a, b, divide) quotient = divide(a, b)
#define EDGERAZOR_DIVIDE_BUILD(quotient, a, b) quotient = a / b
#endif

/// static_assert of a condition that asks whether functions' addresses are null. g++ with
/// -fsanitize=undefined can't tell while it compiles, and then asserts nothing; others assert it.
#if defined(__GNUC__) && !defined(__clang__)
#define EDGERAZOR_ASSERT_OF_ADDRESSES(condition) \
  static_assert(!__builtin_constant_p(condition) || (condition))
#else
#define EDGERAZOR_ASSERT_OF_ADDRESSES(condition) static_assert(condition)
#endif

/// g++ 12 reports values that its own vector headers leave undefined on purpose as uninitialized
/// (GCC bug 105593). The pair goes around all functions of vectors, so that no consumer sees the
/// report.
#if defined(__GNUC__) && !defined(__clang__)
#define EDGERAZOR_BEGIN_INTRINSICS                                                     \
  _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wuninitialized\"") \
      _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#define EDGERAZOR_END_INTRINSICS _Pragma("GCC diagnostic pop")
#else
#define EDGERAZOR_BEGIN_INTRINSICS
#define EDGERAZOR_END_INTRINSICS
#endif
