#pragma once
#include <edgerazor/calibrate/fit.hpp>
