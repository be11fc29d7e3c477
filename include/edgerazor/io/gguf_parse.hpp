// SPDX-License-Identifier: Apache-2.0
/// The bytes of a GGUF file to its keys and tensors. No count, length or offset is trusted: each is
/// compared with what is left of the file before anything is allocated or read, with arithmetic
/// that can't wrap.
///
/// Nothing is copied: keys, strings and tensors refer to the file's memory, so what a parse
/// allocates is a small multiple of the keys and tensors that really are in the file.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/io/gguf_format.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

/// What a GGUF file holds. Refers to the file's bytes.
struct gguf_contents {
  std::uint32_t version = 0;
  std::uint32_t alignment = gguf_default_alignment;
  std::vector<metadata_entry> entries;  ///< in file order
  std::vector<tensor_info> tensors;     ///< in file order
  std::vector<std::uint32_t> entries_by_key, tensors_by_name;

  /// The entry or tensor of that name; null where there is none.
  [[nodiscard]] const metadata_entry* find_entry(std::string_view key) const noexcept {
    return find(entries, entries_by_key, &metadata_entry::key, key);
  }
  [[nodiscard]] const tensor_info* find_tensor(std::string_view name) const noexcept {
    return find(tensors, tensors_by_name, &tensor_info::name, name);
  }

 private:
  template <class T>
  static const T* find(const std::vector<T>& items, const std::vector<std::uint32_t>& order,
                       std::string_view T::* name, std::string_view wanted) noexcept {
    const auto at = std::lower_bound(
        order.begin(), order.end(), wanted,
        [&](std::uint32_t i, std::string_view text) { return items[i].*name < text; });
    return at != order.end() && items[*at].*name == wanted ? &items[*at] : nullptr;
  }
};

/// One pass over one file. Each step returns false after it has set the error message; parse() is
/// the only way out.
class gguf_parser {
 public:
  explicit gguf_parser(std::span<const std::byte> file) noexcept
      : file_(file), header_(file.first(std::min(file.size(), max_header_bytes))) {}

  /// The file's contents, or nothing and an error message in `error`.
  [[nodiscard]] std::optional<gguf_contents> parse(std::string& error) {
    if (header() && metadata() && alignment() && tensor_infos() && tensor_data())
      return std::move(found_);
    error = std::move(error_);
    return std::nullopt;
  }

 private:
  [[nodiscard]] bool refuse(std::string message) {
    error_ = std::move(message);
    return false;
  }
  [[nodiscard]] bool refuse_end(const std::string& what) {
    if (file_.size() > header_.size())
      return refuse(what + " lies beyond the 256 MiB that a header may take");
    return refuse("the file ends within " + what);
  }
  [[nodiscard]] std::size_t remaining() const noexcept { return header_.size() - at_; }

  template <class T>
  [[nodiscard]] bool number(T& value) noexcept {
    if (sizeof value > remaining()) return false;
    std::memcpy(&value, header_.data() + at_, sizeof value);
    at_ += sizeof value;
    return true;
  }
  [[nodiscard]] bool number_as_size(std::size_t& value) noexcept {
    std::uint64_t wide = 0;
    if (!number(wide) || wide > std::numeric_limits<std::size_t>::max()) return false;
    value = static_cast<std::size_t>(wide);
    return true;
  }
  [[nodiscard]] bool string(std::string_view& text) noexcept {
    std::size_t length = 0;
    if (!number_as_size(length) || length > remaining()) return false;
    text = {reinterpret_cast<const char*>(header_.data() + at_), length};
    at_ += length;
    return true;
  }

  bool header() {
    constexpr std::string_view magic = "GGUF";
    if (file_.size() < magic.size() || std::memcmp(file_.data(), magic.data(), magic.size()) != 0) {
      return refuse("the file does not begin with GGUF");
    }
    at_ = magic.size();
    if (!number(found_.version)) return refuse_end("the version");
    if ((found_.version & 0xffffu) == 0 && found_.version != 0) {
      return refuse("the file is big-endian; only little-endian GGUF is read");
    }
    if (found_.version != 2 && found_.version != gguf_version) {
      return refuse("the file has GGUF version " + std::to_string(found_.version) +
                    "; versions 2 and 3 are read");
    }
    if (!number_as_size(tensor_count_) || !number_as_size(key_count_))
      return refuse_end("the header");
    // The least bytes: a key has length, one character, type, one byte; a tensor length, character,
    // n_dims, type, offset.
    return plausible(key_count_, max_keys, 8 + 1 + 4 + 1, "keys") &&
           plausible(tensor_count_, max_tensors, 8 + 1 + 4 + 4 + 8, "tensors");
  }

  bool plausible(std::size_t count, std::size_t limit, std::size_t least_bytes, const char* what) {
    if (count <= limit && count <= remaining() / least_bytes) return true;
    return refuse(
        "the file declares " + std::to_string(count) + ' ' + what + ", more than " +
        (count > limit ? "the " + std::to_string(limit) + " that are read" : "its size can hold"));
  }

