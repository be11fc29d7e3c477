// SPDX-License-Identifier: Apache-2.0
#include "convert.hpp"

#include <algorithm>
#include <deque>
#include <stdexcept>
#include <string>

#include "options.hpp"
#include "progress_bar.hpp"
#include "support/system.hpp"
#include "table.hpp"
#include "weight_source.hpp"
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace llm {

namespace {

er::any_matrix pack_tensor(const checkpoint& file, const stored_tensor& tensor,
                           const er::matrix_format& fmt, thread_pool& threads) {
  const auto read = [&](er::row_range range, er::matrix_view<float> out) {
    file.read_rows(tensor, range, out);
  };
  er::any_matrix result = pack_by_blocks(tensor.name, fmt, tensor.rows, tensor.cols, read, threads);
  file.drop(tensor);
  return result;
}

er::ggml_type type_of_dense(const er::matrix_format& fmt) {
  return fmt.element == er::scale_kind::float32   ? er::ggml_type::f32
         : fmt.element == er::scale_kind::float16 ? er::ggml_type::f16
                                                  : er::ggml_type::bf16;
}

er::matrix_format dense_of_type(er::ggml_type type) {
  er::matrix_format fmt;
  if (type == er::ggml_type::f16) fmt.element = er::scale_kind::float16;
  if (type == er::ggml_type::bf16) fmt.element = er::scale_kind::bfloat16;
  return fmt;
}

/// Metadata of the input, but for what the conversion makes untrue.
er::gguf_writer writer_for(const checkpoint& file, std::uint32_t file_type) {
  er::gguf_writer writer;
  writer.set_u32("general.file_type", file_type);
  constexpr std::string_view outdated[] = {"general.quantization_version", recipe_key};
  file.add_metadata(writer, outdated);
  return writer;
}

/// Rounded to a dense format while the file is written.
void add_dense(er::gguf_writer& writer, const checkpoint& file, const stored_tensor& tensor,
               const er::matrix_format& fmt, thread_pool& threads, progress_bar& progress) {
  writer.add_tensor(tensor.name, type_of_dense(fmt), {tensor.cols, tensor.rows},
                    [&, fmt](er::tensor_sink& sink) {
                      sink.write(pack_tensor(file, tensor, fmt, threads).bytes());
                      progress.advance(tensor.bytes);
                    });
}

}  // namespace

conversion write_quantized(const model_file& input, const er::recipe& how,
                           const std::filesystem::path& output, thread_pool& threads) {
  const checkpoint& file = *input.source;
  if (file.is_packed()) throw std::invalid_argument("the file holds a quantized model already");
  progress_bar progress("quantizing", file.tensor_bytes());
  const auto linear = format_of(how, "blk.0.ffn_up.weight");
  const bool dense = linear && linear->type == er::matrix_format::kind::dense;
  er::gguf_writer writer =
      writer_for(file, er::gguf_file_type(dense ? type_of_dense(*linear) : er::ggml_type::i8));
  writer.set_string(recipe_key, how.name);
  for (const stored_tensor& tensor : file.tensors()) {
    const auto fmt = tensor.is_matrix ? format_of(how, tensor.name) : std::nullopt;
    if (!fmt) {
      file.add_tensor(writer, tensor);
      continue;
    }
    if (fmt->type == er::matrix_format::kind::dense) {
      add_dense(writer, file, tensor, *fmt, threads, progress);
      continue;
    }
    const std::size_t bytes = er::any_matrix::empty(*fmt, tensor.rows, tensor.cols).bytes().size();
    er::add_packed(writer, tensor.name, fmt->name(), tensor.rows, tensor.cols, bytes,
                   [&, fmt = *fmt](er::tensor_sink& sink) {
                     sink.write(pack_tensor(file, tensor, fmt, threads).bytes());
                     progress.advance(tensor.bytes);
                   });
  }
  return {file.tensor_bytes(), writer.write(output)};
}

er::ggml_type export_type(std::string_view name) {
  using enum er::ggml_type;
  for (const er::ggml_type type : {f32, f16, bf16, q4_0, tq1_0, tq2_0}) {
    std::string known{er::info_of(type).name};
    std::transform(known.begin(), known.end(), known.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (known == name) return type;
  }
  throw std::invalid_argument(er::quoted(name) +
                              " is not exported; there are f32, f16, bf16, q4_0, tq1_0 and tq2_0");
}

conversion write_exported(const model_file& input, const er::recipe& how, er::ggml_type type,
                          const std::filesystem::path& output, thread_pool& threads) {
  const checkpoint& file = *input.source;
  if (!how.rules.empty() && file.is_packed()) {
    throw std::invalid_argument(
        "the file holds a quantized model already; a recipe is for one that is not");
  }
  progress_bar progress("exporting", file.tensor_bytes());
  er::gguf_writer writer = writer_for(file, er::gguf_file_type(type));
  const bool real = !er::info_of(type).quantized();
  std::deque<er::any_matrix> matrices;  // the writer refers to them
  for (const stored_tensor& tensor : file.tensors()) {
    if (!tensor.is_matrix) {
      file.add_tensor(writer, tensor);
      continue;
    }
    if (!tensor.refusal.empty())
      throw er::io_error("tensor " + er::quoted(tensor.name) + " " + tensor.refusal);
    const auto fmt = tensor.is_packed() ? tensor.format : format_of(how, tensor.name);
    if (!fmt) {
      if (!real) {
        throw std::invalid_argument(
            "exporting to " + std::string{er::info_of(type).name} +
            " copies codes: name the --recipe that quantizes, or give a model that is quantized");
      }
      const er::matrix_format wanted = dense_of_type(type);
      if (tensor.format == wanted) {
        file.add_tensor(writer, tensor);
      } else {
        add_dense(writer, file, tensor, wanted, threads, progress);
      }
      continue;
    }
    matrices.push_back(tensor.is_packed() ? file.matrix(tensor)
                                          : pack_tensor(file, tensor, *fmt, threads));
    progress.advance(tensor.bytes);
    const bool wide = !real && matrices.back().fmt().first.code == er::code_type::int4;
    er::add_exported(writer, tensor.name, matrices.back(), wide ? er::ggml_type::q4_0 : type);
  }
  return {file.tensor_bytes(), writer.write(output)};
}

void convert(const convert_options& options) {
  const model_file input(options.model);
  input.require_complete();
  const er::recipe how = recipe_for(options.quantize.recipe, options.quantize, input.shape);
  static_cast<void>(er::atomic_file(options.output));  // can it be written? Before the work.
  thread_pool threads(options.run.threads);
  const conversion done =
      options.exported.empty()
          ? write_quantized(input, how, options.output, threads)
          : write_exported(input, how, export_type(options.exported), options.output, threads);
  support::print(er::printable(options.output, er::longest_path) + ": " +
                 megabytes(done.bytes_after) + " MB, from " + megabytes(done.bytes_before) +
                 " MB of tensors\n");
}

}  // namespace llm
