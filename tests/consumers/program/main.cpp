// SPDX-License-Identifier: Apache-2.0
// A stranger's program: multiplies a matrix whose product is known, in two translation units and
// with every kernel.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "elsewhere.hpp"

namespace er = edgerazor;

namespace {

bool check(bool holds, const char* what) {
  if (!holds) std::printf("wrong: %s\n", what);
  return holds;
}

[[noreturn]] void leave(const char* sentence) {
  std::printf("refused: %s\n", sentence);
  std::_Exit(0);
}

// A wrong shape is refused: by an exception, or without exceptions by the handler.
int misuse() {
  const std::vector<float> w(32 * 64), x(63);
  std::vector<float> y(32);
  er::set_error_handler(&leave);
  const auto packed =
      er::pack<er::int4<er::per_group<64>>>(er::matrix_view<const float>{w.data(), 32, 64});
#if defined(__cpp_exceptions)
  try {
    er::gemv(packed, std::span<const float>{x}, std::span<float>{y});
  } catch (const std::invalid_argument& refusal) {
    leave(refusal.what());
  }
#else
  er::gemv(packed, std::span<const float>{x}, std::span<float>{y});
#endif
  return 1;
}

// Memory that can't be had is an exception, or without exceptions the handler's, too.
int exhaust() {
  er::set_error_handler(&leave);
  constexpr std::size_t tokens = std::size_t{1} << 45;
#if defined(__cpp_exceptions)
  try {
    const er::packed_activations room(64, 64, tokens);
  } catch (const std::bad_alloc& refusal) {
    leave(refusal.what());
  }
#else
  const er::packed_activations room(64, 64, tokens);
#endif
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return argv[1][0] == 'm' ? misuse() : exhaust();

  // Row r holds (r % 7) + 1 times the pattern -1, 0, 1, so its product with that pattern is ((r %
  // 7) + 1) * (384 of 576).
  constexpr std::size_t rows = 33, cols = 576;
  std::vector<float> w(rows * cols), x(cols);
  for (std::size_t c = 0; c < cols; ++c) x[c] = static_cast<float>(c % 3) - 1.0f;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) w[r * cols + c] = static_cast<float>(r % 7 + 1) * x[c];
  }
  const er::matrix_view<const float> weights{w.data(), rows, cols};
  const std::vector<float> y = multiply_elsewhere(weights, x);

  bool right = true;
  for (std::size_t r = 0; r < rows; ++r) {
    // Codes are -7, 0, 7 and -127, 0, 127 exactly; what remains is the rounding of the scale to
    // half precision, 2^-11, and of float operations over 9 groups, 2^-20 with room to spare.
    const float exact = 384.0f * static_cast<float>(r % 7 + 1);
    right &= check(std::fabs(y[r] - exact) <= exact * (0x1p-11f + 0x1p-20f), "a product");
  }

  const auto packed = er::pack<er::int4<er::per_group<64>>>(weights);
  for (const auto& kernel : er::available_kernels()) {
    std::vector<float> again(rows);
    er::gemv(packed, std::span<const float>{x}, std::span<float>{again}, {.kernel = &kernel});
    right &= check(again == y, "a kernel disagrees with another translation unit");
  }

  // The same logits up to a constant: the same distributions.
  const std::vector<float> teacher{0.0f, 1.0f, -2.0f}, student{8.0f, 9.0f, 6.0f};
  const er::matrix_view<const float> s{student.data(), 1, 3}, t{teacher.data(), 1, 3};
  right &= check(compare_elsewhere(s, t).value < 1e-12, "a divergence");
  right &= check(er::forward_kl{}(s, t, er::token_batch{}).value < 1e-12, "a divergence here");

  er::set_error_handler(&leave);
  right &=
      check(handler_seen_elsewhere() == &leave, "two translation units hold two error handlers");
  if (right) std::puts("all right");
  return right ? 0 : 1;
}
