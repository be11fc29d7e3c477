// SPDX-License-Identifier: Apache-2.0
/// Reads safetensors files. Not a byte of them is trusted: every number is compared with what is
/// left of the file before it is a size.
///
///     file   = u64 n <= 100,000,000 | n bytes of JSON | data
///     JSON   = {"<name>": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
///
/// little-endian; offsets count from the beginning of the data. `__metadata__` beside the names
/// holds strings. The tensors cover the data without overlap or hole. Stricter than the format's
/// own reader: no name twice, no empty name and none with NUL, no metadata key twice, at most 8
/// dimensions, nothing before the brace.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/io/json_text.hpp>
#include <edgerazor/io/mapped_file.hpp>
#include <edgerazor/io/safetensors_dtype.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// `__metadata__` of a safetensors file.
using safetensors_metadata = std::map<std::string, std::string, std::less<>>;

namespace detail::io {

inline constexpr std::uint64_t max_safetensors_header = 100'000'000;
inline constexpr std::size_t max_safetensors_dims = 8;

/// What a safetensors file holds. Refers to the file's bytes.
struct safetensors_contents {
  safetensors_metadata metadata;
  std::vector<safetensors_tensor> tensors;  ///< by place in the data
  std::vector<std::size_t> by_name;

  [[nodiscard]] const safetensors_tensor* find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(
        by_name.begin(), by_name.end(), name,
        [this](std::size_t i, std::string_view text) { return tensors[i].name < text; });
    return at != by_name.end() && tensors[*at].name == name ? &tensors[*at] : nullptr;
  }
  /// io_error, naming `source`, where there is none.
  [[nodiscard]] const safetensors_tensor& get(std::string_view name,
                                              std::string_view source) const {
    const safetensors_tensor* const tensor = find(name);
    if (tensor == nullptr)
      core::fail_io(printable(source, longest_path) + " has no tensor " + edgerazor::quoted(name));
    return *tensor;
  }
};

/// Bytes of a tensor, or nothing and in `why` what is wrong with its shape. The product is checked
/// dimension by dimension: a zero later on does not excuse one that is too large.
[[nodiscard]] inline std::optional<std::uint64_t> safetensors_bytes(
    safetensors_dtype dtype, std::span<const std::uint64_t> shape, std::string& why) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t bits = 1;
  const auto times = [&bits](std::uint64_t factor) {
    if (factor != 0 && bits > most / factor) return false;
    bits *= factor;
    return true;
  };
  bool fits = true;
  for (const std::uint64_t dim : shape) fits = fits && times(dim);
  if (!fits || !times(info_of(dtype).bits)) {
    why = "its size does not fit 64 bits";
    return std::nullopt;
  }
  if (bits % 8 != 0) {
    why = "its " + std::to_string(bits) + " bits are no whole bytes";
    return std::nullopt;
  }
  return bits / 8;
}

/// The header's events. An entry is judged as soon as it is closed, so nothing grows but by what
/// the file really holds.
class safetensors_header : public json_events {
 public:
  safetensors_header(std::span<const std::byte> data, safetensors_contents& found) noexcept
      : data_(data), found_(found) {}

