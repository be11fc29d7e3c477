// SPDX-License-Identifier: Apache-2.0
// The loops of quantizers over groups of weights.
#include <edgerazor/matrix/pack_exact_impl.hpp>
#include <edgerazor/policy/loops_impl.hpp>
