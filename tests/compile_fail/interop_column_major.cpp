// expect: a column-major Eigen matrix has no row-major view
// SPDX-License-Identifier: Apache-2.0
// Eigen's default is column-major.
#include <edgerazor/interop/eigen.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

auto wrong(const Eigen::MatrixXf& w) { return er::pack<er::int4<>>(er::view_of(w)); }