  bool null() { return other(); }
  bool boolean(bool) { return other(); }
  bool number_integer(json::number_integer_t) { return other(); }  // has a sign
  bool number_float(json::number_float_t, const std::string&) { return other(); }
  bool binary(json::binary_t&) { return other(); }
  bool number_unsigned(json::number_unsigned_t value) {
    if (depth() != 3 || !in_numbers()) return other();
    std::vector<std::uint64_t>& numbers = field_ == field::shape ? tensor_.shape : offsets_;
    const std::size_t most = field_ == field::shape ? max_safetensors_dims : 2;
    if (numbers.size() == most)
      return refuse(thing() + " has more than " + std::to_string(most) +
                    (field_ == field::shape ? " dimensions" : " data_offsets"));
    numbers.push_back(value);
    return true;
  }
  bool string(std::string& text) {
    if (depth() == 2 && in_metadata_) {
      found_.metadata.insert_or_assign(metadata_key_, std::move(text));
      return true;
    }
    if (depth() != 2 || field_ != field::dtype) return other();
    const std::optional<safetensors_dtype> dtype = find_safetensors_dtype(text);
    if (!dtype) return refuse(thing() + " has the unknown dtype " + edgerazor::quoted(text));
    tensor_.dtype = *dtype;
    has_dtype_ = true;
    return true;
  }
  bool start_object(std::size_t) {
    if (depth() == 1) {
      field_ = field::none;
      return enter();
    }
    return (depth() == 0 || unknown()) ? enter() : other();
  }
  bool start_array(std::size_t) {
    if (depth() == 2 && in_numbers()) {
      (field_ == field::shape ? has_shape_ : has_offsets_) = true;
      return enter();
    }
    return unknown() ? enter() : other();
  }
  bool key(std::string& key) {
    if (depth() > 2) return true;  // of a field that is ignored
    if (depth() == 1) return name(key);
    if (!is_new(key))
      return refuse(in_metadata_ ? "key " + edgerazor::quoted(key) + " of __metadata__ occurs twice"
                                 : thing() + " has the field " + edgerazor::quoted(key) + " twice");
    metadata_key_ = key;
    field_ = key == "dtype"          ? field::dtype
             : key == "shape"        ? field::shape
             : key == "data_offsets" ? field::offsets
                                     : field::ignored;
    return true;
  }
  bool end_object() {
    leave();
    return depth() != 1 || in_metadata_ || entry();
  }
  bool end_array() {
    leave();
    return true;
  }

 private:
  enum class field { none, dtype, shape, offsets, ignored };

  [[nodiscard]] bool in_numbers() const noexcept {
    return !in_metadata_ && (field_ == field::shape || field_ == field::offsets);
  }
  /// Whether what comes belongs to a field that nobody reads.
  [[nodiscard]] bool unknown() const noexcept {
    return depth() >= 2 && !in_metadata_ && field_ == field::ignored;
  }
  [[nodiscard]] std::string thing() const {
    return in_metadata_ ? "__metadata__" : "tensor " + edgerazor::quoted(tensor_.name);
  }

  /// A value of another kind than its place asks for.
  bool other() {
    if (unknown()) return true;
    if (depth() == 0) return refuse("its header is no JSON object");
    if (depth() == 1) return refuse(thing() + " is no JSON object");
    if (in_metadata_)
      return refuse("key " + edgerazor::quoted(metadata_key_) + " of __metadata__ is no string");
    if (field_ == field::dtype) return refuse(thing() + " has a dtype that is no string");
    return refuse(thing() + " has a " + (field_ == field::shape ? "shape" : "data_offsets") +
                  " that is no array of integers from 0 to 2^64 - 1");
  }

  bool name(const std::string& name) {
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) return is_new(name) || refuse("__metadata__ occurs twice");
    if (name.empty()) return refuse("a tensor has an empty name");
    if (name.find('\0') != std::string::npos)
      return refuse("tensor " + edgerazor::quoted(name) + " has a name with NUL");
    if (!is_new(name)) return refuse("tensor " + edgerazor::quoted(name) + " occurs twice");
    tensor_ = {};
    tensor_.name = name;
    offsets_.clear();
    has_dtype_ = has_shape_ = has_offsets_ = false;
    return true;
  }

  bool entry() {
    if (!has_dtype_ || !has_shape_ || !has_offsets_)
      return refuse(thing() + " has no " +
                    (!has_dtype_   ? "dtype"
                     : !has_shape_ ? "shape"
                                   : "data_offsets"));
    if (offsets_.size() != 2)
      return refuse(thing() + " has " + std::to_string(offsets_.size()) +
                    " data_offsets, expected 2");
    std::string why;
    const std::optional<std::uint64_t> bytes = safetensors_bytes(tensor_.dtype, tensor_.shape, why);
    const auto what = [this] {
      return thing() + " of dtype " + std::string{info_of(tensor_.dtype).name} + " and shape " +
             tensor_.shape_text();
    };
    if (!bytes) return refuse(what() + ": " + why);
    if (offsets_[1] < offsets_[0])
      return refuse(thing() + " ends at byte " + std::to_string(offsets_[1]) +
                    " of the data, before it begins at " + std::to_string(offsets_[0]));
    if (offsets_[1] - offsets_[0] != *bytes)
      return refuse(what() + " needs " + std::to_string(*bytes) + " bytes, but has " +
                    std::to_string(offsets_[1] - offsets_[0]));
    if (offsets_[1] > data_.size())
      return refuse(thing() + " ends at byte " + std::to_string(offsets_[1]) +
                    " of the data, which has " + std::to_string(data_.size()));
    tensor_.bytes =
        data_.subspan(static_cast<std::size_t>(offsets_[0]), static_cast<std::size_t>(*bytes));
    found_.tensors.push_back(std::move(tensor_));
    return true;
  }

  std::span<const std::byte> data_;
  safetensors_contents& found_;
  bool in_metadata_ = false;
  field field_ = field::none;
  std::string metadata_key_;
  safetensors_tensor tensor_;  // of the entry that is open
  std::vector<std::uint64_t> offsets_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

