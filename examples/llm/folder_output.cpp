// SPDX-License-Identifier: Apache-2.0
/// Models written as folders that Hugging Face's transformers loads.
#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include "atomic_folder.hpp"
#include "config_json.hpp"
#include "convert.hpp"
#include "loss_account.hpp"
#include "matrix_rows.hpp"
#include "tokenizer_folder.hpp"
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/hf_names.hpp>
#include <edgerazor/io/safetensors_export.hpp>
#include <edgerazor/io/safetensors_writer.hpp>
#include <edgerazor/matrix/reorder_rows.hpp>

namespace llm {

namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  er::atomic_file file(path);
  file.write(std::as_bytes(std::span{text}));
  file.commit();
}

/// Unless the vocabulary needed one.
void write_generation(const std::filesystem::path& path, const vocabulary& words) {
  if (std::filesystem::exists(path)) return;
  nlohmann::ordered_json generation = nlohmann::ordered_json::object();
  if (words.bos) generation["bos_token_id"] = *words.bos;
  if (words.eos) generation["eos_token_id"] = *words.eos;
  write_text(path, generation.dump(2) + "\n");
}

er::safetensors_dtype dtype_of(er::scale_kind element) {
  return element == er::scale_kind::float32   ? er::safetensors_dtype::f32
         : element == er::scale_kind::float16 ? er::safetensors_dtype::f16
                                              : er::safetensors_dtype::bf16;
}

er::hf_architecture family_of(architecture arch) {
  return arch == architecture::llama   ? er::hf_architecture::llama
         : arch == architecture::qwen2 ? er::hf_architecture::qwen2
                                       : er::hf_architecture::qwen3;
}

/// The rows of `source` in another order: row r is its row order[r].
row_source in_order(row_source source, std::vector<std::uint32_t> order) {
  return [source = std::move(source), order = std::move(order)](er::row_range range,
                                                                er::matrix_view<float> out) {
    for (std::size_t r = 0; r < range.size(); ++r) {
      const std::size_t from = order[range.begin + r];
      source({from, from + 1}, out.rows_between(r, r + 1));
    }
  };
}

/// A vector's elements in the order of a folder; as many as the tensor has.
std::vector<float> vector_of(const checkpoint& file, const stored_tensor& tensor,
                             std::span<const std::uint32_t> order) {
  std::vector<float> values(tensor.cols);
  file.read_rows(tensor, {0, 1}, {values.data(), 1, values.size()});
  if (order.empty()) return values;
  std::vector<float> moved(values.size());
  for (std::size_t i = 0; i < moved.size(); ++i) moved[i] = values[order[i]];
  return moved;
}

/// What a kind of folder is.
struct kind_row {
  folder_kind kind;
  std::string_view name;
  er::scale_kind numbers;  ///< of what is not packed
  bool packs = false;      ///< linear layers keep codes and scales
};
constexpr std::array<kind_row, 7> kinds{{
    {folder_kind::bf16, "hf-bf16", er::scale_kind::bfloat16},
    {folder_kind::f16, "hf-f16", er::scale_kind::float16},
    {folder_kind::f32, "hf-f32", er::scale_kind::float32},
    {folder_kind::edgerazor, "edgerazor-python", er::scale_kind::bfloat16, true},
    {folder_kind::compressed_tensors, "compressed-tensors", er::scale_kind::float16, true},
    {folder_kind::gptq, "gptq", er::scale_kind::float16, true},
    {folder_kind::bitnet, "bitnet", er::scale_kind::bfloat16, true},
}};

const kind_row& row_of(folder_kind kind) { return kinds[static_cast<std::size_t>(kind)]; }

/// One folder while it is written.
class folder_writer {
 public:
  folder_writer(const model_file& input, const er::recipe& how, folder_kind kind,
                thread_pool& threads)
      : input_(input),
        file_(*input.source),
        how_(how),
        kind_(row_of(kind)),
        threads_(threads),
        family_(family_of(input.shape.arch)),
        account_(file_, "writing") {}

