// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "options.hpp"

namespace llm {

weight_count model::linear_layers() const {
  weight_count sum;
  for (const layer& one : layers) {
    for (const er::any_matrix* w : one.matrices()) {
      sum.weights += w->rows() * w->cols();
      sum.bytes += w->bytes().size();
    }
  }
  return sum;
}

std::size_t model::weight_bytes() const {
  return linear_layers().bytes + embedding.bytes().size() +
         (own_head ? own_head->bytes().size() : 0);
}

std::size_t model::bytes_per_token() const {
  const std::size_t row = own_head ? embedding.bytes().size() / embedding.rows() : 0;
  return linear_layers().bytes + head().bytes().size() + row;
}

/// More than half of the weights in linear layers are: overrides may leave some as they are.
static bool mostly_quantized(const model& weights) {
  std::size_t quantized = 0;
  for (const layer& one : weights.layers) {
    for (const er::any_matrix* w : one.matrices())
      quantized += w->is_dense() ? 0 : w->rows() * w->cols();
  }
  return 2 * quantized > weights.linear_layers().weights;
}

model build_model(const geometry& shape, weight_source& source) {
  const auto read_linear = [&source](const std::string& name, std::size_t rows, std::size_t cols,
                                     bool biased = false) {
    linear result{source.matrix(name + ".weight", rows, cols), {}};
    if (biased || source.has(name + ".bias")) result.bias = source.vector(name + ".bias", rows);
    return result;
  };
  const bool biased = shape.arch == architecture::qwen2;

  model result;
  result.shape = shape;
  result.embedding = source.matrix("token_embd.weight", shape.vocabulary, shape.hidden);
  for (std::size_t i = 0; i < shape.layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    layer one;
    one.attention_norm = source.vector(block + "attn_norm.weight", shape.hidden);
    one.query = read_linear(block + "attn_q", shape.query_size(), shape.hidden, biased);
    one.key = read_linear(block + "attn_k", shape.kv_size(), shape.hidden, biased);
    one.value = read_linear(block + "attn_v", shape.kv_size(), shape.hidden, biased);
    one.output = read_linear(block + "attn_output", shape.hidden, shape.query_size());
    if (shape.arch == architecture::qwen3) {
      one.query_norm = source.vector(block + "attn_q_norm.weight", shape.head_size);
      one.key_norm = source.vector(block + "attn_k_norm.weight", shape.head_size);
    }
    one.ffn_norm = source.vector(block + "ffn_norm.weight", shape.hidden);
    one.gate = read_linear(block + "ffn_gate", shape.feed_forward, shape.hidden);
    one.up = read_linear(block + "ffn_up", shape.feed_forward, shape.hidden);
    one.down = read_linear(block + "ffn_down", shape.hidden, shape.feed_forward);
    result.layers.push_back(std::move(one));
  }
  result.output_norm = source.vector("output_norm.weight", shape.hidden);
  if (!shape.tied_head)
    result.own_head = source.matrix("output.weight", shape.vocabulary, shape.hidden);

  std::vector<float> divisors;
  if (source.has("rope_freqs.weight"))
    divisors = source.vector("rope_freqs.weight", shape.rope_size / 2);
  if (std::any_of(divisors.begin(), divisors.end(), [](float d) { return d <= 0; }))
    throw er::io_error(
        "tensor 'rope_freqs.weight' divides frequencies by a number that is not above 0");
  const rope_pairs pairs =
      shape.arch == architecture::llama ? rope_pairs::neighbours : rope_pairs::halves;
  result.positions = rope(pairs, shape.rope_size, shape.rope_base, divisors, shape.rope_factor);
  result.quantized_cache = mostly_quantized(result);
  return result;
}

er::recipe recipe_by_name(std::string_view name, const er::recipe_options& options) {
  for (const std::string_view dense : {"f32", "f16", "bf16"}) {
    if (name != dense) continue;
    er::recipe result;
    result.name = name;
    return result.set("*", std::string{name}).set("*norm*", "").set("*bias", "");
  }
  for (const std::string_view known : er::recipe_names) {
    if (name == known || (known.starts_with(name) && known.substr(name.size()) == "_a8_kv8")) {
      return *er::find_recipe(known, options);
    }
  }
  throw std::invalid_argument(
      "no recipe is called " + er::quoted(name) +
      "; there are w4, w2_79, w1_88, w1_58 (each also with _a8_kv8 behind it), w16, f32, "
      "f16, bf16 and none");
}

er::recipe recipe_for(const std::string& name, const quantize_options& options,
                      const geometry& shape) {
  er::recipe_options details;
  details.group = options.group != 0 ? options.group : default_group(shape);
  details.ternary = options.ternary;
  er::recipe result = recipe_by_name(name, details);
  matrix_names matrices;
  if (!options.overrides.empty()) (void)build_model(shape, matrices);
  for (const std::string& text : options.overrides) {
    const std::size_t equals = text.find('=');
    const std::string format = equals == std::string::npos ? "" : text.substr(equals + 1);
    if (!er::matrix_format::parse(format)) {
      throw std::invalid_argument(
          er::quoted(text) +
          " is no override: expected PATTERN=FORMAT, as in 'token_embd*=int8_g64'");
    }
    result.set(text.substr(0, equals), format);
    er::recipe alone;
    alone.set(text.substr(0, equals), format);
    if (std::none_of(matrices.names.begin(), matrices.names.end(),
                     [&](const std::string& one) { return !alone.weight_format(one).empty(); })) {
      throw std::invalid_argument("--override " + er::quoted(text) +
                                  " changes nothing: no matrix of the model has such a name (norms "
                                  "and biases stay as they are)");
    }
  }
  return result;
}

std::vector<er::recipe> recipes_for(const std::vector<std::string>& names, bool chosen,
                                    const quantize_options& options, const model_file& file) {
  std::vector<er::recipe> result;
  if (!file.is_packed()) {
    for (const std::string& name : names) result.push_back(recipe_for(name, options, file.shape));
    return result;
  }
  if (chosen || !options.overrides.empty()) file.source->require_unpacked("a recipe");
  result.emplace_back().name = file.source->recipe_name().value_or("as packed");
  return result;
}

std::size_t prompt_room(std::size_t wanted, std::size_t decoded, const geometry& shape) {
  if (decoded >= shape.context) {
    throw std::invalid_argument(
        std::to_string(decoded) +
        " decoded tokens leave no room for a prompt: the model's context is " +
        std::to_string(shape.context) + " tokens");
  }
  return std::min(wanted, shape.context - decoded);
}

std::size_t default_group(const geometry& shape) {
  const bool wide =
      shape.hidden % 256 == 0 && shape.feed_forward % 256 == 0 && shape.query_size() % 256 == 0;
  return wide ? 256 : 64;
}

model_file::model_file(const std::filesystem::path& path)
    : source(checkpoint::open(path)), shape(source->read_geometry()) {}

model model_file::load(const er::recipe& how, thread_pool& threads,
                       file_weights::reading mode) const {
  progress_bar progress("loading", source->tensor_bytes());
  file_weights weights(*source, how, threads, &progress, mode);
  model result = build_model(shape, weights);
  // Others' formats say nothing of keys and values, in their files or copied into ours.
  const bool of_others = !source->is_packed() || source->recipe_name() == "none";
  if (how.rules.empty() && of_others) result.quantized_cache = false;
  weights.refuse_leftovers();
  result.file = source;
  return result;
}

void require_complete(const checkpoint& file, const geometry& shape) {
  thread_pool alone(1);
  const er::recipe none;
  file_weights weights(file, none, alone, nullptr, file_weights::reading::look);
  (void)build_model(shape, weights);
  weights.refuse_leftovers();
}

bool model_file::is_packed() const { return source->is_packed(); }

tokenizer model_file::read_tokenizer() const { return tokenizer{source->read_vocabulary()}; }

}  // namespace llm
