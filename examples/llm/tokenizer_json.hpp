// SPDX-License-Identifier: Apache-2.0
/// What the readers of a tokenizer's files share.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "vocabulary.hpp"

namespace llm {

/// A JSON file. Throws edgerazor::io_error, naming it, where it can't be read, is no JSON, or nests
/// deeper than 128.
nlohmann::json read_json(const std::filesystem::path& path);
nlohmann::ordered_json read_ordered_json(const std::filesystem::path& path);

/// Members of objects. Throw edgerazor::io_error, naming the member, where it has another type.
/// Null counts as missing.
const nlohmann::json* find_member(const nlohmann::json& object, std::string_view name);
bool flag_of(const nlohmann::json& object, std::string_view name, bool otherwise);
std::string text_of(const nlohmann::json& object, std::string_view name);

/// A vocabulary while it is read: which ids are taken.
class vocabulary_builder {
 public:
  /// Ids are below `rows`.
  explicit vocabulary_builder(std::size_t rows);

  /// A token of the model. Throws edgerazor::io_error where the id is taken or out of range.
  void add(const nlohmann::json& id, const std::string& token);
  /// A token that is found as text, with the members of tokenizer.json's added_tokens. It may be
  /// there already, under the same id.
  void add_marker(const nlohmann::json& id, const nlohmann::json& description);

  /// The id of a token; throws edgerazor::io_error, beginning with `what`, where there is none.
  [[nodiscard]] token_id find(const std::string& token, std::string_view what) const;
  /// An id that is a number below the number of rows; throws as above where it is not.
  [[nodiscard]] token_id checked(const nlohmann::json& id, const std::string& what) const;

  /// Gives bytes, unknown and unused tokens their types.
  vocabulary finish();

  vocabulary words;
  bool has_normalizer = false;  ///< else normalized text is the text itself

 private:
  std::unordered_map<std::string, token_id> ids_;
  std::vector<bool> taken_;
};

/// tokenizer.json.
void read_tokenizer_json(const nlohmann::json& file, vocabulary_builder& into);

}  // namespace llm
