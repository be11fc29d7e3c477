// SPDX-License-Identifier: Apache-2.0
/// What contract.hpp declares.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::core {
inline void print_error(const char* sentence) { std::fprintf(stderr, "edgerazor: %s\n", sentence); }
inline std::atomic<error_handler> current_error_handler{&print_error};

template <class Error>
[[noreturn]] inline void raise(const std::string& sentence) {
#if EDGERAZOR_EXCEPTIONS
  throw Error(sentence);
#else
  current_error_handler.load()(sentence.c_str());
  std::abort();
#endif
}

EDGERAZOR_FUNCTION void fail(const std::string& sentence) {
  raise<std::invalid_argument>(sentence);
}
EDGERAZOR_FUNCTION void fail_io(const std::string& sentence) { raise<io_error>(sentence); }

EDGERAZOR_FUNCTION void fail_memory(std::size_t bytes) {
#if EDGERAZOR_EXCEPTIONS
  static_cast<void>(bytes);
  throw std::bad_alloc();
#else
  char sentence[64];
  std::snprintf(sentence, sizeof sentence, "out of memory: %zu bytes can't be had", bytes);
  current_error_handler.load()(sentence);
  std::abort();
#endif
}

EDGERAZOR_FUNCTION void* allocate(std::size_t bytes, std::size_t alignment) {
  void* const memory = ::operator new(bytes, std::align_val_t{alignment}, std::nothrow);
  if (memory == nullptr) fail_memory(bytes);
  return memory;
}

EDGERAZOR_FUNCTION void* allocate(std::size_t bytes) {
  void* const memory = ::operator new(bytes, std::nothrow);
  if (memory == nullptr) fail_memory(bytes);
  return memory;
}

EDGERAZOR_FUNCTION std::string size_text(std::size_t size) {
  // The last quarter of std::size_t: what nobody has counted.
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  if (size <= most - most / 4) return std::to_string(size);
  return std::to_string(size) + " (-" + std::to_string(most - size + 1) + ")";
}

EDGERAZOR_FUNCTION std::string shape_text(std::size_t rows, std::size_t cols) {
  return size_text(rows) + " x " + size_text(cols);
}
}  // namespace detail::core

EDGERAZOR_FUNCTION error_handler set_error_handler(error_handler handler) noexcept {
  return detail::core::current_error_handler.exchange(handler ? handler
                                                              : &detail::core::print_error);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
