// SPDX-License-Identifier: Apache-2.0
/// The fields of a JSON object of strangers, each with the kind and the range it must have.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/json_text.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::io {

/// Refers to the object. A null counts as absent. What is absent without being optional, of another
/// kind or out of range is an io_error: "config.json: 'hidden_size' is 0, expected an integer from
/// 1 to 1048576".
class json_fields {
 public:
  /// `where`: the file, and the path to the object in it where that is not its top.
  json_fields(const nlohmann::json& object, std::string where)
      : object_(&object), where_(std::move(where)) {
    if (!object.is_object()) core::fail_io(where_ + ": it is no JSON object");
  }

  [[nodiscard]] const std::string& where() const noexcept { return where_; }
  [[nodiscard]] const nlohmann::json& object() const noexcept { return *object_; }
  /// Null where it is absent.
  [[nodiscard]] const nlohmann::json* find(const char* key) const {
    const auto at = object_->find(key);
    return at == object_->end() || at->is_null() ? nullptr : &*at;
  }
  [[nodiscard]] bool has(const char* key) const { return find(key) != nullptr; }

  [[nodiscard]] std::optional<std::uint64_t> optional_integer(const char* key, std::uint64_t least,
                                                              std::uint64_t most) const {
    const nlohmann::json* const value = find(key);
    return value ? std::optional{integer(*value, key, least, most)} : std::nullopt;
  }
  [[nodiscard]] std::size_t size(const char* key, std::size_t least, std::size_t most) const {
    return static_cast<std::size_t>(integer(required(key), key, least, most));
  }
  [[nodiscard]] std::optional<std::size_t> optional_size(const char* key, std::size_t least,
                                                         std::size_t most) const {
    const auto value = optional_integer(key, least, most);
    return value ? std::optional{static_cast<std::size_t>(*value)} : std::nullopt;
  }
  /// A finite number, integers too.
  [[nodiscard]] double real(const char* key, double least, double most) const {
    return real(required(key), key, least, most);
  }
  [[nodiscard]] std::optional<double> optional_real(const char* key, double least,
                                                    double most) const {
    const nlohmann::json* const value = find(key);
    return value ? std::optional{real(*value, key, least, most)} : std::nullopt;
  }
  [[nodiscard]] std::optional<bool> optional_flag(const char* key) const {
    const nlohmann::json* const value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_boolean()) refuse(key, *value, "true or false");
    return value->get<bool>();
  }
  [[nodiscard]] bool flag(const char* key, bool otherwise) const {
    return optional_flag(key).value_or(otherwise);
  }
  [[nodiscard]] std::optional<std::string> optional_text(const char* key) const {
    const nlohmann::json* const value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) refuse(key, *value, "a string");
    return value->get_ref<const std::string&>();
  }
  /// A string, or a list of strings; none where it is absent.
  [[nodiscard]] std::vector<std::string> texts(const char* key) const {
    const nlohmann::json* const value = find(key);
    std::vector<std::string> result;
    if (value == nullptr) return result;
    for (const nlohmann::json& one : value->is_array() ? *value : nlohmann::json::array({*value})) {
      if (!one.is_string()) refuse(key, *value, "strings");
      result.push_back(one.get_ref<const std::string&>());
    }
    return result;
  }
  /// An integer, or a list of integers; none where it is absent.
  [[nodiscard]] std::vector<std::uint64_t> integers(const char* key, std::uint64_t least,
                                                    std::uint64_t most) const {
    const nlohmann::json* const value = find(key);
    std::vector<std::uint64_t> result;
    if (value == nullptr) return result;
    for (const nlohmann::json& one : value->is_array() ? *value : nlohmann::json::array({*value}))
      result.push_back(integer(one, key, least, most));
    return result;
  }
  /// An object; nothing where it is absent.
  [[nodiscard]] std::optional<json_fields> optional_object(const char* key) const {
    const nlohmann::json* const value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) refuse(key, *value, "an object");
    return json_fields(*value, where_ + ": " + edgerazor::quoted(key));
  }

  [[noreturn]] void refuse(const char* key, const nlohmann::json& value,
                           const std::string& expected) const {
    core::fail_io(where_ + ": " + edgerazor::quoted(key) + " is " + printable(text_of(value)) +
                  ", expected " + expected);
  }

 private:
  [[nodiscard]] const nlohmann::json& required(const char* key) const {
    const nlohmann::json* const value = find(key);
    if (value == nullptr) core::fail_io(where_ + ": it has no " + edgerazor::quoted(key));
    return *value;
  }
  [[nodiscard]] static std::string text_of(const nlohmann::json& value) {
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  [[nodiscard]] std::uint64_t integer(const nlohmann::json& value, const char* key,
                                      std::uint64_t least, std::uint64_t most) const {
    const bool natural =
        value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
    const bool fits =
        natural && value.get<std::uint64_t>() >= least && value.get<std::uint64_t>() <= most;
    if (!fits)
      refuse(key, value,
             "an integer from " + std::to_string(least) + " to " + std::to_string(most));
    return value.get<std::uint64_t>();
  }
  [[nodiscard]] double real(const nlohmann::json& value, const char* key, double least,
                            double most) const {
    if (value.is_number()) {
      const double number = value.get<double>();
      if (number >= least && number <= most) return number;
    }
    char range[64];
    (void)std::snprintf(range, sizeof range, "a number from %g to %g", least, most);
    refuse(key, value, range);
  }

  const nlohmann::json* object_;
  std::string where_;
};

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
