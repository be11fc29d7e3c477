// SPDX-License-Identifier: Apache-2.0
/// What our programs ask of the system: its standard streams, its memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace support {

/// To be called first: where one of the three standard streams is closed, no file that is opened
/// later takes its place.
void hold_standard_streams();

/// Writes text to standard output at once. Throws edgerazor::io_error where it can't be written.
void print(std::string_view text);

/// All of a text, from a file, a pipe or a device, of at most 4 GiB. Throws edgerazor::io_error
/// with the path and the system's reason.
[[nodiscard]] std::string read_text(const std::filesystem::path& path);

/// Whether a person reads standard output.
[[nodiscard]] bool output_is_terminal();

/// Bytes of physical memory; 0 where the system does not tell.
[[nodiscard]] std::size_t physical_memory();

/// Throws std::invalid_argument where `bytes` are more than the machine has: "`what` would take
/// 12.3 GB, and this machine has 8.0 GB`advice`".
void require_memory(double bytes, const std::string& what, const std::string& advice);

}  // namespace support
