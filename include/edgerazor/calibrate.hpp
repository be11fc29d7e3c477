// SPDX-License-Identifier: Apache-2.0
/// Choosing codes with data: statistics of activations, rules that fit groups, rounding with error
/// feedback. Needs Eigen; no other umbrella includes it.
#pragma once

#include <edgerazor/calibrate/awq.hpp>
#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/fold.hpp>
#include <edgerazor/calibrate/four_levels.hpp>
#include <edgerazor/calibrate/half_quadratic.hpp>
#include <edgerazor/calibrate/inverse_factor.hpp>
#include <edgerazor/calibrate/kept_weights.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/low_rank_correction.hpp>
#include <edgerazor/calibrate/pruning_mask.hpp>
#include <edgerazor/calibrate/published_fits.hpp>
#include <edgerazor/calibrate/rank_one.hpp>
#include <edgerazor/calibrate/refine.hpp>
#include <edgerazor/calibrate/round_by_feedback.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/calibrate/slim_quant.hpp>
#include <edgerazor/calibrate/spqr.hpp>
#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/calibrate/tacq.hpp>
