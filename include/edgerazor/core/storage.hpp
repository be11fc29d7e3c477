// SPDX-License-Identifier: Apache-2.0
/// Owned bytes for packed data, from the library's own allocation or from a caller's memory
/// resource.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory_resource>
#include <new>
#include <utility>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

#if EDGERAZOR_LINUX
#include <sys/mman.h>
#endif

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::core {
/// A value that goes with what it describes: the one moved from is a new T{} again. With members of
/// this kind the default moves of an owner leave an empty one behind.
template <class T>
class moved_along {
 public:
  moved_along() = default;
  moved_along(T value) noexcept : value_(std::move(value)) {}
  moved_along(const moved_along&) = default;
  moved_along& operator=(const moved_along&) = default;
  moved_along(moved_along&& other) noexcept : value_(std::exchange(other.value_, T{})) {}
  moved_along& operator=(moved_along&& other) noexcept {
    T value = std::exchange(other.value_, T{});  // first: the two may be one
    value_ = std::move(value);
    return *this;
  }
  ~moved_along() = default;

  operator const T&() const noexcept { return value_; }
  [[nodiscard]] T& operator*() noexcept { return value_; }
  [[nodiscard]] const T& operator*() const noexcept { return value_; }
  [[nodiscard]] T* operator->() noexcept { return &value_; }
  [[nodiscard]] const T* operator->() const noexcept { return &value_; }

 private:
  T value_{};
};
}  // namespace detail::core

/// Zero-initialized bytes, movable, not copyable; none where they were moved from.
///
/// Without a memory resource they are aligned to a cache line, from 4 KiB on to a page, and from 4
/// MiB on to a huge page, for which the system is asked (reading large matrices through 4 KiB pages
/// costs up to a third of the bandwidth). A caller's resource is asked for the alignment of a cache
/// line; its page size is its own choice. It must outlive the bytes. Its exceptions, and
/// std::bad_alloc of the own allocation, propagate; nothing leaks. Without exceptions a failed
/// allocation, or a null pointer from the resource, goes to the error handler.
class byte_storage {
 public:
  static constexpr std::size_t cache_line = 64, page = 4096, huge_page = std::size_t{2} << 20,
                               huge_threshold = 2 * huge_page;

  byte_storage() = default;
  /// `memory`: null for the library's own allocation.
  explicit byte_storage(std::size_t size, std::pmr::memory_resource* memory = nullptr)
      : size_(size), memory_(memory) {
    if (size == 0) return;
    data_ = static_cast<std::byte*>(memory ? memory->allocate(size, cache_line)
                                           : detail::core::allocate(size, own_alignment(size)));
    if (data_ == nullptr) detail::core::fail_memory(size);
#if EDGERAZOR_LINUX
    // Advice only: a kernel without huge pages refuses, and nothing depends on it.
    if (!memory && size >= huge_threshold)
      (void)::madvise(data_, size / huge_page * huge_page, MADV_HUGEPAGE);
#endif
    std::memset(data_, 0, size);
  }
  byte_storage(byte_storage&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        memory_(other.memory_) {}
  byte_storage& operator=(byte_storage&& other) noexcept {
    if (this == &other) return *this;
    free();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    memory_ = other.memory_;
    return *this;
  }
  ~byte_storage() { free(); }

  [[nodiscard]] std::byte* data() noexcept { return data_; }
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Where the bytes came from; null for the library's own allocation.
  [[nodiscard]] std::pmr::memory_resource* memory() const noexcept { return memory_; }

 private:
  void free() noexcept {
    if (!data_) return;
    if (memory_) {
      memory_->deallocate(data_, size_, cache_line);
    } else {
      ::operator delete(data_, std::align_val_t{own_alignment(size_)});
    }
  }
  [[nodiscard]] static constexpr std::size_t own_alignment(std::size_t size) noexcept {
    return size >= huge_threshold ? huge_page : size >= page ? page : cache_line;
  }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::pmr::memory_resource* memory_ = nullptr;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
