// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "checkpoint.hpp"
#include "matrix_rows.hpp"
#include "tokenizer_gguf.hpp"
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_import.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace llm {

namespace {

class gguf_checkpoint final : public checkpoint {
 public:
  explicit gguf_checkpoint(const std::filesystem::path& path)
      : checkpoint(path),
        reader_(er::gguf_reader::open(path)),
        packed_(reader_),
        file_bytes_(static_cast<std::size_t>(std::filesystem::file_size(path))) {
    std::vector<stored_tensor> tensors;
    tensors.reserve(reader_.tensors().size());
    for (std::size_t i = 0; i < reader_.tensors().size(); ++i) {
      const er::tensor_info& one = reader_.tensors()[i];
      if (reader_.is_scale(one)) continue;
      stored_tensor& made = tensors.emplace_back();
      made.name = one.name;
      made.bytes = one.bytes.size();
      made.index = i;
      if (const er::packed_tensor* const packed = packed_.find(one.name)) {
        made.rows = packed->rows;
        made.cols = packed->cols;
        made.is_matrix = true;
        made.type = packed->format;
        made.format = er::matrix_format::parse(packed->format);
        if (!made.format) made.refusal = "has the unknown format " + er::quoted(packed->format);
        continue;
      }
      made.rows = one.rows();
      made.cols = one.cols();
      made.is_matrix = one.dim_count == 2;
      made.type = er::info_of(one.type).name;
      made.format = format_of(one);
      if (!er::info_of(one.type).decoded())
        made.refusal = "has type " + made.type + ", which is not decoded";
    }
    set_tensors(std::move(tensors));
  }

  [[nodiscard]] std::size_t file_bytes() const override { return file_bytes_; }
  [[nodiscard]] std::string container() const override { return "GGUF file"; }
  [[nodiscard]] std::optional<std::string> architecture_name() const override {
    return text("general.architecture");
  }
  [[nodiscard]] geometry read_geometry() const override { return llm::read_geometry(reader_); }
  [[nodiscard]] vocabulary read_vocabulary() const override {
    return llm::read_vocabulary(reader_);
  }
  [[nodiscard]] std::optional<std::string> model_name() const override {
    return text("general.name");
  }
  [[nodiscard]] std::optional<std::string> recipe_name() const override { return text(recipe_key); }
  [[nodiscard]] bool is_packed() const override { return !packed_.all().empty(); }

  void read_rows(const stored_tensor& tensor, er::row_range rows,
                 er::matrix_view<float> out) const override {
    const er::packed_tensor* const packed = packed_.find(tensor.name);
    if (packed == nullptr) return reader_.read_rows(info_of(tensor), rows, out);
    const er::any_matrix matrix = er::load_matrix(*packed, {.trusted = true});
    for (std::size_t r = 0; r < rows.size(); ++r)
      er::look_up_row(matrix, rows.begin + r, out.row(r));
  }
  [[nodiscard]] er::any_matrix matrix(const stored_tensor& tensor,
                                      thread_pool& threads) const override {
    if (const er::packed_tensor* const packed = packed_.find(tensor.name))
      return er::load_matrix(*packed);
    if (!tensor.is_packed()) return er::load_matrix(reader_, info_of(tensor));
    er::any_matrix result = er::import_matrix(reader_, info_of(tensor), threads);
    reader_.drop(info_of(tensor));
    return result;
  }
  void drop(const stored_tensor& tensor) const noexcept override { reader_.drop(info_of(tensor)); }

  void add_metadata(er::gguf_writer& writer,
                    std::span<const std::string_view> except) const override {
    writer.copy_metadata(reader_, except);
  }
  [[nodiscard]] std::size_t metadata_bytes() const override {
    constexpr std::size_t of_entry = 64;
    std::size_t sum = 0;
    for (const er::metadata_entry& entry : reader_.entries())
      sum += of_entry + entry.key.size() + entry.value.size();
    return sum;
  }
  [[nodiscard]] bool can_add(const stored_tensor&) const override { return true; }
  void add_tensor(er::gguf_writer& writer, const stored_tensor& tensor) const override {
    writer.copy_tensor(info_of(tensor));
    std::string_view stem = tensor.name;
    if (stem.ends_with(".weight")) stem.remove_suffix(7);
    for (const std::string_view suffix : {".scale", ".input_scale"}) {
      const er::tensor_info* const scale = reader_.find(std::string{stem} + std::string{suffix});
      if (scale != nullptr && reader_.is_scale(*scale)) writer.copy_tensor(*scale);
    }
  }

 private:
  [[nodiscard]] std::optional<er::matrix_format> format_of(const er::tensor_info& one) const {
    if (er::is_imported(one.type)) return er::import_format(reader_, one);
    if (!er::info_of(one.type).real()) return std::nullopt;
    return dense_format(one.type == er::ggml_type::f32   ? er::scale_kind::float32
                        : one.type == er::ggml_type::f16 ? er::scale_kind::float16
                                                         : er::scale_kind::bfloat16);
  }
  [[nodiscard]] const er::tensor_info& info_of(const stored_tensor& tensor) const noexcept {
    return reader_.tensors()[tensor.index];
  }
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const {
    const auto found = reader_.optional_string(key);
    return found ? std::optional{std::string{*found}} : std::nullopt;
  }

  er::gguf_reader reader_;
  er::packed_tensors packed_;
  std::size_t file_bytes_;
};

}  // namespace

std::shared_ptr<const checkpoint> open_gguf(const std::filesystem::path& path) {
  return std::make_shared<const gguf_checkpoint>(path);
}

}  // namespace llm
