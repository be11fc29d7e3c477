// SPDX-License-Identifier: Apache-2.0
/// Models written as GGUF files.
#include <algorithm>
#include <deque>
#include <stdexcept>
#include <string>

#include "convert.hpp"
#include "loss_account.hpp"
#include "matrix_rows.hpp"
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace llm {

namespace {

er::ggml_type type_of_dense(const er::matrix_format& fmt) {
  return fmt.element == er::scale_kind::float32   ? er::ggml_type::f32
         : fmt.element == er::scale_kind::float16 ? er::ggml_type::f16
                                                  : er::ggml_type::bf16;
}

er::matrix_format dense_of_type(er::ggml_type type) {
  return dense_format(type == er::ggml_type::f32   ? er::scale_kind::float32
                      : type == er::ggml_type::f16 ? er::scale_kind::float16
                                                   : er::scale_kind::bfloat16);
}

/// Metadata of the input, but for what the conversion makes untrue.
er::gguf_writer writer_for(const checkpoint& file, std::uint32_t file_type) {
  er::gguf_writer writer;
  writer.set_u32("general.file_type", file_type);
  constexpr std::string_view outdated[] = {"general.quantization_version", recipe_key};
  file.add_metadata(writer, outdated);
  return writer;
}

void copy(er::gguf_writer& writer, const checkpoint& file, const stored_tensor& tensor,
          loss_account& account) {
  file.add_tensor(writer, tensor);
  account.copied(tensor);
}

}  // namespace

conversion write_quantized(const model_file& input, const er::recipe& how,
                           const std::filesystem::path& output, thread_pool& threads) {
  const checkpoint& file = *input.source;
  file.require_unpacked("a recipe");
  loss_account account(file, "quantizing");
  const auto linear = format_of(how, "blk.0.ffn_up.weight");
  const bool dense = linear && linear->type == er::matrix_format::kind::dense;
  er::gguf_writer writer =
      writer_for(file, er::gguf_file_type(dense ? type_of_dense(*linear) : er::ggml_type::i8));
  writer.set_string(recipe_key, how.rules.empty() ? "none" : how.name);
  for (const stored_tensor& tensor : file.tensors()) {
    auto fmt = tensor.is_matrix ? format_of(how, tensor.name) : std::nullopt;
    if (!fmt || (fmt == tensor.format && !tensor.is_packed())) {
      if (file.can_add(tensor)) {
        copy(writer, file, tensor, account);
        continue;
      }
      fmt = dense_format(er::scale_kind::float16);
    }
    const auto source = [&, fmt = *fmt](er::tensor_sink& sink) {
      const er::any_matrix matrix = fmt == tensor.format ? file.matrix(tensor, threads)
                                                         : pack_tensor(file, tensor, fmt, threads);
      sink.write(matrix.bytes());
      account.compare(tensor, rows_of(file, tensor), matrix, threads);
      file.drop(tensor);
    };
    if (fmt->type == er::matrix_format::kind::dense) {
      writer.add_tensor(tensor.name, type_of_dense(*fmt), {tensor.cols, tensor.rows}, source);
    } else {
      const std::size_t bytes =
          er::any_matrix::empty(*fmt, tensor.rows, tensor.cols).bytes().size();
      er::add_packed(writer, tensor.name, fmt->name(), tensor.rows, tensor.cols, bytes, source);
    }
  }
  const std::size_t bytes = writer.write(output);
  return account.finish(bytes);
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
  if (!how.rules.empty()) file.require_unpacked("a recipe");
  loss_account account(file, "exporting");
  er::gguf_writer writer = writer_for(file, er::gguf_file_type(type));
  const bool real = !er::info_of(type).quantized();
  const er::matrix_format dense = dense_of_type(type);
  std::deque<er::any_matrix> matrices;  // the writer refers to them
  for (const stored_tensor& tensor : file.tensors()) {
    if (!tensor.is_matrix || (real && tensor.format == dense)) {
      copy(writer, file, tensor, account);
      continue;
    }
    const std::optional<er::matrix_format> fmt = format_of(how, tensor.name);
    if (real) {
      writer.add_tensor(tensor.name, type, {tensor.cols, tensor.rows},
                        [&, fmt](er::tensor_sink& sink) {
                          const matrix_rows rows(file, tensor, fmt, threads);
                          const er::any_matrix matrix = pack_by_blocks(
                              tensor.name, dense, tensor.rows, tensor.cols, rows.source(), threads);
                          sink.write(matrix.bytes());
                          account.compare(tensor, rows.original(), matrix, threads);
                          file.drop(tensor);
                        });
      continue;
    }
    if (!fmt && !tensor.is_packed()) {
      throw std::invalid_argument(
          "exporting to " + std::string{er::info_of(type).name} +
          " copies codes: name the --recipe that quantizes, or give a model that is quantized");
    }
    if (fmt) {
      matrices.push_back(pack_tensor(file, tensor, *fmt, threads));
      account.compare(tensor, rows_of(file, tensor), matrices.back(), threads);
    } else {
      matrices.push_back(file.matrix(tensor, threads));
      account.copied(tensor);
    }
    const bool wide = matrices.back().fmt().first.code == er::code_type::int4;
    er::add_exported(writer, tensor.name, matrices.back(), wide ? er::ggml_type::q4_0 : type);
  }
  const std::size_t bytes = writer.write(output);
  return account.finish(bytes);
}

}  // namespace llm
