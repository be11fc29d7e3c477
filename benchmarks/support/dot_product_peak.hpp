// SPDX-License-Identifier: Apache-2.0
/// How many multiply-adds of 8-bit integers a second this processor can do: the limit that a
/// product of many tokens is held against. Operands stay in registers; nothing is loaded, unpacked
/// or scaled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "spinning_threads.hpp"
#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>

#if EDGERAZOR_X86
#include <immintrin.h>
#elif EDGERAZOR_ARM64
#include <arm_neon.h>
#endif

namespace bench {

/// What multiplies bytes and adds the products on this processor.
struct dot_product {
  std::string_view instructions;
  std::size_t multiply_adds = 0;  ///< of one step of `run`
  std::uint32_t (*run)(std::size_t steps) noexcept = nullptr;

  explicit operator bool() const noexcept { return run != nullptr; }
};

namespace detail {

/// Sums that don't wait for each other: latency times throughput is 8 on today's cores. They have
/// names, because g++ 12 leaves an array of them in memory, and begin with different values,
/// because equal ones would be one.
inline constexpr std::size_t chains = 10;

EDGERAZOR_BEGIN_INTRINSICS

#if EDGERAZOR_X86
EDGERAZOR_TARGET("avx512f,avx512vnni")
inline std::uint32_t dot_avx512vnni(std::size_t steps) noexcept {
  const __m512i codes = _mm512_set1_epi8(2), x = _mm512_set1_epi8(-3);
  __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2), c = _mm512_set1_epi8(3),
          d = _mm512_set1_epi8(4);
  __m512i e = _mm512_set1_epi8(5), f = _mm512_set1_epi8(6), g = _mm512_set1_epi8(7),
          h = _mm512_set1_epi8(8);
  __m512i i = _mm512_set1_epi8(9), j = _mm512_set1_epi8(10);
  for (; steps > 0; --steps) {
    a = _mm512_dpbusd_epi32(a, codes, x), b = _mm512_dpbusd_epi32(b, codes, x);
    c = _mm512_dpbusd_epi32(c, codes, x), d = _mm512_dpbusd_epi32(d, codes, x);
    e = _mm512_dpbusd_epi32(e, codes, x), f = _mm512_dpbusd_epi32(f, codes, x);
    g = _mm512_dpbusd_epi32(g, codes, x), h = _mm512_dpbusd_epi32(h, codes, x);
    i = _mm512_dpbusd_epi32(i, codes, x), j = _mm512_dpbusd_epi32(j, codes, x);
  }
  a = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
  e = _mm512_xor_si512(_mm512_xor_si512(e, f), _mm512_xor_si512(g, h));
  a = _mm512_xor_si512(_mm512_xor_si512(a, e), _mm512_xor_si512(i, j));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm512_castsi512_si128(a)));
}

EDGERAZOR_TARGET("avx2,avxvnni") inline std::uint32_t dot_avxvnni(std::size_t steps) noexcept {
  const __m256i codes = _mm256_set1_epi8(2), x = _mm256_set1_epi8(-3);
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), c = _mm256_set1_epi8(3),
          d = _mm256_set1_epi8(4);
  __m256i e = _mm256_set1_epi8(5), f = _mm256_set1_epi8(6), g = _mm256_set1_epi8(7),
          h = _mm256_set1_epi8(8);
  __m256i i = _mm256_set1_epi8(9), j = _mm256_set1_epi8(10);
  for (; steps > 0; --steps) {
    a = _mm256_dpbusd_avx_epi32(a, codes, x), b = _mm256_dpbusd_avx_epi32(b, codes, x);
    c = _mm256_dpbusd_avx_epi32(c, codes, x), d = _mm256_dpbusd_avx_epi32(d, codes, x);
    e = _mm256_dpbusd_avx_epi32(e, codes, x), f = _mm256_dpbusd_avx_epi32(f, codes, x);
    g = _mm256_dpbusd_avx_epi32(g, codes, x), h = _mm256_dpbusd_avx_epi32(h, codes, x);
    i = _mm256_dpbusd_avx_epi32(i, codes, x), j = _mm256_dpbusd_avx_epi32(j, codes, x);
  }
  a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
  e = _mm256_xor_si256(_mm256_xor_si256(e, f), _mm256_xor_si256(g, h));
  a = _mm256_xor_si256(_mm256_xor_si256(a, e), _mm256_xor_si256(i, j));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm256_castsi256_si128(a)));
}

