// SPDX-License-Identifier: Apache-2.0
/// JSON of strangers, read strictly: UTF-8 without byte order mark, no key twice in an object, at
/// most 127 levels, integers as integers. The parser is nlohmann/json (3.11), which this header
/// needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/mapped_file.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::io {

inline constexpr std::size_t max_json_depth = 127;

/// The events of the parser, with the rules that hold for any document. Each returns false after
/// error() has been set.
class json_events {
 public:
  using json = nlohmann::json;

  [[nodiscard]] const std::string& error() const noexcept { return error_; }

  bool parse_error(std::size_t position, const std::string& last,
                   const nlohmann::detail::exception&) {
    return refuse("it is no JSON: byte " + std::to_string(position) + " is not expected, after " +
                  edgerazor::quoted(last));
  }

 protected:
  [[nodiscard]] bool refuse(std::string sentence) {
    if (error_.empty()) error_ = std::move(sentence);
    return false;
  }
  /// Objects and arrays that are open.
  [[nodiscard]] std::size_t depth() const noexcept { return keys_.size(); }
  [[nodiscard]] bool enter() {
    if (depth() == max_json_depth)
      return refuse("its JSON is nested more than " + std::to_string(max_json_depth) +
                    " levels deep");
    keys_.emplace_back();
    return true;
  }
  void leave() { keys_.pop_back(); }
  /// Whether the innermost object has had no such key.
  [[nodiscard]] bool is_new(const std::string& key) { return keys_.back().insert(key).second; }

 private:
  std::vector<std::unordered_set<std::string>> keys_;
  std::string error_;
};

/// Whether `text` may be given to the parser, which skips a byte order mark and takes NUL for the
/// end.
[[nodiscard]] inline bool is_plain_json_text(std::string_view text, std::string& error) {
  if (text.empty()) {
    error = "it has no JSON";
  } else if (text.substr(0, 3) == "\xef\xbb\xbf") {
    error = "it begins with a byte order mark, expected JSON";
  } else if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    error = text.find_first_not_of('\0', nul) == std::string_view::npos
                ? "its JSON is padded with NUL bytes, expected spaces"
                : "byte " + std::to_string(nul) + " of its JSON is NUL";
  } else {
    return true;
  }
  return false;
}

/// Gives the events of `text` to `events`; false and a message where it is refused.
template <class Events>
[[nodiscard]] bool read_json_events(std::string_view text, Events& events, std::string& error) {
  if (!is_plain_json_text(text, error)) return false;
  if (nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &events)) return true;
  error = events.error();
  return false;
}

/// Checks the rules, and keeps nothing.
class json_check : public json_events {
 public:
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(json::number_integer_t) { return true; }
  bool number_unsigned(json::number_unsigned_t) { return true; }
  bool number_float(json::number_float_t, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(json::binary_t&) { return true; }
  bool start_object(std::size_t) { return enter(); }
  bool start_array(std::size_t) { return enter(); }
  bool key(std::string& key) {
    return is_new(key) ||
           refuse("its JSON has the key " + edgerazor::quoted(key) + " twice in an object");
  }
  bool end_object() { return leave(), true; }
  bool end_array() { return leave(), true; }
};

/// The document, or nothing and a message. Integers come out as such where they fit 64 bits; one
/// that does not is a float.
[[nodiscard]] inline std::optional<nlohmann::json> try_parse_json(std::string_view text,
                                                                  std::string& error) {
  json_check check;
  if (!read_json_events(text, check, error)) return std::nullopt;
  return nlohmann::json::parse(text.data(), text.data() + text.size(), nullptr, false);
}

/// The document of a file, of at most `most_bytes`. io_error with the file's name otherwise.
[[nodiscard]] inline nlohmann::json read_json(const std::filesystem::path& path,
                                              std::size_t most_bytes = std::size_t{1} << 26) {
  const std::string name = printable(path.string(), longest_path) + ": ";
  const auto check = [&](std::uintmax_t size) {
    if (size > most_bytes)
      core::fail_io(name + "it has " + std::to_string(size) + " bytes, expected at most " +
                    core::size_text(most_bytes));
  };
  std::error_code code;
  if (const std::uintmax_t size = std::filesystem::file_size(path, code); !code) check(size);
  const mapped_file file = mapped_file::open(path, file_access::read);
  check(file.bytes().size());
  std::string error;
  std::optional<nlohmann::json> document = try_parse_json(
      {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, error);
  if (!document) core::fail_io(name + error);
  return std::move(*document);
}

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
