// SPDX-License-Identifier: Apache-2.0
/// A model's tensors in one safetensors file or in several, by their index.
///
///     model.safetensors, or else
///     model.safetensors.index.json = {"metadata": {"total_size": ...},
///                                     "weight_map": {"<tensor>": "<file>", ...}}
///
/// Every tensor of the map is in the file it names, and every tensor of those files is in the map:
/// anything else is a model of which a part is missing or ambiguous. `total_size` is not read:
/// many tools write another number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/io/json_text.hpp>
#include <edgerazor/io/safetensors_reader.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What a symbolic link may do that stands for a file of a model.
enum class safetensors_links {
  follow,    ///< lead anywhere: a download's cache is made of links
  in_folder  ///< lead to a file of the folder: for folders of strangers
};

namespace detail::io {

inline constexpr const char* safetensors_name = "model.safetensors";
inline constexpr const char* safetensors_index_name = "model.safetensors.index.json";

/// Whether an index may name this file: one of the same folder, that ends in .safetensors.
[[nodiscard]] inline bool is_shard_name(std::string_view name) noexcept {
  return name.find_first_of(std::string_view("/\\:\0", 4)) == std::string_view::npos &&
         name.ends_with(".safetensors");
}

[[nodiscard]] inline std::filesystem::path utf8_path(std::string_view text) {
  return {reinterpret_cast<const char8_t*>(text.data()),
          reinterpret_cast<const char8_t*>(text.data()) + text.size()};
}

/// io_error where `path` is a link that leaves its folder.
inline void check_link(const std::filesystem::path& path, safetensors_links links) {
  std::error_code code, other;
  if (links == safetensors_links::follow ||
      !std::filesystem::is_symlink(std::filesystem::symlink_status(path, code)))
    return;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::filesystem::path target = std::filesystem::canonical(path, code);
  if (code || target.parent_path() != std::filesystem::canonical(folder, other) || other)
    core::fail_io(printable(path.string(), longest_path) +
                  " is a link out of its folder, expected a file");
}

/// The map of an index: tensor to file. io_error with the index's path.
[[nodiscard]] inline std::map<std::string, std::string, std::less<>> read_safetensors_index(
    const std::filesystem::path& path) {
  const nlohmann::json index = read_json(path);
  const std::string what = printable(path.string(), longest_path) + ": ";
  const auto map = index.find("weight_map");  // of what is no object: the end
  if (map == index.end() || !map->is_object())
    core::fail_io(what + "it has no object 'weight_map' of tensors and files");
  std::map<std::string, std::string, std::less<>> files;
  for (const auto& entry : map->items()) {
    const std::string tensor = "tensor " + edgerazor::quoted(entry.key());
    if (!entry.value().is_string()) core::fail_io(what + tensor + " has a file that is no string");
    const auto& file = entry.value().get_ref<const std::string&>();
    if (!is_shard_name(file))
      core::fail_io(what + tensor + " is in " + edgerazor::quoted(file) +
                    ", expected the name of a .safetensors file of the same folder");
    files.emplace(entry.key(), file);
  }
  return files;
}

}  // namespace detail::io

/// The open safetensors files of a model: one look-up over all tensors. Movable, and then empty;
/// bytes it gives out live as long as it does, or what it was moved to.
///
/// All members are const and may be called from several threads.
class safetensors_files {
 public:
  /// A folder (its model.safetensors, else its model.safetensors.index.json with the files that
  /// names, each opened once), an index, or a file. io_error naming file and tensor where the
  /// folder has neither, a file is missing or refused, or map and files disagree.
  [[nodiscard]] static safetensors_files open(const std::filesystem::path& path,
                                              file_access access = file_access::map,
                                              safetensors_links links = safetensors_links::follow) {
    std::error_code ignored;
    safetensors_files files;
    if (!std::filesystem::is_directory(path, ignored)) {
      if (path.extension() == ".json") {
        files.open_index(path, access, links);
      } else {
        files.open_file(path, access, links);
      }
    } else if (std::filesystem::exists(path / detail::io::safetensors_name, ignored)) {
      files.open_file(path / detail::io::safetensors_name, access, links);
    } else if (std::filesystem::exists(path / detail::io::safetensors_index_name, ignored)) {
      files.open_index(path / detail::io::safetensors_index_name, access, links);
    } else {
      detail::core::fail_io(printable(path.string(), longest_path) + " has no " +
                            detail::io::safetensors_name + " and no " +
                            detail::io::safetensors_index_name);
    }
    return files;
  }

