// SPDX-License-Identifier: Apache-2.0
// Under -fsanitize=undefined g++ does not know while it compiles that a function's address is not
// null: no assertion about a table of functions may ask for it.
#include <edgerazor/distill.hpp>
#include <edgerazor/io.hpp>
#include <edgerazor/quant.hpp>
