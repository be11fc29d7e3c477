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

std::string indented(std::string_view json, std::size_t indent) {
  if (indent == 0) return std::string{json};
  std::string text;
  std::size_t depth = 0;
  bool string = false;
  const auto line = [&] { (text += '\n').append(depth * indent, ' '); };
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    const char next = i + 1 < json.size() ? json[i + 1] : ' ';
    if (string || c == '"') {
      text += c;
      if (string && c == '\\' && i + 1 < json.size()) {
        text += json[++i];
      } else if (c == '"') {
        string = !string;
      }
    } else if (c == '{' || c == '[') {
      text += c;
      if (next == '}' || next == ']') {
        text += json[++i];
      } else {
        ++depth;
        line();
      }
    } else if (c == '}' || c == ']') {
      depth -= depth > 0 ? 1 : 0;
      line();
      text += c;
    } else if (c == ',') {
      text += c;
      line();
      i += next == ' ' ? 1 : 0;
    } else {
      text += c;
    }
  }
  return text;
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
