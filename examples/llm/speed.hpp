// SPDX-License-Identifier: Apache-2.0
/// Tokens a second of several models, each in a process of its own, in turn.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "model.hpp"
#include "profile.hpp"
#include "thread_pool.hpp"
#include "tokenizer.hpp"

namespace llm {

/// One model to measure.
struct contestant {
  std::string name;
  std::function<model(thread_pool&)> load;  ///< called in the worker
};

struct race {
  std::vector<token_id> prompt;     ///< processed at once; not empty
  std::size_t decoded_tokens = 32;  ///< then so many one by one, greedily
  std::size_t rounds = 3;           ///< after a short one that warms up
  std::size_t threads = 1;
  std::string kernel;     ///< empty: the fastest
  bool profiled = false;  ///< whether decoding is timed step by step
};

struct speed {
  double prompt_rate = 0;           ///< tokens a second, median of the rounds
  double decode_rate = 0;           ///< likewise
  double bits_per_weight = 0;       ///< of the linear layers, scales and padding included
  std::size_t weight_bytes = 0;     ///< all matrices
  std::size_t bytes_per_token = 0;  ///< that decoding one token reads of them
  std::size_t cache_bytes = 0;      ///< keys and values of prompt and decoded tokens
  std::size_t peak_memory = 0;      ///< of the worker; 0 where processes can't be told apart
  profile decoding;                 ///< of all rounds together; nothing where nobody asked
};

/// One round of every contestant, then the next round: what slows the machine down for a while
/// slows all of them. All models are in memory at once.
std::vector<speed> measure_speed(const std::vector<contestant>& contestants, const race& how);

}  // namespace llm
