/// Owned bytes for packed data: aligned to a cache line, large ones to a huge page, which the kernel is asked for.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include <edgerazor/core/config.hpp>

#if EDGERAZOR_LINUX
#include <sys/mman.h>
#endif

namespace edgerazor::inline v0 {

/// Zero-initialized bytes, movable, not copyable. Aligned to 64 bytes; from 4 MiB on to 2 MiB, with huge pages
/// requested (reading large matrices through 4 KiB pages costs up to a third of the bandwidth).
class byte_storage {
 public:
  static constexpr std::size_t cache_line = 64, huge_page = std::size_t{2} << 20, huge_threshold = 2 * huge_page;

  byte_storage() = default;
  explicit byte_storage(std::size_t size) : size_(size) {
    if (size == 0) return;
    data_ = static_cast<std::byte*>(::operator new(size, alignment()));
#if EDGERAZOR_LINUX
    // Advice only: a kernel without huge pages refuses, and nothing depends on it.
    if (size >= huge_threshold) (void)::madvise(data_, size / huge_page * huge_page, MADV_HUGEPAGE);
#endif
    std::memset(data_, 0, size);
  }
  byte_storage(byte_storage&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  byte_storage& operator=(byte_storage&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~byte_storage() {
    if (data_) ::operator delete(data_, alignment());
  }

  [[nodiscard]] std::byte* data() noexcept {
    return data_;
  }
  [[nodiscard]] const std::byte* data() const noexcept {
    return data_;
  }
  [[nodiscard]] std::size_t size() const noexcept {
    return size_;
  }

 private:
  [[nodiscard]] std::align_val_t alignment() const noexcept {
    return std::align_val_t{size_ >= huge_threshold ? huge_page : cache_line};
  }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace edgerazor::inline v0
