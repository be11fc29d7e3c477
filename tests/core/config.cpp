// SPDX-License-Identifier: Apache-2.0
/// The macros say 0 or 1, and at most one machine and one system.
#include <type_traits>

#include <doctest/doctest.h>

#include <edgerazor/core/config.hpp>

static_assert(EDGERAZOR_X86 + EDGERAZOR_ARM64 <= 1 && EDGERAZOR_MSVC >= 0 && EDGERAZOR_MSVC <= 1);
static_assert(EDGERAZOR_LINUX + EDGERAZOR_APPLE + EDGERAZOR_WINDOWS <= 1 && EDGERAZOR_POSIX <= 1 &&
              EDGERAZOR_POSIX >= EDGERAZOR_LINUX && EDGERAZOR_POSIX >= EDGERAZOR_APPLE);
static_assert(EDGERAZOR_HEADER_ONLY == 0 || EDGERAZOR_HEADER_ONLY == 1);

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
struct of_this_form {};
}  // namespace EDGERAZOR_ABI
#if !EDGERAZOR_HEADER_ONLY
static_assert(std::is_same_v<of_this_form, v0_compiled::of_this_form>);
#elif EDGERAZOR_X86 && !defined(__SSE3__) && !defined(__POPCNT__)
static_assert(std::is_same_v<of_this_form, v0::of_this_form>);
#elif EDGERAZOR_X86 && defined(__AVX2__) && !defined(__AVX512F__)
static_assert(std::is_same_v<of_this_form, v0_avx2_fma_bmi::of_this_form>);
#endif
}  // namespace edgerazor

TEST_SUITE_BEGIN("core/config");

TEST_CASE("config: exceptions are as the compiler says") {
  bool thrown = false;
#if EDGERAZOR_EXCEPTIONS
  try {
    throw 1;
  } catch (int) {
    thrown = true;
  }
#endif
  CHECK(thrown == (EDGERAZOR_EXCEPTIONS != 0));
}

TEST_SUITE_END();
