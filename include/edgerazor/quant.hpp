/// Quantizers, packed matrices and the kernels that multiply them.
#pragma once

#include <edgerazor/kernel/attention.hpp>
#include <edgerazor/kernel/executor.hpp>
#include <edgerazor/kernel/fused.hpp>
#include <edgerazor/kernel/gemm.hpp>
#include <edgerazor/kernel/gemv.hpp>
#include <edgerazor/kernel/row_lookup.hpp>
#include <edgerazor/pack/any_matrix.hpp>
#include <edgerazor/pack/kv_cache.hpp>
#include <edgerazor/pack/pack_exact.hpp>
#include <edgerazor/pack/unpack.hpp>
#include <edgerazor/quant/asymmetric.hpp>
#include <edgerazor/quant/fake_quantize.hpp>
#include <edgerazor/quant/learned_step.hpp>
#include <edgerazor/quant/mixed_precision.hpp>
#include <edgerazor/quant/precision_map.hpp>
#include <edgerazor/quant/recipe.hpp>
#include <edgerazor/quant/straight_through.hpp>
#include <edgerazor/quant/symmetric.hpp>
#include <edgerazor/quant/ternary.hpp>
#include <edgerazor/version.hpp>
