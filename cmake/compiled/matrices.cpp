// SPDX-License-Identifier: Apache-2.0
// Matrices whose rules are chosen at run time.
#include <edgerazor/matrix/any_matrix_impl.hpp>
#include <edgerazor/matrix/hadamard_impl.hpp>
#include <edgerazor/matrix/kv_cache_impl.hpp>
#include <edgerazor/matrix/matrix_sum_impl.hpp>
#include <edgerazor/matrix/sparse_matrix_impl.hpp>
#include <edgerazor/matrix/validate_impl.hpp>
