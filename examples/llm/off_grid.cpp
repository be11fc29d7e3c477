// SPDX-License-Identifier: Apache-2.0
#include "off_grid.hpp"

#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint.hpp"
#include "options.hpp"
#include "progress_bar.hpp"
#include "support/named_files.hpp"
#include "support/system.hpp"
#include "table.hpp"
#include <edgerazor/core/float16.hpp>
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace llm {

namespace {

using factors = std::vector<float>;

factors draw(std::mt19937_64& random, std::size_t count) {
  constexpr double least = 0.8, most = 1.25;
  factors result(count);
  for (float& f : result) {
    const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
    f = static_cast<float>(least + (most - least) * unit);
  }
  return result;
}

/// The factors of one layer: columns of what reads the attention's and the feed-forward's input,
/// rows of v and up.
struct layer_factors {
  factors attention, ffn, value, up;

  layer_factors(const geometry& shape, std::uint64_t seed, std::size_t layer) {
    std::mt19937_64 random(seed ^ (layer + 1) * 0x9e3779b97f4a7c15u);
    attention = draw(random, shape.hidden);
    ffn = draw(random, shape.hidden);
    value = draw(random, shape.kv_size());
    up = draw(random, shape.feed_forward);
  }
};

/// What the elements of one tensor are multiplied with; empty: 1.
struct scaling {
  factors rows, cols;
};

factors inverse(factors f) {
  for (float& x : f) x = 1.0f / x;
  return f;
}

/// The factor of each of o's columns, of which those of a query head meet the rows of v that its
/// key/value head has.
factors for_heads(const factors& value, const geometry& shape) {
  factors result;
  for (std::size_t head = 0; head < shape.heads; ++head) {
    const std::size_t first = head / (shape.heads / shape.kv_heads) * shape.head_size;
    for (std::size_t d = 0; d < shape.head_size; ++d) result.push_back(value[first + d]);
  }
  return result;
}

scaling scaling_of(std::string_view name, const geometry& shape, std::uint64_t seed) {
  constexpr std::string_view prefix = "blk.";
  if (!name.starts_with(prefix)) return {};
  const std::size_t dot = name.find('.', prefix.size());
  const layer_factors f(shape, seed, std::stoul(std::string{name.substr(prefix.size(), dot)}));
  const std::string_view role = name.substr(dot + 1);
  if (role == "attn_norm.weight") return {{}, inverse(f.attention)};
  if (role == "ffn_norm.weight") return {{}, inverse(f.ffn)};
  if (role == "attn_q.weight" || role == "attn_k.weight") return {{}, f.attention};
  if (role == "attn_v.weight") return {f.value, f.attention};
  if (role == "attn_v.bias") return {{}, f.value};
  if (role == "attn_output.weight") return {{}, inverse(for_heads(f.value, shape))};
  if (role == "ffn_gate.weight") return {{}, f.ffn};
  if (role == "ffn_up.weight") return {f.up, f.ffn};
  if (role == "ffn_up.bias") return {{}, f.up};
  if (role == "ffn_down.weight") return {{}, inverse(f.up)};
  return {};
}

void scale_row(std::span<float> values, const scaling& by, std::size_t row) {
  for (std::size_t c = 0; c < values.size(); ++c) {
    if (!by.rows.empty()) values[c] *= by.rows[row];
    if (!by.cols.empty()) values[c] *= by.cols[c];
  }
}

}  // namespace

conversion write_off_grid(const model_file& input, std::uint64_t seed,
                          const std::filesystem::path& output) {
  const checkpoint& file = *input.source;
  file.require_unpacked("off-grid");
  const std::size_t before = file.tensor_bytes();
  progress_bar progress("writing", before);

  er::gguf_writer writer;
  writer.set_u32("general.file_type", er::gguf_file_type(er::ggml_type::f16));
  constexpr std::string_view outdated[] = {"general.quantization_version"};
  file.add_metadata(writer, outdated);
  for (const stored_tensor& tensor : file.tensors()) {
    const bool matrix = tensor.is_matrix;
    const std::vector<std::size_t> dims = matrix
                                              ? std::vector<std::size_t>{tensor.cols, tensor.rows}
                                              : std::vector<std::size_t>{tensor.cols};
    writer.add_tensor(tensor.name, matrix ? er::ggml_type::f16 : er::ggml_type::f32, dims,
                      [&file, &tensor, &input, &progress, seed, matrix](er::tensor_sink& sink) {
                        const scaling by = scaling_of(tensor.name, input.shape, seed);
                        std::vector<float> values(tensor.cols);
                        std::vector<er::float16> halves(values.size());
                        for (std::size_t r = 0; r < tensor.rows; ++r) {
                          file.read_rows(tensor, {r, r + 1}, {values.data(), 1, values.size()});
                          scale_row(values, by, r);
                          if (!matrix) {
                            sink.write(std::as_bytes(std::span{values}));
                            continue;
                          }
                          for (std::size_t c = 0; c < values.size(); ++c) {
                            halves[c] = er::float16{values[c]};
                            if (!std::isfinite(float{halves[c]})) {
                              throw er::io_error("tensor " + er::quoted(tensor.name) +
                                                 ": the weight of row " + std::to_string(r) +
                                                 ", column " + std::to_string(c) +
                                                 " leaves the range of float16");
                            }
                          }
                          sink.write(std::as_bytes(std::span{halves}));
                        }
                        progress.advance(tensor.bytes);
                        file.drop(tensor);
                      });
  }
  conversion done;
  done.bytes_before = before;
  done.bytes_after = writer.write(output);
  return done;
}

void off_grid(const off_grid_options& options) {
  const model_file input(options.model);
  input.require_complete();
  support::require_apart({{"--output", options.output}}, parts_of_model("--model", options.model));
  static_cast<void>(er::atomic_file(options.output));  // can it be written? Before the work.
  const conversion done = write_off_grid(input, options.seed, options.output);
  support::print(er::printable(options.output, er::longest_path) + ": " +
                 megabytes(done.bytes_after) +
                 " MB, the same function with weights off any grid\n");
}

}  // namespace llm
