// SPDX-License-Identifier: Apache-2.0
/// What the processor and the operating system offer, asked once.
#pragma once

#include <array>
#include <cstdint>

#include <edgerazor/core/config.hpp>

#if EDGERAZOR_X86
#if EDGERAZOR_MSVC
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif EDGERAZOR_ARM64 && EDGERAZOR_LINUX
#include <sys/auxv.h>
#elif EDGERAZOR_ARM64 && EDGERAZOR_APPLE
#include <cstddef>

#include <sys/sysctl.h>
#elif EDGERAZOR_ARM64 && EDGERAZOR_WINDOWS
// As <windows.h> declares it, without that header's macros.
extern "C" __declspec(dllimport) int __stdcall IsProcessorFeaturePresent(unsigned long);
#endif

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel {

/// Instruction sets that some kernel needs; false where the processor is of another family.
struct cpu_features {
  bool ssse3 = false;
  bool avx2 = false;        ///< with FMA and F16C, and the operating system saves 256-bit registers
  bool avxvnni = false;     ///< with avx2
  bool avx512 = false;      ///< F, BW, VL, with avx2; 512-bit registers are saved
  bool avx512vnni = false;  ///< with avx512
  bool avx512vbmi = false;  ///< with avx512vnni
  bool dotprod = false;     ///< Arm: sdot, udot
  bool i8mm = false;        ///< Arm: usdot, smmla, usmmla; with dotprod
};

#if EDGERAZOR_X86
/// EAX, EBX, ECX, EDX of CPUID; zeros for a leaf the processor does not have.
inline std::array<std::uint32_t, 4> cpuid(std::uint32_t leaf, std::uint32_t subleaf) noexcept {
  std::array<std::uint32_t, 4> result{};
#if EDGERAZOR_MSVC
  int registers[4];
  __cpuid(registers, 0);
  if (static_cast<std::uint32_t>(registers[0]) < leaf) return result;
  __cpuidex(registers, static_cast<int>(leaf), static_cast<int>(subleaf));
  for (int i = 0; i < 4; ++i)
    result[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(registers[i]);
#else
  if (!__get_cpuid_count(leaf, subleaf, &result[0], &result[1], &result[2], &result[3]))
    result = {};
#endif
  return result;
}

/// Which register states the operating system saves (XCR0). Only where CPUID reports OSXSAVE.
inline std::uint64_t saved_states() noexcept {
#if EDGERAZOR_MSVC
  return _xgetbv(0);
#else
  std::uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
#endif
}

/// Reads CPUID; bit numbers are those of Intel's and AMD's manuals.
[[nodiscard]] inline cpu_features detect_cpu_features() noexcept {
  const auto bit = [](std::uint32_t word, int index) { return (word >> index & 1u) != 0; };
  const std::uint32_t leaf1 = cpuid(1, 0)[2];
  cpu_features result;
  result.ssse3 = bit(leaf1, 9);
  if (!bit(leaf1, 27)) return result;  // OSXSAVE
  const std::uint64_t states = saved_states();
  const bool saves_ymm = (states & 0x6) == 0x6, saves_zmm = (states & 0xe6) == 0xe6;
  const std::array<std::uint32_t, 4> leaf7 = cpuid(7, 0);
  const std::uint32_t leaf7_1 =
      leaf7[0] >= 1 ? cpuid(7, 1)[0] : 0;  // EAX of leaf 7: the last subleaf
  result.avx2 =
      saves_ymm && bit(leaf1, 12) && bit(leaf1, 29) && bit(leaf7[1], 5);  // FMA, F16C, AVX2
  result.avxvnni = result.avx2 && bit(leaf7_1, 4);
  result.avx512 = result.avx2 && saves_zmm && bit(leaf7[1], 16) && bit(leaf7[1], 30) &&
                  bit(leaf7[1], 31);  // AVX-512 F, BW, VL
  result.avx512vnni = result.avx512 && bit(leaf7[2], 11);
  result.avx512vbmi = result.avx512vnni && bit(leaf7[2], 1);
  return result;
}
#elif EDGERAZOR_ARM64
#if EDGERAZOR_APPLE
inline bool has_feature(const char* name) noexcept {
  int value = 0;
  std::size_t size = sizeof value;
  return ::sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
#endif

/// Asks the operating system: Linux by the bits of its hardware capabilities (HWCAP_ASIMDDP,
/// HWCAP2_I8MM), Apple's by name, Windows by number (PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE; for i8mm
/// its older versions have none). Of others nothing is known.
[[nodiscard]] inline cpu_features detect_cpu_features() noexcept {
  cpu_features result;
#if EDGERAZOR_LINUX
  result.dotprod = (::getauxval(AT_HWCAP) >> 20 & 1u) != 0;
  result.i8mm = result.dotprod && (::getauxval(AT_HWCAP2) >> 13 & 1u) != 0;
#elif EDGERAZOR_APPLE
  result.dotprod = has_feature("hw.optional.arm.FEAT_DotProd");
  result.i8mm = result.dotprod && has_feature("hw.optional.arm.FEAT_I8MM");
#elif EDGERAZOR_WINDOWS
  result.dotprod = ::IsProcessorFeaturePresent(43) != 0;
#endif
  return result;
}
#else
[[nodiscard]] inline cpu_features detect_cpu_features() noexcept { return {}; }
#endif

}  // namespace detail::kernel
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
