// SPDX-License-Identifier: Apache-2.0
/// Included before everything else (`-include`) where the library is to be compiled for xsimd's
/// emulated vectors of EDGERAZOR_TEST_EMULATED bits: on any machine, also one whose vectors xsimd
/// does not know, for which it declares nothing but scalars. Tests only.
#pragma once

#undef XSIMD_ENABLE_XTL_COMPLEX  // xsimd 13.2 misspells that type where it emulates
#define XSIMD_WITH_EMULATED 1
#define XSIMD_DEFAULT_ARCH xsimd::emulated<EDGERAZOR_TEST_EMULATED>

#include <xsimd/config/xsimd_config.hpp>
#undef XSIMD_NO_SUPPORTED_ARCHITECTURE
#include <xsimd/xsimd.hpp>
