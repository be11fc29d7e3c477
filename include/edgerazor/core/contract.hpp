// SPDX-License-Identifier: Apache-2.0
/// How a violated contract is reported: one sentence that names the thing and what was expected.
///
/// With exceptions: `std::invalid_argument` for a caller's mistake, `io_error` for a bad file,
/// `std::bad_alloc` where memory can't be had. Without (-fno-exceptions): the sentence goes to the
/// handler the host has set, then the process aborts. Never undefined behaviour.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A file that can't be read or written, or whose content is not what it claims to be.
struct io_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Receives the sentence before the process aborts; used only where exceptions are off.
using error_handler = void (*)(const char* sentence);

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

/// A caller's mistake: throws `std::invalid_argument`.
[[noreturn]] inline void fail(const std::string& sentence) {
  raise<std::invalid_argument>(sentence);
}

/// A bad file: throws `io_error`.
[[noreturn]] inline void fail_io(const std::string& sentence) { raise<io_error>(sentence); }

/// Memory that can't be had: throws `std::bad_alloc`. Allocates nothing for the sentence.
[[noreturn]] inline void fail_memory(std::size_t bytes) {
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

/// Memory of the library's own, to be given back by the aligned ::operator delete. By the form
/// that doesn't throw: the one that does would end a build without exceptions past its handler.
[[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment) {
  void* const memory = ::operator new(bytes, std::align_val_t{alignment}, std::nothrow);
  if (memory == nullptr) fail_memory(bytes);
  return memory;
}

/// "33 x 576", for the sentences.
inline std::string shape_text(std::size_t rows, std::size_t cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}
}  // namespace detail::core

/// Sets what a build without exceptions calls before it aborts, and returns what it called until
/// now. A null handler restores the default, which prints to standard error.
inline error_handler set_error_handler(error_handler handler) noexcept {
  return detail::core::current_error_handler.exchange(handler ? handler
                                                              : &detail::core::print_error);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
