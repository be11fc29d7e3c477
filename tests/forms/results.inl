// SPDX-License-Identifier: Apache-2.0
// The body of both functions of results.hpp, included once in each form.
namespace er = edgerazor;
constexpr std::size_t rows = 33, cols = 576;
std::vector<float> weights(rows * cols), x(cols);
for (std::size_t i = 0; i < weights.size(); ++i) {
  weights[i] = static_cast<float>(static_cast<int>(i * 2654435761u % 2001) - 1000) / 4096.0f;
}
for (std::size_t i = 0; i < cols; ++i) x[i] = static_cast<float>(i * i % 97) / 31.0f - 1.5f;
const er::matrix_view<const float> view{weights.data(), rows, cols};

form_results results;
const auto packed = er::pack<er::ternary<er::per_group<64>>>(view);
results.packed.assign(packed.bytes().begin(), packed.bytes().end());
results.product.resize(rows);
er::gemv(packed, std::span<const float>{x}, std::span<float>{results.product});

results.fake_quantized.resize(rows * cols);
er::fake_quantize<er::int4<er::per_group<64>>>(
    view, er::matrix_view<float>{results.fake_quantized.data(), rows, cols});

const er::matrix_view<const float> student{weights.data(), 16, cols};
const er::matrix_view<const float> teacher{weights.data() + 16 * cols, 16, cols};
results.gradient.resize(16 * cols);
results.loss = er::entropy_aware_kl{}(student, teacher, er::token_batch{},
                                      er::matrix_view<float>{results.gradient.data(), 16, cols})
                   .value;
return results;
