// SPDX-License-Identifier: Apache-2.0
/// Files that a command line names: none is written over another that it names too.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace support {

struct named_file {
  std::string option;  ///< as messages name it: "--json"
  std::filesystem::path path;
};

/// Whether writing one would replace the other: both names, symbolic links followed, are those of
/// one file, there already or not. What is no regular file, a device or a folder, is never
/// replaced; an empty path is no file.
[[nodiscard]] bool is_same_file(const std::filesystem::path& a, const std::filesystem::path& b);

/// Throws std::invalid_argument, naming both options and the file, where one of `written` is
/// another of them or one of `read`.
void require_apart(const std::vector<named_file>& written, const std::vector<named_file>& read);

}  // namespace support