  /// The files, in the order of their names.
  [[nodiscard]] std::span<const safetensors_reader> readers() const noexcept { return readers_; }
  /// All tensors, file by file, by place in it.
  [[nodiscard]] std::span<const safetensors_tensor> tensors() const noexcept {
    return contents_->tensors;
  }
  /// The tensor of that name; null where there is none.
  [[nodiscard]] const safetensors_tensor* find(std::string_view name) const noexcept {
    return contents_->find(name);
  }
  /// The tensor of that name, or io_error.
  [[nodiscard]] const safetensors_tensor& get(std::string_view name) const {
    return contents_->get(name, name_);
  }
  /// Of all files; where two give a key another value, that of the first.
  [[nodiscard]] const safetensors_metadata& metadata() const noexcept {
    return contents_->metadata;
  }
  /// The path that was opened: a file or an index.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Tells the system that a tensor's pages are not needed soon. Its bytes stay readable.
  void drop(const safetensors_tensor& tensor) const noexcept {
    for (const safetensors_reader& reader : readers_) {
      if (const safetensors_tensor* const found = reader.find(tensor.name))
        return reader.drop(*found);
    }
  }

 private:
  safetensors_files() = default;

  void open_file(const std::filesystem::path& path, file_access access, safetensors_links links) {
    detail::io::check_link(path, links);
    name_ = path.string();
    add(safetensors_reader::open(path, access));
    sort();
  }

  void open_index(const std::filesystem::path& path, file_access access, safetensors_links links) {
    detail::io::check_link(path, links);
    name_ = path.string();
    const std::string what = printable(name_, longest_path) + ": ";
    const auto map = detail::io::read_safetensors_index(path);
    std::vector<std::string_view> names;
    names.reserve(map.size());
    for (const auto& entry : map) names.push_back(entry.second);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (const std::string_view name : names) {
      const std::filesystem::path file = path.parent_path() / detail::io::utf8_path(name);
      detail::io::check_link(file, links);
      add(safetensors_reader::open(file, access));
      for (const safetensors_tensor& tensor : readers_.back().tensors()) {
        const auto found = map.find(tensor.name);
        if (found != map.end() && found->second == name) continue;
        detail::core::fail_io(what + "tensor " + edgerazor::quoted(tensor.name) + " of " +
                              edgerazor::quoted(name) + " is " +
                              (found == map.end()
                                   ? std::string{"not in the map"}
                                   : "in " + edgerazor::quoted(found->second) + " by the map"));
      }
    }
    sort();
    for (const auto& entry : map) {
      if (find(entry.first) == nullptr)
        detail::core::fail_io(what + "tensor " + edgerazor::quoted(entry.first) + " is not in " +
                              edgerazor::quoted(entry.second));
    }
  }

  void add(safetensors_reader reader) {
    const std::span<const safetensors_tensor> tensors = reader.tensors();
    contents_->tensors.insert(contents_->tensors.end(), tensors.begin(), tensors.end());
    contents_->metadata.insert(reader.metadata().begin(), reader.metadata().end());
    readers_.push_back(std::move(reader));
  }
  void sort() { detail::io::sort_by_name(*contents_); }

  std::string name_;
  std::vector<safetensors_reader> readers_;
  detail::core::moved_along<detail::io::safetensors_contents> contents_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
