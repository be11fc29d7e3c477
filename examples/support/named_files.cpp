// SPDX-License-Identifier: Apache-2.0
#include "named_files.hpp"

#include <stdexcept>
#include <system_error>

#include <edgerazor/core/printable.hpp>

namespace support {

namespace fs = std::filesystem;

bool is_same_file(const fs::path& a, const fs::path& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code error;
  const fs::path one = fs::weakly_canonical(fs::absolute(a, error), error);
  if (error) return false;
  const fs::path other = fs::weakly_canonical(fs::absolute(b, error), error);
  if (error || one != other) return false;
  const fs::file_status there = fs::status(one, error);
  return !fs::exists(there) || fs::is_regular_file(there);
}

void require_apart(const std::vector<named_file>& written, const std::vector<named_file>& read) {
  const auto refuse = [](const named_file& one, const named_file& other, const char* what) {
    throw std::invalid_argument(one.option + " " +
                                edgerazor::quoted(one.path.string(), edgerazor::longest_path) +
                                " is the file that " + other.option + what);
  };
  for (std::size_t i = 0; i < written.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (is_same_file(written[i].path, written[j].path)) {
        refuse(written[i], written[j], " writes; name another");
      }
    }
    for (const named_file& one : read) {
      if (is_same_file(written[i].path, one.path))
        refuse(written[i], one, " reads, and would replace it; name another");
    }
  }
}

}  // namespace support
