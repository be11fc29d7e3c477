// SPDX-License-Identifier: Apache-2.0
/// Activations to int8, as EdgeRazor (Python)'s state quantizers do: s = max(max|x|, epsilon) /
/// 127, per group or per token; or by another policy, whose codes are int8 too.
#pragma once

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/policy/activation_policy.hpp>
#include <edgerazor/product/kernels.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct activation_options {
  activation_scales scales = activation_scales::of_groups;
  const edgerazor::kernel* kernel = nullptr;  ///< null: the fastest
  executor_ref executor{};     ///< shares the tokens; a few at once are not worth handing out
  activation_policy policy{};  ///< empty: int8 by the maximum
};

/// Quantizes `x` (tokens x cols) into `out` and returns a view of those tokens. No allocation.
/// Fails where the columns differ or `out` holds fewer tokens. Source:
/// state_quant_uniform_symmetric_absmax_per_{block,token}_int8. No code stands for a NaN or an
/// infinity: where a group (or a token, with one scale) holds one, its scale is NaN and its codes
/// are -127, so that every product with it is NaN.
///
/// By a policy codes are its levels, or its codes less their zero, and need no kernel of their own:
/// int4 of either kind (ZeroQAT, arXiv 2509.00031; LBLLM, arXiv 2604.19167), ternary and boolean
/// (BWTA, arXiv 2604.03957), with scales found or given (`with_scale`). Its granularity is `out`'s
/// and the options'. A group or token that holds a NaN or infinity, or whose scale is none, has the
/// scale NaN and codes 0. Fails where the policy gives a zero a scale that is not finite or is
/// below 0, or a zero that is no integer from 0 to 127.
EDGERAZOR_FUNCTION activation_view quantize_activations(matrix_view<const float> x,
                                                        packed_activations& out,
                                                        const activation_options& options = {});

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/product/quantize_activations_impl.hpp>
#endif
