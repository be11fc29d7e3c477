/// Owned bytes: zero, aligned, and in one pair of hands.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <doctest/doctest.h>

#include <edgerazor/core/storage.hpp>

namespace er = edgerazor;

namespace {

std::size_t address(const er::byte_storage& storage) {
  return reinterpret_cast<std::uintptr_t>(storage.data());
}

bool is_zero(const er::byte_storage& storage) {
  return std::all_of(storage.data(), storage.data() + storage.size(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

static_assert(!std::is_copy_constructible_v<er::byte_storage> && !std::is_copy_assignable_v<er::byte_storage>);
static_assert(std::is_nothrow_move_constructible_v<er::byte_storage> &&
              std::is_nothrow_move_assignable_v<er::byte_storage>);

TEST_CASE("byte_storage: zeros, aligned to a cache line, large ones to a huge page") {
  constexpr std::size_t threshold = er::byte_storage::huge_threshold;
  for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{4097}, threshold - 1,
                                 threshold, threshold + 1, threshold + er::byte_storage::huge_page}) {
    CAPTURE(size);
    const er::byte_storage storage(size);
    CHECK(storage.size() == size);
    CHECK(address(storage) % (size < threshold ? er::byte_storage::cache_line : er::byte_storage::huge_page) == 0);
    CHECK(is_zero(storage));
  }
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
