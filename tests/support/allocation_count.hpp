// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

/// How often this program has asked operator new for memory: defined by counted_new.hpp.
extern std::atomic<std::size_t> allocation_count;
