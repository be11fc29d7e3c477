// SPDX-License-Identifier: Apache-2.0
#include "calibration_report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "support/svg.hpp"
#include "table.hpp"

namespace llm {

namespace {

struct role {
  std::string_view name;   ///< in a tensor's name
  std::string_view title;  ///< of a column
  std::string_view color;
};

// Paul Tol's "bright" palette and black, told apart by most color-blind eyes.
constexpr std::array roles = std::to_array<role>({{"attn_q", "q", "#4477aa"},
                                                  {"attn_k", "k", "#66ccee"},
                                                  {"attn_v", "v", "#228833"},
                                                  {"attn_output", "o", "#ccbb44"},
                                                  {"ffn_gate", "gate", "#ee6677"},
                                                  {"ffn_up", "up", "#aa3377"},
                                                  {"ffn_down", "down", "#000000"}});

std::size_t role_index(std::string_view name) {
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (name.find(std::string{"."} + std::string{roles[i].name} + ".") != std::string_view::npos)
      return i;
  }
  return roles.size();
}

struct sums {
  std::size_t weights = 0, bytes = 0;
  double error = 0, energy = 0;

  void add(const calibrated_matrix& one) {
    weights += one.weights;
    bytes += one.bytes;
    error += one.error;
    energy += one.energy;
  }
  [[nodiscard]] std::string bits() const {
    return decimal(weights == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(weights),
                   2);
  }
  [[nodiscard]] std::string percent() const {
    return energy > 0 ? decimal(100 * error / energy, 3) : "";
  }
};

/// A format's name without what all share: int4z_g64 as int4z, int4z_g64+int2z_g64 as int4z+int2z.
std::string short_name(const std::string& format) {
  std::string result;
  for (std::size_t at = 0; at < format.size();) {
    const std::size_t end = std::min(format.find('+', at), format.size());
    const std::string part = format.substr(at, end - at);
    result += (at > 0 ? "+" : "") + part.substr(0, part.find('_'));
    at = end + 1;
  }
  return result;
}

using support::svg::line, support::svg::number, support::svg::text_at;

constexpr double left = 70, width = 900, plot_width = 740, plot_height = 190, gap = 60, top = 50;

/// One plot: a dot for every matrix, its height by `height_of` in [0, 1].
template <class Height>
std::string dots(const calibration& done, std::size_t layers, double bottom,
                 const Height& height_of) {
  std::string svg;
  const double slot = plot_width / static_cast<double>(layers);
  for (const calibrated_matrix& one : done.matrices) {
    const std::size_t r = role_index(one.name);
    if (one.layer == matrix_place::no_layer || r == roles.size()) continue;
    // The seven of a layer beside each other.
    const double x = left + slot * (static_cast<double>(one.layer) +
                                    (static_cast<double>(r) + 1) / (roles.size() + 1));
    svg += "<circle cx=\"" + number(x) + "\" cy=\"" +
           number(bottom - plot_height * std::clamp(height_of(one), 0.0, 1.0)) +
           "\" r=\"3\" fill=\"" + std::string{roles[r].color} + "\"/>\n";
  }
  return svg;
}

}  // namespace

void print_calibration(const calibration& done) {
  std::vector<std::vector<std::string>> table{{"layer"}};
  for (const role& one : roles) table[0].emplace_back(one.title);
  table[0].insert(table[0].end(), {"bits a\nweight", "error of\noutputs, %"});
  std::size_t layers = 0;
  for (const calibrated_matrix& one : done.matrices) {
    if (one.layer != matrix_place::no_layer) layers = std::max(layers, one.layer + 1);
  }
  sums all;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    std::vector<std::string> row(1 + roles.size());
    row[0] = std::to_string(layer);
    sums of_layer;
    for (const calibrated_matrix& one : done.matrices) {
      if (one.layer != layer) continue;
      row[1 + role_index(one.name)] = short_name(one.format);
      of_layer.add(one);
      all.add(one);
    }
    row.insert(row.end(), {of_layer.bits(), of_layer.percent()});
    table.push_back(std::move(row));
  }
  std::vector<std::string> total{"layers"};
  total.resize(1 + roles.size());
  total.insert(total.end(), {all.bits(), all.percent()});
  table.push_back(std::move(total));
  for (const calibrated_matrix& one : done.matrices) {
    if (one.layer != matrix_place::no_layer) continue;
    sums of_one;
    of_one.add(one);
    std::vector<std::string> row{one.name.starts_with("token_embd") ? "embedding" : "head",
                                 short_name(one.format)};
    row.resize(1 + roles.size());
    row.insert(row.end(), {of_one.bits(), of_one.percent()});
    table.push_back(std::move(row));
  }
  print_table(table);
}

