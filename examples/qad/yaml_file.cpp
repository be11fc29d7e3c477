// SPDX-License-Identifier: Apache-2.0
#include "yaml_file.hpp"

#include <algorithm>
#include <set>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/io/mapped_file.hpp>

namespace qad {

namespace er = edgerazor;

yaml_file::yaml_file(const std::filesystem::path& path)
    : name_(er::quoted(path.string(), er::longest_path)) {
  const er::mapped_file file = er::mapped_file::open(path, er::file_access::read);
  if (file.bytes().size() > (1u << 20))
    throw er::io_error(name_ + " has more than 1 MiB, expected a configuration");
  const std::string text{reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  try {
    root_ = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw er::io_error(name_ + ", line " + std::to_string(error.mark.line + 1) +
                       ": it is no YAML: " + er::printable(error.msg, 200));
  }
}

void yaml_file::refuse_at(const YAML::Node& at, const std::string& sentence) const {
  throw er::io_error(name_ + ", line " + std::to_string(at.Mark().line + 1) + ": " + sentence);
}

void yaml_file::check_keys(const YAML::Node& map, const std::string& where,
                           std::initializer_list<std::string_view> known,
                           bool (*other)(const std::string&, const YAML::Node&)) const {
  if (!map.IsMap()) refuse_at(map, where + " is no map");
  std::set<std::string> seen;
  for (const auto& item : map) {
    if (!item.first.IsScalar()) refuse_at(item.first, where + " has a key that is no word");
    const std::string key = item.first.Scalar();
    if (!seen.insert(key).second)
      refuse_at(item.first, "the key " + er::quoted(key) + " is there twice");
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    if (other != nullptr && other(key, item.second)) continue;
    refuse_at(item.first,
              "the key " + er::quoted(key) + " of " + where + " is none that this program obeys");
  }
}

std::string yaml_file::text_of(const YAML::Node& node, const std::string& key) const {
  if (node.IsNull()) return {};
  if (!node.IsScalar()) refuse_at(node, key + ": expected a word");
  return node.Scalar();
}

bool yaml_file::flag_of(const YAML::Node& node, const std::string& key) const {
  bool value = false;
  if (!node.IsScalar() || !YAML::convert<bool>::decode(node, value))
    refuse_at(node, key + ": expected true or false");
  return value;
}

std::vector<std::string> yaml_file::words_of(const YAML::Node& node, const std::string& key) const {
  std::vector<std::string> words;
  if (!node.IsSequence()) refuse_at(node, key + ": expected a list of words");
  for (const auto& item : node) {
    if (!item.IsScalar()) refuse_at(item, key + ": expected a list of words");
    words.push_back(item.Scalar());
  }
  return words;
}

void yaml_file::require(const YAML::Node& map, const char* key, std::string_view value,
                        const char* why) const {
  const YAML::Node node = map[key];
  if (node && text_of(node, key) != value) {
    refuse_at(node, std::string{key} + ": " + er::quoted(text_of(node, key)) + ", expected " +
                        std::string{value} + ": " + why);
  }
}

bool yaml_file::has_default(const YAML::Node& node, const std::string& key,
                            const std::string& otherwise) const {
  if (otherwise == "true" || otherwise == "false")
    return flag_of(node, key) == (otherwise == "true");
  const std::string text = text_of(node, key);
  double value = 0, expected = 0;
  const support::number_range<double> any{-1e9, 1e9};
  if (support::read_number(text, any, value) && support::read_number(otherwise, any, expected))
    return value == expected;
  return text == otherwise;
}

}  // namespace qad
