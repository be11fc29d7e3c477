#pragma once
#include <edgerazor/matrix/above.hpp>
#define MAX_ROWS 16
#if defined(__AVX2__)
#endif
