// expect: Bits <= 8
// Levels are stored as int8.
#include <edgerazor/quant/symmetric.hpp>

using wrong = edgerazor::symmetric<9>;
