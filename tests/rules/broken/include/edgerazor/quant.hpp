#pragma once
#include <nlohmann/json.hpp>

#include <edgerazor/core/upward.hpp>
inline int code = 1;
