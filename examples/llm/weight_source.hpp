// SPDX-License-Identifier: Apache-2.0
/// Where a decoder's weights come from: a file, as it is or quantized while it is read, or a random
/// generator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "checkpoint.hpp"
#include "progress_bar.hpp"
#include "thread_pool.hpp"
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/policy/recipe.hpp>

namespace llm {

/// Fills rows [range.begin, range.end) of a matrix; called by several threads at once.
using row_source = std::function<void(er::row_range range, er::matrix_view<float> out)>;

/// Squares of what a conversion changed, and of what there was.
struct change {
  double error = 0, energy = 0;
  [[nodiscard]] double relative() const { return energy > 0 ? error / energy : error; }
};

/// A matrix of format `fmt`, quantized by rows a block at a time: besides the result it takes some
/// 256 KiB a thread. What is wrong with a weight is told with the tensor's name.
er::any_matrix pack_by_blocks(std::string_view name, const er::matrix_format& fmt, std::size_t rows,
                              std::size_t cols, const row_source& source, thread_pool& threads);

/// How the matrix differs from the rows that `source` gives.
change change_of(const er::any_matrix& matrix, const row_source& source, thread_pool& threads);

/// The format that a recipe gives to a weight; throws std::invalid_argument where its name is not
/// one. Nothing: the weight keeps its type.
std::optional<er::matrix_format> format_of(const er::recipe& how, std::string_view name);

class weight_source {
 public:
  virtual ~weight_source() = default;
  [[nodiscard]] virtual bool has(std::string_view name) const = 0;
  /// Both throw edgerazor::io_error where the weight is missing or has another shape.
  [[nodiscard]] virtual er::any_matrix matrix(std::string_view name, std::size_t rows,
                                              std::size_t cols) = 0;
  [[nodiscard]] virtual std::vector<float> vector(std::string_view name, std::size_t size) = 0;
};

/// The tensors of a checkpoint. Those that have a format of the library stay in it, in the mapped
/// file where that is possible, which must outlive them; others become the recipe's format, or
/// float16 where it leaves them their type.
class file_weights final : public weight_source {
 public:
  /// `decode`: matrices that others have quantized become the recipe's format, or float16, too.
  /// `look`: every weight is looked for and its shape and type are checked, but matrices are not
  /// read: those given are empty.
  enum class reading { as_it_is, decode, look };
  /// Refers to what it is given.
  file_weights(const checkpoint& file, const er::recipe& how, thread_pool& threads,
               progress_bar* progress = nullptr, reading mode = reading::as_it_is);
  file_weights(const checkpoint&, er::recipe&&, thread_pool&, progress_bar* = nullptr,
               reading = reading::as_it_is) = delete;

  [[nodiscard]] bool has(std::string_view name) const override {
    return file_.find(name) != nullptr;
  }
  [[nodiscard]] er::any_matrix matrix(std::string_view name, std::size_t rows,
                                      std::size_t cols) override;
  [[nodiscard]] std::vector<float> vector(std::string_view name, std::size_t size) override;

  /// Throws edgerazor::io_error where the file has a tensor that nobody asked for: the model would
  /// not be the one its author meant.
  void refuse_leftovers() const;

 private:
  const checkpoint& file_;
  const er::recipe& how_;
  thread_pool& threads_;
  progress_bar* progress_;
  reading mode_;
  std::unordered_set<std::string> asked_;
};

/// No weights: notes the names of the matrices that are asked for.
class matrix_names final : public weight_source {
 public:
  [[nodiscard]] bool has(std::string_view) const override { return false; }
  [[nodiscard]] er::any_matrix matrix(std::string_view name, std::size_t, std::size_t) override {
    names.emplace_back(name);
    return {};
  }
  [[nodiscard]] std::vector<float> vector(std::string_view, std::size_t) override { return {}; }

  std::vector<std::string> names;
};

/// Random weights for measurements: matrices of independent numbers of variance 1 / cols, the same
/// for the same name on every machine; vectors of ones. Has every weight but biases, an untied head
/// and the like.
class random_weights final : public weight_source {
 public:
  random_weights(const er::recipe& how, thread_pool& threads) : how_(how), threads_(threads) {}

  [[nodiscard]] bool has(std::string_view) const override { return false; }
  [[nodiscard]] er::any_matrix matrix(std::string_view name, std::size_t rows,
                                      std::size_t cols) override;
  [[nodiscard]] std::vector<float> vector(std::string_view, std::size_t size) override {
    return std::vector<float>(size, 1.0f);
  }

 private:
  const er::recipe& how_;
  thread_pool& threads_;
};

}  // namespace llm