/// Makes find() work.
inline void sort_by_name(safetensors_contents& found) {
  found.by_name.resize(found.tensors.size());
  std::iota(found.by_name.begin(), found.by_name.end(), std::size_t{0});
  std::sort(found.by_name.begin(), found.by_name.end(), [&](std::size_t a, std::size_t b) {
    return found.tensors[a].name < found.tensors[b].name;
  });
}

/// Sorts the tensors by place; false and a message where they leave a hole, overlap, or do not fill
/// the data.
[[nodiscard]] inline bool in_order(safetensors_contents& found, std::span<const std::byte> data,
                                   std::string& error) {
  const auto begin = [&data](const safetensors_tensor& tensor) {
    return static_cast<std::size_t>(tensor.bytes.data() - data.data());
  };
  std::stable_sort(found.tensors.begin(), found.tensors.end(),
                   [&](const safetensors_tensor& a, const safetensors_tensor& b) {
                     return std::pair{begin(a), a.bytes.size()} <
                            std::pair{begin(b), b.bytes.size()};
                   });
  std::size_t expected = 0;
  const safetensors_tensor* before = nullptr;
  for (const safetensors_tensor& tensor : found.tensors) {
    if (begin(tensor) != expected) {
      error = "tensor " + edgerazor::quoted(tensor.name) + " begins at byte " +
              std::to_string(begin(tensor)) + " of the data, but " +
              (before == nullptr ? "the first tensor belongs at 0"
                                 : "tensor " + edgerazor::quoted(before->name) +
                                       " before it ends at " + std::to_string(expected));
      return false;
    }
    expected += tensor.bytes.size();
    before = &tensor;
  }
  if (expected == data.size()) return true;
  error = "the file goes on for " + std::to_string(data.size() - expected) + " bytes after " +
          (before == nullptr ? "its header" : "its last tensor " + edgerazor::quoted(before->name));
  return false;
}

/// The file's contents, or nothing and a message.
[[nodiscard]] inline std::optional<safetensors_contents> parse_safetensors(
    std::span<const std::byte> file, std::string& error) {
  std::uint64_t size = 0;
  const auto refuse = [&error](std::string sentence) {
    error = std::move(sentence);
    return std::nullopt;
  };
  if (file.size() < sizeof size)
    return refuse("the file has " + std::to_string(file.size()) +
                  " bytes, expected at least the 8 of its header's length");
  std::memcpy(&size, file.data(), sizeof size);
  constexpr std::string_view pointer = "version https://git-lfs";
  if (file.size() >= pointer.size() &&
      std::memcmp(file.data(), pointer.data(), pointer.size()) == 0)
    return refuse("the file is a pointer of Git LFS, not the file that it stands for");
  if (size > max_safetensors_header)
    return refuse("its header has " + std::to_string(size) + " bytes, more than the 100000000 " +
                  "that are read");
  if (size > file.size() - sizeof size)
    return refuse("its header has " + std::to_string(size) + " bytes, more than the file's " +
                  std::to_string(file.size() - sizeof size) + " that follow");
  const std::string_view text{reinterpret_cast<const char*>(file.data()) + sizeof size,
                              static_cast<std::size_t>(size)};
  if (text.empty() || (text.front() != '{' && text.front() != '\xef'))
    return refuse(text.empty() ? "its header is empty, expected a JSON object"
                               : "its header begins with " + edgerazor::quoted(text.substr(0, 1)) +
                                     ", expected the '{' of a JSON object");
  safetensors_contents found;
  const std::span<const std::byte> data = file.subspan(sizeof size + text.size());
  safetensors_header header(data, found);
  if (!read_json_events(text, header, error) || !in_order(found, data, error)) return std::nullopt;
  sort_by_name(found);
  return found;
}

}  // namespace detail::io

