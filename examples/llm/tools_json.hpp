// SPDX-License-Identifier: Apache-2.0
/// Tools as chat templates print them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace llm {

/// On one line, ", " and ": " between values, members in their order, characters beyond ASCII and
/// those of HTML as they are: what `tojson` of a chat template writes.
std::string to_json(const nlohmann::ordered_json& value);

/// The same with a value on each line, `indent` spaces a level deeper than what it stands in: what
/// tojson(indent=4) writes. `json` is as to_json has it; indent 0 leaves it so. Throws
/// nlohmann::json::parse_error where it is no JSON.
std::string indented(std::string_view json, std::size_t indent);
/// A text as a JSON string, characters beyond ASCII as they are. Bytes that are no UTF-8 become
/// U+FFFD.
std::string json_string(std::string_view text);

/// A JSON array of tools, each as to_json has it. Throws edgerazor::io_error, naming the file, if
/// it can't be read, is no JSON, is no array of objects or an empty one.
std::vector<std::string> read_tools(const std::filesystem::path& path);

}  // namespace llm