  void add(const stored_tensor& tensor) {
    if (tensor.name == "rope_freqs.weight") return account_.copied(tensor);  // config.json says it
    const auto role = er::parse_gguf_name(tensor.name);
    if (!role) {
      throw er::io_error("the model has a tensor " + er::quoted(file_.own_name(tensor.name)) +
                         " that this program does not know");
    }
    std::vector<std::uint32_t> order;
    if (er::is_permuted(family_, role->role)) {
      order = er::gguf_rows_in_hf_order(tensor.is_matrix ? tensor.rows : tensor.cols,
                                        input_.shape.head_size);
    }
    const std::string name = er::hf_name(family_, *role);
    // Of the layers alone, but where a packed embedding looks like any other.
    const bool packs = kind_.packs && (role->in_layer() || kind_.kind == folder_kind::edgerazor);
    if (!tensor.is_matrix) {
      add_vector(tensor, name, std::move(order));
    } else if (packs) {
      add_packed(tensor, name, order);
    } else {
      add_numbers(tensor, name, std::move(order));
    }
  }

  /// After all tensors. Returns bytes.
  std::size_t write(const std::filesystem::path& folder) {
    for (const packed& one : packed_) add_packed(one);
    return writer_.write_folder(folder);
  }
  [[nodiscard]] conversion finish(std::size_t bytes) { return account_.finish(bytes); }

  /// What config.json says of packed layers; null where none is.
  [[nodiscard]] nlohmann::ordered_json quantization() const;

 private:
  struct packed {
    std::string module;
    er::any_matrix matrix;
  };

  void add_vector(const stored_tensor& tensor, const std::string& name,
                  std::vector<std::uint32_t> order) {
    writer_.add(name, er::safetensors_dtype::f32, {tensor.cols},
                [this, &tensor, order = std::move(order)](er::tensor_sink& sink) {
                  const std::vector<float> values = vector_of(file_, tensor, order);
                  sink.write(std::as_bytes(std::span{values}));
                  account_.copied(tensor);
                });
  }

  void add_numbers(const stored_tensor& tensor, const std::string& name,
                   std::vector<std::uint32_t> order) {
    const er::matrix_format fmt = dense_format(kind_.numbers);
    const auto through = format_of(how_, tensor.name);
    writer_.add(name, dtype_of(fmt.element), {tensor.rows, tensor.cols},
                [this, &tensor, fmt, through, order = std::move(order)](er::tensor_sink& sink) {
                  const matrix_rows rows(file_, tensor, through, threads_);
                  const auto ordered = [&order](const row_source& source) {
                    return order.empty() ? source : in_order(source, order);
                  };
                  const er::any_matrix matrix = pack_by_blocks(
                      tensor.name, fmt, tensor.rows, tensor.cols, ordered(rows.source()), threads_);
                  sink.write(matrix.bytes());
                  account_.compare(tensor, ordered(rows.original()), matrix, threads_);
                  file_.drop(tensor);
                });
  }

  void add_packed(const stored_tensor& tensor, const std::string& name,
                  const std::vector<std::uint32_t>& order) {
    auto through = format_of(how_, tensor.name);
    if (!through && !tensor.is_packed()) {
      throw std::invalid_argument(
          "--to " + std::string{kind_.name} +
          " copies codes: name the --recipe that quantizes, or give a model that is quantized");
    }
    if (through && kind_.kind == folder_kind::edgerazor)
      through->first.scale = through->second.scale = er::scale_kind::bfloat16;
    er::any_matrix matrix =
        through ? pack_tensor(file_, tensor, *through, threads_) : file_.matrix(tensor, threads_);
    if (through) {
      account_.compare(tensor, rows_of(file_, tensor), matrix, threads_);
    } else {
      account_.copied(tensor);
    }
    file_.drop(tensor);
    if (!order.empty()) matrix = er::reordered_rows(matrix, order);
    packed_.push_back(
        {name.substr(0, name.size() - std::string_view{".weight"}.size()), std::move(matrix)});
  }
  void add_packed(const packed& one) {
    switch (kind_.kind) {
      case folder_kind::compressed_tensors:
        return er::add_compressed_tensors(writer_, one.module, one.matrix, group(),
                                          er::safetensors_dtype::f16);
      case folder_kind::gptq:
        return er::add_gptq(writer_, one.module, one.matrix, group());
      case folder_kind::bitnet:
        return er::add_bitnet(writer_, one.module, one.matrix);
      default:
        return er::add_edgerazor(writer_, one.module, one.matrix);
    }
  }

