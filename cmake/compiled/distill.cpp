// SPDX-License-Identifier: Apache-2.0
// The engines of the losses, for the static library of the compiled form.
#include <edgerazor/distill/row/features_impl.hpp>
#include <edgerazor/distill/row/kl_row_impl.hpp>
#include <edgerazor/distill/row/loops_impl.hpp>
#include <edgerazor/distill/row/outcomes_impl.hpp>
#include <edgerazor/distill/row/positions_impl.hpp>
#include <edgerazor/distill/row/softmax_impl.hpp>
#include <edgerazor/distill/row/terms_impl.hpp>
