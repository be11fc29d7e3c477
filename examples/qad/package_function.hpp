// SPDX-License-Identifier: Apache-2.0
/// A function of EdgeRazor (Python)'s configurations, and the format of the library that it is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qad {

/// How a module's weights and inputs are quantized (`function`).
struct package_function {
  std::string weights;      ///< name of the package's function
  double factor = -1;       ///< w_scale_factor; -1: the function's own
  long long group = -1;     ///< w_block_size: columns that share a scale
  double proportion = -1;   ///< w_mixed_precision_prop
  std::string activations;  ///< empty: not quantized
  long long activation_group = -1;
  std::string cache;  ///< of keys and values; empty: not quantized
  long long cache_group = -1;
};

/// What the package's functions of weights begin with.
inline constexpr std::string_view weight_prefix = "weight_quant_uniform_symmetric_";

/// The format's name. Throws std::invalid_argument, a sentence that begins with the key that is
/// wrong.
std::string format_of_function(const package_function& f);

/// The keys of `from` that are in `keys`, of those that are about weights.
void merge(package_function& into, const package_function& from,
           const std::vector<std::string>& keys);

}  // namespace qad
