// SPDX-License-Identifier: Apache-2.0
// Compiled against headers to which docs/kernels.md, "Add a codec", has been applied: `quinary`
// packs, unpacks, multiplies by every kernel, mixes and has a name, like the codecs that come with
// the library. Returns the number of what went wrong.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include <edgerazor/quant.hpp>

namespace er = edgerazor;

namespace {

/// Levels -2 ... 2 by the maximum: the policy of whoever wants the codec.
struct five_levels {
  using granularity = er::per_group<32>;
  using scale_type = float;
  static constexpr int min_level = -2, max_level = 2;

  [[nodiscard]] float scale(std::span<const float> group) const noexcept {
    float largest = 1e-5f;
    for (const float w : group) largest = std::max(largest, std::fabs(w));
    return largest / 2;
  }
  [[nodiscard]] static int level(float weight, float scale) noexcept {
    return er::round_to_level<-2, 2>(weight / scale);
  }
};

int failures = 0;

void check(bool right, const char* what, const char* kernel = "") {
  if (right) return;
  std::fprintf(stderr, "%s %s\n", what, kernel);
  ++failures;
}

/// Products of one and of many tokens, int8 and float, by every kernel against the reference one.
template <class W>
void check_products(const W& w, std::size_t rows, std::size_t cols, std::span<const float> x,
                    std::size_t tokens) {
  const er::matrix_view<const float> all{x.data(), tokens, cols};
  er::packed_activations memory(cols, 32, tokens);
  const er::activation_view x8 = er::quantize_activations(all, memory);
  const auto multiply = [&](const er::product_input& input, std::size_t count,
                            const er::kernel* k) {
    std::vector<float> y(count * rows);
    er::gemm(w, input, er::matrix_view<float>{y.data(), count, rows}, {.kernel = k});
    return y;
  };
  const er::kernel* scalar = er::find_kernel("scalar");
  for (const er::kernel& k : er::available_kernels()) {
    const std::string name{k.name};
    for (const std::size_t count : {std::size_t{1}, tokens}) {
      check(multiply(x8.tokens_between(0, count), count, &k) ==
                multiply(x8.tokens_between(0, count), count, scalar),
            "int8 products differ:", name.c_str());
      const er::unquantized some{all.rows_between(std::size_t{0}, count)};
      check(multiply(some, count, &k) == multiply(some, count, scalar),
            "float products differ:", name.c_str());
    }
  }
}

}  // namespace

int main() {
  const std::size_t rows = 35, cols = 203, tokens = 9;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> w(rows * cols), x(tokens * cols);
  for (float& value : w) value = normal(random);
  for (float& value : x) value = normal(random);
  const er::matrix_view<const float> weights{w.data(), rows, cols};

  const auto packed = er::pack<five_levels, er::codecs::quinary>(weights);
  check(packed.fmt.name() == "quinary_g32_f32", "its name");
  check(er::format::parse("quinary_g64") == std::optional{er::format{er::code_type::quinary, 64}},
        "parsing its name");
  // Three digits a byte: 17 chunks of 64 bytes hold the 51 slots of a tile.
  check(packed.bytes().size() == 3 * (7 * 64 + 17 * 64), "its size");
  std::vector<float> values(w.size()), expected(w.size());
  er::dequantize(packed, er::matrix_view<float>{values.data(), rows, cols});
  er::fake_quantize<five_levels>(weights, er::matrix_view<float>{expected.data(), rows, cols});
  check(values == expected, "unpacking what was packed");
  std::vector<float> row(cols);
  er::look_up_row(packed, 20, row);
  check(std::equal(row.begin(), row.end(), expected.begin() + 20 * cols), "one row");
  check_products(packed, rows, cols, x, tokens);

  // Every byte, those that no packer writes included.
  std::vector<std::byte> bytes(packed.bytes().begin(), packed.bytes().end());
  for (std::size_t i = 7 * 64; i < (7 + 17) * 64; ++i) bytes[i] = static_cast<std::byte>(random());
  check_products(er::packed_view(packed.view().layout(), bytes), rows, cols, x, tokens);

  const er::any_matrix mixed =
      er::any_matrix::pack(*er::matrix_format::parse("int4_g32+quinary_g32:every_4_rows"), weights);
  check_products(mixed, rows, cols, x, tokens);
  return failures;
}
