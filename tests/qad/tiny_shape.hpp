// SPDX-License-Identifier: Apache-2.0
/// The smallest model that has everything: several layers, shared keys, sizes that no vector
/// divides. Tests only.
#pragma once

#include "qad/parameters.hpp"

inline const qad::shape tiny{.vocabulary = 40,
                             .hidden = 24,
                             .layers = 3,
                             .heads = 4,
                             .kv_heads = 2,
                             .head_size = 6,
                             .feed_forward = 32,
                             .context = 12};
