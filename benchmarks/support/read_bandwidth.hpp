// SPDX-License-Identifier: Apache-2.0
/// How fast this process can read memory: the limit that a product of a large matrix and one token
/// is held against.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <xsimd/xsimd.hpp>

#include "machine.hpp"
#include "spinning_threads.hpp"
#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>

#if EDGERAZOR_X86
#include <immintrin.h>
#endif

namespace bench {

/// Reads every whole 512 bytes of `bytes` once, in sequence, and returns something that depends on
/// all of them.
using read_function = std::uint32_t (*)(const std::byte*, std::size_t) noexcept;

inline constexpr std::size_t read_step = 512;

namespace detail {

/// Eight sums, so that no addition waits for the one before.
inline std::uint32_t read_generic(const std::byte* at, std::size_t size) noexcept {
  using words = xsimd::batch<std::uint32_t, xsimd::default_arch>;
  constexpr std::size_t width = words::size * sizeof(std::uint32_t);
  words sums[8];
  for (words& sum : sums) sum = words{std::uint32_t{0}};
  for (const std::byte* const end = at + size / read_step * read_step; at < end; at += 8 * width) {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i)
      sums[i] += words::load_unaligned(reinterpret_cast<const std::uint32_t*>(at + i * width));
  }
  for (std::size_t i = 1; i < 8; ++i) sums[0] += sums[i];
  return xsimd::reduce_add(sums[0]);
}

#if EDGERAZOR_X86
EDGERAZOR_BEGIN_INTRINSICS
EDGERAZOR_TARGET("avx2")
inline std::uint32_t read_avx2(const std::byte* at, std::size_t size) noexcept {
  __m256i sums[8] = {};
  for (const std::byte* const end = at + size / read_step * read_step; at < end; at += 256) {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i)
      sums[i] =
          _mm256_add_epi32(sums[i], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at) + i));
  }
  for (std::size_t i = 1; i < 8; ++i) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  std::uint32_t lanes[8], total = 0;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sums[0]);
  for (const std::uint32_t lane : lanes) total += lane;
  return total;
}

EDGERAZOR_TARGET("avx512f")
inline std::uint32_t read_avx512(const std::byte* at, std::size_t size) noexcept {
  __m512i sums[8] = {};
  for (const std::byte* const end = at + size / read_step * read_step; at < end; at += 512) {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i)
      sums[i] = _mm512_add_epi32(sums[i], _mm512_loadu_si512(at + 64 * i));
  }
  for (std::size_t i = 1; i < 8; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  std::uint32_t lanes[16], total = 0;
  _mm512_storeu_si512(lanes, sums[0]);
  for (const std::uint32_t lane : lanes) total += lane;
  return total;
}
EDGERAZOR_END_INTRINSICS
#endif

}  // namespace detail

/// The widest loads that this processor has.
[[nodiscard]] inline read_function widest_read() noexcept {
#if EDGERAZOR_X86
  const edgerazor::detail::kernel::cpu_features features =
      edgerazor::detail::kernel::detect_cpu_features();
  if (features.avx512vnni) return &detail::read_avx512;
  if (features.avx2) return &detail::read_avx2;
#endif
  return &detail::read_generic;
}

/// Reads all of `memory` once on all threads, in spans of a mebibyte, each in sequence. The sum
/// keeps the loop alive.
inline void read_once(spinning_threads& threads, std::span<const std::byte> memory) {
  static const read_function read = widest_read();
  static std::atomic<std::uint32_t> sink{0};
  // Spans end together: a tenth of what a thread has to read, where that is less.
  const std::size_t share = memory.size() / (10 * threads.threads()) / read_step * read_step;
  const std::size_t span =
      threads.threads() == 1 ? memory.size() : std::clamp<std::size_t>(share, read_step, 1u << 20);
  threads.run((memory.size() + span - 1) / span, [&](std::size_t i) {
    const std::size_t begin = i * span, size = std::min(span, memory.size() - begin);
    if (read(memory.data() + begin, size) == 1) sink.fetch_add(1, std::memory_order_relaxed);
  });
}

}  // namespace bench
