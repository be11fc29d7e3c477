// SPDX-License-Identifier: Apache-2.0
/// Everything: quantizers, packed matrices and their kernels, distillation losses, and files.
#pragma once

#include <edgerazor/distill.hpp>
#include <edgerazor/io.hpp>
#include <edgerazor/quant.hpp>
