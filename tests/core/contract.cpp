// SPDX-License-Identifier: Apache-2.0
/// Violated contracts: which exception, with which sentence.
#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <doctest/doctest.h>

#include <edgerazor/core/contract.hpp>

namespace er = edgerazor;

namespace {
void ignore(const char*) {}
}  // namespace

static_assert(std::is_base_of_v<std::runtime_error, er::io_error>);
static_assert(!std::is_base_of_v<std::logic_error, er::io_error>,
              "a bad file is not a caller's mistake");

TEST_SUITE_BEGIN("core/contract");

TEST_CASE("fail: std::invalid_argument with the sentence; fail_io: io_error") {
  CHECK_THROWS_WITH_AS(er::detail::core::fail("a sentence"), "a sentence", std::invalid_argument);
  CHECK_THROWS_WITH_AS(er::detail::core::fail_io("another"), "another", er::io_error);
  CHECK(er::detail::core::shape_text(33, 576) == "33 x 576");
  // What a host's negative number becomes.
  CHECK(er::detail::core::size_text(static_cast<std::size_t>(-3)) ==
        std::to_string(static_cast<std::size_t>(-3)) + " (-3)");
  CHECK(er::detail::core::size_text(std::size_t{1} << 63) == "9223372036854775808");
}

TEST_CASE("fail_memory: std::bad_alloc; allocate gives memory of an alignment, or that") {
  CHECK_THROWS_AS(er::detail::core::fail_memory(1), std::bad_alloc);
  constexpr std::size_t alignment = 4096;
  void* const memory = er::detail::core::allocate(100, alignment);
  CHECK(reinterpret_cast<std::uintptr_t>(memory) % alignment == 0);
  ::operator delete(memory, std::align_val_t{alignment});
  ::operator delete(er::detail::core::allocate(100));
  CHECK_THROWS_AS((void)er::detail::core::allocate(std::size_t{1} << 60), std::bad_alloc);
  CHECK_THROWS_AS((void)er::detail::core::allocate(std::size_t{1} << 60, alignment),
                  std::bad_alloc);
}

TEST_CASE("set_error_handler: returns the one before; null restores the default") {
  const er::error_handler standard = er::set_error_handler(&ignore);
  CHECK((standard != nullptr));
  CHECK((er::set_error_handler(nullptr) == &ignore));
  CHECK((er::set_error_handler(&ignore) == standard));
  CHECK((er::set_error_handler(standard) == &ignore));
  // Where there are exceptions, the handler isn't asked.
  const er::error_handler before = er::set_error_handler([](const char*) { FAIL("called"); });
  CHECK_THROWS_AS(er::detail::core::fail("x"), std::invalid_argument);
  er::set_error_handler(before);
}

TEST_SUITE_END();
