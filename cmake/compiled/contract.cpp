// SPDX-License-Identifier: Apache-2.0
// How violated contracts are reported.
#include <edgerazor/core/contract_impl.hpp>
