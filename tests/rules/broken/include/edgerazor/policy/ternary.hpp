// Plain headers see no vectors.
#pragma once
#include <xsimd/xsimd.hpp>