/// An open safetensors file. Either it was accepted whole or there is no reader, but an io_error
/// that names the file and the tensor that is wrong. Movable, and then empty; bytes it gives out
/// live as long as the reader or what it was moved to, or the memory it reads.
///
/// All members are const and may be called from several threads.
class safetensors_reader {
 public:
  /// Maps the file and reads its header; tensors are read when touched.
  [[nodiscard]] static safetensors_reader open(const std::filesystem::path& path,
                                               file_access access = file_access::map) {
    std::string error;
    std::optional<safetensors_reader> reader = try_open(path, error, access);
    if (!reader) detail::core::fail_io(error);
    return std::move(*reader);
  }

  /// As open(), but for hosts without exceptions: on an error it returns nothing and sets `error`
  /// to the message.
  [[nodiscard]] static std::optional<safetensors_reader> try_open(
      const std::filesystem::path& path, std::string& error,
      file_access access = file_access::map) {
    std::optional<mapped_file> file = mapped_file::try_open(path, error, access);
    if (!file) return std::nullopt;
    std::optional<safetensors_reader> reader = try_parse(file->bytes(), path.string(), error);
    if (reader) reader->file_ = std::move(*file);
    return reader;
  }

  /// Reads from memory, which must outlive the reader and everything it gives out. Messages call
  /// it `name`.
  [[nodiscard]] static safetensors_reader parse(std::span<const std::byte> bytes,
                                                std::string_view name) {
    std::string error;
    std::optional<safetensors_reader> reader = try_parse(bytes, name, error);
    if (!reader) detail::core::fail_io(error);
    return std::move(*reader);
  }

  /// The same; on an error it returns nothing and sets `error` to the message.
  [[nodiscard]] static std::optional<safetensors_reader> try_parse(std::span<const std::byte> bytes,
                                                                   std::string_view name,
                                                                   std::string& error) {
    std::optional<detail::io::safetensors_contents> contents =
        detail::io::parse_safetensors(bytes, error);
    if (!contents) {
      error = printable(name, longest_path) + ": " + error;
      return std::nullopt;
    }
    safetensors_reader reader;
    reader.name_ = std::string{name};
    *reader.contents_ = std::move(*contents);
    return reader;
  }

  /// The path, or what parse() was given.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// All tensors, by place in the file.
  [[nodiscard]] std::span<const safetensors_tensor> tensors() const noexcept {
    return contents_->tensors;
  }
  /// The tensor of that name; null where there is none.
  [[nodiscard]] const safetensors_tensor* find(std::string_view name) const noexcept {
    return contents_->find(name);
  }
  /// The tensor of that name, or io_error.
  [[nodiscard]] const safetensors_tensor& get(std::string_view name) const {
    return contents_->get(name, name_);
  }
  [[nodiscard]] const safetensors_metadata& metadata() const noexcept {
    return contents_->metadata;
  }
  /// Tells the system that a tensor's pages are not needed soon. Its bytes stay readable.
  void drop(const safetensors_tensor& tensor) const noexcept {
    if (file_.holds(tensor.bytes)) file_.drop(tensor.bytes);
  }

 private:
  safetensors_reader() = default;

  std::string name_;
  mapped_file file_;
  detail::core::moved_along<detail::io::safetensors_contents> contents_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
