// SPDX-License-Identifier: Apache-2.0
/// A Hugging Face folder as a checkpoint: its tensors under GGUF's names, their rows in GGUF's
/// order, packed layers as matrices.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <utility>

#include "checkpoint.hpp"
#include "matrix_rows.hpp"
#include "tokenizer_folder.hpp"
#include "tokenizer_gguf.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/io/find_packed_linear.hpp>
#include <edgerazor/io/hf_model.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/matrix/reorder_rows.hpp>
#include <edgerazor/matrix/validate.hpp>

namespace llm {

namespace {

/// How the elements are stored, where that is a dense format.
std::optional<er::matrix_format> dense_format_of(er::safetensors_dtype dtype) {
  switch (dtype) {
    case er::safetensors_dtype::f32:
      return dense_format(er::scale_kind::float32);
    case er::safetensors_dtype::f16:
      return dense_format(er::scale_kind::float16);
    case er::safetensors_dtype::bf16:
      return dense_format(er::scale_kind::bfloat16);
    default:
      return std::nullopt;
  }
}

er::ggml_type ggml_type_of(const er::matrix_format& fmt) {
  return fmt.element == er::scale_kind::float32   ? er::ggml_type::f32
         : fmt.element == er::scale_kind::float16 ? er::ggml_type::f16
                                                  : er::ggml_type::bf16;
}

/// Where a tensor's numbers are.
struct item {
  const er::safetensors_tensor* tensor = nullptr;
  std::optional<er::packed_linear> linear;  ///< of a packed layer
  std::vector<float> numbers;               ///< of a vector that no tensor stores
  /// For each row, or element of a vector, the folder's; empty: its own.
  std::vector<std::uint32_t> order;

  [[nodiscard]] std::size_t row(std::size_t r) const noexcept {
    return order.empty() ? r : order[r];
  }
};

template <class T>
void copy_rows(const stored_tensor& tensor, const item& from, er::any_matrix& to) {
  std::vector<T> row(tensor.cols);
  for (std::size_t r = 0; r < tensor.rows; ++r) {
    std::memcpy(row.data(), from.tensor->bytes.data() + from.row(r) * row.size() * sizeof(T),
                row.size() * sizeof(T));
    to.pack_rows(r, er::matrix_view<const T>{row.data(), 1, row.size()});
  }
}

/// A dense matrix in memory of its own, aligned and in order.
er::any_matrix copied(const stored_tensor& tensor, const item& from) {
  er::any_matrix result = er::any_matrix::empty(*tensor.format, tensor.rows, tensor.cols);
  switch (tensor.format->element) {
    case er::scale_kind::float32:
      copy_rows<float>(tensor, from, result);
      break;
    case er::scale_kind::float16:
      copy_rows<er::float16>(tensor, from, result);
      break;
    case er::scale_kind::bfloat16:
      copy_rows<er::bfloat16>(tensor, from, result);
      break;
  }
  return result;
}

class hf_checkpoint final : public checkpoint {
 public:
  explicit hf_checkpoint(const std::filesystem::path& folder)
      : checkpoint(folder), folder_(folder), model_(open_model()) {
    std::vector<stored_tensor> tensors;
    if (model_) {
      for (const auto& entry : model_->modules())
        add(entry.first.first, entry.second, entry.first.second, tensors);
      add_rope_divisors(tensors);
    } else {
      files_ = er::safetensors_files::open(folder_);
      for (const er::safetensors_tensor& one : files_->tensors()) {
        if (!er::is_ignored_hf_tensor(one.name)) add(one, known_name(one.name), tensors);
      }
    }
    set_tensors(std::move(tensors));
  }

