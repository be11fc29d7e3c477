// SPDX-License-Identifier: Apache-2.0
/// A YAML file (JSON is a part of YAML) whose values are read strictly: what is not understood ends
/// in a sentence with the file and the line.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <yaml-cpp/yaml.h>

#include "support/number.hpp"
#include <edgerazor/core/printable.hpp>

namespace qad {

/// Members throw edgerazor::io_error. `key` is what a value is called in sentences.
class yaml_file {
 public:
  /// Throws where the file can't be read, has more than 1 MiB, or is no YAML.
  explicit yaml_file(const std::filesystem::path& path);

  /// The path, quoted.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const YAML::Node& root() const noexcept { return root_; }

  [[noreturn]] void refuse_at(const YAML::Node& at, const std::string& sentence) const;

  /// All keys of a map are scalars, there once, and known; or, where `other` is not null, taken by
  /// it.
  void check_keys(const YAML::Node& map, const std::string& where,
                  std::initializer_list<std::string_view> known,
                  bool (*other)(const std::string&, const YAML::Node&) = nullptr) const;

  /// Empty of a null.
  [[nodiscard]] std::string text_of(const YAML::Node& node, const std::string& key) const;
  template <class T>
  [[nodiscard]] T number_of(const YAML::Node& node, const std::string& key,
                            const support::number_range<T>& range) const {
    T value{};
    if (!node.IsScalar() || !support::read_number(node.Scalar(), range, value)) {
      refuse_at(node, key + ": expected " + support::range_text(range) + ", got " +
                          (node.IsScalar() ? edgerazor::quoted(node.Scalar()) : "no number"));
    }
    return value;
  }
  [[nodiscard]] bool flag_of(const YAML::Node& node, const std::string& key) const;
  [[nodiscard]] std::vector<std::string> words_of(const YAML::Node& node,
                                                  const std::string& key) const;

  /// The value, where there is one, is this; else refused, and `why` said.
  void require(const YAML::Node& map, const char* key, std::string_view value,
               const char* why) const;
  /// Whether the value is what an absent key means: a number, "true", "false" or a word.
  [[nodiscard]] bool has_default(const YAML::Node& node, const std::string& key,
                                 const std::string& otherwise) const;

 private:
  std::string name_;
  YAML::Node root_;
};

}  // namespace qad
