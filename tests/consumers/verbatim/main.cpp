#include <edgerazor/quant.hpp>
#include <vector>
namespace er = edgerazor;
int main() {
  const std::size_t rows = 33, cols = 576;
  std::vector<float> w(rows * cols, 0.01f), x(cols, 0.5f), y(rows);
  using policy = er::ternary<er::per_group<64>>;
  auto packed = er::pack<policy>(er::matrix_view<const float>{w.data(), rows, cols});
  er::gemv(packed, std::span<const float>{x}, std::span<float>{y});
  er::gemv(packed, std::span<const float>{x}, std::span<float>{y}, {.rows = er::row_range{16, 33}});
  std::vector<float> back(rows * cols), fq(rows * cols);
  er::dequantize(packed, er::matrix_view<float>{back.data(), rows, cols});
  er::fake_quantize<er::int4<er::per_group<64>>>(er::matrix_view<const float>{w.data(), rows, cols}, er::matrix_view<float>{fq.data(), rows, cols});
  auto mixed = er::pack_mixed<er::int4<er::per_group<64>>, policy>(er::matrix_view<const float>{w.data(), rows, cols}, er::every_nth_row{8});
  er::gemv(mixed, std::span<const float>{x}, std::span<float>{y});
  for (const auto& k : er::available_kernels()) er::gemv(packed, std::span<const float>{x}, std::span<float>{y}, {.kernel = &k});
}
