// expect: expected 2 to 8 bits
#include <edgerazor/policy/symmetric.hpp>

constexpr edgerazor::symmetric<9> wrong;
