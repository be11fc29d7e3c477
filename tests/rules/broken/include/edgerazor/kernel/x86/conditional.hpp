#pragma once
#if EDGERAZOR_X86
#include <edgerazor/core/upward.hpp>
#endif
