// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>
#include <utility>

#include "checkpoint.hpp"
#include "tokenizer_gguf.hpp"
#include <edgerazor/io/ggml_type.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace llm {

namespace {

/// How the elements of a plain tensor are stored, where that is a dense format.
std::optional<er::matrix_format> dense_format_of(er::ggml_type type) {
  er::matrix_format fmt;
  if (type == er::ggml_type::f16) fmt.element = er::scale_kind::float16;
  if (type == er::ggml_type::bf16) fmt.element = er::scale_kind::bfloat16;
  return er::info_of(type).real() ? std::optional{fmt} : std::nullopt;
}

class gguf_checkpoint final : public checkpoint {
 public:
  explicit gguf_checkpoint(const std::filesystem::path& path)
      : reader_(er::gguf_reader::open(path)), packed_(reader_) {
    std::vector<stored_tensor> tensors;
    tensors.reserve(reader_.tensors().size());
    for (const er::tensor_info& one : reader_.tensors()) {
      stored_tensor& made = tensors.emplace_back();
      made.name = one.name;
      made.bytes = one.bytes.size();
      made.index = tensors.size() - 1;
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
      made.format = dense_format_of(one.type);
      if (!er::info_of(one.type).decoded())
        made.refusal = "has type " + made.type + ", which is not decoded";
    }
    set_tensors(std::move(tensors));
  }

  [[nodiscard]] geometry read_geometry() const override { return llm::read_geometry(reader_); }
  [[nodiscard]] vocabulary read_vocabulary() const override;
  [[nodiscard]] std::optional<std::string> model_name() const override {
    return text("general.name");
  }
  [[nodiscard]] std::optional<std::string> recipe_name() const override { return text(recipe_key); }
  [[nodiscard]] bool is_packed() const override { return !packed_.all().empty(); }

  void read_rows(const stored_tensor& tensor, er::row_range rows,
                 er::matrix_view<float> out) const override {
    reader_.read_rows(info_of(tensor), rows, out);
  }
  [[nodiscard]] er::any_matrix matrix(const stored_tensor& tensor) const override {
    const er::packed_tensor* const packed = packed_.find(tensor.name);
    return packed ? er::load_matrix(*packed) : er::load_matrix(reader_, info_of(tensor));
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
  void add_tensor(er::gguf_writer& writer, const stored_tensor& tensor) const override {
    writer.copy_tensor(info_of(tensor));
  }

 private:
  [[nodiscard]] const er::tensor_info& info_of(const stored_tensor& tensor) const noexcept {
    return reader_.tensors()[tensor.index];
  }
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const {
    const auto found = reader_.optional_string(key);
    return found ? std::optional{std::string{*found}} : std::nullopt;
  }

  er::gguf_reader reader_;
  er::packed_tensors packed_;
};

vocabulary gguf_checkpoint::read_vocabulary() const { return llm::read_vocabulary(reader_); }

}  // namespace

std::shared_ptr<const checkpoint> open_gguf(const std::filesystem::path& path) {
  return std::make_shared<const gguf_checkpoint>(path);
}

}  // namespace llm
