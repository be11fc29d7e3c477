#pragma once
#include <edgerazor/pack/above.hpp>
#define MAX_ROWS 16
#if defined(__AVX2__)
#endif
