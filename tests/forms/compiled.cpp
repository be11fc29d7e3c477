// SPDX-License-Identifier: Apache-2.0
#include "forms/results.hpp"
#include <edgerazor/distill.hpp>
#include <edgerazor/quant.hpp>

#if EDGERAZOR_HEADER_ONLY
#error "this unit is about the compiled form"
#endif

form_results results_compiled() {
#include "forms/results.inl"
}
