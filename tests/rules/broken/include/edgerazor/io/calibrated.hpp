#pragma once
#include <Eigen/Core>
#include <edgerazor/calibrate/fit.hpp>
