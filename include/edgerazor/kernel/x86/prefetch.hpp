// SPDX-License-Identifier: Apache-2.0
/// Asking memory for weights before their use.
///
/// Processors follow a stream by themselves, but only to the end of a 4 KiB page, and a loop that
/// multiplies is too long for them to run ahead across it: every page would cost some 200 ns of
/// waiting for DRAM. Lines are brought into the second-level cache (T1): the first one's fill
/// buffers, of which there are few, would each be held for the whole latency. An address past a
/// matrix is no access: nothing faults.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>

#if EDGERAZOR_X86

#include <immintrin.h>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::x86 {

/// The line in which an address lies.
EDGERAZOR_TARGET("sse2")
EDGERAZOR_INLINE void prefetch_line(const void* at) noexcept {
  _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T1);
}

/// The chunk that lies prefetch_distance behind this one.
EDGERAZOR_TARGET("sse2")
EDGERAZOR_INLINE void prefetch(const std::uint8_t* chunk) noexcept {
  (prefetch_line)(chunk + prefetch_distance);
}

/// See contract.hpp.
EDGERAZOR_TARGET("sse2")
inline void prefetch_bytes(const std::byte* at, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; i += 64) (prefetch_line)(at + i);
}

}  // namespace detail::kernel::x86
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
