// SPDX-License-Identifier: Apache-2.0
/// A file that appears whole or not at all.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

#if EDGERAZOR_POSIX
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {
/// Whether what is being written may go without a name where the system can do that (O_TMPFILE).
/// `unlinkable`, for tests: it may, and then the file system turns out to have no hard links.
enum class partial_file { any, named, unlinkable };
}  // namespace detail::io

/// Writes beside `path` and gives the bytes that name when commit() is called, replacing what was
/// there. Destroyed before that, it leaves `path` as it was. Every error is an io_error with the
/// system's reason, and what can be seen at once (no such folder, a folder, no permission, a name
/// too long) is seen by the constructor, before any work for the file is done. After an error, a
/// commit or a discard nothing more can be written or committed: a caller's mistake.
///
/// What stands at `path` decides what it stays (POSIX):
///
///     a symbolic link   stays; its target is written, whether it exists or not
///     a regular file    is replaced and keeps mode, owner and group; hard links, ACLs and extended
///                       attributes are not carried over; refused where it may not be written
///     a device          is written in place, and so is a file that has no name any more
///     a pipe, a socket, a folder are refused
///
/// A process that is killed leaves nothing: what it writes has no name until commit() (O_TMPFILE on
/// Linux). Where a file system lacks that, and in the moment in which an older file is replaced, it
/// is `.edgerazor-<n>.partial` in the same folder, locked by its writer; the next writer in that
/// folder removes those without a lock.
class atomic_file {
 public:
  explicit atomic_file(std::filesystem::path path,
                       detail::io::partial_file kind = detail::io::partial_file::any)
      : name_(path), path_(std::move(path)) {
    linkable_ = kind != detail::io::partial_file::unlinkable;
    if (path_.empty()) refuse_name("the name is empty");
    open(kind);
  }
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file() { discard(); }

  void write(std::span<const std::byte> bytes) {
    require_open();
    if (std::fwrite(bytes.data(), 1, bytes.size(), stream_) != bytes.size()) refuse(errno);
    written_ += bytes.size();
  }

  /// Bytes written so far.
  [[nodiscard]] std::size_t size() const noexcept { return written_; }

