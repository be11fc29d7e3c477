// SPDX-License-Identifier: Apache-2.0
/// operator new, replaced for this test program: it counts. In a file of its own, since g++ 12
/// warns falsely about mismatched pairs where it can inline one of new and delete and not the
/// other.
#include <cstddef>
#include <cstdlib>
#include <new>

std::size_t allocation_count = 0;

void* operator new(std::size_t size) {
  ++allocation_count;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
