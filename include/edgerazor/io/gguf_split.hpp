// SPDX-License-Identifier: Apache-2.0
/// Models split over several GGUF files, as llama.cpp's gguf-split writes them: each part is a
/// whole file with tensors of its own, the first has the model's metadata besides.
///
///     name-00001-of-00003.gguf        parts are numbered from 1 in names, from 0 in keys
///
///     split.no             u16   which part
///     split.count          u16   parts of the model
///     split.tensors.count  i32   tensors of the model
///
/// Nothing is taken from a set of files in which one is missing, is another model's, or says
/// otherwise than the first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/gguf_format.hpp>
#include <edgerazor/io/gguf_parse.hpp>
#include <edgerazor/io/gguf_value.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

inline constexpr std::string_view split_number_key = "split.no", split_count_key = "split.count",
                                  split_tensors_key = "split.tensors.count";

/// What the keys of one file say of its place in a model.
struct split_place {
  bool declared = false;  ///< whether they say anything
  std::size_t number = 0, count = 1;
  std::optional<std::size_t> tensors;  ///< of the whole model

  /// "part 2 of 3"
  [[nodiscard]] std::string text() const {
    return "part " + std::to_string(number + 1) + " of " + std::to_string(count);
  }
};

/// An integer key; false, and a sentence, where it is no integer from `low` to `high`.
[[nodiscard]] inline bool read_split_key(const gguf_contents& file, std::string_view key,
                                         std::size_t low, std::size_t high,
                                         std::optional<std::size_t>& value, std::string& error) {
  const metadata_entry* const entry = file.find_entry(key);
  if (entry == nullptr) return true;
  std::uint64_t number = 0;
  const bool fits = entry->type != gguf_type::array &&
                    with_integer(entry->type, entry->value.data(),
                                 [&](auto stored) {
                                   number = std::in_range<std::uint64_t>(stored)
                                                ? static_cast<std::uint64_t>(stored)
                                                : high + 1;
                                 }) &&
                    number >= low && number <= high;
  if (!fits) {
    error = "key " + quoted(key) + " is no integer from " + std::to_string(low) + " to " +
            std::to_string(high);
    return false;
  }
  value = static_cast<std::size_t>(number);
  return true;
}

/// The place of a file; false, and a sentence, where its keys contradict each other. A file without
/// them is all of its model, and so is one of 0 parts, as gguf-split makes it by joining.
[[nodiscard]] inline bool read_split(const gguf_contents& file, split_place& place,
                                     std::string& error) {
  constexpr std::size_t most = 65535;
  std::optional<std::size_t> number, count;
  if (!read_split_key(file, split_number_key, 0, most, number, error) ||
      !read_split_key(file, split_count_key, 0, most, count, error) ||
      !read_split_key(file, split_tensors_key, 0, max_tensors, place.tensors, error))
    return false;
  place.declared = number || count || place.tensors;
  if (!place.declared) return true;
  if (count == 0u && number.value_or(0) == 0) {
    place.tensors.reset();
    return true;
  }
  if (!number || !count) {
    error = "key " + quoted(number ? split_count_key : split_number_key) +
            " is missing, though the file is a part of a split model";
    return false;
  }
  place.number = *number;
  place.count = *count;
  if (place.number < place.count) return true;
  error = "the file says that it is part " + std::to_string(place.number + 1) + " of " +
          std::to_string(place.count);
  return false;
}

/// "-00002-of-00003.gguf", the end of the name of part 1 of 3.
[[nodiscard]] inline std::string part_suffix(std::size_t number, std::size_t count) {
  const auto five = [](std::size_t n) {
    std::string digits = std::to_string(n);
    if (digits.size() < 5) digits.insert(0, 5 - digits.size(), '0');
    return digits;
  };
  return '-' + five(number + 1) + "-of-" + five(count) + ".gguf";
}

/// The path of another part, beside the first. Precondition: the first's name ends as it should.
[[nodiscard]] inline std::filesystem::path part_path(const std::filesystem::path& first,
                                                     std::size_t number, std::size_t count) {
  std::string name = first.filename().string();
  name.resize(name.size() - part_suffix(0, count).size());
  return first.parent_path() / (name + part_suffix(number, count));
}

