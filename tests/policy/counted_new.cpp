// SPDX-License-Identifier: Apache-2.0
/// This program counts what it allocates.
#include "support/counted_new.hpp"
