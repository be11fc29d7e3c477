// expect: the reference packs levels of at most 4 bits
#include <edgerazor/pack/reference_layout.hpp>
#include <edgerazor/quant/symmetric.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) {
  return er::quantize_reference<er::int8<>>(w, 32);
}
