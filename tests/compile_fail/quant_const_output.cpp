// expect: writable_element
// The output is written.
#include <edgerazor/quant/fake_quantize.hpp>
#include <edgerazor/quant/symmetric.hpp>

namespace er = edgerazor;

void wrong(er::matrix_view<const float> in, er::matrix_view<const float> out) {
  er::fake_quantize<er::int4<>>(in, out);
}
