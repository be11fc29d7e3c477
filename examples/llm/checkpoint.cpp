// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace llm {

namespace fs = std::filesystem;

namespace {

/// The Hugging Face folder that a path stands for.
std::optional<fs::path> folder_of(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return path;
  for (const char* const name :
       {"model.safetensors", "model.safetensors.index.json", "config.json"}) {
    if (path.filename() == name) return path.has_parent_path() ? path.parent_path() : ".";
  }
  return std::nullopt;
}

bool belongs_to_folder(const fs::path& file) {
  constexpr std::array<std::string_view, 10> names{
      "config.json",        "generation_config.json", "model.safetensors.index.json",
      "tokenizer.json",     "tokenizer_config.json",  "vocab.json",
      "merges.txt",         "added_tokens.json",      "special_tokens_map.json",
      "chat_template.jinja"};
  return file.extension() == ".safetensors" ||
         std::ranges::find(names, file.filename().string()) != names.end();
}

/// Of "name-00001-of-00003.gguf" whether the other differs at most in the first number.
bool are_parts_of_one(const std::string& one, const std::string& other) {
  constexpr std::size_t digits = 5, end = std::string_view{"-00003.gguf"}.size(),
                        tail = std::string_view{"-of"}.size() + end,
                        ending = 1 + digits + tail;  // "-00001-of-00003.gguf"
  const std::size_t size = one.size();
  return size > ending && one[size - ending] == '-' && one.substr(size - tail, 4) == "-of-" &&
         one.ends_with(".gguf") && other.size() == size &&
         one.substr(0, size - ending + 1) == other.substr(0, size - ending + 1) &&
         one.substr(size - tail) == other.substr(size - tail);
}

}  // namespace

std::vector<support::named_file> parts_of_model(const std::string& option, const fs::path& path) {
  const std::optional<fs::path> folder = folder_of(path);
  const fs::path in = folder                   ? *folder
                      : path.has_parent_path() ? path.parent_path()
                                               : fs::path{"."};
  std::vector<support::named_file> result;
  std::error_code error;
  for (fs::directory_iterator file(in, error), end; !error && file != end; file.increment(error)) {
    const fs::path& name = file->path();
    if (folder ? belongs_to_folder(name)
               : are_parts_of_one(path.filename().string(), name.filename().string()))
      result.push_back({option, name});
  }
  return result;
}

std::vector<support::named_file> files_of_model(const std::string& option, const fs::path& path) {
  std::vector<support::named_file> result = parts_of_model(option, path);
  result.push_back({option, path});
  return result;
}

std::shared_ptr<const checkpoint> checkpoint::open(const std::filesystem::path& path) {
  if (const auto folder = folder_of(path)) return open_hf(*folder);
  std::error_code ignored;
  if (path.extension() == ".safetensors" && std::filesystem::is_regular_file(path, ignored)) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " holds tensors alone: give the folder it is in, with config.json");
  }
  return open_gguf(path);
}

void checkpoint::require_unpacked(std::string_view who) const {
  if (!is_packed()) return;
  throw std::invalid_argument(er::quoted(path_.string(), er::longest_path) +
                              " holds a quantized model already; " + std::string{who} +
                              " is for one that is not");
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
