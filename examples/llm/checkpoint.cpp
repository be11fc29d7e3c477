// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include <system_error>
#include <utility>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace llm {

std::shared_ptr<const checkpoint> checkpoint::open(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return open_hf(path);
  for (const char* const name :
       {"model.safetensors", "model.safetensors.index.json", "config.json"}) {
    if (path.filename() == name) return open_hf(path.has_parent_path() ? path.parent_path() : ".");
  }
  if (path.extension() == ".safetensors" && std::filesystem::is_regular_file(path, ignored)) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " holds tensors alone: give the folder it is in, with config.json");
  }
  return open_gguf(path);
}

const stored_tensor* checkpoint::find(std::string_view name) const noexcept {
  const auto at = places_.find(name);
  return at == places_.end() ? nullptr : &tensors_[at->second];
}

const stored_tensor& checkpoint::get(std::string_view name) const {
  const stored_tensor* const found = find(name);
  if (found == nullptr) throw er::io_error("the file has no tensor " + er::quoted(own_name(name)));
  return *found;
}

std::size_t checkpoint::tensor_bytes() const noexcept {
  std::size_t sum = 0;
  for (const stored_tensor& one : tensors_) sum += one.bytes;
  return sum;
}

void checkpoint::set_tensors(std::vector<stored_tensor> tensors) {
  tensors_ = std::move(tensors);
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (!places_.emplace(tensors_[i].name, i).second)
      throw er::io_error("two tensors of the model are " + er::quoted(own_name(tensors_[i].name)));
  }
}

}  // namespace llm
