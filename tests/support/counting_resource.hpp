// SPDX-License-Identifier: Apache-2.0
/// A memory resource that counts what is out, dirties what it hands out, and can refuse. Tests
/// only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <new>

class counting_resource final : public std::pmr::memory_resource {
 public:
  std::size_t limit = SIZE_MAX;       ///< of one allocation, in bytes
  std::size_t allowed = SIZE_MAX;     ///< allocations before it refuses
  std::size_t calls = 0, blocks = 0;  ///< allocations asked for; not given back yet
  std::size_t bytes = 0, smallest_alignment = SIZE_MAX;

 private:
  void* do_allocate(std::size_t size, std::size_t alignment) override {
    if (calls++ >= allowed || size > limit) throw std::bad_alloc{};
    void* memory = ::operator new(size, std::align_val_t{alignment});
    std::memset(memory, 0xa5, size);
    ++blocks;
    bytes += size;
    smallest_alignment = std::min(smallest_alignment, alignment);
    return memory;
  }
  void do_deallocate(void* memory, std::size_t size, std::size_t alignment) override {
    --blocks;
    bytes -= size;
    ::operator delete(memory, std::align_val_t{alignment});
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }
};
