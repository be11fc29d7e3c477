// SPDX-License-Identifier: Apache-2.0
// What packed_layers.hpp declares.
#include "packed_layers.hpp"

#include <cmath>
#include <filesystem>
#include <limits>

#include <doctest/doctest.h>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace packed_layers {

void tensor::fill(std::mt19937& random) {
  using enum er::safetensors_dtype;
  std::uniform_real_distribution<float> number(-2.0f, 2.0f);
  const std::size_t size = er::info_of(dtype).bits / 8;
  for (std::size_t i = 0; i < bytes.size(); i += size) {
    const float value = number(random);
    if (dtype == f32) {
      put(i / size, value);
    } else if (dtype == f16) {
      put(i / size, er::float16{value}.bits);
    } else if (dtype == bf16) {
      put(i / size, er::bfloat16{value}.bits);
    } else {
      for (std::size_t b = 0; b < size; ++b) bytes[i + b] = static_cast<std::byte>(random());
    }
  }
}

er::safetensors_reader open(const std::string& name) {
  return er::safetensors_reader::open(std::filesystem::path(EDGERAZOR_TEST_DATA) / "checkpoints" /
                                      (name + ".safetensors"));
}

std::vector<float> decoded(const er::packed_linear& linear) {
  std::vector<float> values(linear.rows() * linear.cols());
  linear.decode_rows({0, linear.rows()}, {values.data(), linear.rows(), linear.cols()});
  return values;
}

std::vector<float> values_of(const er::any_matrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.cols());
  for (std::size_t r = 0; r < matrix.rows(); ++r)
    er::look_up_row(matrix, r, std::span{values}.subspan(r * matrix.cols(), matrix.cols()));
  return values;
}

namespace {
void check_products(const er::any_matrix& matrix, const std::vector<float>& expected) {
  const std::size_t rows = matrix.rows(), cols = matrix.cols(), tokens = 5;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  // Two tokens of 127 and -127, which are their own int8 activations, and three of any numbers.
  const std::size_t exact_tokens = 2;
  std::vector<float> x(tokens * cols);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float value = normal(random);
    x[i] = i >= exact_tokens * cols ? value : value < 0 ? -127.0f : 127.0f;
  }
  std::vector<std::byte> room(er::input_bytes(matrix, tokens));
  std::vector<float> reference;
  const std::span<const er::kernel> kernels = er::available_kernels();
  for (std::size_t k = kernels.size(); k-- > 0;) {
    const std::string kernel{kernels[k].name};
    CAPTURE(kernel);
    const er::prepared_input in =
        er::prepare(matrix, {x.data(), tokens, cols}, room, {.kernel = &kernels[k]});
    std::vector<float> y(tokens * rows);
    er::add(matrix, in, {y.data(), tokens, rows}, {.kernel = &kernels[k]});
    if (reference.empty()) {
      REQUIRE(kernel == "scalar");
      reference = y;
    }
    CHECK(std::memcmp(y.data(), reference.data(), y.size() * sizeof(float)) == 0);
  }
  std::size_t wrong = 0;
  for (std::size_t t = 0; t < exact_tokens; ++t) {
    for (std::size_t r = 0; r < rows; ++r) {
      double sum = 0, magnitude = 0;
      for (std::size_t c = 0; c < cols; ++c) {
        const double product = static_cast<double>(expected[r * cols + c]) * x[t * cols + c];
        sum += product, magnitude += std::fabs(product);
      }
      // Sums of a group are exact integers (with a zero, differences of such); each group adds two
      // roundings, of its scale and of its sum.
      const double bound = 0x1p-23 * static_cast<double>(cols + 8) * magnitude + 0x1p-126;
      wrong += !(std::fabs(reference[t * rows + r] - sum) <= bound);
    }
  }
  CHECK(wrong == 0);
}

void check_decoded(const er::packed_linear& linear, const std::vector<float>& expected) {
  CHECK(decoded(linear) == expected);
  const std::size_t rows = linear.rows(), cols = linear.cols();
  std::vector<float> some(rows * (cols + 3), -1.0f);
  for (const er::row_range range :
       {er::row_range{0, 1}, er::row_range{rows / 3, rows}, er::row_range{rows, rows}}) {
    linear.decode_rows(range, {some.data(), range.size(), cols, cols + 3});
    std::size_t wrong = 0;
    for (std::size_t r = range.begin; r < range.end; ++r) {
      const float* const row = some.data() + (r - range.begin) * (cols + 3);
      for (std::size_t c = 0; c < cols; ++c) wrong += row[c] != expected[r * cols + c];
      wrong += row[cols] != -1.0f;
    }
    CHECK(wrong == 0);
  }
}
}  // namespace

void check(const er::packed_linear& linear, const std::vector<float>& expected,
           const std::string& format) {
  REQUIRE(expected.size() == linear.rows() * linear.cols());
  check_decoded(linear, expected);
  CHECK(linear.exact_format().has_value() == !format.empty());
  CHECK(linear.why_not_exact().empty() == !format.empty());
  if (!linear.exact_format()) {
    CHECK_THROWS_AS(static_cast<void>(linear.import_matrix()), er::io_error);
    return;
  }
  CHECK(linear.exact_format()->name() == format);
  const er::any_matrix matrix = linear.import_matrix();
  CHECK(matrix.fmt() == *linear.exact_format());
  CHECK(values_of(matrix) == expected);
  check_products(matrix, expected);
}

void check(const er::packed_linear& linear, const er::safetensors_tensor& expected,
           const std::string& format) {
  CHECK(linear.rows() == expected.rows());
  CHECK(linear.cols() == expected.cols());
  std::vector<float> values(expected.elements());
  er::decode_floats(expected, 0, values);
  check(linear, values, format);
}

void check_random(const std::function<er::packed_linear(std::mt19937& random)>& make,
                  std::size_t rounds) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t taken = 0, refused = 0, wrong = 0;
  for (std::size_t i = 0; i < rounds; ++i) {
    try {
      const er::packed_linear linear = make(random);
      const std::vector<float> values = decoded(linear);
      if (linear.exact_format()) {
        const std::vector<float> imported = values_of(linear.import_matrix());
        for (std::size_t k = 0; k < values.size(); ++k) wrong += imported[k] != values[k];
      }
      ++taken;
    } catch (const er::io_error&) {
      ++refused;
    }
  }
  CHECK(wrong == 0);
  CHECK(taken > 0);
  CHECK(refused > 0);
}

}  // namespace packed_layers
