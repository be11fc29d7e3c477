// SPDX-License-Identifier: Apache-2.0
/// Writes GGUF files, version 3.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/gguf_format.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/packed_keys.hpp>
#include <edgerazor/io/tensor_sink.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Collects metadata and tensors, then writes them in one pass: only the tensor being written need
/// be in memory.
///
///     gguf_writer writer;
///     writer.copy_metadata(reader);
///     writer.set_string("general.name", "mine");
///     writer.add_tensor("output.weight", ggml_type::f16, {cols, rows},
///                       [&](tensor_sink& sink) { ... });
///     writer.write("mine.gguf");
///
/// Setting a key again replaces its value. write() sets `general.alignment` itself, and
/// `general.quantization_version` where a tensor is quantized and the key is missing.
class gguf_writer {
 public:
  void set_u8(std::string_view key, std::uint8_t value) { set_scalar(key, value); }
  void set_i8(std::string_view key, std::int8_t value) { set_scalar(key, value); }
  void set_u16(std::string_view key, std::uint16_t value) { set_scalar(key, value); }
  void set_i16(std::string_view key, std::int16_t value) { set_scalar(key, value); }
  void set_u32(std::string_view key, std::uint32_t value) { set_scalar(key, value); }
  void set_i32(std::string_view key, std::int32_t value) { set_scalar(key, value); }
  void set_u64(std::string_view key, std::uint64_t value) { set_scalar(key, value); }
  void set_i64(std::string_view key, std::int64_t value) { set_scalar(key, value); }
  void set_f32(std::string_view key, float value) { set_scalar(key, value); }
  void set_f64(std::string_view key, double value) { set_scalar(key, value); }
  void set_bool(std::string_view key, bool value) { set_scalar(key, value); }
  void set_string(std::string_view key, std::string_view value) {
    stored& entry = reset(key, gguf_type::string, gguf_type::string);
    put_string(entry.value, value);
    entry.count = 1;
  }
  /// An array of scalars: set_array<float>(key, scores).
  template <detail::io::gguf_scalar T>
  void set_array(std::string_view key, std::span<const std::type_identity_t<T>> values) {
    reset(key, gguf_type::array, detail::io::type_of<T>);
    for (const T value : values) append<T>(key, value);
  }
  void set_strings(std::string_view key, std::span<const std::string_view> values) {
    reset(key, gguf_type::array, gguf_type::string);
    for (const std::string_view value : values) append_string(key, value);
  }

  /// One more element of an array, which begins empty. Fails where the key has another type.
  template <detail::io::gguf_scalar T>
  void append(std::string_view key, std::type_identity_t<T> value) {
    stored& entry = array(key, detail::io::type_of<T>);
    put(entry.value, value);
    ++entry.count;
  }
  void append_string(std::string_view key, std::string_view value) {
    stored& entry = array(key, gguf_type::string);
    put_string(entry.value, value);
    ++entry.count;
  }

  /// Takes over all keys of a file but those that are set already, those in `except`, and those
  /// that describe its bytes and not its model: `general.alignment` and the keys of packed
  /// matrices.
  void copy_metadata(const gguf_reader& reader, std::span<const std::string_view> except = {}) {
    for (const metadata_entry& entry : reader.entries()) {
      const bool of_bytes =
          entry.key == detail::io::alignment_key || detail::io::packed_keys::contains(entry.key);
      if (of_bytes || find(entry.key) != nullptr ||
          std::ranges::find(except, entry.key) != except.end())
        continue;
      stored& copy = reset(entry.key, entry.type, entry.element);
      copy.count = entry.count;
      copy.value.assign(entry.value.begin(), entry.value.end());
    }
  }

  /// Tensors will begin at multiples of at least this many bytes, a power of two up to 1 MiB. 32
  /// unless asked for more.
  void require_alignment(std::size_t bytes) {
    if (!std::has_single_bit(bytes) || bytes > detail::io::max_alignment) {
      detail::core::fail("gguf_writer: an alignment of " + std::to_string(bytes) +
                         " is not a power of two up to 1048576");
    }
    alignment_ = std::max(alignment_, bytes);
  }

