// SPDX-License-Identifier: Apache-2.0
/// What the products leave open: options by name, all of them optional.
///
///     er::gemv(w, x, y, {.rows = er::row_range{0, 64}});
///     er::gemm(w, x, y, {.kernel = er::find_kernel("scalar"), .executor = pool});
#pragma once

#include <optional>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct kernel;  // product/kernels.hpp

struct product_options {
  std::optional<row_range> rows{};            ///< of the result: no others are computed or written
  const edgerazor::kernel* kernel = nullptr;  ///< null: the fastest
  executor_ref executor{};                    ///< empty: the calling thread
};

/// Of functions whose work is not split.
struct kernel_options {
  const edgerazor::kernel* kernel = nullptr;  ///< null: the fastest
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