  [[nodiscard]] std::size_t file_bytes() const override {
    std::size_t sum = 0;
    for (const er::safetensors_tensor& one : files().tensors()) sum += one.bytes.size();
    return sum;
  }
  [[nodiscard]] std::string container() const override {
    const std::size_t count = files().readers().size();
    std::string text = "Hugging Face folder, " + std::to_string(count) + " safetensors file" +
                       (count == 1 ? "" : "s");
    if (model_ && model_->quantization().method != er::hf_quant_method::none)
      text += ", quantized by " + model_->quantization().method_name;
    return text;
  }
  [[nodiscard]] std::optional<std::string> architecture_name() const override {
    return model_ ? std::optional{model_->config().architecture_name} : std::nullopt;
  }
  [[nodiscard]] std::string own_name(std::string_view name) const override {
    const auto role = er::parse_gguf_name(name);
    if (!role) return std::string{name};
    return model_ ? config().prefix + er::hf_name(config().architecture, *role)
                  : er::hf_name(er::hf_architecture::llama, *role);
  }
  [[nodiscard]] geometry read_geometry() const override;
  [[nodiscard]] vocabulary read_vocabulary() const override {
    return llm::read_vocabulary(folder_, config().vocabulary);
  }
  [[nodiscard]] std::optional<std::string> model_name() const override {
    const std::filesystem::path whole = std::filesystem::absolute(folder_).lexically_normal();
    return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  }
  [[nodiscard]] std::optional<std::string> recipe_name() const override { return std::nullopt; }
  [[nodiscard]] bool is_packed() const override { return false; }

  void read_rows(const stored_tensor& tensor, er::row_range rows,
                 er::matrix_view<float> out) const override {
    const item& from = items_[tensor.index];
    if (!from.numbers.empty()) {
      std::ranges::copy(from.numbers, out.row(0).begin());
    } else if (from.linear) {
      decode_linear(from, rows, out);
    } else if (tensor.is_matrix) {
      for (std::size_t r = 0; r < rows.size(); ++r)
        er::decode_floats(*from.tensor, from.row(rows.begin + r) * tensor.cols, out.row(r));
    } else {
      std::vector<float> values(tensor.cols);
      er::decode_floats(*from.tensor, 0, values);
      for (std::size_t i = 0; i < values.size(); ++i) out.row(0)[i] = values[from.row(i)];
    }
  }
  [[nodiscard]] er::any_matrix matrix(const stored_tensor& tensor, thread_pool&) const override {
    return matrix(tensor);
  }
  void drop(const stored_tensor& tensor) const noexcept override {
    if (items_[tensor.index].tensor != nullptr) files().drop(*items_[tensor.index].tensor);
  }

  void add_metadata(er::gguf_writer& writer, std::span<const std::string_view>) const override {
    add_geometry(writer, read_geometry());
    writer.set_string("general.name", *model_name());
    write_vocabulary(writer, read_vocabulary());
  }
  [[nodiscard]] std::size_t metadata_bytes() const override {
    constexpr std::size_t of_file = 4096, of_entry = 16;
    const vocabulary words = read_vocabulary();
    std::size_t sum = of_file + words.chat_template.size();
    for (const std::string& one : words.tokens) sum += of_entry + one.size();
    for (const std::string& one : words.merges) sum += of_entry + one.size();
    return sum;
  }
  [[nodiscard]] bool can_add(const stored_tensor& tensor) const override {
    return !tensor.is_matrix || tensor.format.has_value();
  }
  void add_tensor(er::gguf_writer& writer, const stored_tensor& tensor) const override;

 private:
  /// Nothing, and why in `why_no_model_`, where the folder is no complete model.
  std::optional<er::hf_model> open_model() {
    try {
      return er::hf_model::open(folder_);
    } catch (const er::io_error& error) {
      why_no_model_ = error.what();
      return std::nullopt;
    }
  }
  [[nodiscard]] const er::hf_config& config() const {
    if (!model_) throw er::io_error(why_no_model_);
    return model_->config();
  }
  [[nodiscard]] const er::safetensors_files& files() const noexcept {
    return model_ ? model_->files() : *files_;
  }
  /// The name of a tensor of what is no complete model: GGUF's, by the names that most have.
  [[nodiscard]] static std::string known_name(const std::string& name) {
    const auto role = er::parse_hf_name(er::hf_architecture::llama, name);
    return role ? er::gguf_name(*role) : name;
  }

  void add(er::hf_role role, const er::hf_model::module& module, std::size_t layer,
           std::vector<stored_tensor>& to);
  void add(const er::safetensors_tensor& one, std::string name, std::vector<stored_tensor>& to);
  /// False where the module is not packed.
  bool add_packed(const std::string& name, const er::hf_model::module& module,
                  std::span<const std::uint64_t> shape, const std::vector<std::uint32_t>& order,
                  std::vector<stored_tensor>& to);
  void add_rope_divisors(std::vector<stored_tensor>& to);

