// expect: expected 2 to 8 bits
// SPDX-License-Identifier: Apache-2.0
#include <edgerazor/policy/symmetric.hpp>

constexpr edgerazor::symmetric<9> wrong;