  bool metadata() {
    found_.entries.reserve(key_count_);
    for (std::size_t i = 0; i < key_count_; ++i) {
      metadata_entry entry;
      if (!string(entry.key)) return refuse_end("the name of key " + std::to_string(i));
      if (entry.key.empty()) return refuse("key " + std::to_string(i) + " has an empty name");
      const std::string name = "key " + quoted(entry.key);
      if (entry.key.size() > max_key_bytes) return refuse(name + " is longer than 65535 bytes");
      if (!is_valid_name(entry.key)) return refuse(name + " is not UTF-8 without NUL");
      if (!type(name, entry.type)) return false;
      entry.element = entry.type;
      if (entry.type == gguf_type::array && !array_header(name, entry)) return false;
      if (!value(name, entry)) return false;
      found_.entries.push_back(entry);
    }
    return in_order(found_.entries, found_.entries_by_key, &metadata_entry::key, "key ");
  }

  bool type(const std::string& name, gguf_type& result) {
    std::uint32_t id = 0;
    if (!number(id)) return refuse_end("the type of " + name);
    if (id >= gguf_type_names.size())
      return refuse(name + " has the unknown value type " + std::to_string(id));
    result = static_cast<gguf_type>(id);
    return true;
  }

  bool array_header(const std::string& name, metadata_entry& entry) {
    if (!type(name, entry.element)) return false;
    if (entry.element == gguf_type::array)
      return refuse(name + " is an array of arrays, which is not read");
    if (!number_as_size(entry.count)) return refuse_end("the array of " + name);
    const std::size_t least =
        entry.element == gguf_type::string ? sizeof(std::uint64_t) : size_of(entry.element);
    if (entry.count > remaining() / least) {
      return refuse(name + " declares an array of " + std::to_string(entry.count) + " x " +
                    std::string{name_of(entry.element)} + ", more than the file can hold");
    }
    return true;
  }

  /// entry.count values of type entry.element, walked over and kept as bytes.
  bool value(const std::string& name, metadata_entry& entry) {
    const std::size_t begin = at_;
    if (entry.element == gguf_type::string) {
      std::string_view text;
      for (std::size_t i = 0; i < entry.count; ++i) {
        if (!string(text)) return refuse_end("a string of " + name);
      }
    } else {
      const std::size_t size =
          size_of(entry.element);  // count * size cannot wrap: array_header() compared count
      if (size * entry.count > remaining()) return refuse_end("the value of " + name);
      at_ += size * entry.count;
    }
    entry.value = header_.subspan(begin, at_ - begin);
    if (entry.element == gguf_type::boolean) {
      for (const std::byte b : entry.value)
        if (b > std::byte{1}) return refuse(name + " holds a bool that is neither 0 nor 1");
    }
    return true;
  }

