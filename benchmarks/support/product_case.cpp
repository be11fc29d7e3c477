// SPDX-License-Identifier: Apache-2.0
#include "product_case.hpp"

#include <algorithm>
#include <cstring>

#include "random_values.hpp"
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/grains.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;

namespace bench {

namespace {

/// Rows at either end of the matrix that are compared for every token.
std::size_t edge_rows(shape size) { return std::min<std::size_t>(16, size.rows); }

}  // namespace

product_case::product_case(const std::string& format, shape size, std::size_t tokens)
    : format_(format),
      size_(size),
      weights_(er::any_matrix::empty(*er::matrix_format::parse(format), size.rows, size.cols)),
      reals_(random_values(tokens * size.cols, token_values)),
      y_(tokens * size.rows) {
  constexpr std::size_t block = 1024;
  for (std::size_t r = 0; r < size.rows; r += block) {
    const std::size_t rows = std::min(block, size.rows - r);
    const std::vector<float> some = random_values(rows * size.cols, r * size.cols);
    weights_.pack_rows(r, er::matrix_view{some.data(), rows, size.cols});
  }
  const er::kernel& reference = *er::find_kernel("scalar");
  if (!weights_.is_dense()) {
    activations_ = er::packed_activations(size.cols, weights_.group_cols(), tokens);
    quantize_tokens(reference);
  }
  expected_.resize(y_.size());
  multiply_rows(weights_, {0, size.rows}, 1, reference, expected_);
  if (tokens == 1) return;
  multiply_rows(weights_, {0, edge_rows(size)}, tokens, reference, expected_);
  multiply_rows(weights_, {size.rows - edge_rows(size), size.rows}, tokens, reference, expected_);
}

double product_case::multiply_adds() const noexcept {
  return static_cast<double>(size_.rows) * static_cast<double>(size_.cols) *
         static_cast<double>(tokens());
}

std::vector<er::any_matrix> product_case::spread_out(std::span<const std::byte>& memory) const {
  const std::size_t size = weights_.bytes().size(), step = (size + 63) / 64 * 64,
                    count = dram_bytes / step + 1;
  static er::byte_storage storage;  // kept: filling it takes longer than measuring
  if (storage.size() < count * step) {
    storage = er::byte_storage{};
    storage = er::byte_storage{count * step};
  }
  std::vector<er::any_matrix> copies;
  for (std::size_t i = 0; i < count; ++i) {
    std::byte* const to = storage.data() + i * step;
    std::memcpy(to, weights_.bytes().data(), size);
    copies.push_back(
        er::any_matrix::from_bytes(weights_.fmt(), size_.rows, size_.cols, {to, size}));
  }
  memory = {storage.data(), count * step};
  return copies;
}

void product_case::multiply(spinning_threads& threads, const er::any_matrix& weights,
                            const er::kernel& kernel) {
  if (threads.size() == 1) return multiply_rows(weights, {0, size_.rows}, tokens(), kernel, y_);
  const auto executor = [&threads](std::size_t count, er::grain_work work) {
    threads.run(count, work);
  };
  const er::matrix_view<float> out{y_.data(), tokens(), size_.rows};
  if (weights.is_dense()) {
    er::gemm(weights,
             er::unquantized{er::matrix_view<const float>{reals_.data(), tokens(), size_.cols}},
             out, {.kernel = &kernel, .executor = executor});
  } else {
    er::gemm(weights, x_, out, {.kernel = &kernel, .executor = executor});
  }
}

void product_case::quantize_tokens(const er::kernel& kernel) {
  if (weights_.is_dense()) return;
  x_ = er::quantize_activations({reals_.data(), tokens(), size_.cols}, activations_,
                                {.scales = er::activation_scales::of_groups, .kernel = &kernel});
}

bool product_case::right() const {
  const auto same = [this](std::size_t begin, std::size_t count) {
    return std::memcmp(&y_[begin], &expected_[begin], count * sizeof(float)) == 0;
  };
  const std::size_t edge = edge_rows(size_);
  if (!same(0, size_.rows)) return false;
  for (std::size_t t = 0; t < tokens(); ++t) {
    if (!same(t * size_.rows, edge) || !same((t + 1) * size_.rows - edge, edge)) return false;
  }
  return true;
}

void product_case::multiply_rows(const er::any_matrix& weights, er::row_range range,
                                 std::size_t count, const er::kernel& kernel,
                                 std::vector<float>& y) const {
  const er::matrix_view<float> out{y.data(), count, size_.rows};
  if (weights.is_dense()) {
    const er::matrix_view<const float> x{reals_.data(), count, size_.cols};
    er::gemm(weights, er::unquantized{x}, out, {.rows = range, .kernel = &kernel});
  } else {
    er::gemm(weights, x_.tokens_between(0, count), out, {.rows = range, .kernel = &kernel});
  }
}

}  // namespace bench
