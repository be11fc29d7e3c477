// expect: N > 0
// A group holds at least one column.
#include <edgerazor/quant/granularity.hpp>

using wrong = edgerazor::per_group<0>;
