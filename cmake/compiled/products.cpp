// SPDX-License-Identifier: Apache-2.0
// What hosts call, above the kernels.
#include <edgerazor/product/attention_impl.hpp>
#include <edgerazor/product/fused_impl.hpp>
#include <edgerazor/product/gemm_impl.hpp>
#include <edgerazor/product/gemv_impl.hpp>
#include <edgerazor/product/layer_norm_after_impl.hpp>
#include <edgerazor/product/linear_operator_impl.hpp>
#include <edgerazor/product/quantize_activations_impl.hpp>
