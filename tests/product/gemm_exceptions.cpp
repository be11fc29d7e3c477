// SPDX-License-Identifier: Apache-2.0
/// Floating-point exceptions: quantizing, products, softmax and attention of finite numbers raise
/// none that a host would trap (feenableexcept), whatever the padding of its vectors holds.
#include <algorithm>
#include <cfenv>
#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/product/attention.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemm");

namespace {

template <class Call>
void check_quiet(const std::string& what, const Call& call) {
  INFO(what);
  std::feclearexcept(FE_ALL_EXCEPT);
  call();
  CHECK(std::fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW) == 0);
}

}  // namespace

TEST_CASE("finite numbers raise no invalid, divide-by-zero or overflow") {
  constexpr std::size_t rows = 83, cols = 332, tokens = 5;
  std::mt19937 random(7);
  std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random),
                     x = samples::draw(samples::kind::normal, tokens * cols, random);
  std::fill(w.begin(), w.begin() + 64, 0.0f);  // a group of zeros
  std::fill(x.begin(), x.begin() + cols, 0.0f);
  std::vector<float> out(w.size()), y(tokens * rows);
  const er::matrix_view<const float> weights{w.data(), rows, cols}, input{x.data(), tokens, cols};
  const er::matrix_view<float> to{out.data(), rows, cols}, products{y.data(), tokens, rows};
  check_quiet("ternary", [&] { er::fake_quantize(weights, to, er::ternary<er::per_group<64>>{}); });
  check_quiet("int4", [&] { er::fake_quantize(weights, to, er::int4<er::per_group<64>>{}); });
  check_quiet("asymmetric",
              [&] { er::fake_quantize(weights, to, er::int4_asymmetric<er::per_group<64>>{}); });
  for (const char* name : {"ternary2_g64", "ternary5_g64", "int4_g64", "int8_g64",
                           "int4_g64+ternary5_g64:every_8_rows", "f16", "bf16", "f32"}) {
    er::any_matrix m;
    check_quiet(name,
                [&] { m = er::any_matrix::pack(er::matrix_format::parse(name).value(), weights); });
    for (const er::kernel& kernel : er::available_kernels()) {
      const std::string on = std::string{name} + " on " + std::string{kernel.name};
      check_quiet(on, [&] { er::gemm(m, er::unquantized{input}, products, {.kernel = &kernel}); });
      if (m.is_dense()) continue;
      check_quiet(on + ", int8", [&] {
        er::packed_activations room(cols, 64, tokens);
        er::gemm(m, er::quantize_activations(input, room, {.kernel = &kernel}), products,
                 {.kernel = &kernel});
      });
    }
  }
  for (const er::kernel& kernel : er::available_kernels()) {
    const std::string on{kernel.name};
    std::vector<float> scores = samples::draw(samples::kind::normal, 1003, random);
    for (float& s : scores) s *= 90;
    check_quiet("softmax on " + on, [&] { er::softmax(scores, {.kernel = &kernel}); });
    check_quiet("attention on " + on, [&] {
      er::kv_cache cache(2, 80, 70);
      const std::vector<float> keys(160, 0.5f), values(160, 0.25f), queries(480, 0.1f);
      for (int i = 0; i < 70; ++i) cache.append(keys, values);
      std::vector<float> sc(6 * 70), mixed(6 * 80);
      const std::vector<std::size_t> lengths{65, 66, 67, 68, 69, 70};
      er::attention(cache, 1, {queries.data(), 6, 80}, lengths, 0.1f, {sc.data(), 6, 70},
                    {mixed.data(), 6, 80}, {.kernel = &kernel});
    });
  }
}

TEST_SUITE_END();
