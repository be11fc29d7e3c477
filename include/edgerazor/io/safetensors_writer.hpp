// SPDX-License-Identifier: Apache-2.0
/// Writes safetensors files, byte for byte as the format's own writer does: tensors by type, the
/// widest first, then by name; the header padded with spaces to a multiple of 8 bytes, so that
/// every tensor is aligned to its elements.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/safetensors_dtype.hpp>
#include <edgerazor/io/safetensors_files.hpp>
#include <edgerazor/io/safetensors_reader.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>
#include <edgerazor/io/tensor_sink.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

/// A JSON string of UTF-8: what JSON can't hold as it is is escaped, nothing else.
inline void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view escaped = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
  out += '"';
  for (const char c : text) {
    if (const std::size_t at = escaped.find(c); at != std::string_view::npos) {
      out += '\\';
      out += letters[at];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      (void)std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      out += code;
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace detail::io

/// Collects tensors, then writes them: only the tensor being written need be in memory.
///
///     safetensors_writer writer;
///     writer.add("model.norm.weight", safetensors_dtype::f32, {hidden}, bytes);
///     writer.add("lm_head.weight", safetensors_dtype::bf16, {rows, cols},
///                [&](tensor_sink& sink) { ... });
///     writer.write("model.safetensors");
///
/// `metadata` is {"format": "pt"} unless changed: older loaders ask for it.
class safetensors_writer {
 public:
  safetensors_metadata metadata{{"format", "pt"}};

  /// A tensor whose bytes `source` will give during write(). Fails on a name that is taken, empty,
  /// "__metadata__", or not UTF-8 without NUL, on more than 8 dimensions, and where the size
  /// overflows or is no whole bytes.
  void add(std::string_view name, safetensors_dtype dtype, std::span<const std::uint64_t> shape,
           tensor_source source) {
    const std::string what = "safetensors_writer: tensor " + edgerazor::quoted(name);
    if (!is_text(name) || name.empty() || name == "__metadata__")
      detail::core::fail(what + ": expected a name of UTF-8 without NUL");
    if (shape.size() > detail::io::max_safetensors_dims)
      detail::core::fail(what + ": expected at most 8 dimensions");
    std::string why;
    const std::optional<std::uint64_t> size = detail::io::safetensors_bytes(dtype, shape, why);
    if (!size || *size > std::numeric_limits<std::size_t>::max())
      detail::core::fail(what + ": " + (size ? "it is too large for this machine" : why));
    if (!names_.emplace(name).second) detail::core::fail(what + " is there already");
    tensors_.push_back({std::string{name},
                        dtype,
                        {shape.begin(), shape.end()},
                        static_cast<std::size_t>(*size),
                        std::move(source)});
  }
  void add(std::string_view name, safetensors_dtype dtype,
           std::initializer_list<std::uint64_t> shape, tensor_source source) {
    add(name, dtype, std::span{shape.begin(), shape.size()}, std::move(source));
  }
  /// A tensor from memory, which must live until write() returns. Fails also where the size is not
  /// the shape's.
  void add(std::string_view name, safetensors_dtype dtype, std::span<const std::uint64_t> shape,
           std::span<const std::byte> bytes) {
    std::string why;
    const std::optional<std::uint64_t> size = detail::io::safetensors_bytes(dtype, shape, why);
    if (size && *size != bytes.size())
      detail::core::fail("safetensors_writer: tensor " + edgerazor::quoted(name) + ": expected " +
                         std::to_string(*size) + " bytes, got " + std::to_string(bytes.size()));
    add(name, dtype, shape, [bytes](tensor_sink& sink) { sink.write(bytes); });
  }
  void add(std::string_view name, safetensors_dtype dtype,
           std::initializer_list<std::uint64_t> shape, std::span<const std::byte> bytes) {
    add(name, dtype, std::span{shape.begin(), shape.size()}, bytes);
  }
  /// A tensor of an open file as it is; the file must stay open until write() returns.
  void add(const safetensors_tensor& tensor) {
    add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
  }

  /// One file, which appears whole or not at all (see atomic_file): on an error (io_error, or what
  /// a source throws) nothing is left and an older file is untouched. Returns the bytes written.
  /// May be called again.
  std::size_t write(const std::filesystem::path& path) const {
    std::vector<const pending*> tensors;
    for (const pending& tensor : tensors_) tensors.push_back(&tensor);
    atomic_file file(path);
    write(file, std::move(tensors));
    file.commit();
    return file.size();
  }

  /// A folder's files: model.safetensors where the tensors' bytes are at most `most_bytes`, else
  /// model-00001-of-00002.safetensors and so on with their index. Tensors go to files in the order
  /// they were added, a tensor above `most_bytes` to one of its own. No file gets its name before
  /// all are written, the index is the last. Refused with io_error where a model.safetensors in the
  /// folder would be taken instead of the index. Returns the bytes written.
  std::size_t write_folder(const std::filesystem::path& folder,
                           std::uint64_t most_bytes = 5'000'000'000) const {
    const std::vector<std::vector<const pending*>> parts = split(most_bytes);
    if (parts.size() <= 1) return write(folder / detail::io::safetensors_name);
    std::error_code ignored;
    if (std::filesystem::exists(folder / detail::io::safetensors_name, ignored))
      detail::core::fail_io(printable(folder.string(), longest_path) + " has a " +
                            detail::io::safetensors_name +
                            " already, which would be read instead of the files to be written");
    std::vector<std::unique_ptr<atomic_file>> files;
    std::size_t written = 0;
    safetensors_metadata map;  // tensor to file
    for (std::size_t i = 0; i < parts.size(); ++i) {
      char name[64];
      (void)std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1,
                          parts.size());
      files.push_back(std::make_unique<atomic_file>(folder / name));
      write(*files.back(), parts[i]);
      written += files.back()->size();
      for (const pending* const tensor : parts[i]) map.emplace(tensor->name, name);
    }
    const std::string index = index_text(map);
    files.push_back(std::make_unique<atomic_file>(folder / detail::io::safetensors_index_name));
    files.back()->write(std::as_bytes(std::span{index}));
    for (const std::unique_ptr<atomic_file>& file : files) file->commit();
    return written + index.size();
  }

 private:
  struct pending {
    std::string name;
    safetensors_dtype dtype;
    std::vector<std::uint64_t> shape;
    std::size_t size;
    tensor_source source;
  };

  [[nodiscard]] static bool is_text(std::string_view text) noexcept {
    for (std::size_t i = 0, size = 0; i < text.size(); i += size) {
      size = detail::core::utf8_size(text.substr(i));
      if (size == 0 || text[i] == '\0') return false;
    }
    return true;
  }

  [[nodiscard]] std::vector<std::vector<const pending*>> split(std::uint64_t most_bytes) const {
    std::vector<std::vector<const pending*>> parts;
    std::uint64_t size = 0;
    for (const pending& tensor : tensors_) {
      if (parts.empty() || tensor.size > most_bytes || size > most_bytes - tensor.size) {
        parts.emplace_back();
        size = 0;
      }
      parts.back().push_back(&tensor);
      size += tensor.size;
    }
    return parts;
  }

  [[nodiscard]] std::string index_text(const safetensors_metadata& map) const {
    std::uint64_t total = 0;
    for (const pending& tensor : tensors_) total += tensor.size;
    std::string text = "{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(total) +
                       "\n  },\n  \"weight_map\": {";
    const char* before = "\n    ";
    for (const auto& entry : map) {
      text += std::exchange(before, ",\n    ");
      detail::io::append_json_string(text, entry.first);
      text += ": ";
      detail::io::append_json_string(text, entry.second);
    }
    return text += "\n  }\n}\n";
  }

  void write(atomic_file& file, std::vector<const pending*> tensors) const {
    std::stable_sort(tensors.begin(), tensors.end(), [](const pending* a, const pending* b) {
      return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
    });
    const std::string header = header_text(tensors);
    const std::uint64_t length = header.size();
    std::byte bytes[sizeof length];
    std::memcpy(bytes, &length, sizeof length);
    file.write(bytes);
    file.write(std::as_bytes(std::span{header}));
    for (const pending* const tensor : tensors)
      detail::io::write_tensor(file, tensor->name, tensor->size, tensor->source);
  }

  [[nodiscard]] std::string header_text(std::span<const pending* const> tensors) const {
    std::string text(1, '{');
    const auto next = [&text](std::string_view key) {
      if (text.back() != '{') text += ',';
      detail::io::append_json_string(text, key);
      text += ':';
    };
    if (!metadata.empty()) {
      next("__metadata__");
      text += '{';
      for (const auto& entry : metadata) {
        if (!is_text(entry.first) || !is_text(entry.second))
          detail::core::fail("safetensors_writer: metadata " + edgerazor::quoted(entry.first) +
                             ": expected UTF-8 without NUL");
        next(entry.first);
        detail::io::append_json_string(text, entry.second);
      }
      text += '}';
    }
    std::uint64_t offset = 0;
    for (const pending* const tensor : tensors) {
      next(tensor->name);
      text += "{\"dtype\":\"" + std::string{info_of(tensor->dtype).name} + "\",\"shape\":[";
      for (std::size_t i = 0; i < tensor->shape.size(); ++i) {
        if (i != 0) text += ',';
        text += std::to_string(tensor->shape[i]);
      }
      text += "],\"data_offsets\":[" + std::to_string(offset);
      if (tensor->size > std::numeric_limits<std::uint64_t>::max() - offset)
        detail::core::fail("safetensors_writer: the size overflows");
      offset += tensor->size;
      text += ',' + std::to_string(offset) + "]}";
    }
    text += '}';
    text.append((8 - text.size() % 8) % 8, ' ');
    if (text.size() > detail::io::max_safetensors_header)
      detail::core::fail("safetensors_writer: the header has " + std::to_string(text.size()) +
                         " bytes, expected at most 100000000");
    return text;
  }

  std::vector<pending> tensors_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
