// SPDX-License-Identifier: Apache-2.0
#include "weight_source.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <stdexcept>

#include "matrix_rows.hpp"
#include "support/shape_text.hpp"
#include <edgerazor/product/row_lookup.hpp>

namespace llm {

namespace {

/// FNV-1a: the same number for the same name everywhere, which std::hash is not.
std::uint64_t name_seed(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

/// Four uniform 16-bit numbers from one 64-bit one, added: bell-shaped enough, of mean 0 and
/// variance 1.
float bell(std::uint64_t bits) {
  std::uint64_t sum = 0;
  for (int i = 0; i < 4; ++i) sum += (bits >> (16 * i)) & 0xffffu;
  constexpr float mean = 4 * 65535.0f / 2, deviation = 37836.9f;  // sqrt(4 * (65536^2 - 1) / 12)
  return (static_cast<float>(sum) - mean) / deviation;
}

[[noreturn]] void refuse_shape(std::string_view name, std::size_t rows, std::size_t cols,
                               const std::string& has) {
  throw er::io_error("tensor " + er::quoted(name) + ": expected " + shape_text(rows, cols) +
                     ", the file has " + has);
}

/// Rows that a thread works on at a time: some 256 KiB of numbers, in whole tiles.
std::size_t rows_of_block(std::size_t cols) {
  constexpr std::size_t block_elements = 65536;
  return std::max<std::size_t>(1, block_elements / (cols * er::tile_rows)) * er::tile_rows;
}

}  // namespace

std::optional<er::matrix_format> format_of(const er::recipe& how, std::string_view name) {
  const std::string_view text = how.weight_format(name);
  if (text.empty()) return std::nullopt;
  const auto fmt = er::matrix_format::parse(text);
  if (!fmt)
    throw std::invalid_argument("recipe " + how.name + ": " + er::quoted(text) +
                                " is not the name of a format");
  return fmt;
}

er::any_matrix pack_by_blocks(std::string_view name, const er::matrix_format& fmt, std::size_t rows,
                              std::size_t cols, const row_source& source, thread_pool& threads) {
  const std::size_t block = rows_of_block(cols);
  try {
    er::any_matrix result = er::any_matrix::empty(fmt, rows, cols);
    threads.run((rows + block - 1) / block, [&](std::size_t grain) {
      const er::row_range range{grain * block, std::min(rows, (grain + 1) * block)};
      std::vector<float> values(range.size() * cols);
      const er::matrix_view<float> view{values.data(), range.size(), cols};
      source(range, view);
      result.pack_rows(range.begin, view);
    });
    return result;
  } catch (const std::invalid_argument& error) {
    throw er::io_error("tensor " + er::quoted(name) + ": " + error.what());
  }
}

change change_of(const er::any_matrix& matrix, const row_source& source, thread_pool& threads) {
  const std::size_t rows = matrix.rows(), cols = matrix.cols(), block = rows_of_block(cols);
  std::vector<change> parts((rows + block - 1) / block);
  threads.run(parts.size(), [&](std::size_t grain) {
    const er::row_range range{grain * block, std::min(rows, (grain + 1) * block)};
    std::vector<float> before(range.size() * cols), after(cols);
    const er::matrix_view<float> view{before.data(), range.size(), cols};
    source(range, view);
    for (std::size_t r = 0; r < range.size(); ++r) {
      er::look_up_row(matrix, range.begin + r, after);
      for (std::size_t c = 0; c < cols; ++c) {
        const double was = static_cast<double>(view.row(r)[c]);
        const double off = static_cast<double>(after[c]) - was;
        parts[grain].error += off * off;
        parts[grain].energy += was * was;
      }
    }
  });
  change sum;  // in one order, whoever was first
  for (const change& one : parts) {
    sum.error += one.error;
    sum.energy += one.energy;
  }
  return sum;
}

file_weights::file_weights(const checkpoint& file, const er::recipe& how, thread_pool& threads,
                           progress_bar* progress, reading mode)
    : file_(file), how_(how), threads_(threads), progress_(progress), mode_(mode) {
  if (!how.rules.empty()) file.require_unpacked("a recipe");
}

er::any_matrix file_weights::matrix(std::string_view name, std::size_t rows, std::size_t cols) {
  asked_.emplace(name);
  const stored_tensor& tensor = file_.get(name);
  if (progress_ != nullptr) progress_->advance(tensor.bytes);
  if (!tensor.is_matrix || tensor.rows != rows || tensor.cols != cols)
    refuse_shape(file_.own_name(name), rows, cols, shape_text(tensor.rows, tensor.cols));
  if (!tensor.refusal.empty())
    throw er::io_error("tensor " + er::quoted(file_.own_name(name)) + " " + tensor.refusal);
  if (mode_ == reading::look) return {};
  const auto wanted = format_of(how_, name);
  const bool as_it_is = wanted ? wanted == tensor.format
                               : tensor.format && !(mode_ == reading::decode && tensor.is_packed());
  if (as_it_is) return file_.matrix(tensor, threads_);

  er::any_matrix result =
      pack_tensor(file_, tensor, wanted.value_or(dense_format(er::scale_kind::float16)), threads_);
  file_.drop(tensor);
  return result;
}

std::vector<float> file_weights::vector(std::string_view name, std::size_t size) {
  asked_.emplace(name);
  const stored_tensor& tensor = file_.get(name);
  if (tensor.rows != 1 || tensor.cols != size)
    refuse_shape(file_.own_name(name), 1, size, shape_text(tensor.rows, tensor.cols));
  if (!tensor.refusal.empty())
    throw er::io_error("tensor " + er::quoted(file_.own_name(name)) + " " + tensor.refusal);
  std::vector<float> values(size);
  file_.read_rows(tensor, {0, 1}, {values.data(), 1, size});
  for (const float value : values) {
    if (!std::isfinite(value))
      throw er::io_error("tensor " + er::quoted(file_.own_name(name)) +
                         " has a NaN or an infinity");
  }
  return values;
}

void file_weights::refuse_leftovers() const {
  for (const stored_tensor& tensor : file_.tensors()) {
    if (asked_.contains(tensor.name)) continue;
    throw er::io_error("the model has a tensor " + er::quoted(file_.own_name(tensor.name)) +
                       " that this program does not know");
  }
}

er::any_matrix random_weights::matrix(std::string_view name, std::size_t rows, std::size_t cols) {
  const float deviation = 1.0f / std::sqrt(static_cast<float>(cols));
  const auto generate = [&](er::row_range range, er::matrix_view<float> out) {
    for (std::size_t r = 0; r < range.size(); ++r) {
      std::mt19937_64 random(name_seed(name) + range.begin + r);
      for (float& value : out.row(r)) value = deviation * bell(random());
    }
  };
  const auto fmt = format_of(how_, name).value_or(dense_format(er::scale_kind::float16));
  return pack_by_blocks(name, fmt, rows, cols, generate, threads_);
}

}  // namespace llm
