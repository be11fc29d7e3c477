// SPDX-License-Identifier: Apache-2.0
/// Reads GGUF files, versions 2 and 3. Not a byte of them is trusted: see gguf_parse.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_format.hpp>
#include <edgerazor/io/gguf_parse.hpp>
#include <edgerazor/io/gguf_split.hpp>
#include <edgerazor/io/gguf_value.hpp>
#include <edgerazor/io/mapped_file.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// An open GGUF file, or all parts of a split one (gguf_split.hpp), which are then as one file.
/// Either it was accepted whole or there is no reader, but an io_error that names the key or tensor
/// that is wrong. Movable, and then empty; names, strings and bytes it gives out live as long as
/// the file, or the memory it reads.
///
/// All members are const and may be called from several threads.
class gguf_reader {
 public:
  /// Maps the file and reads its header; tensors are read when touched. Of a split file, the first
  /// part: the others are opened beside it, and their tensors follow in order. The keys are the
  /// first part's, without those that tell of the split.
  [[nodiscard]] static gguf_reader open(const std::filesystem::path& path,
                                        file_access access = file_access::map) {
    std::string error;
    std::optional<gguf_reader> reader = try_open(path, error, access);
    if (!reader) detail::core::fail_io(error);
    return std::move(*reader);
  }

  /// As open(), but for hosts without exceptions: on an error it returns nothing and sets `error`
  /// to the message.
  [[nodiscard]] static std::optional<gguf_reader> try_open(const std::filesystem::path& path,
                                                           std::string& error,
                                                           file_access access = file_access::map) {
    std::optional<mapped_file> file = mapped_file::try_open(path, error, access);
    if (!file) return std::nullopt;
    std::optional<gguf_reader> reader = try_parse(file->bytes(), error);
    if (reader) {
      reader->files_.push_back(std::move(*file));
      if (reader->join_parts(path, error, access)) return reader;
    }
    error = printable(path.string(), longest_path) + ": " + error;
    return std::nullopt;
  }

  /// Reads from memory, which must outlive the reader and everything it gives out. A part of a
  /// split file is read as it stands.
  explicit gguf_reader(std::span<const std::byte> bytes) {
    std::string error;
    std::optional<gguf_reader> reader = try_parse(bytes, error);
    if (!reader) detail::core::fail_io(error);
    *this = std::move(*reader);
  }

  /// The same from memory. On an error it returns nothing and sets `error` to the message.
  [[nodiscard]] static std::optional<gguf_reader> try_parse(std::span<const std::byte> bytes,
                                                            std::string& error) {
    std::optional<detail::io::gguf_contents> contents = detail::io::gguf_parser(bytes).parse(error);
    if (!contents) return std::nullopt;
    gguf_reader reader;
    *reader.contents_ = std::move(*contents);
    return reader;
  }

  /// 2 or 3.
  [[nodiscard]] std::uint32_t version() const noexcept { return contents_->version; }
  /// Bytes that the tensors' offsets are multiples of.
  [[nodiscard]] std::uint32_t alignment() const noexcept { return contents_->alignment; }

  // Metadata. get_x fails with io_error where the key is missing, has another type or a value that
  // does not fit; optional_x gives nothing where it is missing and fails likewise for the rest.
  // Integers of any width and sign are taken for each other where the value fits, and so are f32
  // and f64.

  [[nodiscard]] std::uint32_t get_u32(std::string_view key) const {
    return get<std::uint32_t>(key);
  }
  [[nodiscard]] std::uint64_t get_u64(std::string_view key) const {
    return get<std::uint64_t>(key);
  }
  [[nodiscard]] std::int32_t get_i32(std::string_view key) const { return get<std::int32_t>(key); }
  [[nodiscard]] std::int64_t get_i64(std::string_view key) const { return get<std::int64_t>(key); }
  [[nodiscard]] float get_f32(std::string_view key) const { return get<float>(key); }
  [[nodiscard]] double get_f64(std::string_view key) const { return get<double>(key); }
  [[nodiscard]] bool get_bool(std::string_view key) const { return get<bool>(key); }
  [[nodiscard]] std::string_view get_string(std::string_view key) const {
    return detail::io::string_of(entry(key));
  }

  [[nodiscard]] std::optional<std::uint32_t> optional_u32(std::string_view key) const {
    return optional<std::uint32_t>(key);
  }
  [[nodiscard]] std::optional<std::int32_t> optional_i32(std::string_view key) const {
    return optional<std::int32_t>(key);
  }
  [[nodiscard]] std::optional<float> optional_f32(std::string_view key) const {
    return optional<float>(key);
  }
  [[nodiscard]] std::optional<double> optional_f64(std::string_view key) const {
    return optional<double>(key);
  }
  [[nodiscard]] std::optional<bool> optional_bool(std::string_view key) const {
    return optional<bool>(key);
  }
  [[nodiscard]] std::optional<std::string_view> optional_string(std::string_view key) const {
    const metadata_entry* const found = find_entry(key);
    return found ? std::optional{detail::io::string_of(*found)} : std::nullopt;
  }

