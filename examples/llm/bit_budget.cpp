// SPDX-License-Identifier: Apache-2.0
#include "bit_budget.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <queue>

namespace llm {

namespace {

double finite_cost(double cost) {
  return std::isfinite(cost) ? cost : std::numeric_limits<double>::max() / 1e6;
}

/// Saving of cost for each byte from one option to a larger one.
double gain(const format_option& from, const format_option& to) {
  return (finite_cost(from.cost) - finite_cost(to.cost)) /
         static_cast<double>(to.bytes - from.bytes);
}

/// Options on the lower convex hull, by bytes: each step saves, and less for each byte than the one
/// before.
std::vector<std::size_t> hull_of(std::span<const format_option> options) {
  std::vector<std::size_t> order(options.size()), hull;
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return options[a].bytes != options[b].bytes
               ? options[a].bytes < options[b].bytes
               : finite_cost(options[a].cost) < finite_cost(options[b].cost);
  });
  for (const std::size_t next : order) {
    if (!hull.empty() &&
        (options[next].bytes == options[hull.back()].bytes ||
         finite_cost(options[next].cost) >= finite_cost(options[hull.back()].cost)))
      continue;
    while (hull.size() >= 2 && gain(options[hull.back()], options[next]) >=
                                   gain(options[hull[hull.size() - 2]], options[hull.back()])) {
      hull.pop_back();
    }
    hull.push_back(next);
  }
  return hull;
}

}  // namespace

std::vector<std::size_t> spend_bits(std::span<const std::vector<format_option>> matrices,
                                    std::size_t budget) {
  struct hull_step {
    double gain;
    std::size_t matrix, place;  ///< place on the hull that it leads to
    bool operator<(const hull_step& other) const {
      return gain != other.gain ? gain < other.gain : matrix > other.matrix;
    }
  };
  std::vector<std::vector<std::size_t>> hulls;
  std::vector<std::size_t> chosen;
  std::priority_queue<hull_step> steps;
  std::size_t spent = 0;
  const auto offer = [&](std::size_t m, std::size_t place) {
    if (place >= hulls[m].size()) return;
    steps.push({gain(matrices[m][hulls[m][place - 1]], matrices[m][hulls[m][place]]), m, place});
  };
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    hulls.push_back(hull_of(matrices[m]));
    chosen.push_back(hulls[m][0]);
    spent += matrices[m][chosen[m]].bytes;
    offer(m, 1);
  }
  if (spent > budget) return {};
  while (!steps.empty()) {
    const hull_step best = steps.top();
    steps.pop();
    const std::vector<format_option>& options = matrices[best.matrix];
    const std::size_t to = hulls[best.matrix][best.place];
    const std::size_t more = options[to].bytes - options[chosen[best.matrix]].bytes;
    // One that does not fit ends its matrix's way; smaller ones of others may still.
    if (more > budget - spent) continue;
    spent += more;
    chosen[best.matrix] = to;
    offer(best.matrix, best.place + 1);
  }
  return chosen;
}

}  // namespace llm
