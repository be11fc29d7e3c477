/// What is promised to need no memory asks for none: operator new counts, see counted_new.cpp.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/quant/asymmetric.hpp>
#include <edgerazor/quant/fake_quantize.hpp>
#include <edgerazor/quant/straight_through.hpp>
#include <edgerazor/quant/symmetric.hpp>
#include <edgerazor/quant/ternary.hpp>

namespace er = edgerazor;

extern std::size_t allocation_count;  // counted_new.cpp

TEST_CASE_TEMPLATE("no allocation: float rows whose groups stay within rows", Policy, er::ternary<er::per_group<64>>,
                   er::int4<er::per_channel>, er::int4_asymmetric<er::per_group<256>>) {
  const std::size_t rows = 5, cols = 300, stride = 333;
  std::vector<float> w(rows * stride, 0.25f), out(rows * stride);
  std::vector<er::bfloat16> narrow(rows * stride, er::bfloat16{0.25f});
  std::vector<std::int8_t> levels(cols);
  const er::matrix_view<const float> in{w.data(), rows, cols, stride};
  const er::matrix_view<float> to{out.data(), rows, cols, stride};

  const std::size_t before = allocation_count;
  er::fake_quantize<Policy>(in, to);
  er::fake_quantize<Policy>(in, to, er::row_range{1, 4});
  er::fake_quantize<Policy>(in, er::matrix_view<er::bfloat16>{narrow.data(), rows, cols, stride});
  er::straight_through_clipped<Policy>(in, to, to);
  (void)er::quantize_group(Policy{}, in.row(0), levels.data());
  const std::size_t after = allocation_count;
  CHECK(after == before);

  // The counter counts: 16-bit rows are converted in a buffer.
  er::fake_quantize<Policy>(er::matrix_view<er::bfloat16>{narrow.data(), rows, cols, stride}, to);
  CHECK(allocation_count > after);
}
