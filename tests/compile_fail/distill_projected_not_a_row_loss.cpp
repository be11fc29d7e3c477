// expect: satisf.*hidden_loss
// SPDX-License-Identifier: Apache-2.0
// A projection stands before a loss that goes row by row.
#include <edgerazor/distill/projection.hpp>
#include <edgerazor/distill/router_z.hpp>

edgerazor::projected<edgerazor::router_z> wrong;
