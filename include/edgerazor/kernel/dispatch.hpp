/// The one list of kernels, fastest first. It drives the choice at run time, the tests, the benchmarks and the table in
/// docs/kernels.md; a new instruction set is one file and one row here.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include <edgerazor/kernel/arm_dotprod.hpp>
#include <edgerazor/kernel/arm_i8mm.hpp>
#include <edgerazor/kernel/arm_neon.hpp>
#include <edgerazor/kernel/generic.hpp>
#include <edgerazor/kernel/kernel.hpp>
#include <edgerazor/kernel/scalar.hpp>
#include <edgerazor/kernel/x86_avx2.hpp>
#include <edgerazor/kernel/x86_avx512vbmi.hpp>
#include <edgerazor/kernel/x86_avx512vnni.hpp>
#include <edgerazor/kernel/x86_avxvnni.hpp>

namespace edgerazor::inline v0 {

/// Every kernel that this build holds, whether this processor can run it or not.
// clang-format off
inline constexpr std::array kernel_list{
#if EDGERAZOR_X86
    &avx512vbmi::table,
    &avx512vnni::table,
    &avxvnni::table,
    &avx2::table,
#endif
#if EDGERAZOR_ARM64
    &i8mm::table,
    &dotprod::table,
    &neon::table,
#endif
    &generic::table,
    &scalar::table,
};
// clang-format on

/// The kernels that this processor can run, fastest first; never empty, because `scalar` is always last.
/// The processor is asked once.
[[nodiscard]] inline std::span<const kernel> available_kernels() noexcept {
  struct selection {
    std::array<kernel, kernel_list.size()> kernels{};
    std::size_t count = 0;
    selection() noexcept {
      for (const kernel* candidate : kernel_list) {
        if (candidate->supported()) kernels[count++] = *candidate;
      }
    }
  };
  static const selection available;
  return {available.kernels.data(), available.count};
}

/// The fastest kernel that this processor can run: the default of every product.
[[nodiscard]] inline const kernel& best_kernel() noexcept {
  return available_kernels().front();
}

/// The available kernel of that name; null where there is none.
[[nodiscard]] inline const kernel* find_kernel(std::string_view name) noexcept {
  for (const kernel& candidate : available_kernels()) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

}  // namespace edgerazor::inline v0
