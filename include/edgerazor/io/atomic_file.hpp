// SPDX-License-Identifier: Apache-2.0
/// A file that appears whole or not at all.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

#if EDGERAZOR_POSIX
#include <unistd.h>
#endif

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Writes to `<path>.partial-<n>` in the same folder; commit() renames it to `path`, replacing what
/// was there. Destroyed before that, it removes what it wrote and leaves `path` as it was. Every
/// error is an io_error with the system's reason.
class atomic_file {
 public:
  explicit atomic_file(std::filesystem::path path) : path_(std::move(path)) {
    // Mode x never opens a file that exists: one that a crash left, or one another process is
    // writing.
    for (int n = 0; n < 100 && stream_ == nullptr; ++n) {
      partial_ = path_;
      partial_ += ".partial-" + std::to_string(n);
      errno = 0;
      stream_ = std::fopen(partial_.string().c_str(), "wbx");
      if (stream_ == nullptr && errno != EEXIST) break;
    }
    if (stream_ == nullptr)
      detail::core::fail_io("can't create '" + partial_.string() + "': " + reason(errno));
  }
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file() { discard(); }

  void write(std::span<const std::byte> bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), stream_) != bytes.size()) refuse(errno);
    written_ += bytes.size();
  }

  /// Bytes written so far.
  [[nodiscard]] std::size_t size() const noexcept { return written_; }

  /// The file is on the disk before it gets its name, so a crash leaves the old one or the new one.
  void commit() {
    if (std::fflush(stream_) != 0) refuse(errno);
#if EDGERAZOR_POSIX
    if (::fsync(::fileno(stream_)) != 0) refuse(errno);
#endif
    if (std::fclose(std::exchange(stream_, nullptr)) != 0) refuse(errno);
    std::error_code code;
    std::filesystem::rename(partial_, path_, code);
    if (code) refuse(code.value());
    partial_.clear();
  }

  /// Removes what was written. For an error that ends the process before the destructor runs
  /// (-fno-exceptions).
  void discard() noexcept {
    if (stream_ != nullptr) std::fclose(std::exchange(stream_, nullptr));
    if (partial_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove(partial_, ignored);
    partial_.clear();
  }

 private:
  static std::string reason(int code) { return std::generic_category().message(code); }

  [[noreturn]] void refuse(int code) {
    discard();
    detail::core::fail_io("can't write '" + path_.string() + "': " + reason(code));
  }

  std::filesystem::path path_, partial_;
  std::FILE* stream_ = nullptr;
  std::size_t written_ = 0;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