  [[nodiscard]] er::any_matrix matrix(const stored_tensor& tensor) const;
  void decode_linear(const item& from, er::row_range rows, er::matrix_view<float> out) const;

  std::filesystem::path folder_;
  std::string why_no_model_;
  std::optional<er::hf_model> model_;
  std::optional<er::safetensors_files> files_;  ///< without a model
  std::vector<item> items_;                     ///< by stored_tensor::index
};

/// The tensors of a module: one that is packed is a matrix, and perhaps a bias.
void hf_checkpoint::add(er::hf_role role, const er::hf_model::module& module, std::size_t layer,
                        std::vector<stored_tensor>& to) {
  if (role == er::hf_role::head && config().tied_head) {
    if (model_->find(er::hf_role::embedding) != &module) return;
    role = er::hf_role::embedding;  // stored under the head's name alone
  }
  const std::vector<std::uint64_t> shape = er::hf_shape(config(), role);
  std::vector<std::uint32_t> order;
  if (er::is_permuted(config().architecture, role))
    order = er::hf_rows_in_gguf_order(static_cast<std::size_t>(shape[0]), config().head_size);
  const bool packed = shape.size() == 2 &&
                      add_packed(er::gguf_name({role, layer, "weight"}), module, shape, order, to);
  for (const auto& entry : module.parts) {
    if (packed && entry.first != "bias") continue;
    add(*entry.second, er::gguf_name({role, layer, entry.first}), to);
    items_.back().order = order;
  }
}

void hf_checkpoint::add(const er::safetensors_tensor& one, std::string name,
                        std::vector<stored_tensor>& to) {
  stored_tensor& made = to.emplace_back();
  made.index = items_.size();
  items_.emplace_back().tensor = &one;
  made.name = std::move(name);
  made.is_matrix = one.is_matrix();
  made.rows = made.is_matrix ? one.rows() : 1;
  made.cols = made.is_matrix ? one.cols() : one.elements();
  made.bytes = one.bytes.size();
  made.type = er::info_of(one.dtype).name;
  made.format = dense_format_of(one.dtype);
  if (one.shape.size() > 2 || one.shape.empty() || one.elements() == 0) {
    made.refusal = "has shape " + one.shape_text() + ", expected a matrix or a vector";
  } else if (!er::is_decoded_float(one.dtype)) {
    made.refusal = "has dtype " + made.type + ", expected floats";
  }
}

bool hf_checkpoint::add_packed(const std::string& name, const er::hf_model::module& module,
                               std::span<const std::uint64_t> shape,
                               const std::vector<std::uint32_t>& order,
                               std::vector<stored_tensor>& to) {
  stored_tensor made;
  made.name = name;
  made.is_matrix = true;
  made.rows = static_cast<std::size_t>(shape[0]);
  made.cols = static_cast<std::size_t>(shape[1]);
  item from;
  from.order = order;
  try {
    from.linear = er::find_packed_linear(files(), module.name, model_->quantization(),
                                         {made.rows, made.cols});
    if (!from.linear) return false;
    made.type = from.linear->layout();
    made.format = from.linear->exact_format();
    if (made.format && !order.empty()) made.format->map = {};  // which rows are which has changed
    made.why_not_exact = from.linear->why_not_exact();
  } catch (const er::io_error& error) {
    made.type = model_->quantization().method_name;
    made.refusal = std::string{"can't be read: "} + error.what();
  }
  for (const auto& entry : module.parts) {
    if (entry.first != "bias") made.bytes += entry.second->bytes.size();
  }
  made.index = items_.size();
  items_.push_back(std::move(from));
  to.push_back(std::move(made));
  return true;
}

/// GGUF stores what llama3's scaling divides frequencies by.
void hf_checkpoint::add_rope_divisors(std::vector<stored_tensor>& to) {
  const er::hf_rope& rope = config().rope;
  if (rope.scaling != er::hf_rope_scaling::llama3) return;
  stored_tensor& made = to.emplace_back();
  made.index = items_.size();
  item& from = items_.emplace_back();
  const std::size_t size = config().head_size;
  for (std::size_t i = 0; i < size / 2; ++i) {
    from.numbers.push_back(
        static_cast<float>(rope.unscaled_frequency(i, size) / rope.frequency(i, size)));
  }
  made.name = "rope_freqs.weight";
  made.rows = 1;
  made.cols = from.numbers.size();
  made.type = "config.json";
}

er::any_matrix hf_checkpoint::matrix(const stored_tensor& tensor) const {
  const item& from = items_[tensor.index];
  if (from.linear) {
    er::any_matrix imported = from.linear->import_matrix();
    if (from.order.empty()) return imported;
    return er::reordered_rows(imported, from.order);
  }
  const std::span<const std::byte> bytes = from.tensor->bytes;
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(bytes.data()) % er::scale_size(tensor.format->element) == 0;
  try {
    if (!from.order.empty() || !aligned) return copied(tensor, from);
    er::any_matrix mapped =
        er::any_matrix::from_bytes(*tensor.format, tensor.rows, tensor.cols, bytes);
    if (const auto fault = er::find_fault(mapped)) throw std::invalid_argument(*fault);
    return mapped;
  } catch (const std::invalid_argument& error) {
    throw er::io_error("tensor " + er::quoted(from.tensor->name) + ": " + error.what());
  }
}

/// Rows of a llama's query or key change places within a head, so whole heads are decoded.
void hf_checkpoint::decode_linear(const item& from, er::row_range rows,
                                  er::matrix_view<float> out) const {
  if (from.order.empty() || rows.empty()) return from.linear->decode_rows(rows, out);
  const std::size_t head = config().head_size, first = rows.begin / head * head,
                    end = (rows.end + head - 1) / head * head;
  std::vector<float> values((end - first) * out.cols);
  const er::matrix_view<float> heads{values.data(), end - first, out.cols};
  from.linear->decode_rows({first, end}, heads);
  for (std::size_t r = 0; r < rows.size(); ++r)
    std::ranges::copy(heads.row(from.row(rows.begin + r) - first), out.row(r).begin());
}

void hf_checkpoint::add_tensor(er::gguf_writer& writer, const stored_tensor& tensor) const {
  if (!tensor.is_matrix) {
    writer.add_tensor(tensor.name, er::ggml_type::f32, {tensor.cols},
                      [this, &tensor](er::tensor_sink& sink) {
                        std::vector<float> values(tensor.cols);
                        read_rows(tensor, {0, 1}, {values.data(), 1, values.size()});
                        sink.write(std::as_bytes(std::span{values}));
                      });
  } else if (tensor.is_packed()) {
    const std::size_t bytes =
        tensor.format->type == er::matrix_format::kind::packed
            ? er::tile_layout(tensor.format->first, tensor.rows, tensor.cols).bytes()
            : matrix(tensor).bytes().size();
    er::add_packed(writer, tensor.name, tensor.format->name(), tensor.rows, tensor.cols, bytes,
                   [this, &tensor](er::tensor_sink& sink) { sink.write(matrix(tensor).bytes()); });
  } else {
    writer.add_tensor(tensor.name, ggml_type_of(*tensor.format), {tensor.cols, tensor.rows},
                      [this, &tensor](er::tensor_sink& sink) {
                        sink.write(matrix(tensor).bytes());
                        drop(tensor);
                      });
  }
}

geometry hf_checkpoint::read_geometry() const {
  const er::hf_config& c = config();
  const auto arch = find_architecture(er::gguf_architecture(c.architecture));
  if (!arch) {
    throw er::io_error("the model's architecture is " + er::quoted(c.architecture_name) +
                       "; this program runs " + architecture_names());
  }
  if (!c.is_plain()) {
    throw er::io_error(
        "the model has windows that slide over its keys, which this program does not run");
  }
  geometry g;
  g.arch = *arch;
  g.layers = c.layers;
  g.hidden = c.hidden;
  g.feed_forward = c.feed_forward;
  g.heads = c.heads;
  g.kv_heads = c.kv_heads;
  g.head_size = g.rope_size = c.head_size;
  g.vocabulary = c.vocabulary;
  g.context = c.context;
  g.rope_base = c.rope.base;
  g.rope_factor = c.rope.scaling == er::hf_rope_scaling::linear ? c.rope.factor : 1;
  g.epsilon = static_cast<float>(c.epsilon);
  g.tied_head = c.tied_head;
  require_consistent(g);
  return g;
}

}  // namespace

std::shared_ptr<const checkpoint> open_hf(const std::filesystem::path& folder) {
  return std::make_shared<const hf_checkpoint>(folder);
}

}  // namespace llm
