// expect: real_element
// SPDX-License-Identifier: Apache-2.0
// Scales are stored as float16, bfloat16 or float.
#include <edgerazor/policy/symmetric.hpp>

using wrong = edgerazor::int4<edgerazor::per_group<64>, double>;
