// SPDX-License-Identifier: Apache-2.0
#include "tools_json.hpp"

#include <nlohmann/json.hpp>

#include "tokenizer_json.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace llm {

namespace er = edgerazor;
using nlohmann::ordered_json;

std::string to_json(const ordered_json& value) {
  if (!value.is_structured() || value.empty()) return value.dump();
  std::string text;
  for (const auto& [key, member] : value.items()) {
    text += text.empty() ? "" : ", ";
    if (value.is_object()) text += ordered_json(key).dump() + ": ";
    text += to_json(member);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

std::string indented(std::string_view text, std::size_t indent) {
  if (indent == 0) return std::string{text};
  return ordered_json::parse(text).dump(static_cast<int>(indent), ' ', false,
                                        ordered_json::error_handler_t::replace);
}

std::string json_string(std::string_view text) {
  return ordered_json(text).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::vector<std::string> read_tools(const std::filesystem::path& path) {
  const ordered_json tools = read_ordered_json(path);
  const std::string name = er::quoted(path.string(), er::longest_path);
  if (!tools.is_array() || tools.empty())
    throw er::io_error(name + " is not a JSON array of one tool or more");
  std::vector<std::string> result;
  for (const ordered_json& tool : tools) {
    if (!tool.is_object())
      throw er::io_error("tool " + std::to_string(result.size()) + " of " + name +
                         " is not a JSON object");
    result.push_back(to_json(tool));
  }
  return result;
}

}  // namespace llm
