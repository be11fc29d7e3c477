#include <edgerazor/quant.hpp>
#include <vector>
namespace er = edgerazor;
int main() {
  const int rows = 33, cols = 576;
  std::vector<float> w(33 * 576), x(576, 0.5f), y(33);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = 0.01f * static_cast<float>(static_cast<int>(i * 7 % 15) - 7);
  const er::matrix_view<const float> view{w.data(), rows, cols};   // int extents: no warning, no error
  auto w3 = er::pack<er::int3<er::per_group<64>>>(view);           // absmax, levels -3 ... 3, 3 bits a weight
  auto w5 = er::pack<er::int5<er::per_group<64>>>(view);           // -15 ... 15, 5 bits
  auto w6 = er::pack<er::int6<er::per_group<64>>>(view);           // -31 ... 31, 6 bits
  auto w1 = er::pack<er::binary<er::per_group<64>>>(view);         // -1, 1 (0 counts as 1) times mean|w|, 1 bit
  er::gemv(w3, std::span<const float>{x}, std::span<float>{y}, {.rows = er::row_range{0, 17}, .kernel = er::find_kernel("scalar")});
  for (const auto& k : er::available_kernels()) er::gemv(w5, std::span<const float>{x}, std::span<float>{y}, {.kernel = &k});
  const auto bytes = w3.bytes().size() + w5.bytes().size() + w6.bytes().size() + w1.bytes().size();
  return bytes <= 48 * 576 * (3 + 5 + 6 + 1) / 8 + 4 * 48 * 9 * 2 + 8 * 3 * 64 ? 0 : 1;
}