  /// A tensor whose bytes `source` will give during write(). dims[0] is the number of columns.
  /// Fails on a name that is taken, empty, longer than 63 bytes or not UTF-8, and on a shape whose
  /// rows are not whole blocks of the type.
  void add_tensor(std::string_view name, ggml_type type, std::span<const std::size_t> dims,
                  tensor_source source) {
    const std::string what = "gguf_writer: tensor " + detail::io::quoted(name);
    if (name.empty() || name.size() > detail::io::max_tensor_name_bytes ||
        !detail::io::is_valid_name(name)) {
      detail::core::fail(what + ": expected a name of 1 to 63 bytes of UTF-8 without NUL");
    }
    if (std::ranges::any_of(tensors_, [&](const pending& other) { return other.name == name; })) {
      detail::core::fail(what + " is there already");
    }
    if (dims.empty() || dims.size() > detail::io::max_dims)
      detail::core::fail(what + ": expected 1 to 4 dimensions");
    const ggml_type_info& info = info_of(type);
    if (dims[0] % info.block != 0) {
      detail::core::fail(what + ": rows of " + std::to_string(dims[0]) +
                         " elements are no multiple of " + std::to_string(info.block) +
                         ", the block of " + std::string{info.name});
    }
    const std::optional<std::size_t> size = detail::io::tensor_bytes(info, dims);
    if (!size) detail::core::fail(what + ": its size overflows");
    tensors_.push_back(
        {std::string{name}, type, {dims.begin(), dims.end()}, *size, std::move(source)});
  }
  void add_tensor(std::string_view name, ggml_type type, std::initializer_list<std::size_t> dims,
                  tensor_source source) {
    add_tensor(name, type, std::span{dims.begin(), dims.size()}, std::move(source));
  }
  /// A tensor from memory, which must live until write() returns. Fails also where the size is not
  /// the shape's.
  void add_tensor(std::string_view name, ggml_type type, std::span<const std::size_t> dims,
                  std::span<const std::byte> bytes) {
    add_tensor(name, type, dims, [bytes](tensor_sink& sink) { sink.write(bytes); });
    if (tensors_.back().size == bytes.size()) return;
    const std::size_t size = tensors_.back().size;
    tensors_.pop_back();
    detail::core::fail("gguf_writer: tensor " + detail::io::quoted(name) + ": expected " +
                       std::to_string(size) + " bytes, got " + std::to_string(bytes.size()));
  }
  void add_tensor(std::string_view name, ggml_type type, std::initializer_list<std::size_t> dims,
                  std::span<const std::byte> bytes) {
    add_tensor(name, type, std::span{dims.begin(), dims.size()}, bytes);
  }
  /// A tensor of another file as it is; the file must stay open until write() returns.
  void copy_tensor(const tensor_info& tensor) {
    const std::size_t dim_count =
        std::max<std::size_t>(tensor.dim_count, 1);  // a scalar as one column
    add_tensor(tensor.name, tensor.type, std::span{tensor.dims}.first(dim_count), tensor.bytes);
  }

  /// Writes the file under a temporary name in the same folder, then gives it its own: on an error
  /// (io_error, or what a source throws) nothing is left and an older file of that name is
  /// untouched. What stands at `path` decides what it stays (see atomic_file). Returns the bytes
  /// written. Fails where `general.architecture` is not set. May be called again.
  std::size_t write(const std::filesystem::path& path) {
    const stored* const architecture = find("general.architecture");
    if (architecture == nullptr || architecture->type != gguf_type::string) {
      detail::core::fail(
          "gguf_writer: the string 'general.architecture' is not set, and GGUF requires it");
    }
    const bool quantized = std::ranges::any_of(
        tensors_, [](const pending& tensor) { return info_of(tensor.type).quantized(); });
    if (quantized && find("general.quantization_version") == nullptr)
      set_u32("general.quantization_version", 2);
    // Also where it is the default: the file then says so itself.
    set_u32(detail::io::alignment_key, static_cast<std::uint32_t>(alignment_));

    atomic_file file(path);
    file.write(header());
    pad(file);
    for (const pending& tensor : tensors_) {
      detail::io::write_tensor(file, tensor.name, tensor.size, tensor.source);
      pad(file);
    }
    file.commit();
    return file.size();
  }

