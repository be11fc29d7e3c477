// SPDX-License-Identifier: Apache-2.0
#include "system.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <locale>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

#if EDGERAZOR_POSIX
#include <fcntl.h>
#include <unistd.h>
#endif

namespace support {

void hold_standard_streams() {
#if EDGERAZOR_POSIX
  for (int descriptor = 0; descriptor < 3; ++descriptor) {
    // Takes the lowest that is free: this one. Read only, so that writing fails.
    if (::fcntl(descriptor, F_GETFD) < 0 && ::open("/dev/null", O_RDONLY) != descriptor) return;
  }
#endif
}

void print(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return;
  const std::string reason = errno == 0 ? "" : ": " + std::generic_category().message(errno);
  throw edgerazor::io_error("can't write to standard output" + reason);
}

std::string read_text(const std::filesystem::path& path) {
  constexpr std::size_t most = std::size_t{1} << 32;
  const auto refuse = [&](const std::string& why) {
    throw edgerazor::io_error(
        "can't read " + edgerazor::quoted(path.string(), edgerazor::longest_path) + ": " + why);
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.string().c_str(), "rb"), &std::fclose);
  if (file == nullptr) refuse(std::generic_category().message(errno));
  std::string text;
  std::array<char, 65536> part;
  errno = 0;
  for (std::size_t got; (got = std::fread(part.data(), 1, part.size(), file.get())) > 0;) {
    text.append(part.data(), got);
    if (text.size() > most) refuse("it has more than 4 GiB");
  }
  if (std::ferror(file.get()) != 0) refuse(std::generic_category().message(errno));
  return text;
}

bool output_is_terminal() {
#if EDGERAZOR_POSIX
  return ::isatty(1) != 0;
#else
  return false;
#endif
}

std::size_t physical_memory() {
#if EDGERAZOR_POSIX
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0)
    return static_cast<std::size_t>(pages) * static_cast<std::size_t>(page);
#endif
  return 0;
}

void require_memory(double bytes, const std::string& what, const std::string& advice) {
  const auto there = static_cast<double>(physical_memory());
  if (there == 0 || bytes <= there) return;
  const auto gigabytes = [](double value) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text.precision(1);
    text << std::fixed << value / 1e9 << " GB";
    return text.str();
  };
  throw std::invalid_argument(what + " would take " + gigabytes(bytes) + ", and this machine has " +
                              gigabytes(there) + advice);
}

}  // namespace support
