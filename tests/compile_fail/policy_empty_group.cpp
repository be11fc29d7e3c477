// expect: per_group: a group holds at least one element
// SPDX-License-Identifier: Apache-2.0
#include <edgerazor/policy/symmetric.hpp>

constexpr edgerazor::int4<edgerazor::per_group<0>> wrong;
