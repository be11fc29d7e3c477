// SPDX-License-Identifier: Apache-2.0
/// A model as somebody stores it, whatever the container. All that this program reads of one goes
/// through here, under GGUF's names ("blk.0.attn_q.weight") and in GGUF's order of rows.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "geometry.hpp"
#include "support/named_files.hpp"
#include "thread_pool.hpp"
#include "tokenizer.hpp"
#include <edgerazor/core/views.hpp>
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/matrix_format.hpp>

namespace llm {

namespace er = edgerazor;

/// One weight of a checkpoint.
struct stored_tensor {
  std::string name;
  std::size_t rows = 0, cols = 0;  ///< 1 x size where it is a vector
  bool is_matrix = false;
  std::size_t bytes = 0;  ///< in the file
  std::string type;       ///< in its container's words: "Q4_K", "BF16"
  /// What `checkpoint::matrix` gives without a loss: a dense type, or a packed format. Nothing: it
  /// has none of the library's formats, and its numbers are read with `read_rows`.
  std::optional<er::matrix_format> format;
  std::string why_not_exact;  ///< why there is no format, where the container says it
  std::string refusal;        ///< why neither can be had: the end of a sentence; else empty
  std::size_t index = 0;      ///< where the container has it

  [[nodiscard]] bool is_packed() const {
    return format && format->type != er::matrix_format::kind::dense;
  }
};

/// Const members may be called from several threads at once.
class checkpoint {
 public:
  checkpoint(const checkpoint&) = delete;
  checkpoint& operator=(const checkpoint&) = delete;
  virtual ~checkpoint() = default;

  /// Opens a Hugging Face folder (its config.json, model.safetensors or index stand for it), or a
  /// GGUF file. Throws edgerazor::io_error where it is none of them. That a model of it runs is not
  /// said: see read_geometry and model_file.
  [[nodiscard]] static std::shared_ptr<const checkpoint> open(const std::filesystem::path& path);

  /// Of the files that hold tensors.
  [[nodiscard]] virtual std::size_t file_bytes() const = 0;
  /// "GGUF file": for people.
  [[nodiscard]] virtual std::string container() const = 0;
  /// As the container spells it; nothing where it does not say.
  [[nodiscard]] virtual std::optional<std::string> architecture_name() const = 0;
  /// Throws edgerazor::io_error where this program does not run the model.
  [[nodiscard]] virtual geometry read_geometry() const = 0;
  [[nodiscard]] virtual vocabulary read_vocabulary() const = 0;
  /// What its author calls it.
  [[nodiscard]] virtual std::optional<std::string> model_name() const = 0;
  /// The recipe by which this program quantized it, if it did.
  [[nodiscard]] virtual std::optional<std::string> recipe_name() const = 0;
  /// This program quantized its matrices: no recipe fits any more.
  [[nodiscard]] virtual bool is_packed() const = 0;
  /// Throws std::invalid_argument where they are: the path, and `who` is for another, "a recipe".
  void require_unpacked(std::string_view who) const;

  /// All, in the container's order.
  [[nodiscard]] std::span<const stored_tensor> tensors() const noexcept { return tensors_; }
  /// Null where there is none of that name.
  [[nodiscard]] const stored_tensor* find(std::string_view name) const noexcept;
  /// What the container calls the tensor of that name, whether it has it or not: for messages.
  [[nodiscard]] virtual std::string own_name(std::string_view name) const {
    return std::string{name};
  }
  /// Throws edgerazor::io_error where there is none of that name.
  [[nodiscard]] const stored_tensor& get(std::string_view name) const;
  /// Bytes of all tensors.
  [[nodiscard]] std::size_t tensor_bytes() const noexcept;

  /// Rows [rows.begin, rows.end) as numbers. Throws edgerazor::io_error where it is refused.
  virtual void read_rows(const stored_tensor& tensor, er::row_range rows,
                         er::matrix_view<float> out) const = 0;
  /// The matrix in the format that `tensor` says, in the mapped file where that is possible, which
  /// this must outlive. Throws edgerazor::io_error where the file's bytes are none of that format.
  [[nodiscard]] virtual er::any_matrix matrix(const stored_tensor& tensor,
                                              thread_pool& threads) const = 0;
  /// Its pages are not needed soon.
  virtual void drop(const stored_tensor& tensor) const noexcept = 0;

  /// What a GGUF file of the same model says besides its tensors, but for the keys of `except` and
  /// those that the writer has.
  virtual void add_metadata(er::gguf_writer& writer,
                            std::span<const std::string_view> except) const = 0;
  /// At most the bytes of that.
  [[nodiscard]] virtual std::size_t metadata_bytes() const = 0;
  /// Whether a GGUF file can hold the tensor as it is.
  [[nodiscard]] virtual bool can_add(const stored_tensor& tensor) const = 0;
  /// The tensor as it is. This must outlive the writer's work. Precondition: can_add.
  virtual void add_tensor(er::gguf_writer& writer, const stored_tensor& tensor) const = 0;

 protected:
  explicit checkpoint(std::filesystem::path path) : path_(std::move(path)) {}
  /// Once, when the object is made. Throws edgerazor::io_error where two have one name.
  void set_tensors(std::vector<stored_tensor> tensors);

 private:
  std::filesystem::path path_;
  std::vector<stored_tensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> places_;
};

/// A Hugging Face folder: safetensors files, config.json and the tokenizer's files.
[[nodiscard]] std::shared_ptr<const checkpoint> open_hf(const std::filesystem::path& folder);

/// A GGUF file, of ordinary or of packed tensors.
[[nodiscard]] std::shared_ptr<const checkpoint> open_gguf(const std::filesystem::path& path);

/// The files of a model that is more than one, for support::require_apart: in a Hugging Face folder
/// those that make it a checkpoint, of a split GGUF file all parts. Of another path none.
[[nodiscard]] std::vector<support::named_file> parts_of_model(const std::string& option,
                                                              const std::filesystem::path& path);
/// Those, and the path itself.
[[nodiscard]] std::vector<support::named_file> files_of_model(const std::string& option,
                                                              const std::filesystem::path& path);

/// The key under which `convert` writes the recipe's name into a GGUF file.
inline constexpr std::string_view recipe_key = "edgerazor.recipe";

}  // namespace llm
