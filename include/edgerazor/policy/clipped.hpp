// SPDX-License-Identifier: Apache-2.0
/// A grid with a zero whose range is a part of the group's: two factors that somebody chose or
/// trained (OmniQuant, arXiv 2308.13137; ZeroQAT, arXiv 2509.00031).
#pragma once

#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The policy `Grid` of the range [lower * min(w), upper * max(w)]; weights outside get its ends.
///
///     clipped<asymmetric<4, per_channel, float16, zero_rule::integer>>{.upper = 0.9f}
///
/// Both factors are sigmoids of parameters in the programs of OmniQuant and ZeroQAT, whose start
/// at 3 is 0.953. There an integer zero may lie outside the codes where a group has weights of one
/// sign; here the range contains 0 then, as `asymmetric` has it, and the zero is a code.
///
/// Factors are at least 0; at most 1, or the range is wider than the group's.
template <zero_quantizer Grid>
struct clipped {
  using granularity = typename Grid::granularity;
  using scale_type = typename Grid::scale_type;
  static constexpr int bits = Grid::bits;
  static constexpr zero_kind zero = Grid::zero;

  float upper = 1;
  float lower = 1;
  Grid grid{};

  /// Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] group_fit fit(const Group& group) const noexcept {
    using detail::policy::range_of;
    const auto range = range_of(group);
    const float ends[] = {detail::core::exact(lower * range.low),
                          detail::core::exact(upper * range.high)};
    return grid.fit(std::span<const float>{ends});
  }
  [[nodiscard]] static int code(float weight, const group_fit& fit) noexcept {
    return Grid::code(weight, fit);
  }
  [[nodiscard]] static detail::policy::level_line code_line(const group_fit& fit) noexcept
    requires requires { Grid::code_line(fit); }
  {
    return Grid::code_line(fit);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
