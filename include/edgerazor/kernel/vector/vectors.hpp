// SPDX-License-Identifier: Apache-2.0
/// The vectors of every instruction set, for loops that are no products, and how one of their
/// tables is chosen. each.inl makes the tables.
#pragma once

#include <array>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/vector/avx2.hpp>
#include <edgerazor/kernel/vector/avx512.hpp>
#include <edgerazor/kernel/vector/portable.hpp>
