// SPDX-License-Identifier: Apache-2.0
/// Files that need not outlive the program.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/named_files.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

#if EDGERAZOR_POSIX
#include <fcntl.h>
#include <unistd.h>
#endif

namespace llm {

/// Made in the system's folder for temporary files, removed with all it holds at the end. One that
/// the user names is used instead and stays.
class temporary_folder {
 public:
  /// Throws edgerazor::io_error where it can't be made.
  explicit temporary_folder(const std::filesystem::path& keep)
      : path_(keep), remove_(keep.empty()) {
    std::error_code error;
    if (!remove_) {
      std::filesystem::create_directories(path_, error);
    } else {
      std::random_device random;
      for (bool made = false; !made && !error;) {
        path_ =
            std::filesystem::temp_directory_path(error) / ("edgerazor-" + std::to_string(random()));
        if (!error) made = std::filesystem::create_directory(path_, error);
      }
    }
    if (error) {
      throw edgerazor::io_error("can't make the folder " +
                                edgerazor::quoted(path_.string(), edgerazor::longest_path) + ": " +
                                error.message());
    }
  }
  temporary_folder(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    if (remove_) std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  bool remove_;
};

/// Models that are written, measured and forgotten: in the folder that the user names, or, on
/// POSIX, without a name in the system's folder for temporary files, so that whatever ends the
/// program leaves none. Child processes made by fork can open them too.
class converted_models {
 public:
  /// In the folder no file takes the place of those that the command line names.
  explicit converted_models(const std::filesystem::path& keep,
                            std::vector<support::named_file> written = {},
                            std::vector<support::named_file> read = {})
      : written_(std::move(written)), read_(std::move(read)) {
    if (!keep.empty() || !EDGERAZOR_POSIX) folder_.emplace(keep);
  }
  converted_models(const converted_models&) = delete;
  ~converted_models() {
#if EDGERAZOR_POSIX
    for (const int descriptor : descriptors_) ::close(descriptor);
#endif
  }

  /// The path under which a new file is written and read. Throws edgerazor::io_error, and
  /// std::invalid_argument where one of the files that were given at the start, or that another
  /// call has returned, has that name.
  std::filesystem::path add([[maybe_unused]] const std::string& name) {
#if EDGERAZOR_POSIX
    if (!folder_) {
      std::error_code error;
      const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
      descriptors_.reserve(descriptors_.size() + 1);
      const int descriptor = error ? -1 : open_unnamed(folder);
      if (descriptor < 0) {
        throw edgerazor::io_error(
            "can't make a file in " + edgerazor::quoted(folder.string(), edgerazor::longest_path) +
            ": " + (error ? error : std::error_code(errno, std::generic_category())).message());
      }
      descriptors_.push_back(descriptor);
      return "/dev/fd/" + std::to_string(descriptor);
    }
#endif
    const std::filesystem::path path = folder_->path() / name;
    written_.push_back({"--keep", path});
    support::require_apart(written_, read_);
    written_.back().option = "another row of the table";
    return path;
  }

 private:
#if EDGERAZOR_POSIX
  static int open_unnamed(const std::filesystem::path& folder) {
#if EDGERAZOR_LINUX
    const int unnamed = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (unnamed >= 0) return unnamed;
#endif
    std::string name = (folder / "edgerazor-XXXXXX").string();
    const int descriptor = ::mkstemp(name.data());
    if (descriptor >= 0) ::unlink(name.c_str());
    return descriptor;
  }
#endif

  std::vector<support::named_file> written_, read_;
  std::optional<temporary_folder> folder_;
  std::vector<int> descriptors_;
};

}  // namespace llm