  /// Arrays. Strings are views into the file; their bytes are the writer's, UTF-8 or not.
  [[nodiscard]] std::vector<std::string_view> get_strings(std::string_view key) const {
    return detail::io::strings_of(entry(key));
  }
  [[nodiscard]] std::vector<std::uint32_t> get_u32s(std::string_view key) const {
    return array<std::uint32_t>(key);
  }
  [[nodiscard]] std::vector<std::uint64_t> get_u64s(std::string_view key) const {
    return array<std::uint64_t>(key);
  }
  [[nodiscard]] std::vector<std::int32_t> get_i32s(std::string_view key) const {
    return array<std::int32_t>(key);
  }
  [[nodiscard]] std::vector<float> get_f32s(std::string_view key) const {
    return array<float>(key);
  }
  [[nodiscard]] std::vector<bool> get_bools(std::string_view key) const { return array<bool>(key); }

  [[nodiscard]] bool has(std::string_view key) const noexcept { return find_entry(key) != nullptr; }
  /// The value as stored; null where the key is missing.
  [[nodiscard]] const metadata_entry* find_entry(std::string_view key) const noexcept {
    return contents_->find_entry(key);
  }
  /// All keys, in file order.
  [[nodiscard]] std::span<const metadata_entry> entries() const noexcept {
    return contents_->entries;
  }

  /// All tensors, in file order.
  [[nodiscard]] std::span<const tensor_info> tensors() const noexcept { return contents_->tensors; }
  /// The tensor of that name; null where there is none.
  [[nodiscard]] const tensor_info* find(std::string_view name) const noexcept {
    return contents_->find_tensor(name);
  }
  /// The tensor of that name, or io_error.
  [[nodiscard]] const tensor_info& get(std::string_view name) const {
    const tensor_info* const tensor = find(name);
    if (tensor == nullptr)
      detail::core::fail_io("the file has no tensor " + detail::io::quoted(name));
    return *tensor;
  }

  /// Rows [rows.begin, rows.end) of a tensor of this file as floats, rows.size() x tensor.cols().
  /// Fails where the range or the output does not fit the tensor; io_error for a type that is not
  /// decoded (see ggml_types).
  void read_rows(const tensor_info& tensor, row_range rows, matrix_view<float> out) const {
    require_decoded(tensor);
    if (rows.begin > rows.end || rows.end > tensor.rows() || out.rows != rows.size() ||
        out.cols != tensor.cols()) {
      detail::core::fail(
          "read_rows: rows " + std::to_string(rows.begin) + " to " + std::to_string(rows.end) +
          " of tensor " + detail::io::quoted(tensor.name) + " of " +
          detail::core::shape_text(tensor.rows(), tensor.cols()) + " do not fit an output of " +
          detail::core::shape_text(out.rows, out.cols));
    }
    const ggml_type_info& info = info_of(tensor.type);
    const float factor = scale_of(tensor);
    const std::byte* at = tensor.bytes.data() + rows.begin * tensor.row_bytes();
    for (std::size_t r = 0; r < out.rows; ++r, at += tensor.row_bytes())
      info.decode(at, factor, out.row(r));
  }

  /// What multiplies the scales, and minima, of a tensor of blocks: the number behind I2_S's, and
  /// the F32 tensor of one element beside it, `x.scale` of `x.weight`, as NVFP4 and BitNet have it.
  /// 1 where there is none, and for plain elements. io_error where such a tensor has another shape
  /// or type. `x.input_scale` is for engines that round activations to E2M1: nothing here.
  [[nodiscard]] float scale_of(const tensor_info& tensor) const {
    const ggml_type_info& info = info_of(tensor.type);
    float scale = 1;
    if (!info.quantized()) return scale;
    if (info.tail_bytes != 0 && !tensor.bytes.empty())
      scale = detail::io::read_f32(tensor.bytes.data() + tensor.bytes.size() - info.tail_bytes);
    const tensor_info* const beside = find_scale(tensor.name);
    if (beside == nullptr) return scale;
    if (beside->type != ggml_type::f32 || beside->bytes.size() != sizeof(float)) {
      detail::core::fail_io("tensor " + detail::io::quoted(beside->name) +
                            ": expected one F32 number, the scale of tensor " +
                            detail::io::quoted(tensor.name));
    }
    return scale * detail::io::read_f32(beside->bytes.data());
  }

