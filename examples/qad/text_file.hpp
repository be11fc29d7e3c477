// SPDX-License-Identifier: Apache-2.0
/// Small files of text and JSON that a run writes and reads.
#pragma once

#include <filesystem>
#include <string_view>

#include <nlohmann/json.hpp>

namespace qad {

/// Writes the file in one step.
void write_text_file(const std::filesystem::path& path, std::string_view text);

/// The object that a file holds. Throws edgerazor::io_error where it can't be read, is not JSON, or
/// holds something else.
nlohmann::ordered_json read_json(const std::filesystem::path& path);

}  // namespace qad
