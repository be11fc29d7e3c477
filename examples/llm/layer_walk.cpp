// SPDX-License-Identifier: Apache-2.0
#include "layer_walk.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "calibration_text.hpp"
#include "support/system.hpp"

namespace llm {

std::string calibration_text_of(const std::string& path) {
  if (!path.empty()) return support::read_text(path);
  std::string text;
  for (const std::string_view part : calibration_texts) text.append(part).append("\n\n");
  return text;
}

token_windows cut_windows(std::span<const token_id> text, std::size_t count, std::size_t length,
                          std::optional<token_id> beginning) {
  constexpr std::size_t least = 16;
  if (text.size() < least) {
    throw std::invalid_argument("the text is too short to calibrate on: it has " +
                                std::to_string(text.size()) + " tokens, at least " +
                                std::to_string(least) + " are expected");
  }
  const std::size_t before = beginning ? 1 : 0;
  token_windows result;
  result.length = std::min(length, text.size() + before);
  const std::size_t own = result.length - before;
  const std::size_t windows = std::clamp<std::size_t>(text.size() / own, 1, count);
  for (std::size_t i = 0; i < windows; ++i) {
    // The first window begins the text, the last one ends it.
    const std::size_t first = windows == 1 ? 0 : (text.size() - own) * i / (windows - 1);
    if (beginning) result.tokens.push_back(*beginning);
    const auto part = text.subspan(first, own);
    result.tokens.insert(result.tokens.end(), part.begin(), part.end());
  }
  return result;
}

layer_walk::layer_walk(const model& weights, thread_pool& threads, const token_windows& text,
                       const er::kernel& k)
    : runs_(weights, threads, text.length, k),
      text_(text.tokens),
      hidden_(weights.shape.hidden),
      length_(text.length),
      stream_(text.tokens.size() * weights.shape.hidden) {
  restart();
}

void layer_walk::restart() { runs_.embed(text_, {stream_.data(), text_.size(), hidden_}); }

/// use(position in the window, x of some tokens of one window).
template <class Use>
void layer_walk::for_each_batch(const Use& use) {
  for (std::size_t at = 0; at < tokens();) {
    const std::size_t first = at % length_, count = std::min(decoder::batch, length_ - first);
    use(first, er::matrix_view<float>{stream_.data() + at * hidden_, count, hidden_});
    at += count;
  }
}

void layer_walk::pass(std::size_t layer, const input_observer& observer) {
  runs_.observe(observer);
  for_each_batch(
      [&](std::size_t first, er::matrix_view<float> x) { runs_.run_layer(layer, first, x); });
  runs_.observe({});
}

void layer_walk::look(std::size_t layer, const input_observer& observer) {
  runs_.observe(observer);
  std::vector<float> copy;
  for_each_batch([&](std::size_t first, er::matrix_view<float> x) {
    copy.assign(x.data, x.data + x.rows * x.cols);
    runs_.run_layer(layer, first, {copy.data(), x.rows, x.cols});
  });
  runs_.observe({});
}

void layer_walk::look_at_head(
    const std::function<void(er::matrix_view<const float> head_input)>& use) {
  for_each_batch([&](std::size_t, er::matrix_view<float> x) { use(runs_.head_input(x)); });
}

void layer_walk::look_at_logits(
    const std::function<void(er::matrix_view<const float> logits)>& use) {
  constexpr std::size_t chunk = 16;  // tokens whose logits exist at a time
  for_each_batch([&](std::size_t, er::matrix_view<float> x) {
    for (std::size_t t = 0; t < x.rows; t += chunk)
      use(runs_.head_logits(x.rows_between(t, std::min(t + chunk, x.rows))));
  });
}

}  // namespace llm
