// expect: granularity_policy
// SPDX-License-Identifier: Apache-2.0
// A group size is not a granularity: per_group<64> is.
#include <type_traits>

#include <edgerazor/policy/ternary.hpp>

using wrong = edgerazor::ternary<std::integral_constant<int, 64>>;
