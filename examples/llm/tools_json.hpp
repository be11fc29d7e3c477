// SPDX-License-Identifier: Apache-2.0
/// Tools as chat templates print them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace llm {

/// On one line, ", " and ": " between values, members in their order, characters beyond ASCII and
/// those of HTML as they are: what `tojson` of a chat template writes.
std::string to_json(const nlohmann::ordered_json& value);

/// A JSON array of tools, each as to_json has it. Throws edgerazor::io_error, naming the file, if
/// it can't be read, is no JSON, is no array of objects or an empty one.
std::vector<std::string> read_tools(const std::filesystem::path& path);

}  // namespace llm
