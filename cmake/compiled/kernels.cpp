// SPDX-License-Identifier: Apache-2.0
// The kernels of every instruction set, and the choice among them.
#include <edgerazor/product/kernels_impl.hpp>