 private:
  struct stored {
    std::string key;
    gguf_type type, element;
    std::size_t count = 0;
    std::vector<std::byte> value;
  };
  struct pending {
    std::string name;
    ggml_type type;
    std::vector<std::size_t> dims;
    std::size_t size;
    tensor_source source;
  };

  template <class T>
  static void put(std::vector<std::byte>& out, T value) {
    const auto bytes = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  static void put_string(std::vector<std::byte>& out, std::string_view text) {
    put(out, static_cast<std::uint64_t>(text.size()));
    const std::span<const std::byte> bytes = std::as_bytes(std::span{text});
    out.insert(out.end(), bytes.begin(), bytes.end());
  }

  [[nodiscard]] stored* find(std::string_view key) noexcept {
    const auto at = std::ranges::find(entries_, key, &stored::key);
    return at == entries_.end() ? nullptr : &*at;
  }

  /// The key's entry, new or emptied.
  stored& reset(std::string_view key, gguf_type type, gguf_type element) {
    if (key.empty() || key.size() > detail::io::max_key_bytes || !detail::io::is_valid_name(key)) {
      detail::core::fail("gguf_writer: key " + detail::io::quoted(key) +
                         ": expected 1 to 65535 bytes of UTF-8 without NUL");
    }
    stored* entry = find(key);
    if (entry == nullptr) entry = &entries_.emplace_back();
    *entry = {std::string{key}, type, element, 0, {}};
    return *entry;
  }
  stored& array(std::string_view key, gguf_type element) {
    stored* const entry = find(key);
    if (entry == nullptr) return reset(key, gguf_type::array, element);
    if (entry->type != gguf_type::array || entry->element != element) {
      detail::core::fail("gguf_writer: key " + detail::io::quoted(key) + " is not an array of " +
                         std::string{detail::io::name_of(element)});
    }
    return *entry;
  }
  template <class T>
  void set_scalar(std::string_view key, T value) {
    stored& entry = reset(key, detail::io::type_of<T>, detail::io::type_of<T>);
    put(entry.value, value);
    entry.count = 1;
  }

  [[nodiscard]] std::vector<std::byte> header() const {
    std::vector<std::byte> out;
    for (const char c : {'G', 'G', 'U', 'F'}) put(out, c);
    put(out, detail::io::gguf_version);
    put(out, static_cast<std::uint64_t>(tensors_.size()));
    put(out, static_cast<std::uint64_t>(entries_.size()));
    for (const stored& entry : entries_) {
      put_string(out, entry.key);
      put(out, entry.type);
      if (entry.type == gguf_type::array) {
        put(out, entry.element);
        put(out, static_cast<std::uint64_t>(entry.count));
      }
      out.insert(out.end(), entry.value.begin(), entry.value.end());
    }
    std::size_t offset = 0;
    for (const pending& tensor : tensors_) {
      put_string(out, tensor.name);
      put(out, static_cast<std::uint32_t>(tensor.dims.size()));
      for (const std::size_t dim : tensor.dims) put(out, static_cast<std::uint64_t>(dim));
      put(out, tensor.type);
      put(out, static_cast<std::uint64_t>(offset));
      const std::optional<std::size_t> padded = detail::io::checked_align(tensor.size, alignment_);
      if (!padded || *padded > std::numeric_limits<std::size_t>::max() - offset)
        detail::core::fail("gguf_writer: the size overflows");
      offset += *padded;
    }
    return out;
  }

  void pad(atomic_file& file) const {
    const std::vector<std::byte> zeros((alignment_ - file.size() % alignment_) % alignment_);
    file.write(zeros);
  }

  std::vector<stored> entries_;
  std::vector<pending> tensors_;
  std::size_t alignment_ = detail::io::gguf_default_alignment;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
