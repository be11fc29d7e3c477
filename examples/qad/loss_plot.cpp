// SPDX-License-Identifier: Apache-2.0
#include "loss_plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "support/svg.hpp"

namespace qad {

namespace {

// Paul Tol's "bright" palette and black, told apart by most color-blind eyes.
constexpr std::array<const char*, 8> colors{"#4477aa", "#ee6677", "#228833", "#aa3377",
                                            "#ccbb44", "#66ccee", "#777777", "#000000"};
constexpr double left = 70, right = 700, top = 50, bottom = 430, width = 900, height = 490;

using support::svg::line, support::svg::number, support::svg::text_at;

/// 1, 2 or 5 times a power of ten: the step of at most `most` ticks over a range.
double tick_step(double range, int most) {
  const double raw = range / most, power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

struct axis {
  double low, high;    ///< values at the ends
  double begin, stop;  ///< pixels there

  [[nodiscard]] double operator()(double value) const {
    return begin + (value - low) / (high - low) * (stop - begin);
  }
};

/// Widened to whole ticks.
axis axis_over(double low, double high, double begin, double stop, int ticks) {
  if (!(low < high)) high = low + 1;
  const double step = tick_step(high - low, ticks);
  return {std::floor(low / step) * step, std::ceil(high / step) * step, begin, stop};
}

}  // namespace

std::string to_svg(const loss_plot& plot) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double first_x = infinity, last_x = -infinity, low = infinity, high = -infinity;
  for (const loss_plot::curve& curve : plot.curves) {
    for (const auto& [x, y] : curve.points) {
      first_x = std::min(first_x, x);
      last_x = std::max(last_x, x);
    }
  }
  for (const loss_plot::curve& curve : plot.curves) {
    for (const auto& [x, y] : curve.points) {
      low = std::min(low, y);
      if (x >= first_x + (last_x - first_x) / 20) high = std::max(high, y);
    }
  }
  if (!(first_x <= last_x)) first_x = last_x = low = high = 0;
  const axis x_axis = axis_over(0, last_x, left, right, 8),
             y_axis = axis_over(low, high, bottom, top, 8);

  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width) + " " +
      number(height) +
      "\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"white\"/>\n<clipPath id=\"frame\"><rect x=\"" +
      number(left) + "\" y=\"" + number(top) + "\" width=\"" + number(right - left) +
      "\" height=\"" + number(bottom - top) + "\"/></clipPath>\n";
  svg += text_at((left + right) / 2, 28, "middle", plot.title, " font-size=\"16\"");
  const auto ticks = [](const axis& a) {
    std::vector<double> values;
    const double step = tick_step(a.high - a.low, 8);
    for (double i = std::ceil(a.low / step - 1e-9); i * step <= a.high + 1e-9 * step; ++i)
      values.push_back(i * step + 0.0);  // no -0
    return values;
  };
  for (const double x : ticks(x_axis)) {
    svg += line(x_axis(x), top, x_axis(x), bottom, "stroke=\"#dddddd\"");
    svg += text_at(x_axis(x), bottom + 20, "middle", number(x));
  }
  for (const double y : ticks(y_axis)) {
    svg += line(left, y_axis(y), right, y_axis(y), "stroke=\"#dddddd\"");
    svg += text_at(left - 8, y_axis(y) + 4.5, "end", number(y));
  }
  svg += line(left, bottom, right, bottom, "stroke=\"black\"") +
         line(left, top, left, bottom, "stroke=\"black\"");
  svg += text_at((left + right) / 2, bottom + 44, "middle", plot.x_label);
  svg += text_at(20, (top + bottom) / 2, "middle", plot.y_label,
                 " transform=\"rotate(-90 20 " + number((top + bottom) / 2) + ")\"");

  double legend_y = top + 12;
  for (const loss_plot::curve& curve : plot.curves) {
    const std::string style = std::string{"fill=\"none\" stroke=\""} +
                              colors[curve.color % colors.size()] +
                              "\" stroke-width=\"1.8\" stroke-linejoin=\"round\"" +
                              (curve.dashed ? " stroke-dasharray=\"6 4\"" : "");
    svg += "<polyline clip-path=\"url(#frame)\" " + style + " points=\"";
    for (const auto& [x, y] : curve.points) {
      char point[64];
      std::snprintf(point, sizeof point, "%.1f,%.1f ", x_axis(x), std::max(y_axis(y), -1000.0));
      svg += point;
    }
    svg += "\"/>\n";
    for (const auto& [x, y] : curve.points) {
      if (!curve.marked) break;
      svg += "<circle clip-path=\"url(#frame)\" cx=\"" + number(x_axis(x)) + "\" cy=\"" +
             number(y_axis(y)) + "\" r=\"3.5\" fill=\"" + colors[curve.color % colors.size()] +
             "\"/>\n";
    }
    svg += line(right + 18, legend_y, right + 52, legend_y, style);
    svg += text_at(right + 60, legend_y + 4.5, "start", curve.name);
    legend_y += 22;
  }
  return svg + "</svg>\n";
}

}  // namespace qad
