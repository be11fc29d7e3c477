// SPDX-License-Identifier: Apache-2.0
/// operator new, aligned and not, replaced for this test program: it counts. In a file of its own,
/// since g++ 12 warns falsely about mismatched pairs where it can inline one of new and delete and
/// not the other.
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

std::atomic<std::size_t> allocation_count = 0;

namespace {
void* counted(std::size_t size, std::size_t alignment) {
  ++allocation_count;
  const std::size_t whole =
      (size / alignment + 1) * alignment;  // aligned_alloc takes multiples, and never zero
  if (void* memory = std::aligned_alloc(alignment, whole)) return memory;
  throw std::bad_alloc{};
}
}  // namespace

void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  try {
    return counted(size, static_cast<std::size_t>(alignment));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