  /// Columns that share a scale in the folder: what all matrices have, at most 128, which readers'
  /// kernels take.
  [[nodiscard]] std::size_t group() const {
    std::size_t least = 128;
    for (const packed& one : packed_) least = std::min(least, one.matrix.group_cols());
    return least;
  }

  const model_file& input_;
  const checkpoint& file_;
  const er::recipe& how_;
  const kind_row& kind_;
  thread_pool& threads_;
  er::hf_architecture family_;
  loss_account account_;
  er::safetensors_writer writer_;
  std::deque<packed> packed_;  // the writer refers to them
};

/// EdgeRazor's name for a mixture: of the layers' rows, how many are int4.
std::string edgerazor_mode(const er::any_matrix& layer) {
  const er::matrix_format& fmt = layer.fmt();
  if (fmt.type == er::matrix_format::kind::packed)
    return fmt.first.code == er::code_type::int4 ? "w4a8kv8" : "w1_58a8kv8";
  return fmt.map.n == 2 ? "w2_79a8kv8" : "w1_88a8kv8";
}

nlohmann::ordered_json folder_writer::quantization() const {
  switch (kind_.kind) {
    case folder_kind::compressed_tensors:
      return {{"quant_method", "compressed-tensors"},
              {"format", "pack-quantized"},
              {"quantization_status", "compressed"},
              {"ignore", {"lm_head"}},
              {"config_groups",
               {{"group_0",
                 {{"targets", {"Linear"}},
                  {"input_activations", nullptr},
                  {"output_activations", nullptr},
                  {"weights",
                   {{"num_bits", 4},
                    {"type", "int"},
                    {"symmetric", true},
                    {"strategy", "group"},
                    {"group_size", group()},
                    {"dynamic", false}}}}}}}};
    case folder_kind::gptq:
      return {{"quant_method", "gptq"}, {"bits", 4},   {"group_size", group()},
              {"desc_act", false},      {"sym", true}, {"checkpoint_format", "gptq"},
              {"lm_head", false}};
    case folder_kind::bitnet:
      return {{"quant_method", "bitnet"},
              {"linear_class", "autobitlinear"},
              {"quantization_mode", "offline"},
              {"modules_to_not_convert", {"lm_head"}}};
    case folder_kind::edgerazor: {
      const auto layer = std::ranges::find_if(packed_, [](const packed& one) {
        return one.module.find(".up_proj") != std::string::npos;
      });
      if (layer == packed_.end()) return nullptr;
      return {{"quant_method", "edgerazor"},
              {"quant_mode", edgerazor_mode(layer->matrix)},
              {"backend", "py"},
              {"weight_bits", 4},
              {"activation_bits", 8},
              {"kv_cache_bits", 8},
              {"is_w_quantized", true},
              {"er_block_size", layer->matrix.group_cols()}};
    }
    default:
      return nullptr;
  }
}

}  // namespace

std::optional<folder_kind> find_folder_kind(std::string_view name) {
  for (const kind_row& row : kinds) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

std::string folder_kind_names() {
  std::string text;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (i != 0) text += i + 1 < kinds.size() ? ", " : " and ";
    text += kinds[i].name;
  }
  return text;
}

conversion write_folder(const model_file& input, const er::recipe& how, folder_kind kind,
                        const std::filesystem::path& folder, thread_pool& threads) {
  const checkpoint& file = *input.source;
  if (!how.rules.empty()) file.require_unpacked("a recipe");
  const er::scale_kind numbers = row_of(kind).numbers;
  const vocabulary words = file.read_vocabulary();
  nlohmann::ordered_json config = config_json(file, input.shape, words,
                                              numbers == er::scale_kind::bfloat16  ? "bfloat16"
                                              : numbers == er::scale_kind::float16 ? "float16"
                                                                                   : "float32");
  atomic_folder output(folder);
  folder_writer writer(input, how, kind, threads);
  for (const stored_tensor& tensor : file.tensors()) writer.add(tensor);
  const std::size_t bytes = writer.write(output.path());
  if (nlohmann::ordered_json quantization = writer.quantization(); !quantization.is_null())
    config["quantization_config"] = std::move(quantization);
  write_text(output.path() / "config.json",
             config.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  write_vocabulary(output.path(), words);
  write_generation(output.path() / "generation_config.json", words);
  output.commit();
  return writer.finish(bytes);
}

}  // namespace llm