  /// The file is on the disk before it gets its name, so a crash leaves the old one or the new one.
  void commit() {
    require_open();
    if (std::fflush(stream_) != 0) refuse(errno);
#if EDGERAZOR_POSIX
    if (!in_place_ && ::fsync(::fileno(stream_)) != 0) refuse(errno);
    if (!in_place_ && partial_.empty()) give_name();
#endif
    if (std::fclose(std::exchange(stream_, nullptr)) != 0) refuse(errno);
    if (partial_.empty()) return;
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
  static constexpr int most_partial_files = 1000;  // writers that live in one folder at a time

  static std::string reason(int code) { return std::generic_category().message(code); }

  void require_open() const {
    if (stream_ != nullptr) return;
    detail::core::fail("atomic_file " + quoted(name_.string(), longest_path) +
                       ": it has been committed or given up already");
  }
  [[noreturn]] void refuse_name(const std::string& why) {
    discard();
    detail::core::fail_io("can't create " + quoted(name_.string(), longest_path) + ": " + why);
  }
  [[noreturn]] void refuse(int code) {
    discard();
    detail::core::fail_io("can't write " + quoted(name_.string(), longest_path) + ": " +
                          reason(code));
  }

  [[nodiscard]] std::filesystem::path partial_path(int n) const {
    return path_.parent_path() / (".edgerazor-" + std::to_string(n) + ".partial");
  }

#if EDGERAZOR_POSIX
  void open(detail::io::partial_file kind) {
    struct stat there{};
    const bool exists = ::stat(path_.c_str(), &there) == 0;
    if (!exists && errno != ENOENT) refuse_name(reason(errno));
    if (exists && !S_ISREG(there.st_mode)) {
      if (S_ISDIR(there.st_mode)) refuse_name("it is a folder");
      if (S_ISFIFO(there.st_mode)) refuse_name("it is a pipe");
      if (S_ISSOCK(there.st_mode)) refuse_name("it is a socket");
    }
    if (exists && (!S_ISREG(there.st_mode) || there.st_nlink == 0)) {
      in_place_ = true;
      return use(::open(path_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY));
    }
    if (exists && ::access(path_.c_str(), W_OK) != 0) refuse_name(reason(errno));
    follow_links();
    struct stat found{};
    if (exists && (::stat(path_.c_str(), &found) != 0 || !same_file(found, there)))
      refuse_name("its own name can't be found");
    if (!path_.has_filename()) refuse_name(reason(EISDIR));
    const ::mode_t mode = exists ? there.st_mode & 0700u : 0666u;
    if (kind == detail::io::partial_file::named || !open_unnamed(mode)) open_named(mode);
    if (exists) keep_owner_and_mode(there);
  }

  static bool same_file(const struct stat& a, const struct stat& b) noexcept {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
  }

  /// path_ as it is without symbolic links in its last part.
  void follow_links() {
    std::error_code code;
    for (int depth = 0; std::filesystem::is_symlink(path_, code); ++depth) {
      if (depth == 40) refuse_name(reason(ELOOP));
      const std::filesystem::path target = std::filesystem::read_symlink(path_, code);
      if (code) refuse_name(code.message());
      path_ = path_.parent_path() / target;  // an absolute target replaces the folder
    }
  }

  void use(int descriptor) {
    if (descriptor < 0) refuse_name(reason(errno));
    stream_ = ::fdopen(descriptor, in_place_ || !partial_.empty() ? "wb" : "wb+");
    if (stream_ != nullptr) return;
    const int code = errno;
    ::close(descriptor);
    refuse_name(reason(code));
  }

  bool open_unnamed([[maybe_unused]] ::mode_t mode) {
#if EDGERAZOR_LINUX
    const std::filesystem::path folder = path_.parent_path();
    const int descriptor =
        ::open(folder.empty() ? "." : folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (descriptor < 0) return false;
    if (::access(unnamed_path(descriptor).c_str(), F_OK) == 0) {
      (void)::flock(descriptor,
                    LOCK_EX | LOCK_NB);  // for the moment in which it has a partial name
      use(descriptor);
      return true;
    }
    ::close(descriptor);  // without /proc it could never get a name
#endif
    return false;
  }

  void open_named(::mode_t mode) {
    int code = EEXIST;
    for (int n = 0; n < most_partial_files && code == EEXIST; ++n) {
      const std::filesystem::path partial = partial_path(n);
      remove_if_abandoned(partial);
      const int descriptor =
          ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
      if (descriptor < 0) {
        code = errno;
        continue;
      }
      // Between these lines another writer may take the new file for an abandoned one.
      const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
      if (locked && names(partial, descriptor)) {
        partial_ = partial;
        return use(descriptor);
      }
      ::close(descriptor);
    }
    refuse_name(reason(code));
  }

  /// Gives the file that has no name its own: at once where nobody has it, else by way of a partial
  /// name, because only a rename replaces. Where the file system has no hard links it is copied.
  void give_name() {
    const std::string self = unnamed_path(::fileno(stream_));
    const auto link = [&](const std::filesystem::path& name) {
      errno = EPERM;
      return linkable_ &&
             ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
    };
    if (link(path_)) return;
    for (int n = 0; n < most_partial_files && errno == EEXIST; ++n) {
      const std::filesystem::path partial = partial_path(n);
      remove_if_abandoned(partial);
      if (!link(partial)) continue;
      partial_ = partial;
      return;
    }
    copy_to_named();
  }

  void copy_to_named() {
    struct stat status{};
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> held(std::exchange(stream_, nullptr),
                                                               &std::fclose);
    std::FILE* const from = held.get();
    int code = ::fstat(::fileno(from), &status) == 0 ? 0 : errno;
    open_named(status.st_mode & 0700u);
    keep_owner_and_mode(status);
    std::rewind(from);
    std::byte part[4096];
    for (std::size_t got; code == 0 && (got = std::fread(part, 1, sizeof part, from)) > 0;)
      code = std::fwrite(part, 1, got, stream_) == got ? 0 : errno;
    if (code == 0 && std::ferror(from) != 0) code = EIO;
    if (code == 0 && (std::fflush(stream_) != 0 || ::fsync(::fileno(stream_)) != 0)) code = errno;
    if (code != 0) refuse(code);
  }

  static std::string unnamed_path(int descriptor) {
    return "/proc/self/fd/" + std::to_string(descriptor);
  }

  /// Whether `path`, not followed, is the file of the descriptor.
  static bool names(const std::filesystem::path& path, int descriptor) {
    struct stat named{}, opened{};
    return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
           same_file(named, opened);
  }

  /// Removes a partial file of ours that no living writer has locked.
  static void remove_if_abandoned(const std::filesystem::path& partial) {
    const int before = errno;
    const int descriptor =
        ::open(partial.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (descriptor >= 0) {
      struct stat status{};
      if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
          status.st_uid == ::geteuid() && ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 &&
          names(partial, descriptor)) {
        ::unlink(partial.c_str());
      }
      ::close(descriptor);
    }
    errno = before;
  }

  /// Where the group can't be kept, its permissions become those of others: a new group should not
  /// read what was another's.
  void keep_owner_and_mode(const struct stat& there) {
    const int descriptor = ::fileno(stream_);
    ::mode_t mode = there.st_mode & 07777u;
    struct stat mine{};
    if (::fstat(descriptor, &mine) == 0 &&
        (mine.st_uid != there.st_uid || mine.st_gid != there.st_gid)) {
      if (::fchown(descriptor, there.st_uid, there.st_gid) != 0) {
        mode &= 01777u;
        if (mine.st_gid != there.st_gid && ::fchown(descriptor, mine.st_uid, there.st_gid) != 0)
          mode = (mode & ~070u) | (mode & 07u) << 3;
      }
    }
    if (::fchmod(descriptor, mode) != 0) refuse(errno);
  }

  bool in_place_ = false;  // no name is given or changed
#else
  void open(detail::io::partial_file) {
    // A file that another process is writing can't be removed, and mode x opens none that exists.
    for (int n = 0; n < most_partial_files && stream_ == nullptr; ++n) {
      partial_ = partial_path(n);
      std::error_code ignored;
      std::filesystem::remove(partial_, ignored);
      errno = 0;
      stream_ = std::fopen(partial_.string().c_str(), "wbx");
      if (stream_ == nullptr && errno != EEXIST && errno != EACCES) break;
    }
    if (stream_ != nullptr) return;
    const int code = errno;
    partial_.clear();  // another's
    refuse_name(reason(code));
  }
#endif

  bool linkable_ = true;
  std::filesystem::path name_;  // as the caller gave it
  std::filesystem::path path_;  // of the file that is replaced
  std::filesystem::path partial_;
  std::FILE* stream_ = nullptr;
  std::size_t written_ = 0;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
