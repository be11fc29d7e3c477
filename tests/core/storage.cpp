// SPDX-License-Identifier: Apache-2.0
/// Owned bytes: zero, aligned, from the memory a caller chooses, and in one pair of hands.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include <doctest/doctest.h>

#include "support/counting_resource.hpp"
#include <edgerazor/core/storage.hpp>

namespace er = edgerazor;

namespace {

std::size_t address(const er::byte_storage& storage) {
  return reinterpret_cast<std::uintptr_t>(storage.data());
}

bool is_zero(const er::byte_storage& storage) {
  return std::all_of(storage.data(), storage.data() + storage.size(),
                     [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

static_assert(!std::is_copy_constructible_v<er::byte_storage> &&
              !std::is_copy_assignable_v<er::byte_storage>);
static_assert(std::is_nothrow_move_constructible_v<er::byte_storage> &&
              std::is_nothrow_move_assignable_v<er::byte_storage>);

TEST_SUITE_BEGIN("core/storage");

TEST_CASE("byte_storage: zeros, aligned to a cache line, a page, or a huge page") {
  using storage_type = er::byte_storage;
  constexpr std::size_t page = storage_type::page, threshold = storage_type::huge_threshold;
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{63}, std::size_t{64}, page - 1, page, page + 1, threshold - 1,
        threshold, threshold + 1, threshold + storage_type::huge_page}) {
    CAPTURE(size);
    const storage_type storage(size), another(size);  // one of the two could be aligned by chance
    CHECK(storage.size() == size);
    CHECK(storage.memory() == nullptr);
    const std::size_t alignment = size < page        ? storage_type::cache_line
                                  : size < threshold ? page
                                                     : storage_type::huge_page;
    CHECK(address(storage) % alignment == 0);
    CHECK(address(another) % alignment == 0);
    CHECK(is_zero(storage));
  }
}

TEST_CASE("byte_storage: a caller's memory resource gives the bytes and gets them back") {
  counting_resource memory, other;
  {
    er::byte_storage small(100, &memory), large(er::byte_storage::huge_threshold, &memory);
    CHECK(memory.blocks == 2);
    CHECK(memory.bytes == 100 + er::byte_storage::huge_threshold);
    CHECK(memory.smallest_alignment == er::byte_storage::cache_line);
    CHECK(is_zero(small));
    CHECK(is_zero(large));
    CHECK(small.memory() == &memory);

    er::byte_storage moved(std::move(large));
    CHECK(memory.blocks == 2);
    er::byte_storage elsewhere(200, &other);
    elsewhere = std::move(moved);  // each block goes back where it came from
    CHECK(elsewhere.memory() == &memory);
    er::byte_storage own(300);
    own = std::move(elsewhere);
    CHECK(own.memory() == &memory);
  }
  CHECK(memory.blocks == 0);
  CHECK(memory.bytes == 0);
  CHECK(other.calls == 1);
  CHECK(other.blocks == 0);
  CHECK(er::byte_storage(0, &memory).data() == nullptr);
  CHECK(memory.calls == 2);
}

TEST_CASE("byte_storage: where there is no memory, an exception and nothing else") {
  counting_resource memory;
  memory.limit = 1000;
  er::byte_storage kept(1000, &memory);
  kept.data()[0] = std::byte{1};
  CHECK_THROWS_AS(kept = er::byte_storage(1001, &memory), std::bad_alloc);
  CHECK(kept.size() == 1000);
  CHECK(kept.data()[0] == std::byte{1});
  CHECK(memory.calls == 2);
  CHECK(memory.blocks == 1);
}

TEST_CASE("byte_storage: none for no bytes") {
  const er::byte_storage empty, zero(0);
  CHECK(empty.data() == nullptr);
  CHECK(zero.data() == nullptr);
  CHECK(zero.size() == 0);
}

TEST_CASE("byte_storage: a move hands the bytes over where they are") {
  er::byte_storage first(100), second(200);
  first.data()[99] = std::byte{7};
  const std::byte *a = first.data(), *b = second.data();
  er::byte_storage moved(std::move(first));
  CHECK(moved.data() == a);
  CHECK(moved.size() == 100);
  CHECK(first.data() == nullptr);  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(first.size() == 0);
  moved = std::move(second);
  CHECK(moved.data() == b);
  CHECK(moved.size() == 200);
  er::byte_storage large(er::byte_storage::huge_threshold);
  large = std::move(moved);  // the two free memory of different alignments
  CHECK(large.data() == b);
}

TEST_CASE("byte_storage: what was moved from holds nothing, by assignment too") {
  counting_resource memory;
  er::byte_storage from(100, &memory), to(200, &memory);
  to = std::move(from);
  CHECK(memory.blocks == 1);      // the bytes that `to` had went back at once
  CHECK(from.data() == nullptr);  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(from.size() == 0);
  er::byte_storage& same = to;
  to = std::move(same);
  CHECK(to.size() == 100);
}

TEST_CASE("moved_along: the one moved from is a new one") {
  using number = er::detail::core::moved_along<int>;
  number a{3}, b{std::move(a)}, c{b};
  CHECK(*a == 0);  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(*b == 3);
  CHECK(*c == 3);
  a = std::move(c);
  CHECK(*a == 3);
  CHECK(*c == 0);
  number& same = a;
  a = std::move(same);
  CHECK(*a == 3);
}

TEST_SUITE_END();