std::string calibration_picture(const calibration& done, const std::string& title) {
  std::size_t layers = 1;
  double least = 1, most = 0, most_bits = 4;
  for (const calibrated_matrix& one : done.matrices) {
    if (one.layer == matrix_place::no_layer) continue;
    layers = std::max(layers, one.layer + 1);
    most_bits = std::max(most_bits, std::ceil(one.bits()));
    if (one.relative_error() > 0) least = std::min(least, one.relative_error());
    most = std::max(most, one.relative_error());
  }
  const double low = std::floor(std::log10(least)),
               high = std::max(low + 1, std::ceil(std::log10(std::max(most, least))));
  const double first_bottom = top + plot_height, second_bottom = first_bottom + gap + plot_height;
  const double height = second_bottom + 60;
  const std::string grid = "stroke=\"#dddddd\"", small = " fill=\"#555555\"";

  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width) +
                    "\" height=\"" + number(height) + "\" viewBox=\"0 0 " + number(width) + " " +
                    number(height) +
                    "\" font-family=\"sans-serif\" font-size=\"13\">\n"
                    "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  svg += text_at(left, 24, "start", title, " font-weight=\"bold\" font-size=\"15\"");
  svg += text_at(left, top - 8, "start", "bits a weight, scales included", small);
  for (double bits = 0; bits <= most_bits; bits += most_bits > 8 ? 2 : 1) {
    const double y = first_bottom - plot_height * bits / most_bits;
    svg += line(left, y, left + plot_width, y, grid);
    svg += text_at(left - 8, y + 4, "end", number(bits), small);
  }
  svg += text_at(left, first_bottom + gap - 8, "start",
                 "part of the outputs' mean square that rounding changes", small);
  for (double power = low; power <= high; ++power) {
    const double y = second_bottom - plot_height * (power - low) / (high - low);
    svg += line(left, y, left + plot_width, y, grid);
    const double percent = std::pow(10, power + 2);
    svg += text_at(left - 8, y + 4, "end", number(percent) + " %", small);
  }
  const double slot = plot_width / static_cast<double>(layers);
  const std::size_t step = layers > 40 ? 5 : layers > 20 ? 2 : 1;
  for (std::size_t layer = 0; layer <= layers; ++layer) {
    const double x = left + slot * static_cast<double>(layer);
    svg += line(x, top, x, first_bottom, grid);
    svg += line(x, first_bottom + gap, x, second_bottom, grid);
    if (layer == layers || layer % step != 0) continue;
    for (const double bottom : {first_bottom, second_bottom})
      svg += text_at(x + slot / 2, bottom + 18, "middle", std::to_string(layer), small);
  }
  svg += text_at(left + plot_width / 2, second_bottom + 40, "middle", "layer", small);
  svg += dots(done, layers, first_bottom,
              [&](const calibrated_matrix& one) { return one.bits() / most_bits; });
  svg += dots(done, layers, second_bottom, [&](const calibrated_matrix& one) {
    return one.relative_error() > 0 ? (std::log10(one.relative_error()) - low) / (high - low) : 0.0;
  });
  for (std::size_t r = 0; r < roles.size(); ++r) {
    const double y = top + 20 + 22 * static_cast<double>(r);
    svg += "<circle cx=\"" + number(left + plot_width + 22) + "\" cy=\"" + number(y - 4) +
           "\" r=\"4\" fill=\"" + std::string{roles[r].color} + "\"/>\n";
    svg += text_at(left + plot_width + 34, y, "start", std::string{roles[r].title});
  }
  return svg + "</svg>\n";
}

nlohmann::json to_json(const calibration& done) {
  nlohmann::json result{{"file_bytes", done.file_bytes},
                        {"bits_per_weight", done.bits_per_weight()},
                        {"seconds", done.seconds},
                        {"text_tokens", done.text_tokens},
                        {"matrices", nlohmann::json::array()}};
  for (const calibrated_matrix& one : done.matrices) {
    result["matrices"].push_back({{"name", one.name},
                                  {"format", one.format},
                                  {"method", one.method},
                                  {"bits_per_weight", one.bits()},
                                  {"probe_kl_nats", one.sensitivity},
                                  {"relative_output_error", one.relative_error()}});
  }
  return result;
}

}  // namespace llm
