// SPDX-License-Identifier: Apache-2.0
// The loops of quantizers over groups of weights.
#include <edgerazor/matrix/pack_exact_impl.hpp>
#include <edgerazor/policy/finite_impl.hpp>
#include <edgerazor/policy/group_loops_impl.hpp>
#include <edgerazor/policy/vector_group_impl.hpp>