/// Adds the tensors of the other parts to those of the first.
class part_joiner {
 public:
  part_joiner(gguf_contents& whole, const split_place& place) : whole_(whole), place_(place) {
    ends_.push_back(whole.tensors.size());
  }

  /// Whether that file is the first part and its name tells those of the others.
  [[nodiscard]] bool begin(const std::filesystem::path& path, std::string& error) const {
    const std::string name = path.filename().string(),
                      suffix = part_suffix(place_.number, place_.count);
    const bool named = name.size() > suffix.size() && name.ends_with(suffix);
    if (place_.number != 0) {
      error = "the file is " + place_.text() + " of a split model; open the first" +
              (named ? ", " + edgerazor::quoted(name.substr(0, name.size() - suffix.size()) +
                                                    part_suffix(0, place_.count),
                                                longest_path)
                     : std::string{});
      return false;
    }
    if (place_.count == 1 || named) return true;
    error = "the file is " + place_.text() + " of a split model, expected a name that ends in " +
            suffix;
    return false;
  }

  /// The next part; false, and a sentence, where it is another.
  [[nodiscard]] bool add(gguf_contents&& part, std::string& error) {
    const std::size_t number = ends_.size();
    split_place place;
    if (!read_split(part, place, error)) return false;
    if (!place.declared || place.number != number || place.count != place_.count) {
      error = "expected part " + std::to_string(number + 1) + " of " +
              std::to_string(place_.count) + ", the file is " +
              (place.declared ? place.text() : "no part of a split model");
      return false;
    }
    if (place.tensors && place_.tensors && *place.tensors != *place_.tensors) {
      error = "the model has " + std::to_string(*place.tensors) + " tensors, the first part says " +
              std::to_string(*place_.tensors);
      return false;
    }
    if (part.tensors.size() > max_tensors - whole_.tensors.size()) {
      error = "the model has more than " + std::to_string(max_tensors) + " tensors";
      return false;
    }
    std::ranges::copy(part.tensors, std::back_inserter(whole_.tensors));
    ends_.push_back(whole_.tensors.size());
    return true;
  }

  /// After the last part: no tensor is in two, none is missing. The keys of the split are dropped.
  [[nodiscard]] bool finish(std::string& error) {
    if (place_.tensors && *place_.tensors != whole_.tensors.size()) {
      error = "the parts of the model hold " + std::to_string(whole_.tensors.size()) +
              " tensors, expected " + std::to_string(*place_.tensors);
      return false;
    }
    sort(whole_.tensors, whole_.tensors_by_name, &tensor_info::name);
    for (std::size_t i = 1; i < whole_.tensors.size(); ++i) {
      const std::size_t a = whole_.tensors_by_name[i - 1], b = whole_.tensors_by_name[i];
      if (whole_.tensors[a].name != whole_.tensors[b].name) continue;
      error = "tensor " + quoted(whole_.tensors[a].name) + " is in part " +
              std::to_string(part_of(std::min(a, b))) + " and in part " +
              std::to_string(part_of(std::max(a, b)));
      return false;
    }
    std::erase_if(whole_.entries, [](const metadata_entry& entry) {
      return entry.key == split_number_key || entry.key == split_count_key ||
             entry.key == split_tensors_key;
    });
    sort(whole_.entries, whole_.entries_by_key, &metadata_entry::key);
    return true;
  }

 private:
  template <class T>
  static void sort(const std::vector<T>& items, std::vector<std::uint32_t>& order,
                   std::string_view T::* name) {
    order.resize(items.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::sort(order, {}, [&](std::uint32_t i) { return items[i].*name; });
  }
  /// Counted from 1.
  [[nodiscard]] std::size_t part_of(std::size_t tensor) const {
    return static_cast<std::size_t>(std::ranges::upper_bound(ends_, tensor) - ends_.begin()) + 1;
  }

  gguf_contents& whole_;
  split_place place_;
  std::vector<std::size_t> ends_;  ///< tensors up to the end of each part read
};

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
