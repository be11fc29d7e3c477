// SPDX-License-Identifier: Apache-2.0
/// A folder for files that need not outlive the program.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <system_error>

#include <edgerazor/core/contract.hpp>

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
    if (error)
      throw er::io_error("can't make the folder '" + path_.string() + "': " + error.message());
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

}  // namespace llm
