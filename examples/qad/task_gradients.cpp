// SPDX-License-Identifier: Apache-2.0
#include "task_gradients.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "decoder.hpp"
#include "llm/checkpoint.hpp"
#include "llm/model.hpp"
#include "llm/progress_bar.hpp"
#include "stored_weights.hpp"
#include "support/named_files.hpp"
#include "support/threads.hpp"
#include <edgerazor/distill/fused_head.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/safetensors_writer.hpp>

namespace qad {

namespace {

/// The gradients of one window at a time.
class window_gradients {
 public:
  window_gradients(const weight_pages<float>& weights, std::size_t length)
      : weights_(weights),
        model_(weights.shape(), 1, length, pass::training),
        gradient_(weights.shape()),
        input_gradient_(length * weights.shape().hidden),
        workspace_(losses_.workspace_size(length)) {}

  /// `tokens`: one more than are passed, the last being a label alone.
  void compute(std::span<const llm::token_id> tokens) {
    const std::vector<std::int32_t> ids(tokens.begin(), tokens.end() - 1);
    const std::vector<std::int64_t> labels(tokens.begin() + 1, tokens.end());
    model_.forward(weights_, ids);
    std::ranges::fill(gradient_.values(), 0.0f);
    const er::matrix_view<const float> inputs = model_.head_input();
    const er::matrix_view<float> to{input_gradient_.data(), inputs.rows, inputs.cols};
    const auto head = model_.head(weights_);
    losses_(inputs, head, inputs, head,
            er::token_batch{.labels = labels, .how = er::reduction::mean}, to, workspace_);
    model_.backward(weights_, to, {}, gradient_);
  }
  [[nodiscard]] er::matrix_view<const float> of(std::string_view name) const {
    return std::as_const(gradient_).view(name);
  }

 private:
  const weight_pages<float>& weights_;
  decoder model_;
  parameters gradient_;
  er::fused_head<er::forward_kl> losses_{.task_weight = 1, .loss_weight = 0, .columns = 1024};
  std::vector<float> input_gradient_, workspace_;
};

}  // namespace

std::vector<task_gradient> task_gradients(const weight_pages<float>& weights,
                                          const llm::token_windows& text, std::size_t threads,
                                          const std::function<void()>& advance) {
  if (text.length < 2) {
    throw std::invalid_argument(std::to_string(text.length) +
                                " tokens a window, expected at least 2: one to predict");
  }
  std::vector<task_gradient> result;
  for (const weight_entry& e : weight_layout(weights.shape())) {
    if (e.name.starts_with("blk.") && !e.is_vector())
      result.push_back({e.name, er::gradient_magnitudes(e.rows, e.cols)});
  }
  std::vector<std::unique_ptr<window_gradients>> teams;
  for (std::size_t i = 0; i < std::clamp<std::size_t>(threads, 1, text.count()); ++i)
    teams.push_back(std::make_unique<window_gradients>(weights, text.length - 1));
  // Windows are added in their order, so that sums do not depend on the threads.
  for (std::size_t first = 0; first < text.count(); first += teams.size()) {
    const std::size_t count = std::min(teams.size(), text.count() - first);
    support::run_parts(count, threads,
                       [&](std::size_t i) { teams[i]->compute(text.window(first + i)); });
    support::run_parts(result.size(), threads, [&](std::size_t m) {
      for (std::size_t i = 0; i < count; ++i) result[m].sums.add(teams[i]->of(result[m].name));
    });
    for (std::size_t i = 0; advance && i < count; ++i) advance();
  }
  return result;
}

std::size_t write_task_gradients(const std::filesystem::path& output,
                                 const std::vector<task_gradient>& gradients,
                                 const llm::token_windows& text) {
  er::safetensors_writer writer;
  writer.metadata["gradients"] = "sum over windows of |dL/dw|";
  writer.metadata["windows"] = std::to_string(text.count());
  writer.metadata["window"] = std::to_string(text.length);
  for (const task_gradient& one : gradients) {
    writer.add(one.name, er::safetensors_dtype::f32, {one.sums.rows(), one.sums.cols()},
               std::as_bytes(one.sums.sums()));
  }
  return writer.write(output);
}

std::size_t write_task_gradients(const task_gradient_options& options) {
  std::vector<support::named_file> read = llm::files_of_model("--model", options.model);
  read.push_back({"--text", options.text});
  support::require_apart({{"--output", options.output}}, read);
  static_cast<void>(er::atomic_file(options.output));  // can it be written? Before the work
  const llm::model_file file(options.model);
  const llm::tokenizer words = file.read_tokenizer();
  const stored_weights weights(file.source);
  const llm::token_windows text = llm::cut_windows(
      words.encode(llm::calibration_text_of(options.text), llm::tokenizer::markup::plain, false),
      options.windows, std::min(options.window, weights.shape().context),
      words.data().add_bos ? words.data().bos : std::nullopt);
  llm::progress_bar progress("gradients", text.count());
  write_task_gradients(options.output,
                       task_gradients(weights, text, options.threads, [&] { progress.advance(1); }),
                       text);
  return text.tokens.size();
}

}  // namespace qad