  /// Whether a tensor is a number that belongs to another, whose values have it already, or to its
  /// activations: the `x.scale` or `x.input_scale` of a tensor `x.weight` of blocks. Whoever writes
  /// that one's values writes it no more.
  [[nodiscard]] bool is_scale(const tensor_info& tensor) const {
    for (const std::string_view suffix : {".scale", ".input_scale"}) {
      if (!tensor.name.ends_with(suffix)) continue;
      const std::string whole{tensor.name.substr(0, tensor.name.size() - suffix.size())};
      for (const std::string& name : {whole, whole + ".weight"}) {
        const tensor_info* const owner = find(name);
        if (owner != nullptr && info_of(owner->type).quantized()) return true;
      }
    }
    return false;
  }

  /// Fails with io_error on the first block that holds a NaN or an infinity: an element that is
  /// one, a scale or minimum that is one or, in a block of codes, so large that a value might be.
  /// Reads the whole tensor. io_error too for a type that is not decoded.
  void validate(const tensor_info& tensor) const {
    require_decoded(tensor);
    const ggml_type_info& info = info_of(tensor.type);
    const float factor = scale_of(tensor);
    float scales[detail::io::max_block_groups], zeros[detail::io::max_block_groups];
    const std::size_t blocks = tensor.rows() * (tensor.cols() / info.block);
    for (std::size_t i = 0; i < blocks; ++i) {
      if (detail::io::read_numbers(info, tensor.bytes.data() + i * info.block_bytes, factor, scales,
                                   zeros))
        continue;
      const std::size_t element = i * info.block;
      detail::core::fail_io("tensor " + detail::io::quoted(tensor.name) +
                            " has a NaN or an infinity at row " +
                            std::to_string(element / tensor.cols()) + ", column " +
                            std::to_string(element % tensor.cols()));
    }
  }

  /// Tells the system that a tensor's pages are not needed soon. Its bytes stay readable.
  /// Converting a model tensor by tensor then takes the memory of one.
  void drop(const tensor_info& tensor) const noexcept {
    for (const mapped_file& file : files_) {
      if (file.holds(tensor.bytes)) file.drop(tensor.bytes);
    }
  }

 private:
  gguf_reader() = default;

  [[nodiscard]] const metadata_entry& entry(std::string_view key) const {
    const metadata_entry* const found = find_entry(key);
    if (found == nullptr) detail::core::fail_io("the file has no key " + detail::io::quoted(key));
    return *found;
  }
  template <detail::io::gguf_scalar T>
  [[nodiscard]] T get(std::string_view key) const {
    return detail::io::scalar_of<T>(entry(key));
  }
  template <detail::io::gguf_scalar T>
  [[nodiscard]] std::optional<T> optional(std::string_view key) const {
    const metadata_entry* const found = find_entry(key);
    return found ? std::optional{detail::io::scalar_of<T>(*found)} : std::nullopt;
  }
  template <detail::io::gguf_scalar T>
  [[nodiscard]] std::vector<T> array(std::string_view key) const {
    return detail::io::array_of<T>(entry(key));
  }
  static void require_decoded(const tensor_info& tensor) {
    if (info_of(tensor.type).decoded()) return;
    detail::core::fail_io("tensor " + detail::io::quoted(tensor.name) + " has type " +
                          std::string{info_of(tensor.type).name} + ", which is not decoded");
  }

  [[nodiscard]] const tensor_info* find_scale(std::string_view name) const {
    constexpr std::string_view weight = ".weight";
    for (const std::string_view whole :
         {name.ends_with(weight) ? name.substr(0, name.size() - weight.size()) : name, name}) {
      if (const tensor_info* const found = find(std::string{whole} + ".scale")) return found;
    }
    return nullptr;
  }

  /// Opens the other parts of a split file, whose first is read; false, and a sentence, where it is
  /// not the first, or a part is missing or no part of it.
  [[nodiscard]] bool join_parts(const std::filesystem::path& path, std::string& error,
                                file_access access) {
    detail::io::split_place place;
    if (!detail::io::read_split(*contents_, place, error)) return false;
    if (place.count == 1 && !place.declared) return true;
    detail::io::part_joiner joiner(*contents_, place);
    if (!joiner.begin(path, error)) return false;
    for (std::size_t i = 1; i < place.count; ++i) {
      const std::filesystem::path name = detail::io::part_path(path, i, place.count);
      std::optional<mapped_file> file = mapped_file::try_open(name, error, access);
      if (!file) return false;
      std::optional<gguf_reader> part = try_parse(file->bytes(), error);
      if (!part || !joiner.add(std::move(*part->contents_), error)) {
        error.insert(0, "part " + edgerazor::quoted(name.filename().string(), longest_path) + ": ");
        return false;
      }
      files_.push_back(std::move(*file));
    }
    return joiner.finish(error);
  }

  std::vector<mapped_file> files_;
  detail::core::moved_along<detail::io::gguf_contents> contents_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
