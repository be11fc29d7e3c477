// SPDX-License-Identifier: Apache-2.0
/// The one list of kernels, fastest first. It drives the choice at run time, the tests, the
/// benchmarks and the table in docs/kernels.md; a new instruction set is one file and one row here.
#pragma once

#include <array>
#include <cstddef>

#include <edgerazor/kernel/arm/dotprod.hpp>
#include <edgerazor/kernel/arm/i8mm.hpp>
#include <edgerazor/kernel/arm/neon.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/portable/generic.hpp>
#include <edgerazor/kernel/portable/scalar.hpp>
#include <edgerazor/kernel/x86/avx2.hpp>
#include <edgerazor/kernel/x86/avx512vbmi.hpp>
#include <edgerazor/kernel/x86/avx512vnni.hpp>
#include <edgerazor/kernel/x86/avxvnni.hpp>
#include <edgerazor/kernel/x86/ssse3.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel {

/// Every kernel that this build holds, whether this processor can run it or not.
// clang-format off
inline constexpr std::array kernel_list{
#if EDGERAZOR_X86
    &avx512vbmi::table,
    &avx512vnni::table,
    &avxvnni::table,
    &avx2::table,
    &ssse3::table,
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

}  // namespace detail::kernel
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
