// SPDX-License-Identifier: Apache-2.0
#include "calibration.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>

#include "calibration_formats.hpp"
#include "calibration_scores.hpp"
#include "matrix_rounding.hpp"
#include "progress_bar.hpp"
#include "support/kernel_choice.hpp"
#include "table.hpp"
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace llm {

namespace {

/// At most what a file takes beside its matrices: metadata, norms, biases and what is written of
/// each tensor.
std::size_t bytes_besides(const model_file& input) {
  const checkpoint& file = *input.source;
  constexpr std::size_t of_tensor = 256;
  std::size_t result = file.metadata_bytes();
  for (const stored_tensor& tensor : file.tensors()) {
    result += of_tensor + 2 * tensor.name.size();
    if (!tensor.is_matrix) result += tensor.bytes;
  }
  return result;
}

[[noreturn]] void refuse_budget(double bits, std::size_t smallest, std::size_t weights) {
  throw std::invalid_argument(
      "--bits " + decimal(bits, 2) + " is less than the smallest formats take: " +
      decimal(8 * static_cast<double>(smallest) / static_cast<double>(weights), 2) +
      " bits a weight, the whole file counted");
}

/// Statistics of one input while tokens come, as they are or rotated.
class collected {
 public:
  explicit collected(bool rotates) : rotates_(rotates) {}
  void add(er::matrix_view<const float> in, thread_pool& threads) {
    if (moments_.cols() == 0) {
      moments_ = er::second_moments(in.cols);
      columns_ = er::column_statistics(in.cols);
    }
    if (rotates_) {
      turned_.clear();
      for (std::size_t t = 0; t < in.rows; ++t)
        turned_.insert(turned_.end(), in.row(t).begin(), in.row(t).end());
      er::rotate_rows({turned_.data(), in.rows, in.cols}, rotation_of(in.cols));
      in = {turned_.data(), in.rows, in.cols};
    }
    moments_.add(in, threads);
    columns_.add(in);
  }
  [[nodiscard]] shared_input shared() && { return {std::move(moments_), std::move(columns_)}; }

 private:
  bool rotates_;
  er::second_moments moments_;
  er::column_statistics columns_;
  std::vector<float> turned_;
};

/// Of a matrix whose rows are looked up: all columns count alike, each for itself.
shared_input looked_up(std::size_t cols) {
  std::vector<double> identity(cols * cols);
  std::vector<float> ones(cols, 1.0f);
  for (std::size_t c = 0; c < cols; ++c) identity[c * cols + c] = 1;
  er::column_statistics columns(cols);
  columns.add({ones.data(), 1, cols});
  return {er::second_moments(er::matrix_view<const double>{identity.data(), cols, cols}, 1),
          std::move(columns)};
}

/// By layer_input.
std::vector<shared_input> inputs_of(layer_walk& walk, std::size_t layer, bool rotates,
                                    thread_pool& threads) {
  std::vector<collected> seen(layer_inputs, collected(rotates));
  walk.look(layer, [&](layer_input which, er::matrix_view<const float> in) {
    seen[static_cast<std::size_t>(which)].add(in, threads);
  });
  std::vector<shared_input> result;
  for (collected& one : seen) result.push_back(std::move(one).shared());
  return result;
}

/// The vectors of a model that scale_columns may have changed, by their names in the file.
std::map<std::string, const std::vector<float>*> vectors_of(const model& weights) {
  std::map<std::string, const std::vector<float>*> result;
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    const layer& one = weights.layers[i];
    result[block + "attn_norm.weight"] = &one.attention_norm;
    result[block + "ffn_norm.weight"] = &one.ffn_norm;
    if (!one.up.bias.empty()) result[block + "ffn_up.bias"] = &one.up.bias;
  }
  return result;
}

/// The file's metadata and small tensors, and the model's matrices.
std::size_t write_model(const model_file& input, const model& weights,
                        const std::vector<matrix_place>& places, const std::string& name,
                        const std::filesystem::path& output) {
  const checkpoint& file = *input.source;
  std::map<std::string_view, const er::any_matrix*> matrices;
  for (const matrix_place& place : places) matrices[place.name] = place.matrix;
  const auto vectors = vectors_of(weights);
  er::gguf_writer writer;
  writer.set_u32("general.file_type", er::gguf_file_type(er::ggml_type::i8));
  constexpr std::string_view outdated[] = {"general.quantization_version", recipe_key};
  file.add_metadata(writer, outdated);
  writer.set_string(recipe_key, name);
  for (const stored_tensor& tensor : file.tensors()) {
    const auto matrix = matrices.find(tensor.name);
    const auto vector = vectors.find(tensor.name);
    if (matrix != matrices.end()) {
      er::add_matrix(writer, tensor.name, *matrix->second);
    } else if (vector != vectors.end()) {
      writer.add_tensor(tensor.name, er::ggml_type::f32, {vector->second->size()},
                        std::as_bytes(std::span{*vector->second}));
    } else {
      file.add_tensor(writer, tensor);
    }
  }
  return writer.write(output);
}

std::size_t weights_of(std::span<const matrix_place> places) {
  std::size_t sum = 0;
  for (const matrix_place& place : places) sum += place.matrix->rows() * place.matrix->cols();
  return sum;
}

model load_model(const model_file& input, thread_pool& threads) {
  input.source->require_unpacked("calibration");
  er::recipe none;
  none.name = "none";
  return input.load(none, threads, file_weights::reading::decode);
}

/// What options ask for, as far as it is known before anything is measured.
struct calibration_plan {
  bool automatic;
  rounding_method method;
  bool keeps_task;
  std::optional<task_gradients> gradients = {};
  std::vector<er::format> candidates = {};
  std::size_t budget = 0;  ///< bytes of all matrices

  /// Throws as require_possible() does.
  calibration_plan(const calibrate_options& options, const model_file& input,
                   std::span<const matrix_place> places, thread_pool& threads)
      : automatic(options.method == "auto"),
        method(method_by_name(automatic ? "refined" : options.method)),
        keeps_task(method.beside == stored_beside::task_weights) {
    if (options.rotate && !method.can_rotate()) {
      throw std::invalid_argument("--rotate: the method " + std::string{method.name} +
                                  " goes by columns or weights as they are");
    }
    method.rotates = method.rotates || options.rotate;
    if (keeps_task && options.gradients.empty()) {
      throw std::invalid_argument("--method " + std::string{method.name} +
                                  " needs --gradients FILE, which `qad gradients --model MODEL "
                                  "--output FILE` writes");
    }
    if ((keeps_task || automatic) && !options.gradients.empty())
      gradients.emplace(options.gradients, places, threads);
    const std::size_t besides = bytes_besides(input), weights = weights_of(places);
    const auto whole = static_cast<std::size_t>(options.bits * static_cast<double>(weights) / 8);
    const bool plain = automatic || method.name == "rtn", zeros = method.name != "rtn";
    candidates = method.beside == stored_beside::outliers
                     ? two_level_formats()
                     : candidate_formats(options.group, plain, zeros);
    // With these bytes there is a format for every matrix.
    const std::size_t smallest = besides + smallest_bytes(places, candidates, method);
    if (whole < smallest) refuse_budget(options.bits, smallest, weights);
    budget = whole - besides;
  }
};

}  // namespace

