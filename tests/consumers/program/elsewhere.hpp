// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <edgerazor/distill.hpp>
#include <edgerazor/quant.hpp>

// The same work in another translation unit: one program may include the headers as often as it
// likes.
std::vector<float> multiply_elsewhere(edgerazor::matrix_view<const float> weights,
                                      std::span<const float> x);
edgerazor::error_handler handler_seen_elsewhere();
edgerazor::blended_result compare_elsewhere(edgerazor::matrix_view<const float> student,
                                            edgerazor::matrix_view<const float> teacher);
