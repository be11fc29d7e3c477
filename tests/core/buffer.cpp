// SPDX-License-Identifier: Apache-2.0
/// Scratch memory: a vector like any other, whose refusals are the library's own.
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include <doctest/doctest.h>

#include <edgerazor/core/buffer.hpp>

namespace core = edgerazor::detail::core;

static_assert(std::is_nothrow_move_constructible_v<core::buffer<float>>);

TEST_SUITE_BEGIN("core/buffer");

TEST_CASE("buffer: grows, is moved and compared as a vector is") {
  core::buffer<int> numbers(3);
  CHECK(numbers == core::buffer<int>{0, 0, 0});
  for (int i = 0; i < 1000; ++i) numbers.push_back(i);
  CHECK(numbers.back() == 999);
  const core::buffer<int> moved = std::move(numbers);
  CHECK(moved.size() == 1003);
}

TEST_CASE("buffer: memory that can't be had is std::bad_alloc") {
  constexpr std::size_t too_much = std::size_t{1} << 60;
  core::buffer<std::byte> bytes;
  CHECK_THROWS_AS(bytes.reserve(too_much), std::bad_alloc);
  CHECK_THROWS_AS(core::expect_memory(too_much), std::bad_alloc);
  CHECK_NOTHROW(core::expect_memory(100));
}

TEST_SUITE_END();
