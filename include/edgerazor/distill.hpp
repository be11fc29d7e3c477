// SPDX-License-Identifier: Apache-2.0
/// Distillation losses and their gradients: over logits, hidden states, attention maps, keys and
/// values.
#pragma once

#include <edgerazor/distill/attention_loss.hpp>
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/engine.hpp>
#include <edgerazor/distill/fused_head.hpp>
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/generalized_js.hpp>
#include <edgerazor/distill/heads.hpp>
#include <edgerazor/distill/hidden_loss.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/layer_selection.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/objective.hpp>
#include <edgerazor/distill/projection.hpp>
#include <edgerazor/distill/published_objectives.hpp>
#include <edgerazor/distill/relation_loss.hpp>
#include <edgerazor/distill/router_z.hpp>
#include <edgerazor/distill/skew_kl.hpp>
#include <edgerazor/distill/spsa.hpp>
#include <edgerazor/distill/tokens.hpp>
#include <edgerazor/distill/top_k.hpp>
#include <edgerazor/distill/total_variation.hpp>
#include <edgerazor/distill/vocabulary_head.hpp>
#include <edgerazor/distill/vocabulary_pieces.hpp>
#include <edgerazor/version.hpp>
