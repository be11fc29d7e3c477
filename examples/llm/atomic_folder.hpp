// SPDX-License-Identifier: Apache-2.0
/// A folder that appears whole or not at all.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <system_error>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace llm {

/// A folder that gets its name when everything is in it; before that, and where nothing comes of
/// it, there is none.
class atomic_folder {
 public:
  explicit atomic_folder(const std::filesystem::path& path)
      : path_(path.has_filename() ? path : path.parent_path()) {
    std::error_code error;
    if (std::filesystem::exists(path_, error) &&
        (!std::filesystem::is_directory(path_, error) ||
         std::filesystem::directory_iterator(path_, error) !=
             std::filesystem::directory_iterator()))
      refuse("it is there already, and not an empty folder");
    const std::filesystem::path parent = path_.has_parent_path() ? path_.parent_path() : ".";
    std::random_device random;
    for (bool made = false; !made;) {
      partial_ = parent / (".edgerazor-" + std::to_string(random()) + ".partial");
      made = std::filesystem::create_directory(partial_, error);
      if (error) refuse(error.message());
    }
  }
  atomic_folder(const atomic_folder&) = delete;
  ~atomic_folder() {
    std::error_code ignored;
    if (!partial_.empty()) std::filesystem::remove_all(partial_, ignored);
  }

  /// Where its files are written.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return partial_; }

  void commit() {
    std::error_code error;
    std::filesystem::remove(path_, error);  // an empty folder of that name
    std::filesystem::rename(partial_, path_, error);
    if (error) refuse(error.message());
    partial_.clear();
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw edgerazor::io_error("can't create the folder " +
                              edgerazor::quoted(path_.string(), edgerazor::longest_path) + ": " +
                              why);
  }

  std::filesystem::path path_, partial_;
};

}  // namespace llm
