#pragma once
#include <edgerazor/distill/loss.hpp>
