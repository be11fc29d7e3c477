#pragma once
#include <edgerazor/core/upward.hpp>
inline int code = 1;
