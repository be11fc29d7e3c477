#pragma once
#include <edgerazor/product/named.hpp>
