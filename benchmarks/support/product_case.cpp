// SPDX-License-Identifier: Apache-2.0
#include "product_case.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <set>

#include "random_values.hpp"
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/grains.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;

namespace bench {

namespace {

/// Rows at either end of the matrix that are compared for every token.
std::size_t edge_rows(shape size) { return std::min<std::size_t>(16, size.rows); }

/// Of a format whose statistics are of 16 rows: what a calibration would choose.
er::any_matrix chosen(const er::matrix_format& fmt, shape size) {
  const er::tile_layout layout(fmt.first, size.rows, size.cols);
  const std::size_t numbers = size.rows * layout.groups();
  std::vector<float> scales = random_values(numbers), zeros = random_values(numbers, numbers);
  for (float& scale : scales) scale = 0.02f + 0.002f * scale;
  for (float& zero : zeros) zero = 3.5f + 0.5f * zero;
  const auto highest = static_cast<int>(er::codec_of(fmt.first.code).largest_code());
  const std::vector<float> values = random_values(size.rows * size.cols, 2 * numbers);
  std::vector<int> levels(values.size());
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const float middle = 0.5f * static_cast<float>(highest);
    levels[i] = std::clamp(static_cast<int>(middle + 0.5f + middle * values[i] / 2), 0, highest);
  }
  return er::pack_levels(fmt.first, er::matrix_view{levels.data(), size.rows, size.cols},
                         er::matrix_view{scales.data(), size.rows, layout.groups()},
                         er::matrix_view{zeros.data(), size.rows, layout.groups()});
}

er::any_matrix packed(const er::matrix_format& fmt, shape size) {
  if (fmt.type == er::matrix_format::kind::packed && fmt.first.two_level) return chosen(fmt, size);
  er::any_matrix weights = er::any_matrix::empty(fmt, size.rows, size.cols);
  constexpr std::size_t block = 1024;
  for (std::size_t r = 0; r < size.rows; r += block) {
    const std::size_t rows = std::min(block, size.rows - r);
    const std::vector<float> some = random_values(rows * size.cols, r * size.cols);
    weights.pack_rows(r, er::matrix_view{some.data(), rows, size.cols});
  }
  return weights;
}

/// One weight in a hundred, anywhere.
er::sparse_matrix outliers(shape size) {
  const std::size_t count = size.rows * size.cols / 100;
  const std::vector<float> places = random_values(2 * count, 7);
  std::set<std::size_t> taken;
  std::vector<er::sparse_entry> entries;
  std::uint64_t state = 1;
  while (entries.size() < count) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::size_t place = static_cast<std::size_t>(state >> 20) % (size.rows * size.cols);
    if (!taken.insert(place).second) continue;
    entries.push_back({place / size.cols, place % size.cols, places[entries.size()]});
  }
  return {size.rows, size.cols, entries};
}

er::any_matrix made(const er::matrix_format& fmt, shape size) {
  if (fmt.type != er::matrix_format::kind::sum) return packed(fmt, size);
  std::vector<er::any_matrix> matrices;
  matrices.reserve(fmt.parts.size() * (1 + fmt.stages.size()));
  const std::vector<float> factors = random_values(size.cols, 8);
  std::vector<std::uint32_t> columns(size.cols);
  std::iota(columns.rbegin(), columns.rend(), 0u);
  const er::sparse_matrix sparse = outliers(size);
  er::matrix_sum sum;
  for (const er::matrix_format::part& p : fmt.parts) {
    const bool is_sparse = p.fmt.type == er::matrix_format::kind::sparse;
    if (!is_sparse) matrices.push_back(packed(p.fmt, {size.rows, fmt.cols_of(p.input, size.cols)}));
    er::matrix_sum one = is_sparse ? er::sum_of{sparse} : er::sum_of{matrices.back()};
    for (std::size_t input = p.input; input != 0; input = fmt.stages[input - 1].from) {
      const er::matrix_format::stage& what = fmt.stages[input - 1];
      const std::size_t cols = fmt.cols_of(what.from, size.cols);
      er::matrix_sum::stage stage{what.kind, 0, {}, {}};
      if (what.kind == er::input_stage::scaled) stage.factors = std::span{factors}.first(cols);
      if (what.kind == er::input_stage::permuted) stage.columns = columns;
      if (what.kind == er::input_stage::rotated) stage.block = what.size;
      if (what.kind == er::input_stage::projected) {
        matrices.push_back(packed(what.matrix, {what.size, cols}));
        stage.matrix = matrices.back().part();
      }
      one.precede(stage);
    }
    if (sum.parts().empty()) {
      sum = one;
    } else {
      sum.append(one);
    }
  }
  return er::any_matrix::joined(sum);
}

}  // namespace

product_case::product_case(const std::string& format, shape size, std::size_t tokens)
    : format_(format),
      size_(size),
      weights_(made(*er::matrix_format::parse(format), size)),
      reals_(random_values(tokens * size.cols, token_values)),
      y_(tokens * size.rows) {
  const er::kernel& reference = *er::find_kernel("scalar");
  if (weights_.sum()) {
    room_.resize(er::input_bytes(weights_, tokens));
    quantize_tokens(reference);
  } else if (!weights_.is_dense()) {
    activations_ = er::packed_activations(size.cols, weights_.group_cols(), tokens, nullptr,
                                          er::weight_ref(weights_).tables());
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
  if (threads.threads() == 1) return multiply_rows(weights, {0, size_.rows}, tokens(), kernel, y_);
  const er::matrix_view<float> out{y_.data(), tokens(), size_.rows};
  er::gemm(weights, input(tokens()), out, {.kernel = &kernel, .executor = threads});
}

void product_case::quantize_tokens(const er::kernel& kernel) {
  if (weights_.is_dense()) return;
  if (weights_.sum()) {
    prepared_ =
        er::prepare(weights_, {reals_.data(), tokens(), size_.cols}, room_, {.kernel = &kernel});
    return;
  }
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

er::product_input product_case::input(std::size_t count) const {
  if (weights_.sum()) return prepared_.tokens_between(0, count);
  if (!weights_.is_dense()) return x_.tokens_between(0, count);
  return er::unquantized{er::matrix_view<const float>{reals_.data(), count, size_.cols}};
}

void product_case::multiply_rows(const er::any_matrix& weights, er::row_range range,
                                 std::size_t count, const er::kernel& kernel,
                                 std::vector<float>& y) const {
  const er::matrix_view<float> out{y.data(), count, size_.rows};
  er::gemm(weights, input(count), out, {.rows = range, .kernel = &kernel});
}

}  // namespace bench