void require_possible(const model_file& input, std::span<const calibrate_options> wanted,
                      thread_pool& threads) {
  model weights = load_model(input, threads);
  const std::vector<matrix_place> places = places_of(weights);
  for (const calibrate_options& options : wanted)
    static_cast<void>(calibration_plan(options, input, places, threads));
}

calibration calibrate_model(const model_file& input, const calibrate_options& options,
                            const std::filesystem::path& output, thread_pool& threads,
                            known_sensitivity& sensitivity) {
  const auto start = std::chrono::steady_clock::now();
  const er::kernel& kernel = support::chosen_kernel(options.run.kernel);
  model weights = load_model(input, threads);
  const std::vector<matrix_place> places = places_of(weights);
  const calibration_plan plan(options, input, places, threads);
  const bool automatic = plan.automatic, keeps_task = plan.keeps_task;
  const rounding_method& method = plan.method;
  const std::optional<task_gradients>& gradients = plan.gradients;
  const std::vector<er::format>& candidates = plan.candidates;
  const std::size_t budget = plan.budget;
  const er::format probe{er::code_type::int4, static_cast<std::uint32_t>(options.group)};
  calibration result;
  result.weights = weights_of(places);

  const tokenizer words = input.read_tokenizer();
  const std::optional<token_id> beginning = words.data().add_bos ? words.data().bos : std::nullopt;
  const std::vector<token_id> text =
      words.encode(calibration_text_of(options.text), tokenizer::markup::plain, false);
  const std::size_t window = std::min(options.window, input.shape.context);
  const token_windows windows = cut_windows(text, options.windows, window, beginning);
  result.text_tokens = windows.tokens.size();

  // In units of one token through one layer. A probe passes half of them on average.
  const std::size_t layers = weights.layers.size();
  const bool probing = automatic && !sensitivity;
  const token_windows few = cut_windows(text, 2, std::min<std::size_t>(64, window), beginning);
  const double probe_work = !probing ? 0
                                     : static_cast<double>(few.tokens.size() * places.size()) *
                                           static_cast<double>(layers) / 2;
  const double layer_work = static_cast<double>(windows.tokens.size()) * 2;
  const double rounds = keeps_task ? 2 : 1;
  constexpr double fine = 1024;
  progress_bar progress(
      "calibrating",
      static_cast<std::size_t>(
          fine * (probe_work + rounds * layer_work * static_cast<double>(layers + 2))));
  const auto advance = [&](double work) {
    progress.advance(static_cast<std::size_t>(fine * work));
  };

  std::vector<row_formats> formats;
  if (automatic) {
    if (!sensitivity) {
      sensitivity = measure_sensitivity(weights, few, probe, threads, kernel,
                                        [&](double part) { advance(part * probe_work); });
    }
    std::vector<matrix_sensitivity> known = *sensitivity;
    for (std::size_t i = 0; gradients && i < places.size(); ++i) {
      if (places[i].layer != matrix_place::no_layer)
        known[i].row_weights = gradients->row_weights(places[i], threads);
    }
    formats = fitting_formats(places, candidates, known, probe, method, budget, threads);
  } else {
    formats = uniform_formats(places, candidates, method, budget);
  }

  result.matrices.resize(places.size());
  std::vector<er::any_matrix> others(keeps_task ? places.size() : 0);  // real ones, then rounded
  std::optional<task_choice> choice;
  const auto round = [&](std::size_t i, const shared_input& from) {
    const matrix_place& place = places[i];
    const bool in_layer = place.layer != matrix_place::no_layer;
    mask_source kept;
    if (choice && in_layer) {
      kept = [&, i](er::row_range rows, er::matrix_view<const float> w) {
        return choice->mask(i, rows, w);
      };
    }
    const rounding_method& own =
        method.whole_layers() && !in_layer ? method_by_name("refined") : method;
    rounded one = round_matrix(*place.matrix, formats[i], own, from, threads, kept);
    result.matrices[i] = {place.name,
                          place.layer,
                          one.matrix.fmt().name(),
                          std::string{own.name},
                          one.matrix.rows() * one.matrix.cols(),
                          one.matrix.bytes().size(),
                          automatic ? (*sensitivity)[i].divergence : 0,
                          one.error,
                          one.energy};
    std::swap(*place.matrix, one.matrix);
    if (keeps_task && !choice) others[i] = std::move(one.matrix);
  };
  const auto index_of = [&](const er::any_matrix& matrix) {
    return static_cast<std::size_t>(std::ranges::find(places, &matrix, &matrix_place::matrix) -
                                    places.begin());
  };
  const auto round_all = [&] {
    layer_walk walk(weights, threads, windows, kernel);
    for (std::size_t l = 0; l < layers; ++l) {
      layer& one = weights.layers[l];
      std::vector<shared_input> inputs = inputs_of(walk, l, method.rotates, threads);
      advance(layer_work / 2);
      if (method.scales_columns) {
        scale_columns(one, formats[index_of(one.query.weights)].most, inputs, threads);
        inputs = inputs_of(walk, l, method.rotates, threads);
      }
      for (std::size_t i = index_of(one.query.weights); i < places.size() && places[i].layer == l;
           ++i)
        round(i, inputs[static_cast<std::size_t>(places[i].input)]);
      walk.pass(l);
      advance(layer_work / 2);
    }
    collected head(method.rotates);
    walk.look_at_head([&](er::matrix_view<const float> in) { head.add(in, threads); });
    round(index_of(weights.head()), std::move(head).shared());
    if (weights.own_head) round(index_of(weights.embedding), looked_up(weights.shape.hidden));
    advance(layer_work);
  };
  round_all();
  if (keeps_task) {
    for (std::size_t i = 0; i < places.size(); ++i) std::swap(*places[i].matrix, others[i]);
    choice.emplace(*gradients, places, std::move(others), threads);
    round_all();
  }
  result.file_bytes =
      write_model(input, weights, places, "calibrated by " + options.method, output);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace llm
