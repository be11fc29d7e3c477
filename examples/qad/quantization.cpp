// SPDX-License-Identifier: Apache-2.0
#include "quantization.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "llm/weight_source.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/matrix/matrix_format.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/recipe.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace qad {

namespace {

using const_view = er::matrix_view<const float>;
using float_view = er::matrix_view<float>;
using mask = std::vector<std::uint8_t>;

template <class Policy>
void round(const_view in, float_view out, const mask&, er::column_group group) {
  er::fake_quantize<er::as_stored<Policy>>(in, out, {}, {.group = group});
}

template <class High, class Low>
void round_mixed(const_view in, float_view out, const mask& high, er::column_group group) {
  er::fake_quantize_mixed<er::as_stored<High>, er::as_stored<Low>>(in, out, high, {}, {},
                                                                   {.group = group});
}

}  // namespace

weight_quantizer::weight_quantizer(const shape& s, std::string_view recipe, std::size_t group)
    : recipe_(recipe), group_(group) {
  const bool narrow = recipe == "int3" || recipe == "int2";
  const auto known =
      er::find_recipe(narrow ? "w4_a8_kv8" : recipe, {.group = group, .kv_group = s.head_size});
  if (!known || recipe == "w16")
    throw std::invalid_argument("no recipe of this trainer is called " + er::quoted(recipe_));
  states_ = {known->activation_group, known->kv_bits != 0};

  const auto rule_for = [&](const weight_entry& e) -> rule {
    if (e.is_vector()) return {nullptr, {}};
    const auto format = llm::format_of(*known, e.name);
    if (!format) return {nullptr, {}};
    if (narrow && e.name.starts_with("blk.")) {
      return {recipe == "int3" ? rounding{&round<er::symmetric<3>>} : rounding{&round<er::int2<>>},
              {}};
    }
    const bool int4 = format->first.code == er::code_type::int4;
    if (format->type == er::matrix_format::kind::packed) {
      return {int4 ? rounding{&round<er::int4<>>} : rounding{&round<er::ternary<>>}, {}};
    }
    return {&round_mixed<er::int4<>, er::ternary<>>,
            er::precision_mask(const_view{nullptr, e.rows, e.cols},
                               er::every_nth_row{format->map.n}, group_)};
  };
  for (const weight_entry& e : weight_layout(s)) rules_.push_back(rule_for(e));
}

void weight_quantizer::apply(const parameters& master, parameters& out) const {
  for (std::size_t i = 0; i < rules_.size(); ++i) apply(i, master, out);
}

void weight_quantizer::apply(std::size_t i, const parameters& master, parameters& out) const {
  const weight_entry& e = master.entries()[i];
  if (rules_[i].how != nullptr) {
    rules_[i].how(master.view(e), out.view(e), rules_[i].mask, group_);
    return;
  }
  const auto kept = master.values().subspan(e.offset, e.size());
  std::copy(kept.begin(), kept.end(), out.values().begin() + static_cast<std::ptrdiff_t>(e.offset));
}

}  // namespace qad