/// 32 products, added in pairs, to 16 sums of 16 bits. The sum is an operand of its own product: a
/// constant product would be worked out once, before the loop.
EDGERAZOR_TARGET("avx2") EDGERAZOR_INLINE __m256i add_products(__m256i sum, __m256i x) noexcept {
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(sum, x));
}
EDGERAZOR_TARGET("avx2") inline std::uint32_t dot_avx2(std::size_t steps) noexcept {
  const __m256i x = _mm256_set1_epi8(-3);
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), c = _mm256_set1_epi8(3),
          d = _mm256_set1_epi8(4);
  __m256i e = _mm256_set1_epi8(5), f = _mm256_set1_epi8(6), g = _mm256_set1_epi8(7),
          h = _mm256_set1_epi8(8);
  __m256i i = _mm256_set1_epi8(9), j = _mm256_set1_epi8(10);
  for (; steps > 0; --steps) {
    a = add_products(a, x), b = add_products(b, x), c = add_products(c, x), d = add_products(d, x);
    e = add_products(e, x), f = add_products(f, x), g = add_products(g, x), h = add_products(h, x);
    i = add_products(i, x), j = add_products(j, x);
  }
  a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
  e = _mm256_xor_si256(_mm256_xor_si256(e, f), _mm256_xor_si256(g, h));
  a = _mm256_xor_si256(_mm256_xor_si256(a, e), _mm256_xor_si256(i, j));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm256_castsi256_si128(a)));
}

#elif EDGERAZOR_ARM64
EDGERAZOR_TARGET_DOTPROD inline std::uint32_t dot_dotprod(std::size_t steps) noexcept {
  const int8x16_t codes = vdupq_n_s8(2), x = vdupq_n_s8(-3);
  int32x4_t a = vdupq_n_s32(1), b = vdupq_n_s32(2), c = vdupq_n_s32(3), d = vdupq_n_s32(4),
            e = vdupq_n_s32(5);
  int32x4_t f = vdupq_n_s32(6), g = vdupq_n_s32(7), h = vdupq_n_s32(8), i = vdupq_n_s32(9),
            j = vdupq_n_s32(10);
  for (; steps > 0; --steps) {
    a = vdotq_s32(a, codes, x), b = vdotq_s32(b, codes, x), c = vdotq_s32(c, codes, x),
    d = vdotq_s32(d, codes, x);
    e = vdotq_s32(e, codes, x), f = vdotq_s32(f, codes, x), g = vdotq_s32(g, codes, x),
    h = vdotq_s32(h, codes, x);
    i = vdotq_s32(i, codes, x), j = vdotq_s32(j, codes, x);
  }
  a = veorq_s32(veorq_s32(a, b), veorq_s32(c, d));
  e = veorq_s32(veorq_s32(e, f), veorq_s32(g, h));
  return static_cast<std::uint32_t>(vgetq_lane_s32(veorq_s32(veorq_s32(a, e), veorq_s32(i, j)), 0));
}
#endif

EDGERAZOR_END_INTRINSICS

}  // namespace detail

/// The widest of this processor; none where it is neither an x86 one with AVX2 nor an Arm one with
/// dot products: its peak is then not known. (Arm's i8mm does twice as much an instruction, but
/// only for two tokens at a time.)
[[nodiscard]] inline dot_product widest_dot_product() noexcept {
#if EDGERAZOR_X86
  const edgerazor::detail::kernel::cpu_features features =
      edgerazor::detail::kernel::detect_cpu_features();
  if (features.avx512vnni) return {"vpdpbusd zmm", 64 * detail::chains, &detail::dot_avx512vnni};
  if (features.avxvnni) return {"vpdpbusd ymm", 32 * detail::chains, &detail::dot_avxvnni};
  if (features.avx2) return {"vpmaddubsw and vpaddw ymm", 32 * detail::chains, &detail::dot_avx2};
#elif EDGERAZOR_ARM64
  if (edgerazor::detail::kernel::detect_cpu_features().dotprod)
    return {"sdot", 16 * detail::chains, &detail::dot_dotprod};
#endif
  return {};
}

/// `steps` steps on each of the threads.
inline void multiply_on_all(spinning_threads& threads, const dot_product& dot, std::size_t steps) {
  static std::atomic<std::uint32_t> sink{0};
  // A core that is slower, or given to someone else for a while, takes fewer of the parts.
  const std::size_t parts = 8 * threads.threads();
  threads.run(parts, [&](std::size_t) {
    if (dot.run(steps / 8) == 1) sink.fetch_add(1, std::memory_order_relaxed);
  });
}

}  // namespace bench
