// SPDX-License-Identifier: Apache-2.0
#include "ggml_product.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string_view>

#include "../support/product_case.hpp"
#include "../support/random_values.hpp"
#include <edgerazor/core/config.hpp>

#if EDGERAZOR_LINUX
#include <sys/mman.h>
#endif

namespace peers {

namespace {

constexpr std::size_t checked_rows = 64;

std::size_t checked_row(std::size_t i, std::size_t rows) {
  return i * (rows - 1) / (checked_rows - 1);
}

context_pointer new_context(std::size_t tensors, std::size_t nodes) {
  const std::size_t size =
      tensors * ggml_tensor_overhead() + ggml_graph_overhead_custom(nodes, false);
  return context_pointer{ggml_init({size, nullptr, true})};
}

void ask_for_huge_pages(ggml_backend_buffer_t buffer) {
#if EDGERAZOR_LINUX
  constexpr std::uintptr_t page = 4096;
  const auto begin =
      reinterpret_cast<std::uintptr_t>(ggml_backend_buffer_get_base(buffer)) / page * page;
  (void)::madvise(reinterpret_cast<void*>(begin), ggml_backend_buffer_get_size(buffer),
                  MADV_HUGEPAGE);
#else
  (void)buffer;
#endif
}

}  // namespace

std::string ggml_format::name() const {
  std::string text = ggml_type_name(type);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return repacked ? text + " repacked" : text;
}

std::size_t ggml_product::bytes_of(ggml_format format, bench::shape size) {
  return ggml_row_size(format.type, static_cast<std::int64_t>(size.cols)) * size.rows;
}

ggml_product::ggml_product(ggml_format format, bench::shape size, std::size_t tokens,
                           std::size_t copies, std::size_t products)
    : size_(size),
      tokens_(bench::random_values(tokens * size.cols, bench::token_values)),
      matrix_bytes_(bytes_of(format, size)),
      backend_(new_cpu_backend()),
      weight_context_(new_context(copies, 0)),
      graph_context_(new_context(products + 1, products + copies + 1)) {
  const auto rows = static_cast<std::int64_t>(size.rows),
             cols = static_cast<std::int64_t>(size.cols);
  if (cols % ggml_blck_size(format.type) != 0)
    throw std::runtime_error(format.name() + " has no such columns");
  for (std::size_t i = 0; i < copies; ++i) {
    weights_.push_back(ggml_new_tensor_2d(weight_context_.get(), format.type, cols, rows));
  }
  weight_buffer_.reset(
      ggml_backend_alloc_ctx_tensors_from_buft(weight_context_.get(), weight_buffer_type(format)));
  if (!weight_buffer_) throw std::runtime_error("ggml has not got the memory");
  ask_for_huge_pages(weight_buffer_.get());
  fill_weights(format);

  ggml_tensor* x = ggml_new_tensor_2d(graph_context_.get(), GGML_TYPE_F32, cols,
                                      static_cast<std::int64_t>(tokens));
  graph_ = ggml_new_graph_custom(graph_context_.get(), products + copies + 1, false);
  for (std::size_t i = 0; i < products; ++i) {
    outputs_.push_back(ggml_mul_mat(graph_context_.get(), weights_[i % copies], x));
    ggml_build_forward_expand(graph_, outputs_.back());
  }
  graph_buffer_.reset(ggml_backend_alloc_ctx_tensors(graph_context_.get(), backend_.get()));
  if (!graph_buffer_) throw std::runtime_error("ggml has not got the memory");
  ggml_backend_tensor_set(x, tokens_.data(), 0, tokens_.size() * sizeof(float));
}

/// Quantized by ggml, a block of rows at a time, then set as a whole, which is when it repacks.
void ggml_product::fill_weights(ggml_format format) {
  std::vector<std::byte> packed(matrix_bytes_);
  const std::size_t row_bytes = matrix_bytes_ / size_.rows;
  constexpr std::size_t block = 1024;
  for (std::size_t r = 0; r < size_.rows; r += block) {
    const std::size_t rows = std::min(block, size_.rows - r);
    const std::vector<float> some = bench::random_values(rows * size_.cols, r * size_.cols);
    quantize_rows(format.type, some.data(), packed.data() + r * row_bytes, rows, size_.cols);
  }
  some_rows_.resize(checked_rows * size_.cols);
  for (std::size_t i = 0; i < checked_rows; ++i) {
    dequantize_row(format.type, packed.data(), checked_row(i, size_.rows),
                   std::span{some_rows_}.subspan(i * size_.cols, size_.cols));
  }
  for (ggml_tensor* w : weights_) ggml_backend_tensor_set(w, packed.data(), 0, packed.size());
}

void ggml_product::use_threads(std::size_t threads) {
  threads_ = peers::use_threads(backend_.get(), threads, processors_);
}

void ggml_product::multiply() {
  const ggml_status status = ggml_backend_graph_compute(backend_.get(), graph_);
  processors_.release();  // ggml keeps the calling thread on its processor
  if (status != GGML_STATUS_SUCCESS) throw std::runtime_error("ggml has not computed");
}

/// ggml rounds activations to 8 bits in groups of at most 256, whose largest element of some 3.5
/// deviations is 127, so an element moves by at most half of 3.5 / 127 deviations, and by 0.008 in
/// the root mean square. Over a row these errors add up like chance: to 0.008 |w| of the dot
/// product, with |x| = sqrt(cols) deviations. Six times that is allowed. A wrong product misses by
/// about |w|.
bool ggml_product::right() const {
  const std::size_t count = tokens_.size() / size_.cols;
  std::vector<float> y(size_.rows);
  for (const std::size_t t : {std::size_t{0}, count - 1}) {
    ggml_backend_tensor_get(outputs_.back(), y.data(), t * size_.rows * sizeof(float),
                            y.size() * sizeof(float));
    for (std::size_t i = 0; i < checked_rows; ++i) {
      double expected = 0, squares = 0;
      for (std::size_t c = 0; c < size_.cols; ++c) {
        const double w = static_cast<double>(some_rows_[i * size_.cols + c]);
        expected += w * static_cast<double>(tokens_[t * size_.cols + c]);
        squares += w * w;
      }
      const double difference =
          std::fabs(static_cast<double>(y[checked_row(i, size_.rows)]) - expected);
      if (!(difference <= 6 * 0.008 * std::sqrt(squares))) return false;
    }
  }
  return true;
}

}  // namespace peers
