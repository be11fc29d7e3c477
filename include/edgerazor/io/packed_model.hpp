// SPDX-License-Identifier: Apache-2.0
/// Packed matrices in a GGUF file.
///
/// GGUF has no types for them, so each is an I8 tensor of one dimension, its bytes, and metadata
/// says what they are:
///
///     edgerazor.layout_version  u32              packed_layout_version of the writer; another one
///                                                is refused
///     edgerazor.tensor.names    array of string  the packed tensors, in any order
///     edgerazor.tensor.formats  array of string  "ternary2_g64", ...
///     edgerazor.tensor.rows     array of u64     output features
///     edgerazor.tensor.cols     array of u64     input features
///
/// A mixed matrix has a format such as "int4_g64+ternary2_g64:every_8_rows", a sum one such as
/// "int4_g16+sparse".
/// All tensors begin at multiples of 64 bytes, so a mapped file is multiplied in place. Tensors
/// that are not named are plain ones.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/io/packed_keys.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/validate.hpp>
#include <edgerazor/version.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Adds a packed matrix of `byte_count` bytes that `source` gives during write().
inline void add_packed(gguf_writer& writer, std::string_view name, std::string_view format_name,
                       std::size_t rows, std::size_t cols, std::size_t byte_count,
                       tensor_source source) {
  if (rows == 0 || cols == 0)
    detail::core::fail("packed tensor " + detail::io::quoted(name) + ": no elements");
  writer.require_alignment(byte_storage::cache_line);
  writer.add_tensor(name, ggml_type::i8, {byte_count}, std::move(source));
  writer.set_u32(detail::io::packed_keys::layout_version, packed_layout_version);
  writer.append_string(detail::io::packed_keys::names, name);
  writer.append_string(detail::io::packed_keys::formats, format_name);
  writer.append<std::uint64_t>(detail::io::packed_keys::rows, rows);
  writer.append<std::uint64_t>(detail::io::packed_keys::cols, cols);
}

/// As above from memory, which must live until write() returns.
inline void add_packed(gguf_writer& writer, std::string_view name, std::string_view format_name,
                       std::size_t rows, std::size_t cols, std::span<const std::byte> bytes) {
  add_packed(writer, name, format_name, rows, cols, bytes.size(),
             [bytes](tensor_sink& sink) { sink.write(bytes); });
}

/// One packed matrix of an open file. Views of the file's memory.
struct packed_tensor {
  std::string_view name;
  std::string_view format;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::span<const std::byte> bytes;
};

/// The packed tensors of an open file, by name. Refers to the file's memory.
class packed_tensors {
 public:
  /// io_error where the metadata is incomplete, of another layout version, contradicts itself or
  /// names a tensor that is not there. A file without it has no packed tensors. Whether the bytes
  /// fit the format is for the format to say.
  explicit packed_tensors(const gguf_reader& reader) {
    if (!reader.has(detail::io::packed_keys::layout_version) &&
        !reader.has(detail::io::packed_keys::names))
      return;
    if (const std::uint32_t version = reader.get_u32(detail::io::packed_keys::layout_version);
        version != packed_layout_version) {
      detail::core::fail_io("the packed tensors have layout version " + std::to_string(version) +
                            "; this library reads " + std::to_string(packed_layout_version));
    }
    const std::vector<std::string_view> names = reader.get_strings(detail::io::packed_keys::names);
    const std::vector<std::string_view> formats =
        reader.get_strings(detail::io::packed_keys::formats);
    const std::vector<std::uint64_t> rows = reader.get_u64s(detail::io::packed_keys::rows);
    const std::vector<std::uint64_t> cols = reader.get_u64s(detail::io::packed_keys::cols);
    for (const auto& [key, size] : {std::pair{detail::io::packed_keys::formats, formats.size()},
                                    {detail::io::packed_keys::rows, rows.size()},
                                    {detail::io::packed_keys::cols, cols.size()}}) {
      if (size == names.size()) continue;
      detail::core::fail_io("key " + detail::io::quoted(key) + " has " + std::to_string(size) +
                            " elements and not one for each of the " +
                            std::to_string(names.size()) + " packed tensors");
    }
    items_.reserve(names.size());
    for (std::size_t i = 0; i < names.size(); ++i)
      add(reader, names[i], formats[i], rows[i], cols[i]);
    std::ranges::sort(items_, {}, &packed_tensor::name);
    const auto twice = std::ranges::adjacent_find(items_, {}, &packed_tensor::name);
    if (twice != items_.end())
      detail::core::fail_io("packed tensor " + detail::io::quoted(twice->name) +
                            " is described twice");
  }

