// SPDX-License-Identifier: Apache-2.0
#include "package_function.hpp"

#include <array>
#include <cmath>
#include <stdexcept>

#include "support/number.hpp"
#include <edgerazor/core/printable.hpp>
#include <edgerazor/matrix/matrix_format.hpp>

namespace qad {

namespace er = edgerazor;

namespace {

constexpr std::string_view mixed_rows = "clip_per_block_mp_int1_58_int4_static_row_wise_sparse";

/// The package's functions of weights that the library has formats and rules for.
struct weight_function {
  std::string_view name;  ///< behind weight_prefix
  std::string_view code;
  bool blocks;  ///< else a scale a row
};
constexpr std::array<weight_function, 7> weight_functions{{
    {"absmax_per_block_int4", "int4", true},
    {"absmax_per_block_int5", "int5", true},
    {"absmax_per_block_int8", "int8", true},
    {"absmax_per_channel_int4", "int4", false},
    {"clip_per_block_int1_58", "ternary2", true},
    {"clip_per_channel_int1_58", "ternary2", false},
    {mixed_rows, "ternary2", true},
}};

std::string known_functions() {
  std::string text;
  for (const weight_function& one : weight_functions)
    text += (text.empty() ? "" : ", ") + std::string{weight_prefix} + std::string{one.name};
  return text;
}

[[noreturn]] void refuse_key(const std::string& sentence) { throw std::invalid_argument(sentence); }

}  // namespace

std::string format_of_function(const package_function& f) {
  const weight_function* found = nullptr;
  for (const weight_function& one : weight_functions) {
    if (f.weights.starts_with(weight_prefix) &&
        std::string_view{f.weights}.substr(weight_prefix.size()) == one.name)
      found = &one;
  }
  if (found == nullptr) {
    refuse_key("weight_function " + er::quoted(f.weights, 200) +
               " is none that has a format here, expected " + known_functions());
  }
  if (found->code == "ternary2" && f.factor != 2 && f.factor != -1) {
    refuse_key("w_scale_factor is " + support::number_text(f.factor) +
               ", and ternary formats have a scale of 2 times the mean");
  }
  const bool mixed = found->name == mixed_rows;
  if (!mixed && f.proportion > 0) {
    refuse_key("w_mixed_precision_prop is " + support::number_text(f.proportion) +
               ", and weight_function " + er::quoted(f.weights, 200) + " mixes nothing");
  }
  if (!found->blocks && f.group != -1) {
    refuse_key("w_block_size is " + std::to_string(f.group) + ", and weight_function " +
               er::quoted(f.weights, 200) + " has no blocks");
  }
  std::string suffix = "_row";
  if (found->blocks) {
    suffix = "_g" + std::to_string(f.group);
    if (f.group < 1 || !er::matrix_format::parse("int4" + suffix)) {
      refuse_key("w_block_size is " + std::to_string(f.group) +
                 ", expected a multiple of 4 up to 65536");
    }
  }
  if (!mixed || f.proportion == 0) return std::string{found->code} + suffix;
  const double every = 1 / f.proportion;
  if (!(f.proportion > 0 && f.proportion <= 1) || every != std::round(every) || every > 65536) {
    refuse_key("w_mixed_precision_prop is " + support::number_text(f.proportion) +
               ", expected 0, or 1 divided by a whole number");
  }
  if (every == 1) return "int4" + suffix;
  return "int4" + suffix + "+ternary2" + suffix + ":every_" + support::number_text(every) + "_rows";
}

void merge(package_function& into, const package_function& from,
           const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    if (key == "weight_function") into.weights = from.weights;
    if (key == "w_scale_factor") into.factor = from.factor;
    if (key == "w_block_size") into.group = from.group;
    if (key == "w_mixed_precision_prop") into.proportion = from.proportion;
  }
}

}  // namespace qad
