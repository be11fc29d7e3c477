// SPDX-License-Identifier: Apache-2.0
/// A whole file as read-only bytes.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

#if EDGERAZOR_POSIX
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// How a file's bytes come into memory. Without POSIX `mmap` both are `read`.
enum class file_access {
  /// Pages arrive when touched and may be dropped again. A file cut short by others in the meantime
  /// raises SIGBUS.
  map,
  /// All bytes are copied at once: for files on a network, or that others may change.
  read
};

/// The bytes of a regular file, read-only, first byte at a multiple of `page`. Movable; the bytes
/// do not move with it, and what was moved from has none.
class mapped_file {
 public:
  static constexpr std::size_t page = 4096;

  mapped_file() = default;
  mapped_file(mapped_file&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        mapped_(std::exchange(other.mapped_, false)) {}
  mapped_file& operator=(mapped_file&& other) noexcept {
    mapped_file taken(std::move(other));  // which leaves `other` empty
    std::swap(data_, taken.data_);
    std::swap(size_, taken.size_);
    std::swap(mapped_, taken.mapped_);
    return *this;
  }
  ~mapped_file() { close(); }

  /// The file at `path`, or io_error: not there, not readable, not a regular file (a directory, a
  /// pipe, a device).
  [[nodiscard]] static mapped_file open(const std::filesystem::path& path,
                                        file_access access = file_access::map) {
    std::string error;
    std::optional<mapped_file> file = try_open(path, error, access);
    if (!file) detail::core::fail_io(error);
    return std::move(*file);
  }

  /// As open(), but on an error it returns nothing and sets `error` to the message.
  [[nodiscard]] static std::optional<mapped_file> try_open(const std::filesystem::path& path,
                                                           std::string& error,
                                                           file_access access = file_access::map) {
    mapped_file file;
    if (const int code = access == file_access::map ? file.map_from(path) : file.read_from(path);
        code != 0) {
      error = "can't read " + quoted(path.string(), longest_path) + ": " +
              (code == not_regular ? "it is not a regular file"
                                   : std::generic_category().message(code));
      return std::nullopt;
    }
    return file;
  }

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {static_cast<const std::byte*>(data_), size_};
  }

  /// Whether `part` lies in bytes(); no bytes lie in none.
  [[nodiscard]] bool holds(std::span<const std::byte> part) const noexcept {
    const auto begin = reinterpret_cast<std::uintptr_t>(data_),
               at = reinterpret_cast<std::uintptr_t>(part.data());
    return !part.empty() && at >= begin && at - begin < size_ &&
           part.size() <= size_ - (at - begin);
  }

  /// Tells the system that `part` of bytes() is not needed soon, so that a large file passes
  /// through a small memory. The bytes stay readable: the pages that lie wholly in `part` are read
  /// from the file again when touched.
  void drop([[maybe_unused]] std::span<const std::byte> part) const noexcept {
#if EDGERAZOR_POSIX
    if (!mapped_ || part.empty()) return;
    const auto system_page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t begin =
        static_cast<std::size_t>(part.data() - static_cast<const std::byte*>(data_));
    const std::size_t end = begin + part.size();
    const std::size_t first = (begin + system_page - 1) / system_page * system_page;
    const std::size_t last = end == size_ ? size_ : end / system_page * system_page;
    // Advice only: nothing depends on it.
    if (first < last)
      (void)::madvise(static_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
#endif
  }

 private:
  static constexpr int not_regular = -1;  // beside the errno values, which are positive

  void close() noexcept {
    if (data_ == nullptr) return;
#if EDGERAZOR_POSIX
    if (mapped_) {
      ::munmap(data_, size_);
      return;
    }
#endif
    ::operator delete(data_, std::align_val_t{page});
  }

  // Both return 0, an errno value or not_regular.
  int map_from(const std::filesystem::path& path) {
#if EDGERAZOR_POSIX
    // O_NONBLOCK: opening a pipe without a writer must fail below, not wait.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return errno;
    const int code = map_from(descriptor);
    ::close(descriptor);
    return code;
#else
    return read_from(path);
#endif
  }

#if EDGERAZOR_POSIX
  int map_from(int descriptor) {
    struct stat status{};
    if (::fstat(descriptor, &status) != 0) return errno;
    if (!S_ISREG(status.st_mode)) return not_regular;
    if (status.st_size == 0) return 0;
    if (static_cast<std::uintmax_t>(status.st_size) > std::numeric_limits<std::size_t>::max())
      return EFBIG;
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) return errno;
    data_ = address;
    size_ = size;
    mapped_ = true;
    return 0;
  }
#endif

  int read_from(const std::filesystem::path& path) {
    std::error_code code;
    const std::filesystem::file_status status = std::filesystem::status(path, code);
    if (code) return code.value();
    if (!std::filesystem::is_regular_file(status)) return not_regular;
    const std::uintmax_t size = std::filesystem::file_size(path, code);
    if (code) return code.value();
    if (size > std::numeric_limits<std::size_t>::max()) return EFBIG;
    if (size != 0) data_ = detail::core::allocate(static_cast<std::size_t>(size), page);
    std::FILE* const stream = std::fopen(path.string().c_str(), "rb");
    if (stream == nullptr) return errno;
    if (size != 0) size_ = std::fread(data_, 1, static_cast<std::size_t>(size), stream);
    const bool complete = size_ == size;
    std::fclose(stream);
    return complete ? 0 : EIO;
  }

  void* data_ = nullptr;
  std::size_t size_ = 0;
  bool mapped_ = false;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