  /// Null where no packed tensor has that name; the file may have a plain one.
  [[nodiscard]] const packed_tensor* find(std::string_view name) const noexcept {
    const auto at = std::ranges::lower_bound(items_, name, {}, &packed_tensor::name);
    return at != items_.end() && at->name == name ? &*at : nullptr;
  }
  /// All, by name.
  [[nodiscard]] std::span<const packed_tensor> all() const noexcept { return items_; }

 private:
  void add(const gguf_reader& reader, std::string_view name, std::string_view format,
           std::uint64_t rows, std::uint64_t cols) {
    const std::string what = "packed tensor " + detail::io::quoted(name);
    const tensor_info* const tensor = reader.find(name);
    if (tensor == nullptr) detail::core::fail_io(what + " is not in the file");
    if (tensor->type != ggml_type::i8 || tensor->dim_count != 1)
      detail::core::fail_io(what + " is not I8 of one dimension");
    // No format takes less than a bit for a weight, but a sparse one, which takes 4 bytes for 16
    // rows of at most 65,536 columns. Hence the product of rows and cols can't wrap later.
    const std::size_t size = tensor->bytes.size();
    const bool sparse = cols <= sparse_view::max_cols && rows <= 4 * size;
    if (rows == 0 || cols == 0 || (rows > 8 * size / cols && !sparse)) {
      detail::core::fail_io(what + " of " + std::to_string(tensor->bytes.size()) +
                            " bytes can't be a matrix of " + std::to_string(rows) + " x " +
                            std::to_string(cols));
    }
    items_.push_back({tensor->name, format, static_cast<std::size_t>(rows),
                      static_cast<std::size_t>(cols), tensor->bytes});
  }

  std::vector<packed_tensor> items_;
};

/// Adds a matrix in its own format: a packed or mixed one as above, a dense one as an F32, F16 or
/// BF16 tensor of dims {cols, rows}. The matrix must live until write() returns.
inline void add_matrix(gguf_writer& writer, std::string_view name, const any_matrix& matrix) {
  if (!matrix.is_dense()) {
    return add_packed(writer, name, matrix.fmt().name(), matrix.rows(), matrix.cols(),
                      matrix.bytes());
  }
  const scale_kind element = matrix.fmt().element;
  writer.add_tensor(name,
                    element == scale_kind::float32   ? ggml_type::f32
                    : element == scale_kind::float16 ? ggml_type::f16
                                                     : ggml_type::bf16,
                    {matrix.cols(), matrix.rows()}, matrix.bytes());
}

/// What `load_matrix` may be told.
///
///     load_matrix(file, "w", {.trusted = true})
struct load_options {
  /// The tensor's scales and codes are believed: it is not read, but mapped as it is. For files
  /// that were written or checked by the host itself. A NaN in one then is a NaN in its products.
  bool trusted = false;
};

namespace detail::io {
/// io_error where a scale, a factor or an element is not finite, a code none of the format's, or
/// the entries of a sparse matrix are not in order.
inline any_matrix validated(any_matrix matrix, const std::string& what,
                            const load_options& options) {
  if (options.trusted) return matrix;
  if (const std::optional<std::string> fault = find_fault(matrix))
    core::fail_io(what + ": " + *fault);
  return matrix;
}
}  // namespace detail::io

