// SPDX-License-Identifier: Apache-2.0
/// operator new in all its forms, replaced for a test program: it counts. To be included by one
/// source of the program that is about nothing else: g++ 12 warns falsely about mismatched pairs
/// where it can inline one of new and delete and not the other. A sanitizer has a form of its own
/// for each that is not replaced here, and would see memory of one end in the other.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "support/allocation_count.hpp"

std::atomic<std::size_t> allocation_count = 0;

namespace {
void* counted_or_null(std::size_t size, std::size_t alignment) noexcept {
  ++allocation_count;
  // aligned_alloc takes multiples, and never zero
  return std::aligned_alloc(alignment, (size / alignment + 1) * alignment);
}
void* counted(std::size_t size, std::size_t alignment) {
  if (void* memory = counted_or_null(size, alignment)) return memory;
  throw std::bad_alloc{};
}
constexpr std::size_t default_alignment = alignof(std::max_align_t);
}  // namespace

void* operator new(std::size_t size) { return counted(size, default_alignment); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted_or_null(size, default_alignment);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return counted_or_null(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(memory);
}
