// SPDX-License-Identifier: Apache-2.0
/// The numbers of a model file's metadata. All that this program reads go through here: what is
/// missing, has another type or lies outside of its range is refused, naming key, value and range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "support/number.hpp"
#include <edgerazor/io/gguf_reader.hpp>

namespace llm {

class metadata {
 public:
  /// Refers to the file. `prefix` stands before every key.
  explicit metadata(const edgerazor::gguf_reader& file, std::string prefix = {})
      : file_(&file), prefix_(std::move(prefix)) {}

  /// Throw edgerazor::io_error.
  [[nodiscard]] std::size_t size(std::string_view rest,
                                 support::number_range<std::uint64_t> range = {0, 0xffffffffu,
                                                                               true}) const {
    const std::string key = prefix_ + std::string{rest};
    return static_cast<std::size_t>(checked(key, file_->get_u64(key), range));
  }
  [[nodiscard]] double real(std::string_view rest, support::number_range<double> range) const {
    const std::string key = prefix_ + std::string{rest};
    return checked(key, file_->get_f64(key), range);
  }

  [[nodiscard]] bool has(std::string_view rest) const {
    return file_->has(prefix_ + std::string{rest});
  }
  [[nodiscard]] std::optional<std::size_t> optional_size(
      std::string_view rest,
      support::number_range<std::uint64_t> range = {0, 0xffffffffu, true}) const {
    return has(rest) ? std::optional{size(rest, range)} : std::nullopt;
  }
  [[nodiscard]] std::optional<double> optional_real(std::string_view rest,
                                                    support::number_range<double> range) const {
    return has(rest) ? std::optional{real(rest, range)} : std::nullopt;
  }

 private:
  template <class T>
  static T checked(const std::string& key, T value, const support::number_range<T>& range) {
    if (range.contains(value)) return value;  // which a NaN is not
    throw edgerazor::io_error("key " + edgerazor::quoted(key) + " is " +
                              support::number_text(value) + ", expected " +
                              support::range_text(range));
  }

  const edgerazor::gguf_reader* file_;
  std::string prefix_;
};

}  // namespace llm