/// A packed tensor as a matrix in the file's memory. io_error where its bytes are not one of its
/// format and shape, or, unless they are trusted, hold a scale that is not finite or a code that
/// the format does not have: all are read once, at the speed of memory.
[[nodiscard]] inline any_matrix load_matrix(const packed_tensor& tensor,
                                            const load_options& options = {}) {
  const std::string what = "packed tensor " + detail::io::quoted(tensor.name);
  const std::optional<matrix_format> fmt = matrix_format::parse(tensor.format);
  if (!fmt || fmt->type == matrix_format::kind::dense) {
    detail::core::fail_io(what + " has the unknown format " + detail::io::quoted(tensor.format));
  }
  const auto check_groups = [&](const part_format& one, std::size_t input) {
    using kind = matrix_format::kind;
    const bool whole_row =
        (one.type == kind::packed || one.type == kind::mixed) && one.first.group == 0;
    if (const std::size_t cols = fmt->cols_of(input, tensor.cols);
        whole_row && cols > format::largest_group) {
      detail::core::fail_io(what + " has groups of " + std::to_string(cols) +
                            " columns; at most 65536 are read");
    }
  };
  check_groups(*fmt, 0);
  for (const matrix_format::part& part : fmt->parts) check_groups(part.fmt, part.input);
  for (const matrix_format::stage& stage : fmt->stages) check_groups(stage.matrix, stage.from);
  std::string error;
  std::optional<any_matrix> matrix =
      any_matrix::try_from_bytes(*fmt, tensor.rows, tensor.cols, tensor.bytes, error);
  if (!matrix) detail::core::fail_io(what + ": " + error);
  return detail::io::validated(std::move(*matrix), what, options);
}

/// A plain tensor as a matrix of tensor.rows() x tensor.cols(): F32, F16 and BF16 in the file's
/// memory, other types decoded to an owned f32. io_error where it is empty or of a type that is not
/// decoded, or, unless it is real, in the file's memory, and trusted, where a value is NaN or
/// infinite.
[[nodiscard]] inline any_matrix load_matrix(const gguf_reader& reader, const tensor_info& tensor,
                                            const load_options& options = {}) {
  if (tensor.rows() == 0)
    detail::core::fail_io("tensor " + detail::io::quoted(tensor.name) + " has no elements");
  matrix_format fmt;
  if (tensor.type == ggml_type::f16) fmt.element = scale_kind::float16;
  if (tensor.type == ggml_type::bf16) fmt.element = scale_kind::bfloat16;
  const bool dense = info_of(tensor.type).real();
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % scale_size(fmt.element) == 0;
  if (dense && aligned) {
    return detail::io::validated(
        any_matrix::from_bytes(fmt, tensor.rows(), tensor.cols(), tensor.bytes),
        "tensor " + detail::io::quoted(tensor.name), options);
  }

  // What is decoded is packed as numbers, which refuses a NaN, too.
  reader.validate(tensor);
  any_matrix matrix = any_matrix::empty(fmt, tensor.rows(), tensor.cols());
  std::vector<float> values(tensor.cols());
  for (std::size_t r = 0; r < tensor.rows(); ++r) {
    const matrix_view<float> row{values.data(), 1, values.size()};
    reader.read_rows(tensor, {r, r + 1}, row);
    matrix.pack_rows(r, row);
  }
  return matrix;
}

/// The tensor of that name, packed or plain, as above; io_error where there is none. Checks the
/// description of all packed tensors each time: a host that loads many makes one `packed_tensors`
/// and asks that.
[[nodiscard]] inline any_matrix load_matrix(const gguf_reader& reader, std::string_view name,
                                            const load_options& options = {}) {
  const packed_tensors packed(reader);
  const packed_tensor* const found = packed.find(name);
  return found ? load_matrix(*found, options) : load_matrix(reader, reader.get(name), options);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
