// SPDX-License-Identifier: Apache-2.0
/// Quantizers, packed matrices and the kernels that multiply them.
#pragma once

#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/pack_exact.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/reorder_rows.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/matrix/two_level.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/matrix/validate.hpp>
#include <edgerazor/policy/activation_policy.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/boolean.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/quantize_group.hpp>
#include <edgerazor/policy/recipe.hpp>
#include <edgerazor/policy/straight_through.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/policy/with_scale.hpp>
#include <edgerazor/product/attention.hpp>
#include <edgerazor/product/fused.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/grains.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/row_lookup.hpp>
#include <edgerazor/version.hpp>
