// expect: an Eigen expression, or a matrix that is a temporary, has no elements that last
// SPDX-License-Identifier: Apache-2.0
// A Ref to constant elements holds a copy where it was made of an expression.
#include <edgerazor/interop/eigen.hpp>

namespace er = edgerazor;

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

auto wrong(const matrix& a) { return er::view_of(Eigen::Ref<const matrix>(a + a)); }
