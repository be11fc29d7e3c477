// SPDX-License-Identifier: Apache-2.0
/// How a violated contract is reported: one sentence that names the thing and what was expected.
///
/// With exceptions: `std::invalid_argument` for a caller's mistake, `io_error` for a bad file,
/// `std::bad_alloc` where memory can't be had. Without (-fno-exceptions): the sentence goes to the
/// handler the host has set, then the process aborts. Never undefined behaviour. (What std::string
/// and std::vector of an interface allocate, names and lists of a recipe, ends as the standard
/// library ends it.)
#pragma once

#include <cstddef>
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
/// A caller's mistake: throws `std::invalid_argument`.
[[noreturn]] EDGERAZOR_FUNCTION void fail(const std::string& sentence);

/// A bad file: throws `io_error`.
[[noreturn]] EDGERAZOR_FUNCTION void fail_io(const std::string& sentence);

/// Memory that can't be had: throws `std::bad_alloc`. Allocates nothing for the sentence.
[[noreturn]] EDGERAZOR_FUNCTION void fail_memory(std::size_t bytes);

/// Memory of the library's own, to be given back by the aligned ::operator delete. By the form
/// that doesn't throw: the one that does would end a build without exceptions past its handler.
[[nodiscard]] EDGERAZOR_FUNCTION void* allocate(std::size_t bytes, std::size_t alignment);
/// The same of ::operator new's own alignment.
[[nodiscard]] EDGERAZOR_FUNCTION void* allocate(std::size_t bytes);

/// "33", for the sentences; of what was a negative number of a host's, both: "18446744073709551613
/// (-3)".
[[nodiscard]] EDGERAZOR_FUNCTION std::string size_text(std::size_t size);

/// "33 x 576", for the sentences.
[[nodiscard]] EDGERAZOR_FUNCTION std::string shape_text(std::size_t rows, std::size_t cols);
}  // namespace detail::core

/// Sets what a build without exceptions calls before it aborts, and returns what it called until
/// now. A null handler restores the default, which prints to standard error.
EDGERAZOR_FUNCTION error_handler set_error_handler(error_handler handler) noexcept;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/core/contract_impl.hpp>
#endif
