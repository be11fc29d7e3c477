#pragma once
#include <edgerazor/core/vectors.hpp>