  template <class T>
  bool in_order(const std::vector<T>& items, std::vector<std::uint32_t>& order,
                std::string_view T::* name, const char* what) {
    order.resize(items.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return items[a].*name < items[b].*name; });
    const auto same = std::adjacent_find(
        order.begin(), order.end(),
        [&](std::uint32_t a, std::uint32_t b) { return items[a].*name == items[b].*name; });
    return same == order.end() || refuse(what + quoted(items[*same].*name) + " occurs twice");
  }

  bool alignment() {
    const metadata_entry* const entry = found_.find_entry(alignment_key);
    if (entry == nullptr) return true;
    if (entry->type != gguf_type::u32)
      return refuse("key " + quoted(alignment_key) + " is not a u32");
    std::memcpy(&found_.alignment, entry->value.data(), sizeof found_.alignment);
    if (std::has_single_bit(found_.alignment) && found_.alignment <= max_alignment) return true;
    return refuse("key " + quoted(alignment_key) + " is " + std::to_string(found_.alignment) +
                  ", not a power of two up to 1048576");
  }

  bool tensor_infos() {
    found_.tensors.reserve(tensor_count_);
    offsets_.reserve(tensor_count_);
    for (std::size_t i = 0; i < tensor_count_; ++i) {
      tensor_info tensor;
      if (!string(tensor.name)) return refuse_end("the name of tensor " + std::to_string(i));
      if (tensor.name.empty()) return refuse("tensor " + std::to_string(i) + " has an empty name");
      const std::string name = "tensor " + quoted(tensor.name);
      if (tensor.name.size() > max_tensor_name_bytes)
        return refuse(name + " has a name longer than 63 bytes");
      if (!is_valid_name(tensor.name))
        return refuse(name + " has a name that is not UTF-8 without NUL");
      if (!shape_and_type(name, tensor)) return false;
      std::size_t offset = 0;
      if (!number_as_size(offset)) return refuse_end("the offset of " + name);
      found_.tensors.push_back(tensor);
      offsets_.push_back(offset);
    }
    return in_order(found_.tensors, found_.tensors_by_name, &tensor_info::name, "tensor ");
  }

  bool shape_and_type(const std::string& name, tensor_info& tensor) {
    std::uint32_t dim_count = 0, id = 0;
    if (!number(dim_count)) return refuse_end("the shape of " + name);
    if (dim_count > max_dims) {
      return refuse(name + " has " + std::to_string(dim_count) + " dimensions; at most 4 are read");
    }
    tensor.dim_count = dim_count;
    for (std::size_t d = 0; d < dim_count; ++d) {
      if (!number_as_size(tensor.dims[d])) return refuse_end("the shape of " + name);
    }
    if (!number(id)) return refuse_end("the type of " + name);
    const ggml_type_info* const info = find_ggml_type(id);
    if (info == nullptr)
      return refuse(name + " has type id " + std::to_string(id) + ", which is not read");
    tensor.type = info->type;
    if (tensor.dims[0] % info->block != 0) {
      return refuse(name + " of type " + std::string{info->name} + " has rows of " +
                    std::to_string(tensor.dims[0]) + " elements, no multiple of " +
                    std::to_string(info->block));
    }
    const std::optional<std::size_t> size = tensor_bytes(*info, tensor.dims);
    if (!size || *size > file_.size()) {
      return refuse(name + " is larger than the file: " + shape(tensor) + " of type " +
                    std::string{info->name});
    }
    tensor.bytes = file_.first(*size);  // the size; tensor_data() moves it to its place
    return true;
  }

  static std::string shape(const tensor_info& tensor) {
    std::string text = std::to_string(tensor.dims[0]);
    for (std::size_t d = 1; d < tensor.dim_count; ++d)
      text += " x " + std::to_string(tensor.dims[d]);
    return text;
  }

  /// ggml's rule: a tensor begins where the one before it ended, aligned. It leaves no room for
  /// overlaps and holes, and a fork's type with another block size breaks it.
  bool tensor_data() {
    const std::optional<std::size_t> start = checked_align(at_, found_.alignment);
    if (!start) return refuse("the tensors' data begins past the end of the file");
    if (found_.tensors.empty()) return ends_after(at_);
    if (*start > file_.size()) return refuse("the file ends before the tensors' data");
    const std::span<const std::byte> data = file_.subspan(*start);
    std::size_t expected = 0;
    for (std::size_t i = 0; i < found_.tensors.size(); ++i) {
      tensor_info& tensor = found_.tensors[i];
      const std::string name = "tensor " + quoted(tensor.name);
      if (offsets_[i] % found_.alignment != 0) {
        return refuse(name + " begins at byte " + std::to_string(offsets_[i]) +
                      " of the data, no multiple of " + std::to_string(found_.alignment));
      }
      if (offsets_[i] != expected) {
        return refuse(
            name + " begins at byte " + std::to_string(offsets_[i]) + " of the data, but " +
            (i == 0 ? "the first tensor belongs at 0" : after(found_.tensors[i - 1], expected)));
      }
      if (expected > data.size() || tensor.bytes.size() > data.size() - expected) {
        return refuse(name + " needs " + std::to_string(tensor.bytes.size()) + " bytes at byte " +
                      std::to_string(expected) + " of the data, which has " +
                      std::to_string(data.size()));
      }
      tensor.bytes = data.subspan(expected, tensor.bytes.size());
      const std::optional<std::size_t> next =
          checked_align(expected + tensor.bytes.size(), found_.alignment);
      if (!next) return refuse(name + " ends past the end of the file");
      expected = *next;
    }
    const tensor_info& last = found_.tensors.back();
    return ends_after(
        static_cast<std::size_t>(last.bytes.data() + last.bytes.size() - file_.data()));
  }

  static std::string after(const tensor_info& before, std::size_t end) {
    return "tensor " + quoted(before.name) + " of type " + std::string{info_of(before.type).name} +
           " before it ends at " + std::to_string(end);
  }

  /// Padding may follow the last byte, or be missing; more would mean that the last tensor's type
  /// is another fork's.
  bool ends_after(std::size_t end) {
    const std::optional<std::size_t> padded = checked_align(end, found_.alignment);
    if (padded && file_.size() <= *padded) return true;
    const std::string what = found_.tensors.empty()
                                 ? std::string{"the header"}
                                 : "its last tensor " + quoted(found_.tensors.back().name);
    return refuse("the file goes on for " + std::to_string(file_.size() - end) + " bytes after " +
                  what);
  }

  std::span<const std::byte> file_, header_;
  std::size_t at_ = 0;
  std::size_t tensor_count_ = 0, key_count_ = 0;
  std::vector<std::size_t> offsets_;
  gguf_contents found_;
  std::string error_;
};

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
