// SPDX-License-Identifier: Apache-2.0
#include "forms/results.hpp"
#include <edgerazor/distill.hpp>
#include <edgerazor/quant.hpp>

#if !EDGERAZOR_HEADER_ONLY
#error "this unit is about the header-only form"
#endif

form_results results_header_only() {
#include "forms/results.inl"
}
