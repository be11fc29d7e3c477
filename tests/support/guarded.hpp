// SPDX-License-Identifier: Apache-2.0
/// Arrays that end exactly where memory that can't be touched begins, or begin exactly where it
/// ends: one byte too far, read or written, ends the test program. Tests only.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include <edgerazor/core/config.hpp>

#if EDGERAZOR_POSIX
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace guarded {

enum class edge { end, begin };

/// A copy of some elements at the edge of a page.
template <class T>
class array {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  array(std::span<const T> elements, edge at) : size_(elements.size()) {
    const std::size_t bytes = elements.size_bytes();
#if EDGERAZOR_POSIX
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t room = (bytes + page - 1) / page * page;
    mapped_ = room + 2 * page;
    void* memory = ::mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap fails");
    first_ = static_cast<std::byte*>(memory);
    if (room > 0 && ::mprotect(first_ + page, room, PROT_READ | PROT_WRITE) != 0)
      throw std::runtime_error("mprotect fails");
    data_ = reinterpret_cast<T*>(first_ + page + (at == edge::end ? room - bytes : 0));
#else
    (void)at;
    plain_.resize(size_ + 1);
    data_ = plain_.data();
#endif
    if (bytes > 0) std::memcpy(data_, elements.data(), bytes);
  }
  array(const std::vector<T>& elements, edge at) : array(std::span<const T>{elements}, at) {}
  array(const array&) = delete;
  array& operator=(const array&) = delete;
  ~array() {
#if EDGERAZOR_POSIX
    ::munmap(first_, mapped_);
#endif
  }

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<T> span() const { return {data_, size_}; }
  [[nodiscard]] std::vector<T> copy() const { return {data_, data_ + size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
#if EDGERAZOR_POSIX
  std::byte* first_ = nullptr;
  std::size_t mapped_ = 0;
#else
  std::vector<T> plain_;
#endif
};

}  // namespace guarded
