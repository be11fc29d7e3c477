// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/options.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/options");

TEST_CASE("product_options: any of them by name, all of them optional") {
  const er::product_options none{};
  CHECK_FALSE(none.rows);
  CHECK(none.kernel == nullptr);

  const er::product_options some{.rows = er::row_range{16, 32},
                                 .kernel = er::find_kernel("scalar")};
  REQUIRE(some.rows);
  CHECK(some.rows->begin == 16);
  CHECK(some.rows->end == 32);
  CHECK(some.kernel->name == er::find_kernel("scalar")->name);
  CHECK(er::kernel_options{}.kernel == nullptr);
}

TEST_SUITE_END();
