// SPDX-License-Identifier: Apache-2.0
/// Loss curves as a picture.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace qad {

struct loss_plot {
  struct curve {
    std::string name;
    std::size_t color = 0;  ///< curves of one color belong together; there are 8
    bool dashed = false;
    std::vector<std::pair<double, double>> points;  ///< x rising
    bool marked = false;                            ///< a dot at each point, where they are few
  };

  std::string title, x_label, y_label;
  std::vector<curve> curves;
};

/// An SVG image with axes, ticks and a legend. The y axis reaches from the lowest point to the
/// highest one behind the first twentieth of the x axis: what a loss begins with would flatten all
/// that follows, and is cut off at the top.
std::string to_svg(const loss_plot& plot);

}  // namespace qad
