// SPDX-License-Identifier: Apache-2.0
#include "sensitivity.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "weight_source.hpp"
#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace llm {

namespace {

/// What a matrix becomes in the probe's format, as real numbers: so activations stay what they are,
/// and the cost of rounding them, which any change draws anew, does not hide the probe's.
er::any_matrix probed(const matrix_place& place, const er::format& fmt, thread_pool& threads) {
  const er::any_matrix& original = *place.matrix;
  const auto read = [](const er::any_matrix& from) {
    return [&from](er::row_range range, er::matrix_view<float> out) {
      for (std::size_t r = 0; r < range.size(); ++r)
        er::look_up_row(from, range.begin + r, out.row(r));
    };
  };
  const er::any_matrix packed =
      pack_by_blocks(place.name, fmt, original.rows(), original.cols(), read(original), threads);
  er::matrix_format real;
  real.element = er::scale_kind::float16;
  return pack_by_blocks(place.name, real, original.rows(), original.cols(), read(packed), threads);
}

/// Sum over tokens of the divergence of the walk's logits from `expected`.
double divergence_of(layer_walk& walk, const std::vector<float>& expected, thread_pool& threads) {
  std::size_t seen = 0;
  double sum = 0;
  walk.look_at_logits([&](er::matrix_view<const float> logits) {
    const er::matrix_view<const float> reference{expected.data() + seen * logits.cols, logits.rows,
                                                 logits.cols};
    std::vector<double> each(logits.rows);
    threads.run(logits.rows, [&](std::size_t t) {
      each[t] = er::forward_kl{}(logits.rows_between(t, t + 1), reference.rows_between(t, t + 1),
                                 {}, er::reduction::sum)
                    .value;
    });
    for (const double one : each) sum += one;
    seen += logits.rows;
  });
  return sum;
}

}  // namespace

std::vector<matrix_place> places_of(model& weights) {
  std::vector<matrix_place> places{
      {"token_embd.weight", matrix_place::no_layer, layer_input::attention, &weights.embedding}};
  if (weights.own_head) {
    places.push_back(
        {"output.weight", matrix_place::no_layer, layer_input::attention, &*weights.own_head});
  }
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    layer& one = weights.layers[i];
    using enum layer_input;
    const auto add = [&](const char* role, layer_input input, linear& part) {
      places.push_back({block + role + ".weight", i, input, &part.weights});
    };
    add("attn_q", attention, one.query);
    add("attn_k", attention, one.key);
    add("attn_v", attention, one.value);
    add("attn_output", output, one.output);
    add("ffn_gate", ffn, one.gate);
    add("ffn_up", ffn, one.up);
    add("ffn_down", down, one.down);
  }
  return places;
}

std::vector<matrix_sensitivity> measure_sensitivity(model& weights, const token_windows& text,
                                                    const er::format& probe, thread_pool& threads,
                                                    const er::kernel& k,
                                                    const std::function<void(double)>& advance) {
  const std::vector<matrix_place> places = places_of(weights);
  const std::size_t layers = weights.layers.size();
  layer_walk walk(weights, threads, text, k);
  std::vector<std::vector<float>> before;  // x before each layer, and behind the last
  std::vector<std::array<er::column_statistics, layer_inputs>> inputs(layers);
  for (std::size_t i = 0; i < layers; ++i) {
    before.push_back(walk.stream());
    walk.pass(i, [&](layer_input which, er::matrix_view<const float> in) {
      er::column_statistics& sums = inputs[i][static_cast<std::size_t>(which)];
      if (sums.cols() == 0) sums = er::column_statistics(in.cols);
      sums.add(in);
    });
  }
  before.push_back(walk.stream());
  er::column_statistics head_input(weights.shape.hidden);
  walk.look_at_head([&](er::matrix_view<const float> in) { head_input.add(in); });
  std::vector<float> expected;
  walk.look_at_logits([&](er::matrix_view<const float> logits) {
    expected.insert(expected.end(), logits.data, logits.data + logits.rows * logits.cols);
  });

  // In units of a layer's work; the head counts as some layers.
  const double head =
      static_cast<double>(weights.head().rows() * weights.head().cols()) /
      (static_cast<double>(weights.linear_layers().weights) / static_cast<double>(layers));
  const auto work_from = [&](std::size_t layer) {
    return static_cast<double>(layers - layer) + head;
  };
  const auto first_layer = [&](const matrix_place& place) {
    if (place.layer != matrix_place::no_layer) return place.layer;
    return place.matrix == &weights.embedding ? 0 : layers;
  };
  double all = 0;
  for (const matrix_place& place : places) all += work_from(first_layer(place));

  std::vector<matrix_sensitivity> result;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const matrix_place& place = places[i];
    er::any_matrix kept = std::exchange(*place.matrix, probed(place, probe, threads));
    const std::size_t first = first_layer(place);
    if (place.matrix == &weights.embedding) {
      walk.restart();
    } else {
      walk.stream() = before[first];
    }
    for (std::size_t layer = first; layer < layers; ++layer) walk.pass(layer);
    matrix_sensitivity one;
    one.divergence = divergence_of(walk, expected, threads) / static_cast<double>(walk.tokens());
    if (place.layer != matrix_place::no_layer) {
      one.mean_squares = inputs[place.layer][static_cast<std::size_t>(place.input)].mean_squares();
    } else if (place.matrix == &weights.head()) {
      one.mean_squares = head_input.mean_squares();
    } else {
      one.mean_squares.assign(weights.shape.hidden, 1.0f);  // rows are looked up
    }
    result.push_back(std::move(one));
    *place.matrix = std::move(kept);
    advance(work_from(first) / all);
  }
  return result;
}

}  // namespace llm
