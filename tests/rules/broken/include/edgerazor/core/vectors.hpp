#pragma once
#include <xsimd/xsimd.hpp>
using lanes = xsimd::batch<float>;
